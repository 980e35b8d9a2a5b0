"""Numbers from scores: pure functions on tensors, each with its definition.

Scores are one row for each video, targets what the data set says: class numbers, ones at the labels that apply, or the
numbers to predict. Whatever can't be measured (a class without videos) is None, never 0.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from timesformer.config.checks import choice
from timesformer.config.training import Task
from timesformer.weights.metadata import TargetStats
from timesformer.weights.report import WeightsError

Fusion = Literal["scores", "logits"]


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
    """Share of the videos taken for it that are of it; None where it is never predicted."""
    confused_with: int | None
    """Class that its other videos are taken for most often; None where there are none."""
    confused: int
    """How many videos that are."""


@dataclass(frozen=True)
class Classification:
    """One class per video."""

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
    """Number of videos of each class (row) taken for each class (column): (c, c), int64."""


@dataclass(frozen=True)
class Multilabel:
    """Any number of labels per video."""

    videos: int
    mean_ap: float | None
    """Mean average precision over the labels that apply to any video."""
    loss: float
    """Mean binary cross-entropy."""
    counts: tuple[int, ...]
    """Videos that each label applies to."""
    ap: tuple[float | None, ...]
    """Average precision of each label."""


@dataclass(frozen=True)
class Regression:
    """Numbers to predict."""

    videos: int
    mean_mae: float
    """Mean of the columns' errors."""
    mae: tuple[float, ...]
    """Mean absolute error of each column, in its own unit."""


def activate(logits: Tensor, task: Task) -> Tensor:
    """Scores (..., classes), float32: softmax for classes, sigmoid for several labels, as they are for numbers."""
    if task == "regression":
        return logits.float()
    return logits.float().softmax(dim=-1) if task == "classes" else logits.float().sigmoid()


def fuse(logits: Tensor, task: Task, fusion: Fusion, target_stats: TargetStats = ()) -> Tensor:
    """Scores of videos from the logits of their views, (n, views, classes) -> (n, classes).

    "scores" averages the views' scores (the paper). "logits" averages the logits and takes the score of that, which
    ranks the classes as the released code's sum of logits does. ``target_stats`` are the mean and standard
    deviation of each number of a regression, whose model predicts normalised numbers.
    """
    choice("fusion", fusion, get_args(Fusion))
    logits_first = fusion == "logits"
    scores = activate(logits.float().mean(dim=1), task) if logits_first else activate(logits, task).mean(dim=1)
    if not target_stats:
        return scores
    mean, std = torch.tensor(target_stats, dtype=torch.float64).T
    return scores.double() * std + mean  # float64: float32 would round large numbers to its own steps


def classification(scores: Tensor, targets: Tensor) -> Classification:
    """Accuracy and confusion from scores (n, c) and class numbers (n,). Of equal scores, the first class leads."""
    _check(scores, (len(targets),))
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < scores.shape[1]:
        raise ValueError(f"classes {int(targets.min())} to {int(targets.max())} for {scores.shape[1]} scores.")
    count = scores.shape[1]
    own = scores.gather(1, targets[:, None])
    earlier = torch.arange(count) < targets[:, None]
    rank = ((scores > own) | ((scores == own) & earlier)).sum(dim=1)
    confusion = torch.bincount(targets * count + _first_highest(scores), minlength=count**2).view(count, count)
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


def multilabel(scores: Tensor, targets: Tensor) -> Multilabel:
    """Average precision from scores (n, c) between 0 and 1, and targets (n, c) of zeros and ones."""
    _check(scores, tuple(targets.shape))
    ap = tuple(average_precision(scores[:, label], targets[:, label]) for label in range(scores.shape[1]))
    known = [value for value in ap if value is not None]
    return Multilabel(
        videos=len(scores),
        mean_ap=sum(known) / len(known) if known else None,
        loss=float(F.binary_cross_entropy(scores, targets.to(scores.dtype))),
        counts=tuple(int(value) for value in targets.sum(dim=0)),
        ap=ap,
    )


def regression(values: Tensor, targets: Tensor) -> Regression:
    """Mean absolute errors from predicted and true numbers, (n, c) both."""
    _check(values, tuple(targets.shape))
    mae = tuple((values.double() - targets.double()).abs().mean(dim=0).tolist())
    return Regression(videos=len(values), mean_mae=sum(mae) / len(mae), mae=mae)


def average_precision(scores: Tensor, targets: Tensor) -> float | None:
    """Area under precision over recall as a step function, of scores (n,) and zeros or ones (n,); None without ones.

    The sum over thresholds of (recall - the recall before) * precision. Videos of equal score lie on the same side of
    every threshold, so their order doesn't matter.
    """
    order = scores.argsort(descending=True)
    ranked, hits = scores[order], targets[order].double().cumsum(dim=0)
    if not len(hits) or hits[-1] == 0:
        return None
    last = torch.cat([ranked[1:] != ranked[:-1], torch.ones(1, dtype=torch.bool)])
    hits = hits[last]
    precision = hits / (last.nonzero().squeeze(1) + 1)
    return float((hits.diff(prepend=hits.new_zeros(1)) * precision).sum() / hits[-1])


def _first_highest(scores: Tensor) -> Tensor:
    """The first of the highest scores of each row; argmax leaves open which one it takes."""
    return (scores == scores.amax(dim=1, keepdim=True)).int().argsort(dim=1, descending=True, stable=True)[:, 0]


def _class_result(confusion: Tensor, label: int) -> ClassResult:
    row, taken = confusion[label], int(confusion[:, label].sum())
    count, right = int(row.sum()), int(row[label])
    others = row.clone()
    others[label] = 0
    confused = int(others.max())
    return ClassResult(
        label=label,
        count=count,
        recall=right / count if count else None,
        precision=right / taken if taken else None,
        confused_with=int(others.argmax()) if confused else None,
        confused=confused,
    )


def _check(scores: Tensor, targets: tuple[int, ...]) -> None:
    if not len(scores) or scores.shape[: len(targets)] != targets:
        raise ValueError(
            f"scores {tuple(scores.shape)} for targets {targets}; both need a row for each of 1 or more videos."
        )
    if not bool(scores.isfinite().all()):
        broken = int((~scores.isfinite()).any(dim=1).sum())
        raise WeightsError(
            f"the scores of {broken} of {len(scores)} videos are not finite; the weights are spoiled, get or train "
            "them again."
        )
