"""What the page of a demo shows, read from the files that the demo wrote and from nothing else."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from timesformer.config import configfile
from timesformer.config.checks import in_pixels
from timesformer.data.made import motions
from timesformer.pictures.demo_page import Example, Page, Result, Target
from timesformer.pictures.page import percent
from timesformer.training.run.runfolder import RunFolder
from timesformer.video import reader

DIVIDED_AT_LEAST, SPACE_AT_MOST, SECONDS_AT_MOST = 0.95, 0.40, 360.0
SHOWN = 8
"""Frames of a video that the page shows."""


def read(out: Path, schemes: Sequence[str]) -> Page:
    """Everything on the page of the demo in a folder. ``schemes`` are divided attention and space attention."""
    labels = tuple(sorted(motions.CLASSES))
    examples = tuple(_example(out, label) for label in motions.CLASSES)
    results = tuple(_result(out / scheme, scheme) for scheme in schemes)
    seconds = times(out)
    return Page(
        labels=labels,
        results=results,
        targets=_targets(results, sum(seconds.values())),
        examples=examples,
        predicted=examples[0],
        times=tuple(seconds.items()),
        settings=_settings(out, schemes[0]),
        config=RunFolder(out / schemes[0]).config.read_text(encoding="utf-8"),
    )


def times(out: Path) -> dict[str, float]:
    """Seconds that each stage took, in their order."""
    path = out / "times.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def example_path(out: Path, label: str) -> Path:
    """The first test video of a class."""
    return out / "motions" / "test" / label / f"{label}_00000.mp4"


def _example(out: Path, label: str) -> Example:
    path = example_path(out, label)
    info = reader.info(path)
    numbers = np.linspace(0, info.frames - 1, SHOWN).round().astype(int).tolist()
    return Example(
        path=path.relative_to(out).as_posix(),
        label=label,
        frames=reader.read(path, numbers).permute(0, 2, 3, 1).numpy(),
        seconds=tuple(float(info.times[number]) for number in numbers),
    )


def _result(folder: Path, scheme: str) -> Result:
    found = json.loads((folder / "test" / "results.json").read_text(encoding="utf-8"))
    prediction = json.loads((folder / "prediction.json").read_text(encoding="utf-8"))
    scores = {entry["label"]: entry["score"] for entry in prediction["scores"]}
    lines = RunFolder(folder).metrics.read_text(encoding="utf-8").splitlines()
    return Result(
        scheme=scheme,
        rows=tuple(json.loads(line) for line in lines),
        top1=found["numbers"]["top1"],
        videos=found["numbers"]["videos"],
        confusion=tuple(tuple(row) for row in found["numbers"]["confusion"]),
        scores=tuple(scores[label] for label in found["labels"]),
    )


def _targets(results: Sequence[Result], seconds: float) -> tuple[Target, ...]:
    divided, space = (result.top1 for result in results)
    threads = torch.get_num_threads()
    return (
        Target(
            "divided attention tells the motions apart",
            f"at least {percent(DIVIDED_AT_LEAST)}",
            percent(divided),
            divided >= DIVIDED_AT_LEAST,
        ),
        Target("space attention does not", f"at most {percent(SPACE_AT_MOST)}", percent(space), space <= SPACE_AT_MOST),
        Target(
            "the whole demo takes a few minutes on two cores",
            f"at most {SECONDS_AT_MOST:.0f} s",
            f"{seconds:.0f} s ({threads} thread{'s' if threads > 1 else ''})",
            seconds <= SECONDS_AT_MOST,
        ),
    )


def _settings(out: Path, scheme: str) -> tuple[tuple[str, str], ...]:
    config = configfile.from_toml(RunFolder(out / scheme).config.read_text(encoding="utf-8"))
    plan = json.loads((out / "demo.json").read_text(encoding="utf-8"))
    model, optim = config.model, config.optim
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return (
        ("training, validation, test videos", f"{plan['train']}, {plan['val']}, {plan['test']}"),
        ("clip", f"{model.frames} frames of {in_pixels(model.size)}, patches of {model.patch} px"),
        ("model", f"depth {model.depth}, width {model.width}, {model.heads} heads, trained from scratch"),
        ("training", f"{optim.epochs} epochs, batch size {optim.batch}, AdamW, learning rate {optim.lr:g}"),
        ("precision", config.engine.precision),
        ("machine", f"{device}, torch {torch.__version__}"),
    )
