"""The checkpoints in the folder of a training run."""

from pathlib import Path

from timesformer.data.files import is_video_name
from timesformer.weights.report import WeightsError

CHECKPOINTS = ("best.safetensors", "final.safetensors")
"""The one to take, and the one to take where it is absent."""


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
