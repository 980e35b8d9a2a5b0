"""The results of an evaluation, in words and as files, which no later evaluation overwrites."""

import csv
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from timesformer import atomic
from timesformer.config.checks import ConfigError
from timesformer.config.tasks import FACTS
from timesformer.config.training import Task
from timesformer.data.files import is_run
from timesformer.data.items import counted
from timesformer.inference.scoring import Scores, Scoring
from timesformer.machine import autocast_type
from timesformer.pictures import charts
from timesformer.tasks.classes import Classification
from timesformer.tasks.table import Measures

DIGITS = 6
"""Decimals of the scores in results.json."""
NAME = "results.json"


@dataclass(frozen=True)
class Evaluation:
    """What a checkpoint achieves on the videos of a split."""

    numbers: Measures
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

    def lines(self) -> tuple[str, ...]:
        """The numbers in words, and how many videos could not be read."""
        failed = counted(len(self.scores.failed), "video")
        return (*self.numbers.lines(self.labels), f"{failed} could not be read ({self.failed_share:.1%})")

    def __repr__(self) -> str:
        return f"<Evaluation of {self.split}: {'; '.join(self.lines())}>"


def claimed(folder: Path, *, videos: Path | None = None) -> Path:
    """Make the folder, and check that it is writable, before the evaluation starts.

    Raises ConfigError where it holds the results of another evaluation, lies in the folder of the videos, or can't be
    written to.
    """
    if (folder / NAME).exists():
        raise ConfigError(
            f"{folder} holds the results of an earlier evaluation, which would be overwritten; name another "
            "folder, or move them away first."
        )
    if videos is not None and videos.is_dir() and _among(folder.resolve(), videos.resolve()):
        raise ConfigError(
            f"{folder} lies among the videos of {videos}, where results would be read as data; "
            "name a folder elsewhere (--out)."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"{folder} can't be written to ({reason}); name another folder for the results.") from None
    return folder


def _among(folder: Path, videos: Path) -> bool:
    """Whether a folder lies in that of the videos, where it would be read as data: not in a training's folder."""
    around = [each for each in (folder, *folder.parents) if each.is_relative_to(videos)]
    return bool(around) and not any(map(is_run, around))


def free(folder: Path) -> Path:
    """The folder, or the first of its name with a number that holds no results: evaluation, evaluation-2, ..."""
    found, number = folder, 1
    while os.path.lexists(found / NAME):
        number += 1
        found = folder.with_name(f"{folder.name}-{number}")
    return found


def write(evaluation: Evaluation, folder: Path) -> tuple[str, ...]:
    """Write results.json with the numbers and each video's scores, broken.csv and, for classes, confusion.png.

    Returns their names. Each file appears whole or not at all; one of the same name is replaced. Raises WriteError
    where a file can't be written.
    """
    with atomic.replacing(folder / NAME) as path:
        path.write_bytes(json_bytes(_results(evaluation)))
    # names that aren't UTF-8 are written as the bytes they are
    with (
        atomic.replacing(folder / "broken.csv") as path,
        path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        table = csv.writer(file)
        table.writerow(["path", "reason"])
        table.writerows(evaluation.scores.failed)
    if isinstance(evaluation.numbers, Classification) and charts.confusion(
        evaluation.numbers.confusion.numpy(), evaluation.labels, folder / "confusion.png"
    ):
        return ("results.json", "broken.csv", "confusion.png")
    return ("results.json", "broken.csv")


def json_bytes(values: Any) -> bytes:
    """Values as JSON in UTF-8; the parts of names that aren't UTF-8 become the escapes that Python reads back."""
    return json.dumps(values, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")


def _results(evaluation: Evaluation) -> dict[str, Any]:
    """Everything but the confusion matrix's picture, as JSON values."""
    scores = evaluation.scores
    named = FACTS[evaluation.task].exclusive
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
        "scoring": asdict(evaluation.scoring) | {"precision": _precision(evaluation)},
        "numbers": evaluation.numbers.as_json(evaluation.labels),
        "failed_share": evaluation.failed_share,
        "failed": [{"path": key, "reason": reason} for key, reason in scores.failed],
        "damaged": [{"path": key, "reason": reason} for key, reason in scores.damaged],
        "remarks": [{"path": key, "remark": remark} for key, remark in scores.remarks],
        "notes": scores.notes,
        "labels": evaluation.labels,
        "videos": videos,
    }


def _precision(evaluation: Evaluation) -> str:
    return str(autocast_type(evaluation.scoring.precision) or "as the weights")
