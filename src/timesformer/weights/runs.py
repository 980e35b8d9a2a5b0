"""The checkpoints in the folder of a training run, and the videos that they were trained on."""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from timesformer.data.files import is_video_name
from timesformer.data.items import Item, counted, some
from timesformer.weights.report import WeightsError

CHECKPOINTS = ("best.safetensors", "final.safetensors")
"""The checkpoints of a run, the preferred one first."""
LEARNED = "trained_on.json"
"""File of a run that lists the keys of its training videos."""


def learned(weights: Path) -> frozenset[str]:
    """Return the keys of the videos that weights, or those in a run's folder, were trained on; empty if unknown."""
    with suppress(OSError, ValueError):
        keys = json.loads(((weights if weights.is_dir() else weights.parent) / LEARNED).read_text("utf-8"))
        if isinstance(keys, list) and all(isinstance(key, str) for key in keys):
            return frozenset(keys)
    return frozenset()


def seen_before(weights: Path, items: Iterable[Item]) -> tuple[str, ...]:
    """Return a warning where weights are evaluated on videos that they were trained on."""
    known, items = learned(weights), list(items)
    seen = [item.key for item in items if item.key in known]
    if not seen:
        return ()
    what = f"{len(seen)} of {counted(len(items), 'evaluation video')}"
    return (
        f"{what} were used to train these weights, which biases the results: {some(seen)}; a split column avoids this",
    )


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a training run: it holds a checkpoint, or the state of an unfinished training."""
    if not folder.is_dir():
        return False
    under_way = (folder / "config.toml").is_file() and any(
        (folder / name).exists() for name in ("last.pt", "metrics.jsonl")
    )
    return under_way or any((folder / name).is_file() for name in CHECKPOINTS)


def checkpoint_of(path: Path) -> Path:
    """Return the best checkpoint of a run's folder, or else its last; any other path is returned unchanged.

    Raises :class:`WeightsError` for a run without a checkpoint, and for a video.
    """
    if path.is_file() and is_video_name(path.name):
        raise WeightsError(f"{path} is a video, not weights; name the weights first, then the videos.")
    if not is_run(path):
        return path
    found = next((path / name for name in CHECKPOINTS if (path / name).is_file()), None)
    if found is None:
        raise WeightsError(f"{path} is a run without a checkpoint yet; resume it: train --resume --out {path}.")
    return found
