"""What the measures of all tasks share: scores must be numbers, one row for each target."""

from torch import Tensor

from timesformer.weights.report import WeightsError


def check(scores: Tensor, targets: Tensor, *, columns: bool) -> None:
    """Raise where scores (n, outputs) do not fit targets (n,), or (n, outputs) with ``columns``, or are not finite.

    ValueError for shapes that differ, WeightsError for scores that are not finite.
    """
    wanted = tuple(targets.shape) if columns else (len(targets),)
    if not len(scores) or scores.shape[: len(wanted)] != wanted:
        raise ValueError(
            f"scores {tuple(scores.shape)} for targets {wanted}; both need a row for each of 1 or more videos."
        )
    if not bool(scores.isfinite().all()):
        broken = int((~scores.isfinite()).any(dim=1).sum())
        raise WeightsError(
            f"the scores of {broken} of {len(scores)} videos are not finite; the weights are damaged: get or train "
            "them again."
        )


def first_highest(scores: Tensor) -> Tensor:
    """The first of the highest scores of each row; ``argmax`` does not say which one it takes."""
    return (scores == scores.amax(dim=1, keepdim=True)).int().argsort(dim=1, descending=True, stable=True)[:, 0]
