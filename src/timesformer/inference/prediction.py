"""The prediction of one video, or why there is none, and both as a line of JSON."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timesformer.config.tasks import FACTS
from timesformer.config.training import Task


@dataclass(frozen=True)
class Prediction:
    """Scores of one video."""

    path: Path | None
    """The video's file, or None for frames from memory."""
    labels: tuple[str, ...]
    """Name of each score."""
    scores: tuple[float, ...]
    """Probabilities of the classes, or of each label on its own; for regression the predicted numbers."""
    task: Task = "classes"
    notes: tuple[str, ...] = ()
    """Problems of the file that did not prevent a prediction, and what was chosen of it."""

    def top(self, k: int = 5) -> tuple[tuple[str, float], ...]:
        """The ``k`` highest scores with their labels, or all if there are fewer, highest first."""
        order = sorted(range(len(self.scores)), key=lambda index: -self.scores[index])
        return tuple((self.labels[index], self.scores[index]) for index in order[:k])


@dataclass(frozen=True)
class Failure:
    """A video without a prediction."""

    path: Path
    reason: str


def to_json(result: Prediction | Failure, *, top: int | None = None) -> str:
    """One line of JSON: the path with the ``top`` scores by label, all by default, highest first.

    Parts of names that aren't UTF-8 become the escapes that Python's json reads back. The numbers of a regression stay
    in their order, and all are given. A failure has ``error`` in place of ``scores``.
    """
    if isinstance(result, Failure):
        return _json({"path": str(result.path), "error": result.reason})
    pairs = tuple(zip(result.labels, result.scores, strict=True))
    if not FACTS[result.task].numeric:
        pairs = result.top(len(pairs) if top is None else top)
    line = {
        "path": None if result.path is None else str(result.path),
        "scores": [{"label": label, "score": score} for label, score in pairs],
        "notes": result.notes,
    }
    return _json(line)


def _json(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace").decode()
