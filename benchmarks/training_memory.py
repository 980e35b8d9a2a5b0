"""Peak memory of one training step, ours against transformers', plain, checkpointed, in float32 and in bfloat16.

    python benchmarks/training_memory.py [--device cuda] [--shapes base hr long] [--precisions fp32 bf16] [--limit 14]
    python benchmarks/training_memory.py --libraries ours --schemes space joint divided --shapes base

One clip through ViT-B, with divided attention unless --schemes says otherwise: base is 8 frames of 224 px, hr 16 of
448, long 96 of 224 (the paper's TimeSformer, -HR and -L). Every measurement has a process of its own. It makes the
optimiser's state, then takes one step; counted is the peak of resident memory above that after the imports and a step
of a tiny model, or on CUDA the peak that torch allocated, so weights, gradients and optimiser (16 bytes a parameter)
are in it. Ours is measured with --engine.optimizer-in-backward, too, where there is never more than one gradient. What
would not fit into the limit by formula is skipped and said. Prints a Markdown table and one JSON line.
"""

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import get_args

import contestants
import torch
from contestants import Library, Precision

from timesformer.config.model import ModelConfig, Scheme
from timesformer.model import cost, recompute

SHAPES = {"base": (8, 224), "hr": (16, 448), "long": (96, 224)}


@dataclass(frozen=True)
class Case:
    """One way to train."""

    scheme: Scheme
    shape: str
    library: Library
    precision: Precision
    checkpointing: bool
    in_backward: bool
    """Ours alone: parameters are updated in the backward pass."""
    depth: int

    @property
    def config(self) -> ModelConfig:
        """The model; neither library drops paths, so that both do the same."""
        frames, size = SHAPES[self.shape]
        return ModelConfig(scheme=self.scheme, frames=frames, size=size, depth=self.depth, drop_path=0.0)

    @property
    def tokens(self) -> int:
        """Patch tokens of a clip."""
        frames, size = SHAPES[self.shape]
        return frames * (size // self.config.patch) ** 2


@dataclass(frozen=True)
class Peak:
    """What a case took, in GB (10^9)."""

    estimate: float
    measured: float | None
    """None where the estimate is above the limit, so that it was not run."""
    seconds: float = 0.0
    """Time of the step, the first of its process."""


def estimate(case: Case, device: str) -> float:
    """Bytes by formula: parameters, gradients, AdamW, and what one clip keeps."""
    known = cost.cost(case.config, precision=case.precision)
    kept = known.checkpointed if case.checkpointing else known.activations
    if case.library == "transformers":
        # it keeps two copies of tokens between products, and attention weights of all pairs, too
        config, (frames, size) = case.config, SHAPES[case.shape]
        places = (size // config.patch) ** 2
        pairs = config.heads * (frames * (places + 1) ** 2 + places * frames**2)
        blocks = 1 if case.checkpointing else config.depth
        kept += blocks * (4 if case.precision == "fp32" else 2) * (2 * frames * places * config.width + pairs)
    elif device == "cpu" and not case.checkpointing and case.tokens * case.config.width >= recompute.SMALL:
        kept = known.activations_on_cpu
    each = 12 if case.in_backward else 16
    if case.library == "transformers" and case.precision == "bf16":
        each += 2  # autocast's copies of the weights
    return kept + each * cost.parameters(case.config)


def measure(case: Case, device_name: str) -> tuple[float, float]:
    """Peak bytes and seconds of one step; to be called once in a process."""
    device = torch.device(device_name)
    _import_all(case, device)
    at_rest = _resident()
    contestant = contestants.build(
        case.library,
        case.config,
        device=device,
        checkpointing=case.checkpointing,
        in_backward=case.in_backward,
    )
    for parameter in contestant.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
        if case.in_backward:
            contestant.optimizer.step()
            parameter.grad = None
    contestant.optimizer.step()
    contestant.optimizer.zero_grad(set_to_none=True)
    clips, targets = contestants.clips_for(case.config, batch=1, device=device)
    start = time.perf_counter()
    contestant.step(clips, targets, precision=case.precision)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(), time.perf_counter() - start
    return _highest_resident() - at_rest, time.perf_counter() - start


def _import_all(case: Case, device: torch.device) -> None:
    """Take a step of a tiny model of each library, so that what they import on the way is not counted."""
    tiny = replace(case.config, width=48, depth=1, frames=2, size=32)
    libraries: tuple[Library, ...] = ("ours", "transformers")
    for library in libraries:
        batch = contestants.clips_for(tiny, batch=1, device=device)
        contestants.build(library, tiny, device=device).step(*batch, precision=case.precision)


def _resident() -> int:
    return _status("VmRSS")


def _highest_resident() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    """A number of bytes from Linux's account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def run(case: Case, *, device: str, limit: float) -> Peak:
    """Measure a case in a new process, unless its estimate is above the limit in GB."""
    expected = estimate(case, device)
    if expected > limit * 1e9:
        return Peak(expected / 1e9, None)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        peak, seconds = process.submit(measure, case, device).result()
    return Peak(expected / 1e9, peak / 1e9, seconds)


def cases(given: argparse.Namespace) -> list[Case]:
    """Plain and checkpointed steps of the asked for; ours with updates in the backward pass, too."""
    ways: tuple[tuple[Library, bool], ...] = (("ours", True), ("ours", False), ("transformers", False))
    return [
        Case(scheme, shape, library, precision, checkpointing, in_backward, given.depth)
        for scheme in given.schemes
        for shape in given.shapes
        for precision in given.precisions
        for checkpointing in (False, True)
        for library, in_backward in ways
        if library in given.libraries and (library == "ours" or scheme == "divided")
    ]


def share(part: Peak, whole: Peak) -> str:
    """One peak as a share of another, with a sign where the other one is an estimate."""
    if part.measured is None:
        return ""
    return f"{part.measured / (whole.measured or whole.estimate):.2f}{'' if whole.measured else ' of the estimate'}"


def row(case: Case, found: dict[Case, Peak]) -> str:
    """A line of the table: ours against transformers with the same settings, and against our own plain float32."""
    peak = found[case]
    name = f"{case.library}, updates in backward" if case.in_backward else case.library
    cells = [case.scheme, case.shape, name, case.precision, "checkpointed" if case.checkpointing else "plain"]
    cells += ["skipped: above the limit" if peak.measured is None else f"{peak.measured:.2f}", f"{peak.estimate:.2f}"]
    if case.library == "ours":
        theirs = replace(case, library="transformers", in_backward=False)
        plain = replace(case, precision="fp32", checkpointing=False, in_backward=False)
        cells += [
            share(peak, found[theirs]) if theirs in found else "",
            share(peak, found[plain]) if plain in found else "",
        ]
    else:
        cells += ["", ""]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Measure every case, print a table, and end in one JSON line."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--libraries", nargs="+", choices=get_args(Library), default=list(get_args(Library)))
    parser.add_argument("--schemes", nargs="+", choices=get_args(Scheme), default=["divided"])
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--precisions", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--limit", type=float, default=round(0.6 * memory, 1), help="GB that a process may take")
    given = parser.parse_args()
    found = {}
    for case in cases(given):
        found[case] = run(case, device=given.device, limit=given.limit)
        print(case, found[case], flush=True)
    print("\n| scheme | shape | library | precision | blocks | peak GB | estimate GB | of theirs | of our plain fp32 |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(row(case, found) for case in found))
    rows = [{**asdict(case), **asdict(peak)} for case, peak in found.items()]
    print(json.dumps({"benchmark": "training_memory", "torch": torch.__version__, **vars(given), "rows": rows}))


if __name__ == "__main__":
    main()
