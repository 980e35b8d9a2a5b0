"""Commands take WEIGHTS first and videos after them; arguments in the other order are recognised."""

from collections.abc import Sequence
from pathlib import Path

from timesformer.config.checks import ConfigError

WEIGHTS = (".safetensors", ".pyth", ".pth", ".pt", ".ckpt", ".npz", ".bin")
LISTS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet")


def check(command: str, weights: str, others: Sequence[Path]) -> None:
    """Raise ConfigError with the right order if ``weights`` are videos and the weights come after them."""
    from timesformer.data.files import is_video_name

    first = Path(weights)
    if _are_weights(first) or not (is_video_name(weights) or first.is_dir() or first.suffix.lower() in LISTS):
        return
    found = next((other for other in others if _are_weights(other)), None)
    if found is not None:
        rest = [weights, *(str(other) for other in others if other is not found)]
        raise ConfigError(
            f"{weights} is not a weights file, but {found} is; name the weights first: "
            f"timesformer {command} {found} {' '.join(rest)}"
        )
    if is_video_name(weights):
        raise ConfigError(
            f"{weights} is a video, not weights; name the weights first: timesformer {command} WEIGHTS {weights}"
        )


def _are_weights(path: Path) -> bool:
    """Whether a path names weights: a file with their ending, a run, a folder of weights, or a published name."""
    from timesformer.weights import image_models, zoo
    from timesformer.weights.runs import is_run

    if path.is_dir():
        return is_run(path) or any(
            (path / f"{name}{end}").is_file() for name in ("model", "pytorch_model") for end in WEIGHTS
        )
    named = zoo.find(str(path)) or image_models.find(str(path))
    return path.suffix.lower() in WEIGHTS or named is not None
