"""One class per video: softmax scores, cross-entropy, accuracy and confusion."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from timesformer.config.training import OptimConfig
from timesformer.data.items import counted
from timesformer.tasks.scores import check, first_highest
from timesformer.weights.metadata import TargetStats


@dataclass(frozen=True)
class ClassResult:
    """How well one class is recognised."""

    label: int
    """Number of the class."""
    count: int
    """Videos of the class."""
    recall: float | None
    """Share of its videos that are recognised; None without videos."""
    precision: float | None
    """Share of the videos predicted as it that belong to it; None where it is never predicted."""
    confused_with: int | None
    """Class that its other videos are predicted as most often; None where there are none."""
    confused: int
    """How many videos that are."""


@dataclass(frozen=True)
class Classification:
    """The measures of one class per video."""

    videos: int
    top1: float
    """Share of the videos whose highest score is that of their class."""
    top5: float
    """Share of the videos whose class is among the five highest scores; 1 with up to five classes."""
    mean_class: float
    """Mean of the recalls of the classes that have videos: rare classes count as much as common ones."""
    loss: float
    """Mean negative logarithm of the class's score."""
    classes: tuple[ClassResult, ...]
    confusion: Tensor
    """Number of videos of each class (row) predicted as each class (column): (c, c), int64."""

    def lines(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The measures in words."""
        accuracy = f"top-1 {self.top1:.1%}, top-5 {self.top5:.1%}, mean class accuracy {self.mean_class:.1%}"
        return (f"{counted(self.videos, 'video')}: {accuracy}",)

    def as_json(self, labels: Sequence[str]) -> dict[str, Any]:
        """The measures as JSON values, with the labels of the classes."""
        each = [
            asdict(result)
            | {
                "label": labels[result.label],
                "confused_with": None if result.confused_with is None else labels[result.confused_with],
            }
            for result in self.classes
        ]
        return {
            "videos": self.videos,
            "top1": self.top1,
            "top5": self.top5,
            "mean_class": self.mean_class,
            "loss": self.loss,
            "classes": each,
            "confusion": self.confusion.tolist(),
        }

    def validation(self, target_stats: TargetStats) -> dict[str, float]:
        """The measures that a training notes after each epoch, by name."""
        return {
            "val_loss": self.loss,
            "val_top1": self.top1,
            "val_top5": self.top5,
            "val_mean_class": self.mean_class,
        }


def scores(logits: Tensor) -> Tensor:
    """Probabilities (..., classes) that sum to 1."""
    return logits.float().softmax(dim=-1)


def losses(logits: Tensor, targets: Tensor, optim: OptimConfig, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy with label smoothing of each clip, (b,); ``weights`` (classes,) weigh a clip by its class."""
    smoothed = targets * (1 - optim.label_smoothing) + optim.label_smoothing / targets.shape[1]
    if weights is not None:
        smoothed = smoothed * (targets @ weights)[:, None]
    return -(smoothed * logits.float().log_softmax(dim=1)).sum(dim=1)


def right(logits: Tensor, targets: Tensor) -> Tensor:
    """Whether the highest logit of each clip is that of its class, (b,)."""
    return logits.argmax(dim=1) == targets.argmax(dim=1)


def measure(scores: Tensor, targets: Tensor) -> Classification:
    """Accuracy and confusion from scores (n, c) and class numbers (n,). Of equal scores, the first class leads."""
    check(scores, targets, columns=False)
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < scores.shape[1]:
        raise ValueError(f"classes {int(targets.min())} to {int(targets.max())} for {scores.shape[1]} scores.")
    count = scores.shape[1]
    own = scores.gather(1, targets[:, None])
    earlier = torch.arange(count) < targets[:, None]
    rank = ((scores > own) | ((scores == own) & earlier)).sum(dim=1)
    confusion = torch.bincount(targets * count + first_highest(scores), minlength=count**2).view(count, count)
    classes = tuple(_class_result(confusion, label) for label in range(count))
    recalls = [result.recall for result in classes if result.recall is not None]
    return Classification(
        videos=len(targets),
        top1=float((rank < 1).double().mean()),
        top5=float((rank < 5).double().mean()),
        mean_class=sum(recalls) / len(recalls),
        loss=float(-own.double().clamp(min=torch.finfo(torch.float32).tiny).log().mean()),
        classes=classes,
        confusion=confusion,
    )


def _class_result(confusion: Tensor, label: int) -> ClassResult:
    row, predicted = confusion[label], int(confusion[:, label].sum())
    count, right = int(row.sum()), int(row[label])
    others = row.clone()
    others[label] = 0
    confused = int(others.max())
    return ClassResult(
        label=label,
        count=count,
        recall=right / count if count else None,
        precision=right / predicted if predicted else None,
        confused_with=int(others.argmax()) if confused else None,
        confused=confused,
    )
