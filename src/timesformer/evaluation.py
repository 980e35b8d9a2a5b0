"""Evaluation: a checkpoint and a table of videos in, the numbers that follow from the scores out, and onto disk."""

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from timesformer import charts, metrics
from timesformer.config import Task
from timesformer.data.items import DataError, some
from timesformer.data.manifest import Manifest
from timesformer.metrics import Classification, Multilabel, Regression
from timesformer.scoring import Scores, Scoring, pick_device, score_videos
from timesformer.weights.checkpoint import Checkpoint, whole

__all__ = ["Evaluation", "Scores", "Scoring", "evaluate", "measure", "score_videos", "write"]

DIGITS = 6
"""Decimals of the scores in results.json."""


@dataclass(frozen=True)
class Evaluation:
    """What a checkpoint achieves on the videos of a split."""

    numbers: Classification | Multilabel | Regression
    scores: Scores
    targets: Tensor
    """What the data set says: class numbers (n,), or floats (n, outputs)."""
    labels: tuple[str, ...]
    """Name of each output."""
    task: Task
    split: str
    scoring: Scoring
    about: str
    """Where the weights come from."""

    @property
    def failed_share(self) -> float:
        """Share of the videos that could not be read; the numbers are those of the others."""
        failed = len(self.scores.failed)
        return failed / (failed + len(self.scores.items))


def measure(scores: Scores, manifest: Manifest) -> Classification | Multilabel | Regression:
    """The numbers that follow from the scores of a table's videos; raises :class:`DataError` where there are none."""
    if not scores.items:
        reasons = some([f"{key} ({reason})" for key, reason in scores.failed])
        raise DataError(f"none of the {len(scores.failed)} videos can be read: {reasons}; check the files.")
    targets = _targets(scores, manifest)
    if manifest.task == "regression":
        return metrics.regression(scores.scores, targets)
    if manifest.task == "multilabel":
        return metrics.multilabel(scores.scores, targets)
    return metrics.classification(scores.scores, targets)


def evaluate(
    checkpoint: Checkpoint,
    manifest: Manifest,
    scoring: Scoring | None = None,
    *,
    split: str = "test",
    device: torch.device | str | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Measure a checkpoint on the videos of a split; "test" is "val" where the table has no test videos.

    Unless told otherwise a video is seen as in the paper: one clip, three crops. The model is moved to ``device``, by
    default a GPU where there is one. The table must have been read with the checkpoint's labels. Raises
    :class:`DataError` where it has others, or where no video can be read.
    """
    _check(checkpoint, manifest)
    scoring = scoring or Scoring()
    items = manifest.of(split)
    model = checkpoint.model.to(pick_device(device))
    scores = score_videos(
        model, items, checkpoint.clip, scoring, task=checkpoint.task, units=checkpoint.units, progress=progress
    )
    return Evaluation(
        numbers=measure(scores, manifest),
        scores=scores,
        targets=_targets(scores, manifest),
        labels=manifest.labels,
        task=manifest.task,
        split=split if split in ("all", *manifest.splits) else "val",
        scoring=scoring,
        about=checkpoint.about,
    )


def write(evaluation: Evaluation, folder: Path) -> tuple[str, ...]:
    """Write results.json with the numbers and each video's scores, broken.csv and, for classes, confusion.png.

    Returns their names. Each file appears whole or not at all.
    """
    with whole(folder / "results.json") as path:
        path.write_text(json.dumps(_results(evaluation), ensure_ascii=False, allow_nan=False), encoding="utf-8")
    with whole(folder / "broken.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "reason"])
        table.writerows(evaluation.scores.failed)
    if isinstance(evaluation.numbers, Classification):
        charts.confusion(evaluation.numbers.confusion.numpy(), evaluation.labels, folder / "confusion.png")
        return ("results.json", "broken.csv", "confusion.png")
    return ("results.json", "broken.csv")


def _targets(scores: Scores, manifest: Manifest) -> Tensor:
    return torch.tensor([manifest.target(item) for item in scores.items])


def _check(checkpoint: Checkpoint, manifest: Manifest) -> None:
    """Raise unless the table's targets are the checkpoint's outputs."""
    if checkpoint.task != manifest.task:
        raise DataError(
            f"{manifest.source} was read for {manifest.task}, but the weights are for {checkpoint.task}; "
            f"read it with task={checkpoint.task!r}."
        )
    if checkpoint.labels and checkpoint.labels != manifest.labels:
        strange = [name for name in manifest.labels if name not in checkpoint.labels]
        what = f"labels that the weights don't know ({some(strange)})" if strange else "other labels, or another order"
        raise DataError(f"{manifest.source} has {what}; read it with labels=checkpoint.labels.")
    if len(manifest.labels) != checkpoint.model.config.classes:
        raise DataError(
            f"{manifest.source} has {len(manifest.labels)} labels for the {checkpoint.model.config.classes} outputs of "
            "the weights; read it with the names of all outputs, in their order (labels=...)."
        )


def _results(evaluation: Evaluation) -> dict[str, Any]:
    """Everything but the confusion matrix's picture, as JSON values."""
    scores = evaluation.scores
    named = evaluation.task == "classes"
    videos = [
        {
            "path": key,
            "target": evaluation.labels[target] if named else target,
            "scores": [round(value, DIGITS) for value in row],
        }
        for key, target, row in zip(scores.keys, evaluation.targets.tolist(), scores.scores.tolist(), strict=True)
    ]
    return {
        "split": evaluation.split,
        "task": evaluation.task,
        "weights": evaluation.about,
        "scoring": asdict(evaluation.scoring) | {"precision": str(evaluation.scoring.precision or "as the weights")},
        "numbers": _numbers(evaluation),
        "failed_share": evaluation.failed_share,
        "failed": [{"path": key, "reason": reason} for key, reason in scores.failed],
        "damaged": [{"path": key, "reason": reason} for key, reason in scores.damaged],
        "labels": evaluation.labels,
        "videos": videos,
    }


def _numbers(evaluation: Evaluation) -> dict[str, Any]:
    """The numbers with labels in place of their numbers."""
    numbers, labels = evaluation.numbers, evaluation.labels
    if isinstance(numbers, Multilabel):
        each = [
            {"label": label, "count": count, "ap": ap}
            for label, count, ap in zip(labels, numbers.counts, numbers.ap, strict=True)
        ]
        return {"videos": numbers.videos, "mean_ap": numbers.mean_ap, "loss": numbers.loss, "classes": each}
    if isinstance(numbers, Regression):
        mae = dict(zip(labels, numbers.mae, strict=True))
        return {"videos": numbers.videos, "mean_mae": numbers.mean_mae, "mae": mae}
    each = [
        asdict(result)
        | {
            "label": labels[result.label],
            "confused_with": None if result.confused_with is None else labels[result.confused_with],
        }
        for result in numbers.classes
    ]
    return {
        "videos": numbers.videos,
        "top1": numbers.top1,
        "top5": numbers.top5,
        "mean_class": numbers.mean_class,
        "loss": numbers.loss,
        "classes": each,
        "confusion": numbers.confusion.tolist(),
    }
