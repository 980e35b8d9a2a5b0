"""Tables and charts of a report's results, as values of its page."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from timesformer.config.training import Task
from timesformer.pictures.report.values import Reliability, Scatter, Span, Step, Table
from timesformer.reporting.calibration import FEWEST, Bin, Calibration
from timesformer.reporting.findings import Findings
from timesformer.reporting.intervals import Interval
from timesformer.tasks.classes import Classification
from timesformer.tasks.multilabel import Multilabel
from timesformer.training.run.validated import Validated

MATRIX, LISTED = 20, 20
"""A matrix of up to so many classes is drawn; of more, so many confusions are listed."""
CLASSES = 60
"""Classes that are listed."""
POINTS = 1500
"""Points of a scatter."""


def tables(findings: Findings, labels: Sequence[str], task: Task) -> tuple[Table, ...]:
    """A table of the classes, labels or numbers; and of confusions where there are too many classes for a matrix."""
    numbers = findings.numbers
    if isinstance(numbers, Classification):
        found = [_classes(numbers, findings, labels)]
        return (*found, _confusions(numbers, labels)) if len(labels) > MATRIX else tuple(found)
    if isinstance(numbers, Multilabel):
        rows = [
            (labels[number], str(numbers.counts[number]), _span(interval))
            for number, interval in enumerate(findings.classes)
            if interval is not None
        ]
        head = ("label", "videos", "average precision, with its 95 % interval")
        return (_shortened("Each label", head, sorted(rows, key=_value), len(rows), "labels"),)
    spans = [interval for interval in findings.classes if interval is not None]
    lines = tuple(
        (name, f"{each.value:.4g}", f"{each.low:.4g} to {each.high:.4g}")
        for name, each in zip(labels, spans, strict=True)
    )
    return (Table("Each number", ("number", "mean absolute error", "95 % interval"), lines),)


def confusion(findings: Findings) -> tuple[tuple[int, ...], ...]:
    """The matrix; empty where there are too many classes to draw it."""
    numbers = findings.numbers
    if not isinstance(numbers, Classification) or len(numbers.classes) > MATRIX:
        return ()
    return tuple(tuple(int(count) for count in row) for row in numbers.confusion.tolist())


def scatters(seen: Validated, labels: Sequence[str]) -> tuple[Scatter, ...]:
    """Predicted numbers by true ones, a chart for each of the first outputs."""
    every = -(-len(seen.scores) // POINTS)
    truth, said = seen.targets[::every].astype(np.float64), seen.scores[::every].astype(np.float64)
    return tuple(
        Scatter(name, tuple(zip(truth[:, number].tolist(), said[:, number].tolist(), strict=True)))
        for number, name in enumerate(labels[:6])
    )


def reliabilities(found: Calibration) -> tuple[Reliability, ...]:
    """The chart of the scores as they are, and after temperature scaling where there is one."""
    before = f"calibration error {found.error:.1%}, negative log-likelihood {found.loss:.3f}"
    charts = [Reliability("As trained", _steps(found.bins), (before,))]
    if found.temperature:
        warm = found.temperature
        after = f"calibration error {warm.error:.1%}, negative log-likelihood {warm.loss:.3f}"
        charts.append(Reliability("With a temperature that was fitted on other videos", _steps(warm.bins), (after,)))
    return tuple(charts)


def calibration_text(found: Calibration) -> tuple[str, ...]:
    """What the charts say, in sentences."""
    mean = (
        f"Bars below the dashed line are answers that are surer than they should be. On average the model is "
        f"{found.confidence:.1%} sure and {found.accuracy:.1%} right. The number on a bar counts its answers."
    )
    if found.temperature is None:
        return (mean, f"With fewer than {FEWEST} videos or groups no temperature is fitted: it would say nothing.")
    warm = found.temperature
    better = warm.loss < found.loss
    effect = "improves" if better else "does not improve"
    use = f"one of {warm.value:.2f} suits all videos" if better else "leave the scores as they are"
    return (
        mean,
        f"Dividing the logits by a temperature {effect} the scores of videos that it was not fitted on (negative "
        f"log-likelihood {found.loss:.3f} before, {warm.loss:.3f} after): {use}. It never changes which class leads.",
    )


def calibration_code(weights: Path, findings: Findings) -> str:
    """A program that writes weights with the temperature in them, where it helps."""
    found = findings.calibration
    if found is None or found.temperature is None or found.temperature.loss >= found.loss:
        return ""
    return f"""\
import torch
import timesformer

checkpoint = timesformer.load({str(weights)!r})
with torch.no_grad():  # the logits of every view, divided by the temperature
    checkpoint.model.head.weight /= {found.temperature.value:.4f}
    checkpoint.model.head.bias /= {found.temperature.value:.4f}
timesformer.save(checkpoint, "calibrated.safetensors")"""


def _classes(numbers: Classification, findings: Findings, labels: Sequence[str]) -> Table:
    rows = []
    for each, interval in zip(numbers.classes, findings.classes, strict=True):
        if interval is None:
            continue
        other = "" if each.confused_with is None else f"{labels[each.confused_with]} ({each.confused})"
        precision = "-" if each.precision is None else f"{each.precision:.1%}"
        rows.append((labels[each.label], str(each.count), _span(interval), precision, other))
    head = ("class", "videos", "recall, with its 95 % interval", "precision", "most often taken for")
    ordered = rows if len(rows) <= CLASSES else sorted(rows, key=_value)
    return _shortened("Each class", head, ordered, len(rows), "classes")


def _confusions(numbers: Classification, labels: Sequence[str]) -> Table:
    counts = numbers.confusion.clone()
    counts.fill_diagonal_(0)
    flat = counts.flatten()
    order = flat.argsort(descending=True, stable=True)[:LISTED].tolist()
    rows = tuple(
        (labels[place // len(labels)], labels[place % len(labels)], str(int(flat[place])))
        for place in order
        if flat[place]
    )
    return Table("Most frequent confusions", ("class", "taken for", "videos"), rows)


def _shortened(title: str, head: tuple[str, ...], rows: Sequence[tuple[str | Span, ...]], of: int, what: str) -> Table:
    note = f"The {CLASSES} weakest of {of} {what}." if of > CLASSES else ""
    return Table(title, head, tuple(rows[:CLASSES]), note)


def _value(row: tuple[str | Span, ...]) -> float:
    return next(cell.value for cell in row if isinstance(cell, Span))


def _span(interval: Interval) -> Span:
    text = f"{interval.value:.1%} ({interval.low:.0%} to {interval.high:.0%})"
    return Span(interval.value, interval.low, interval.high, text)


def _steps(bins: Sequence[Bin]) -> tuple[Step, ...]:
    return tuple(Step(each.low, each.high, each.count, each.confidence, each.accuracy) for each in bins)
