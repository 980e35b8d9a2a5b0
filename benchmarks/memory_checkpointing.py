"""Peak memory and time of one training step, with activation checkpointing and without.

    python benchmarks/memory_checkpointing.py --scheme divided --frames 8 --size 224 --batch 1

Each measurement runs in a process of its own: on CPU the peak resident set of that process, on CUDA the peak that
torch allocated. The first step is measured, so its time includes whatever a first step sets up. Ends in one JSON line.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context

# torch is imported in the children only: a process inherits the peak of the one that started it


@dataclass(frozen=True)
class Step:
    """What one training step took, in megabytes (10^6) and seconds."""

    device: str
    """"cpu" or the GPU's name."""
    before: float
    """Memory at rest: the model, and on CPU the interpreter and its libraries."""
    peak: float
    """Highest memory up to the end of the step."""
    activations: float
    """What the clips keep for the backward pass, by formula."""
    seconds: float
    """Time of the step."""


def measure(scheme: str, *, frames: int, size: int, batch: int, checkpointing: bool) -> Step:
    """Build a model, take one step of SGD, and report; to be called once in a process."""
    import torch

    from timesformer.config.model import ModelConfig
    from timesformer.model.cost import cost
    from timesformer.model.transformer import TimeSformer

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = ModelConfig(scheme=scheme, frames=frames, size=size)  # type: ignore[arg-type]
    torch.manual_seed(0)
    model = TimeSformer(config, checkpointing=-1 if checkpointing else 0).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.005)
    clips = torch.randn(batch, frames, 3, size, size, device=device)
    before, start = _peak(device.type), time.perf_counter()
    torch.nn.functional.cross_entropy(model(clips), torch.zeros(batch, dtype=torch.long, device=device)).backward()
    optimizer.step()
    peak = _peak(device.type)
    known = cost(config)
    return Step(
        device=torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        before=before / 1e6,
        peak=peak / 1e6,
        activations=batch * (known.checkpointed if checkpointing else known.activations) / 1e6,
        seconds=time.perf_counter() - start,
    )


def _peak(device: str) -> int:
    """Highest memory so far in bytes."""
    import resource

    import torch

    if device == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    """Measure both ways, print a table, and end in one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scheme", default="divided")
    for name, default in (("frames", 8), ("size", 224), ("batch", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = vars(parser.parse_args())
    steps = {}
    for name, checkpointing in (("plain", False), ("checkpointing", True)):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            steps[name] = step = process.submit(measure, **given, checkpointing=checkpointing).result()
        print(
            f"{name:14} at rest {step.before:7.0f} MB   peak {step.peak:7.0f} MB   "
            f"activations by formula {step.activations:6.0f} MB   {step.seconds:6.2f} s   {step.device}"
        )
    saved = steps["plain"].peak - steps["checkpointing"].peak
    result = {name: {key: value if key == "device" else round(value, 2) for key, value in asdict(step).items()}
              for name, step in steps.items()}  # fmt: skip
    print(json.dumps({"benchmark": "memory_checkpointing", **given, **result, "saved": round(saved, 2)}))


if __name__ == "__main__":
    main()
