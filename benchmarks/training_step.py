"""Time of one training step, ours against transformers', by turns in one process.

    python benchmarks/training_step.py [--device cuda] [--pairs 5] [--batch 1] [--compile]

Three settings: float32 as torch starts; float32 with `torch.set_float32_matmul_precision("medium")`; bfloat16 autocast
with it, transformers' fastest. Each pair is one step of each library, so a busy machine slows both; the ratio is the
median over the pairs. Beside it stands the rate of a large matrix product in the same setting, and the share of it
that a step reaches, counting three forward passes of multiply-adds. ``--compile`` compiles ours, as --engine.compile
does; the first step, which is not timed, then takes minutes. Ends in one JSON line.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import contestants
import torch
from contestants import Contestant, Precision
from torch import Tensor

from timesformer.config.model import ModelConfig
from timesformer.model import cost

SETTINGS: dict[str, tuple[Precision, str]] = {
    "fp32, highest": ("fp32", "highest"),
    "fp32, medium": ("fp32", "medium"),
    "bf16, medium": ("bf16", "medium"),
}


@dataclass(frozen=True)
class Race:
    """The steps of one setting, in seconds, pair by pair."""

    ours: list[float]
    theirs: list[float]
    rate: float
    """Multiply-adds a second of a large matrix product."""

    @property
    def ratios(self) -> list[float]:
        """transformers' time over ours, pair by pair."""
        return [theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True)]


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time of some work, all of it done on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def product_rate(precision: Precision, device: torch.device) -> float:
    """Multiply-adds a second of a large matrix product, the best of several."""
    side = 8192 if device.type == "cuda" else 2048
    left, right = (
        torch.randn(side, side, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
        for _ in range(2)
    )
    return side**3 / min(seconds(lambda: left @ right, device) for _ in range(6))


def race(
    ours: Contestant, theirs: Contestant, batch: tuple[Tensor, Tensor], *, precision: Precision, pairs: int
) -> Race:
    """One step of each by turns, after one that is not timed; each pair is printed."""
    clips, targets = batch
    times: tuple[list[float], list[float]] = ([], [])
    rates = []
    for pair in range(pairs + 1):
        rates.append(product_rate(precision, clips.device))
        for contestant, kept in zip((ours, theirs), times, strict=True):
            taken = seconds(lambda who=contestant: who.step(clips, targets, precision=precision), clips.device)
            if pair:
                kept.append(taken)
        if pair:
            mine, other = times[0][-1], times[1][-1]
            print(f"  pair {pair}: ours {mine:7.3f} s   transformers {other:7.3f} s   ratio {other / mine:.2f}")
    return Race(*times, rate=max(rates))


def row(name: str, found: Race, *, work: int) -> dict[str, float | str]:
    """The medians of a race, printed and returned for the JSON line."""
    ours, theirs = statistics.median(found.ours), statistics.median(found.theirs)
    result = {
        "setting": name,
        "ours_s": round(ours, 4),
        "transformers_s": round(theirs, 4),
        "ratio": round(statistics.median(found.ratios), 3),
        "ratio_low": round(min(found.ratios), 3),
        "ratio_high": round(max(found.ratios), 3),
        "product_tflops": round(2 * found.rate / 1e12, 3),
        "ours_share": round(work / ours / found.rate, 3),
        "transformers_share": round(work / theirs / found.rate, 3),
    }
    print(
        f"{name}: ours {ours:.3f} s, transformers {theirs:.3f} s, ratio {result['ratio']:.2f} "
        f"({result['ratio_low']:.2f} to {result['ratio_high']:.2f}); products {result['product_tflops']:.2f} TFLOP/s, "
        f"of which ours reaches {result['ours_share']:.0%}, transformers {result['transformers_share']:.0%}"
    )
    return result


def main() -> None:
    """Run the three settings and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    for name, default in (("pairs", 5), ("batch", 1), ("depth", 12), ("frames", 8), ("size", 224)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--compile", action="store_true")
    given = parser.parse_args()
    device = torch.device(given.device)
    config = ModelConfig(frames=given.frames, size=given.size, depth=given.depth, drop_path=0.0)
    ours, theirs = (contestants.build(library, config, device=device) for library in ("ours", "transformers"))
    if given.compile:
        ours.model.compile()
    batch = contestants.clips_for(config, batch=given.batch, device=device)
    work = 3 * given.batch * cost.multiply_adds(config)
    results = []
    for name in given.settings:
        precision, products = SETTINGS[name]
        torch.set_float32_matmul_precision(products)
        results.append(row(name, race(ours, theirs, batch, precision=precision, pairs=given.pairs), work=work))
    about = {
        "benchmark": "training_step",
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    print(json.dumps({**about, **vars(given), "settings": results}))


if __name__ == "__main__":
    main()
