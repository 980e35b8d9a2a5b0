"""WEIGHTS come first, then videos: what is named the other way round is recognised."""

from collections.abc import Sequence
from pathlib import Path

from timesformer.config.checks import ConfigError

WEIGHTS = (".safetensors", ".pyth", ".pth", ".pt", ".ckpt", ".npz", ".bin")
LISTS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet")


def check(command: str, weights: str, others: Sequence[Path]) -> None:
    """Raise ConfigError where ``weights`` are videos and what follows are the weights, with the right order."""
    from timesformer.data.files import is_video_name

    first = Path(weights)
    if _are_weights(first) or not (is_video_name(weights) or first.is_dir() or first.suffix.lower() in LISTS):
        return
    found = next((other for other in others if _are_weights(other)), None)
    if found is not None:
        rest = [weights, *(str(other) for other in others if other is not found)]
        raise ConfigError(
            f"{weights} is no weights file, but {found} is; weights come first: "
            f"timesformer {command} {found} {' '.join(rest)}"
        )
    if is_video_name(weights):
        raise ConfigError(
            f"{weights} is a video, not weights; weights come first: timesformer {command} WEIGHTS {weights}"
        )


def _are_weights(path: Path) -> bool:
    """Whether a path looks like weights: by its ending, as a run's or another folder of them, or by a known name."""
    from timesformer.weights import zoo
    from timesformer.weights.runs import is_run

    if path.is_dir():
        return is_run(path) or any(
            (path / f"{name}{end}").is_file() for name in ("model", "pytorch_model") for end in WEIGHTS
        )
    return path.suffix.lower() in WEIGHTS or zoo.find(str(path)) is not None
