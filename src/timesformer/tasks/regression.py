"""Numbers to predict: mean absolute error, with targets normalised by their mean and standard deviation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from timesformer.config.training import OptimConfig
from timesformer.plain import printable
from timesformer.tasks.scores import check
from timesformer.weights.metadata import TargetStats


@dataclass(frozen=True)
class Regression:
    """The measures of numbers to predict."""

    videos: int
    mean_mae: float
    """Mean of the columns' errors."""
    mae: tuple[float, ...]
    """Mean absolute error of each column, in its own unit."""

    def lines(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The measures in words, a line for each column."""
        pairs = zip(labels, self.mae, strict=True)
        return tuple(f"{printable(name)}: mean absolute error {error:.4g}" for name, error in pairs)

    def as_json(self, labels: Sequence[str]) -> dict[str, Any]:
        """The measures as JSON values, with the names of the columns."""
        return {"videos": self.videos, "mean_mae": self.mean_mae, "mae": dict(zip(labels, self.mae, strict=True))}

    def validation(self, target_stats: TargetStats) -> dict[str, float]:
        """The measures that a training notes after each epoch, by name; the loss is in standard deviations."""
        errors = [error / deviation for error, (_, deviation) in zip(self.mae, target_stats, strict=True)]
        return {"val_loss": sum(errors) / len(errors), "val_mae": self.mean_mae}


def scores(logits: Tensor) -> Tensor:
    """The numbers themselves, (..., columns)."""
    return logits.float()


def losses(logits: Tensor, targets: Tensor, optim: OptimConfig, weights: Tensor | None = None) -> Tensor:
    """Mean absolute error of each clip, (b,)."""
    return (logits.float() - targets).abs().mean(dim=1)


def right(logits: Tensor, targets: Tensor) -> Tensor:
    """Whether all numbers of a clip are within a tenth of their range among these clips, (b,)."""
    width = (targets.amax(dim=0) - targets.amin(dim=0)).clamp(min=1e-6)
    return ((logits - targets).abs() <= width / 10).all(dim=1)


def measure(scores: Tensor, targets: Tensor) -> Regression:
    """Mean absolute errors from predicted and true numbers, (n, columns) both."""
    check(scores, targets, columns=True)
    mae = tuple((scores.double() - targets.double()).abs().mean(dim=0).tolist())
    return Regression(videos=len(scores), mean_mae=sum(mae) / len(mae), mae=mae)


def target_stats(targets: Tensor) -> TargetStats:
    """Mean and standard deviation of each column of targets (n, columns); 1 for a column that is constant.

    Normalised numbers suit one learning rate whatever their unit, and weigh the same in the loss.
    """
    deviation = targets.std(dim=0, correction=0)
    deviation[deviation == 0] = 1
    return tuple(zip(targets.mean(dim=0).tolist(), deviation.tolist(), strict=True))


def normalised(targets: Tensor, target_stats: TargetStats) -> Tensor:
    """Numbers (b, columns) in standard deviations from their mean, float32.

    Centred in float64, in which seconds since 1970 still differ, and on the CPU, as not every device has float64.
    """
    mean, deviation = torch.tensor(target_stats, dtype=torch.float64).T
    return ((targets.cpu().double() - mean) / deviation).float()


def denormalised(scores: Tensor, target_stats: TargetStats) -> Tensor:
    """Normalised numbers (n, columns) in the units of the data; float64, as float32 would round large numbers."""
    mean, deviation = torch.tensor(target_stats, dtype=torch.float64).T
    return scores.double() * deviation + mean


@torch.no_grad()
def rescale_head(head: nn.Linear, old: TargetStats, new: TargetStats) -> None:
    """Rescale a head of targets normalised by ``old``, in place, so that it predicts the same by ``new``.

    A new head, for which there is no ``old``, stays as it is.
    """
    if old and new:
        (old_mean, old_std), (mean, std) = (torch.tensor(each, dtype=torch.float64).T for each in (old, new))
        head.weight.mul_((old_std / std)[:, None])
        head.bias.mul_(old_std / std).add_((old_mean - mean) / std)
