"""Tiny data sets and trainings for tests: a few generated videos, a model of width 16, seconds of work."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests import made_videos
from timesformer.config import AugmentConfig, ClipConfig, EngineConfig, ModelConfig, OptimConfig, TrainConfig
from timesformer.data import manifest
from timesformer.data.items import Item
from timesformer.data.manifest import Manifest
from timesformer.train import Outcome, train

SECTIONS = ("model", "clip", "augment", "optim", "engine")
TIMING = ("clips_per_second", "waited")


def videos(folder: Path, *, train: int = 12, val: int = 3, classes: Sequence[str] = ("dark", "light")) -> Path:
    """Write videos of grey noise around a level for each class, 6 frames of 24 px, and return the folder."""
    for split, count in (("train", train), ("val", val)):
        for number in range(count):
            label = number % len(classes)
            path = folder / split / classes[label] / f"{number:02}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng((number, split == "val")).integers(0, 60, (6, 24, 24, 3), dtype=np.uint8)
            made_videos.encode(
                path, noise + np.uint8(150 * label // max(len(classes) - 1, 1)), np.arange(6) / 10, fps=10
            )
    return folder


def table(folder: Path) -> Manifest:
    """The data set in a folder, made there first if it isn't yet."""
    return manifest.load(folder if folder.exists() else videos(folder))


def config(**changes: Any) -> TrainConfig:
    """A tiny training of three epochs of three steps, in two blocks; ``optim=dict(lr=1)`` changes single settings."""
    base = TrainConfig(
        model=ModelConfig(frames=2, size=16, patch=8, width=16, depth=2, heads=2, classes=2, start="scratch"),
        clip=ClipConfig(frames=2, size=16, sampling="segments"),
        augment=AugmentConfig(),
        optim=OptimConfig(lr=5e-3, epochs=3, batch=4),
        engine=EngineConfig(precision="fp32", workers=0, cache="off", save_minutes=60),
    )
    sections = {name: replace(getattr(base, name), **changes.pop(name, {})) for name in SECTIONS}
    return replace(base, **sections, **changes)


def everything(**changes: Any) -> TrainConfig:
    """A tiny training with everything on that draws random numbers or keeps a state."""
    whole: dict[str, dict[str, Any]] = {
        "model": {"drop_path": 0.3},
        "augment": {"mixup": 0.8, "cutmix": 1.0, "colour": 0.4, "rand_augment": 1, "erase": 0.5},
        "optim": {"ema": 0.9, "accumulate": 2, "clip_grad": 1.0, "repeats": 2, "warmup": 1.0, "label_smoothing": 0.1},
        "engine": {"save_minutes": 1e-9},
    }
    return config(**{name: whole.get(name, {}) | changes.get(name, {}) for name in SECTIONS})


def results(run: Path) -> dict[str, Any]:
    """All of a run that must not depend on when it was stopped: bytes of its checkpoints, and its measures."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    kept = [{name: value for name, value in row.items() if name not in TIMING} for row in rows]
    return {"rows": kept} | {name: (run / f"{name}.safetensors").read_bytes() for name in ("best", "final")}


def relabelled(data: Manifest, labels: dict[str, Any], task: Any) -> Manifest:
    """A table for another task: each class name replaced by what it stands for."""
    items = tuple(replace(item, label=labels[str(item.label)]) for item in data.items)
    return Manifest(data.source, items, data.labels, task)


def break_video(item: Item) -> None:
    """Make a video unreadable."""
    item.path.write_bytes(b"not a video")


def run(data: Manifest, settings: TrainConfig, out: Path, **options: Any) -> Outcome:
    """Train."""
    return train(data, settings, out, **options)
