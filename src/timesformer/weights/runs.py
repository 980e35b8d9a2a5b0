"""The checkpoints in the folder of a training run, and the videos that they learned from."""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from timesformer.data.files import is_video_name
from timesformer.data.items import Item, counted, some
from timesformer.weights.report import WeightsError

CHECKPOINTS = ("best.safetensors", "final.safetensors")
"""The one to take, and the one to take where it is absent."""


LEARNED = "trained_on.json"
"""File of a run with the keys of its training videos."""


def learned(weights: Path) -> frozenset[str]:
    """Keys of the videos that a run's weights, or those in its folder, were trained on; none where that isn't known."""
    with suppress(OSError, ValueError):
        keys = json.loads(((weights if weights.is_dir() else weights.parent) / LEARNED).read_text("utf-8"))
        if isinstance(keys, list) and all(isinstance(key, str) for key in keys):
            return frozenset(keys)
    return frozenset()


def seen_before(weights: Path, items: Iterable[Item]) -> tuple[str, ...]:
    """A warning where weights are to be measured on videos that they were trained on, as when clips were added."""
    known, items = learned(weights), list(items)
    seen = [item.key for item in items if item.key in known]
    if not seen:
        return ()
    what = f"{len(seen)} of the {counted(len(items), 'video')} to measure on"
    return (f"{what} taught these weights, so the numbers flatter them: {some(seen)}; a split column keeps them apart",)


def is_run(folder: Path) -> bool:
    """Whether the folder is that of a training: it holds a checkpoint of one, or the state of one under way."""
    if not folder.is_dir():
        return False
    under_way = (folder / "config.toml").is_file() and any(
        (folder / name).exists() for name in ("last.pt", "metrics.jsonl")
    )
    return under_way or any((folder / name).is_file() for name in CHECKPOINTS)


def checkpoint_of(path: Path) -> Path:
    """The best checkpoint of a run's folder, or else its last; any other path as it is.

    Raises :class:`WeightsError` for a run without a checkpoint, and for a video.
    """
    if path.is_file() and is_video_name(path.name):
        raise WeightsError(f"{path} is a video, not weights; weights are named first, then the videos to look at.")
    if not is_run(path):
        return path
    found = next((path / name for name in CHECKPOINTS if (path / name).is_file()), None)
    if found is None:
        raise WeightsError(f"{path} is a run without a checkpoint yet; go on with it: train --resume --out {path}.")
    return found
