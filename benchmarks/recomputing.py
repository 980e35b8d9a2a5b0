"""Time and memory of one training step: all kept, economical blocks, or blocks run again; by turns.

    python benchmarks/recomputing.py [--device cuda] [--precisions fp32 bf16] [--rounds 10] [--batch 1] [--frames 8]

ViT-B with divided attention; forward and backward pass, without the optimiser. Each round times one step of each way,
so a busy machine slows all; the ratio to "all kept" is the median over the rounds. On a CPU the time is that of the
process, and on CUDA there is the peak of allocated memory, too. By itself a model keeps all on a GPU, and is economical
on a CPU, so on a GPU the first two ways are the same. Ends in one JSON line.
"""

import argparse
import json
import statistics
import time
from unittest import mock

import torch
from torch.nn import functional as F

from timesformer.config.model import ModelConfig
from timesformer.model import recompute
from timesformer.model.transformer import TimeSformer

WAYS = ("all kept", "economical", "checkpointed")


def step(model: TimeSformer, clips: torch.Tensor, *, way: str, half: bool) -> tuple[float, int]:
    """Seconds and peak bytes (0 on a CPU) of one forward and backward pass."""
    device = clips.device.type
    model.zero_grad(set_to_none=True)
    model.checkpointing = -1 if way == "checkpointed" else 0
    how = (lambda block, *_, **__: block) if way == "all kept" else recompute.how
    with mock.patch.object(recompute, "how", how):
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        clock = time.perf_counter if device == "cuda" else time.process_time
        start = clock()
        with torch.autocast(device, torch.bfloat16, enabled=half):
            loss = F.cross_entropy(model(clips), torch.zeros(len(clips), dtype=torch.long, device=clips.device))
        loss.backward()
        if device == "cuda":
            torch.cuda.synchronize()
        return clock() - start, torch.cuda.max_memory_allocated() if device == "cuda" else 0


def main() -> None:
    """Time the three ways in each precision, print a line for each, and end in one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precisions", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    for name, default in (("rounds", 10), ("batch", 1), ("depth", 12), ("frames", 8), ("size", 224)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    device = torch.device(given.device)
    model = TimeSformer(ModelConfig(frames=given.frames, size=given.size, depth=given.depth)).to(device).train()
    clips = torch.randn(given.batch, given.frames, 3, given.size, given.size, device=device)
    rows = []
    for precision in given.precisions:
        found: dict[str, list[tuple[float, int]]] = {way: [] for way in WAYS}
        for turn in range(given.rounds + 1):
            for way in WAYS if turn % 2 else WAYS[::-1]:
                measured = step(model, clips, way=way, half=precision == "bf16")
                if turn:  # the first warms up
                    found[way].append(measured)
        for way in WAYS:
            pairs = zip(found[way], found["all kept"], strict=True)
            row = {
                "precision": precision,
                "way": way,
                "seconds": round(statistics.median(seconds for seconds, _ in found[way]), 4),
                "of_all_kept": round(statistics.median(one[0] / other[0] for one, other in pairs), 3),
                "peak_gb": round(max(peak for _, peak in found[way]) / 1e9, 2),
            }
            print(row, flush=True)
            rows.append(row)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    about = {"benchmark": "recomputing", "device_name": name, "torch": torch.__version__}
    print(json.dumps({**about, **vars(given), "rows": rows}))


if __name__ == "__main__":
    main()
