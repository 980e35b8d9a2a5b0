"""From the scores of windows to segments: stretches of a video with one label each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from timesformer.tasks.scores import first_highest

LEAD = 0.1
"""By how much another class must be ahead, in one window at least, before the label changes."""
PRESENT, STILL = 0.5, 0.4
"""A label of several begins where its score reaches the first, and lasts for as long as it stays above the second."""


@dataclass(frozen=True)
class Segment:
    """A stretch of a video with one label."""

    start: float
    """Seconds from the start of the video."""
    end: float
    label: str
    score: float
    """Mean score of the label in the windows of the segment."""


def cells(spans: Tensor, duration: float) -> Tensor:
    """The part of the video that each window stands for: start and end in seconds, ``(n, 2)`` both.

    Each moment belongs to the window whose middle is nearest, so the parts cover the video without overlap.
    """
    middles = spans.mean(dim=1)
    borders = (middles[1:] + middles[:-1]) / 2
    whole = torch.cat([borders.new_zeros(1), borders, borders.new_tensor([duration])])
    return torch.stack([whole[:-1], whole[1:]], dim=1)


def of_classes(scores: Tensor, parts: Tensor, labels: Sequence[str]) -> tuple[Segment, ...]:
    """Segments from the scores ``(n, classes)`` of exclusive classes in ``parts`` ``(n, 2)`` of the video, in order.

    Every part has a label. It changes to the class with the highest score only if that one is ahead of it by
    :data:`LEAD` at least once while it leads without interruption; the segment then begins where that lead began. So
    two classes that are almost equal don't alternate.
    """
    best = first_highest(scores).tolist()
    given: list[int] = []
    current, since = best[0], 0
    for place, leader in enumerate(best):
        if place and leader != best[place - 1]:
            since = place
        if leader != current and float(scores[place, leader] - scores[place, current]) >= LEAD:
            given[since:] = [leader] * (place - since)
            current = leader
        given.append(current)
    return tuple(_joined(given, scores, parts, labels))


def of_labels(scores: Tensor, parts: Tensor, labels: Sequence[str]) -> tuple[Segment, ...]:
    """Segments from the scores ``(n, labels)`` of labels that may apply together, in the order of their starts.

    A segment is a stretch of scores of at least :data:`STILL` that reach :data:`PRESENT` somewhere.
    """
    found = []
    for number, label in enumerate(labels):
        above = (scores[:, number] >= STILL).tolist()
        for first, end in _runs(above):
            own = scores[first:end, number]
            if above[first] and float(own.max()) >= PRESENT:
                found.append(Segment(float(parts[first, 0]), float(parts[end - 1, 1]), label, float(own.mean())))
    return tuple(sorted(found, key=lambda segment: (segment.start, segment.end)))


def _joined(given: Sequence[int], scores: Tensor, parts: Tensor, labels: Sequence[str]) -> Iterator[Segment]:
    for first, end in _runs(given):
        label = given[first]
        score = float(scores[first:end, label].mean())
        yield Segment(float(parts[first, 0]), float(parts[end - 1, 1]), labels[label], score)


def _runs(values: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First place of every run of equal values, and the place after its last."""
    first = 0
    for place in range(1, len(values) + 1):
        if place == len(values) or values[place] != values[first]:
            yield first, place
            first = place
