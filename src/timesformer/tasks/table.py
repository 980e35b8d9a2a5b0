"""The table of tasks: one row says everything that a training, an evaluation and a prediction need to know of a task.

A further task is a file beside this one, a row here, and a row of facts in :mod:`timesformer.config.tasks`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from timesformer.config.checks import choice
from timesformer.config.tasks import FACTS
from timesformer.config.training import OptimConfig, Task
from timesformer.data.batches.targets import target
from timesformer.data.items import Item
from timesformer.data.manifest import Manifest
from timesformer.tasks import classes, multilabel, regression
from timesformer.tasks.classes import Classification
from timesformer.tasks.multilabel import Multilabel
from timesformer.tasks.regression import Regression
from timesformer.weights.metadata import TargetStats

Fusion = Literal["scores", "logits"]
Measures = Classification | Multilabel | Regression


class Losses(Protocol):
    """The loss of each clip, (b,), from logits and float targets, (b, outputs) both; weights are (outputs,)."""

    def __call__(
        self, logits: Tensor, targets: Tensor, optim: OptimConfig, weights: Tensor | None = None
    ) -> Tensor: ...


@dataclass(frozen=True)
class TaskRow:
    """What a task computes."""

    scores: Callable[[Tensor], Tensor]
    """Scores of logits, (..., outputs) both, float32."""
    losses: Losses
    measure: Callable[[Tensor, Tensor], Measures]
    """The measures of scores (n, outputs) against targets, which are (n,) class numbers or (n, outputs)."""
    right: Callable[[Tensor, Tensor], Tensor]
    """Whether each clip is answered correctly, (b,), from logits and float targets (b, outputs)."""
    best: str
    """Name of the validation measure by which the best epoch is chosen."""
    best_weighted: str
    """The same where the loss weighs the classes alike."""
    higher_is_better: bool
    shown: Mapping[str, str]
    """The validation measures to show beside the losses, and what each is called."""


TABLE: Mapping[Task, TaskRow] = {
    "classes": TaskRow(
        scores=classes.scores,
        losses=classes.losses,
        measure=classes.measure,
        right=classes.right,
        best="val_top1",
        best_weighted="val_mean_class",
        higher_is_better=True,
        shown={"val_top1": "top-1", "val_mean_class": "mean class"},
    ),
    "multilabel": TaskRow(
        scores=multilabel.scores,
        losses=multilabel.losses,
        measure=multilabel.measure,
        right=multilabel.right,
        best="val_map",
        best_weighted="val_map",
        higher_is_better=True,
        shown={"val_map": "mAP"},
    ),
    "regression": TaskRow(
        scores=regression.scores,
        losses=regression.losses,
        measure=regression.measure,
        right=regression.right,
        best="val_loss",
        best_weighted="val_loss",
        higher_is_better=False,
        shown={"val_mae": "MAE"},
    ),
}
"""What each task computes."""
SHOWN = {name: text for row in TABLE.values() for name, text in row.shown.items()}
"""What the validation measures of all tasks are called."""


def best_measure(task: Task, optim: OptimConfig) -> str:
    """Name of the validation measure by which the best epoch is chosen."""
    return TABLE[task].best_weighted if optim.class_weights else TABLE[task].best


def fuse(logits: Tensor, task: Task, fusion: Fusion, target_stats: TargetStats = ()) -> Tensor:
    """Scores of videos from the logits of their views, (n, views, outputs) -> (n, outputs).

    "scores" averages the views' scores (the paper). "logits" averages the logits and takes the score of that, which
    ranks the classes as the released code's sum of logits does. ``target_stats`` are the mean and standard
    deviation of each number of a regression, whose model predicts normalised numbers.
    """
    choice("fusion", fusion, get_args(Fusion))
    to_scores = TABLE[task].scores
    fused = to_scores(logits.float().mean(dim=1)) if fusion == "logits" else to_scores(logits).mean(dim=1)
    return regression.denormalised(fused, target_stats) if target_stats else fused


def targets(manifest: Manifest, items: Sequence[Item]) -> Tensor:
    """What a model is to answer for items: class numbers (n,), or numbers (n, outputs), float64 for a regression."""
    return torch.stack([target(manifest, item) for item in items])


def dense(targets: Tensor, outputs: int, target_stats: TargetStats = ()) -> Tensor:
    """Targets as floats (b, outputs) for the loss: class numbers become one-hot rows, numbers are normalised."""
    if target_stats:
        return regression.normalised(targets, target_stats)
    return F.one_hot(targets, outputs).float() if targets.ndim == 1 else targets.float()


def target_stats(manifest: Manifest) -> TargetStats:
    """Mean and standard deviation of each number to predict, over the training videos; empty for other tasks."""
    if not FACTS[manifest.task].numeric:
        return ()
    return regression.target_stats(targets(manifest, manifest.of("train")))


def class_weights(counts: Sequence[float]) -> Tensor:
    """Loss weight of each class: the inverse of its share, 1 on average over the clips; 0 for a class without clips."""
    number = torch.tensor(counts, dtype=torch.float32)
    present = (number > 0).sum()
    return torch.where(number > 0, number.sum() / (present * number.clamp(min=1)), 0.0)
