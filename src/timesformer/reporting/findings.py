"""What the scores of a split say: measures with intervals, each class, calibration, and the videos worth a look."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from timesformer.config.tasks import FACTS
from timesformer.config.training import Task
from timesformer.reporting import intervals
from timesformer.reporting.calibration import Calibration, calibration
from timesformer.reporting.intervals import Floats, Interval
from timesformer.tasks.table import TABLE, Measures
from timesformer.training.run.validated import Validated
from timesformer.weights.metadata import TargetStats

SHOWN = 4
"""Videos of each kind that are shown."""


@dataclass(frozen=True)
class Measured:
    """A measure of a split with its interval."""

    name: str
    interval: Interval
    share: bool
    """Whether it is a share of 1, which reads as a percentage."""


@dataclass(frozen=True)
class Findings:
    """Everything that the scores of a split say."""

    numbers: Measures
    measured: tuple[Measured, ...]
    """The measure that matters most first."""
    units: int
    """Groups or videos that the intervals resample."""
    floor: float | None
    """What the best constant answer reaches of the first measure; None where it can't be said."""
    classes: tuple[Interval | None, ...]
    """Of each output: recall, average precision or mean absolute error; None without videos."""
    calibration: Calibration | None
    """None for a regression."""
    surely_wrong: tuple[int, ...]
    """Rows of the videos with the most confident wrong answers, the surest first."""
    worst: tuple[int, ...]
    """Rows of other videos with the largest errors."""
    best: tuple[int, ...]
    """Rows of videos with the smallest errors, of different classes."""


def found(
    seen: Validated,
    *,
    task: Task,
    target_stats: TargetStats = (),
    learned: Sequence[int] = (),
    balanced: bool = False,
) -> Findings:
    """Everything that the scores of a split say; ``learned`` are training videos of each class, where they are known.

    ``target_stats`` are the mean and standard deviation of each number of a regression. ``balanced`` puts the mean over
    classes first, where the training weighed them equally.
    """
    scores, targets, units = seen.scores.astype(np.float64), seen.targets, seen.units
    numbers = TABLE[task].measure(torch.from_numpy(seen.scores), torch.from_numpy(np.ascontiguousarray(targets)))
    numeric, several = FACTS[task].numeric, FACTS[task].several
    if numeric:
        measured, classes = _numbers(scores, targets.astype(np.float64), units)
        means = np.array([mean for mean, _ in target_stats])
        floor = float(np.abs(targets.astype(np.float64) - means).mean()) if len(means) else None
    elif several:
        measured, classes = _labels(scores, targets.astype(np.float64), units)
        rates = targets.astype(np.float64).mean(axis=0)
        floor = float(rates[rates > 0].mean()) if (rates > 0).any() else None
    else:
        measured, classes = _classes(scores, targets.astype(np.int64), units)
        floor = float((targets == int(np.argmax(learned))).mean()) if learned else None
        if balanced:
            measured, floor = measured[::-1], 1 / len(np.unique(targets))
    errors, sure = _errors(scores, targets, task, target_stats)
    surely = _first(np.where(sure > 0, -sure, np.inf), SHOWN)
    return Findings(
        numbers=numbers,
        measured=measured,
        units=len(set(units)),
        floor=floor,
        classes=classes,
        calibration=None if numeric else calibration(scores, targets, units, task=task),
        surely_wrong=surely,
        worst=_worst(errors, sure, surely, exclusive=FACTS[task].exclusive),
        best=_best(errors, targets, exclusive=FACTS[task].exclusive),
    )


def _classes(
    scores: Floats, classes: NDArray[np.int64], units: Sequence[str]
) -> tuple[tuple[Measured, ...], tuple[Interval | None, ...]]:
    right = scores.argmax(axis=1) == classes
    unit = np.array(units, dtype=object)
    recalls = [
        intervals.share(right[classes == label], list(unit[classes == label])) if (classes == label).any() else None
        for label in range(scores.shape[1])
    ]
    top1 = intervals.share(right, units)
    mean = top1 if right.all() else intervals.bootstrap(intervals.mean_of_classes(right, classes), units)
    return (Measured("top-1 accuracy", top1, True), Measured("mean class accuracy", mean, True)), tuple(recalls)


def _labels(
    scores: Floats, targets: Floats, units: Sequence[str]
) -> tuple[tuple[Measured, ...], tuple[Interval | None, ...]]:
    mean = intervals.bootstrap(intervals.mean_precision(scores, targets), units)
    each = [
        intervals.bootstrap(intervals.mean_precision(scores[:, [label]], targets[:, [label]]), units)
        if targets[:, label].any()
        else None
        for label in range(scores.shape[1])
    ]
    right = ((scores > 0.5) == (targets > 0.5)).all(axis=1)
    exact = Measured("all labels of a video right", intervals.share(right, units), True)
    return (Measured("mean average precision", mean, True), exact), tuple(each)


def _numbers(
    scores: Floats, targets: Floats, units: Sequence[str]
) -> tuple[tuple[Measured, ...], tuple[Interval | None, ...]]:
    errors = np.abs(scores - targets)
    mean = intervals.bootstrap(intervals.weighted_mean(errors.mean(axis=1)), units)
    each = tuple(intervals.bootstrap(intervals.weighted_mean(errors[:, n]), units) for n in range(errors.shape[1]))
    return (Measured("mean absolute error", mean, False),), each


def _errors(scores: Floats, targets: NDArray[np.generic], task: Task, stats: TargetStats) -> tuple[Floats, Floats]:
    """How wrong each answer is, (n,), and how sure of a wrong answer, 0 where it is right."""
    if FACTS[task].numeric:
        deviations = np.array([deviation for _, deviation in stats] or [1.0])
        errors: Floats = (np.abs(scores - targets.astype(np.float64)) / deviations).mean(axis=1)
        return errors, np.zeros(len(scores))
    if FACTS[task].several:
        apart: Floats = np.abs(scores - targets.astype(np.float64))
        most = apart.max(axis=1)
        return apart.mean(axis=1), np.where(most > 0.5, most, 0)
    classes = targets.astype(np.int64)
    own = scores[np.arange(len(scores)), classes]
    return 1 - own, np.where(scores.argmax(axis=1) != classes, scores.max(axis=1), 0)


def _worst(errors: Floats, sure: Floats, surely: Sequence[int], *, exclusive: bool) -> tuple[int, ...]:
    """The largest errors of others than those that are shown already; of classes only wrong answers."""
    others = np.ones(len(errors), dtype=bool)
    others[list(surely)] = False
    if exclusive:
        others &= sure > 0
    return _first(np.where(others, -errors, np.inf), SHOWN)


def _best(errors: Floats, targets: NDArray[np.generic], *, exclusive: bool) -> tuple[int, ...]:
    """The smallest errors; of classes one of each, and only right answers."""
    order = [int(row) for row in np.argsort(errors, kind="stable")]
    if not exclusive:
        return tuple(order[:SHOWN])
    first: dict[int, int] = {}
    for row in order:
        if errors[row] < 0.5:
            first.setdefault(int(targets[row]), row)
    return tuple(list(first.values())[:SHOWN])


def _first(values: Floats, count: int) -> tuple[int, ...]:
    """Places of the smallest values, those that are infinite left out."""
    order = np.argsort(values, kind="stable")[:count]
    return tuple(int(place) for place in order if np.isfinite(values[place]))
