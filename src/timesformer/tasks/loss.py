"""What a training minimises, one number for each clip."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from timesformer.config.training import OptimConfig, Task
from timesformer.data.manifest import Manifest
from timesformer.weights.metadata import TargetStats


def dense_targets(targets: Tensor, classes: int, target_stats: TargetStats = ()) -> Tensor:
    """Targets as floats (b, outputs): class numbers become one-hot rows, a regression's numbers standard deviations.

    Numbers are centred in float64, in which seconds since 1970 still differ, and on the CPU, as not every device has
    it; the others stay on their device.
    """
    if target_stats:
        mean, deviation = torch.tensor(target_stats, dtype=torch.float64).T
        return ((targets.cpu().double() - mean) / deviation).float()
    return F.one_hot(targets, classes).float() if targets.ndim == 1 else targets.float()


def target_stats(manifest: Manifest) -> TargetStats:
    """Mean and standard deviation of each number of a regression over its training videos; none for other tasks.

    Normalised numbers suit one learning rate whatever their unit, and weigh the same in the loss.
    """
    if manifest.task != "regression":
        return ()
    targets = torch.tensor([manifest.target(item) for item in manifest.of("train")], dtype=torch.float64)
    std = targets.std(dim=0, correction=0)
    std[std == 0] = 1
    return tuple(zip(targets.mean(dim=0).tolist(), std.tolist(), strict=True))


@torch.no_grad()
def rescale_head(head: nn.Linear, old: TargetStats, new: TargetStats) -> None:
    """Rescale a head of targets normalised by ``old``, so that it predicts the same by ``new``; a new head stays."""
    if old and new:
        (old_mean, old_std), (mean, std) = (torch.tensor(each, dtype=torch.float64).T for each in (old, new))
        head.weight.mul_((old_std / std)[:, None])
        head.bias.mul_(old_std / std).add_((old_mean - mean) / std)


def class_weights(counts: tuple[int, ...]) -> Tensor:
    """Weight of each class: the inverse of its share, 1 on average over the clips; 0 for a class without clips."""
    number = torch.tensor(counts, dtype=torch.float32)
    present = (number > 0).sum()
    return torch.where(number > 0, number.sum() / (present * number.clamp(min=1)), 0.0)


def losses(logits: Tensor, targets: Tensor, task: Task, optim: OptimConfig, weights: Tensor | None = None) -> Tensor:
    """Loss of each clip (b,), from logits and float targets (b, outputs).

    Cross-entropy with label smoothing for one class per video, mean binary cross-entropy for any number of labels,
    mean absolute error for numbers. ``weights`` (outputs,) weighs a clip by its class.
    """
    logits = logits.float()
    if task == "regression":
        return (logits - targets).abs().mean(dim=1)
    if task == "multilabel":
        each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return (each if weights is None else each * weights).mean(dim=1)
    smoothed = targets * (1 - optim.label_smoothing) + optim.label_smoothing / targets.shape[1]
    if weights is not None:
        smoothed = smoothed * (targets @ weights)[:, None]
    return -(smoothed * logits.log_softmax(dim=1)).sum(dim=1)
