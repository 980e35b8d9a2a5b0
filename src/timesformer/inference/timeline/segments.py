"""From the scores of windows to segments: stretches of a video with one label each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from timesformer.tasks.scores import first_highest

LEAD = 0.1
"""By how much another class must be ahead, in one moment at least, before the label changes."""
PRESENT, STILL = 0.5, 0.4
"""A label of several begins where its score reaches the first, and lasts for as long as it stays above the second."""

SHORTEST = 0.001
"""Seconds of the shortest moment."""


@dataclass(frozen=True)
class Segment:
    """A stretch of a video with one label."""

    start: float
    """Seconds from the start of the video."""
    end: float
    label: str
    score: float
    """Mean score of the label over the segment."""


@dataclass(frozen=True, eq=False)
class Moments:
    """A video cut wherever a window starts or ends: parts that do not overlap and cover it."""

    parts: Tensor
    """Start and end of each in seconds, float64 ``(m, 2)``."""
    scores: Tensor
    """Mean of the scores of the windows that show it, ``(m, outputs)``."""


def moments(spans: Tensor, scores: Tensor, duration: float) -> Moments:
    """The moments of a video and their scores, from windows in order: spans ``(n, 2)`` and scores ``(n, outputs)``.

    What no window shows has the scores of the window whose middle is nearest.
    """
    starts, ends, middles = spans[:, 0].contiguous(), spans[:, 1].contiguous(), spans.mean(dim=1)
    gaps = (ends[:-1] + starts[1:])[starts[1:] > ends[:-1]] / 2
    borders = [0.0]
    for border in [*torch.cat([starts, ends, gaps]).sort()[0].tolist(), duration]:
        if border - borders[-1] > SHORTEST:
            borders.append(min(border, duration))
    borders[-1] = duration
    parts = torch.tensor(list(pairwise(borders)), dtype=torch.float64).reshape(-1, 2)
    at = parts.mean(dim=1)
    first, end = torch.searchsorted(ends, at), torch.searchsorted(starts, at, right=True)
    means = []
    for place, low, high in zip(at.tolist(), first.tolist(), end.tolist(), strict=True):
        shown = scores[low:high] if high > low else scores[(middles - place).abs().argmin()][None]
        means.append(shown.mean(dim=0))
    return Moments(parts, torch.stack(means))


def of_classes(found: Moments, labels: Sequence[str]) -> tuple[Segment, ...]:
    """Segments of exclusive classes, in order; each moment has a label.

    The label changes to the class with the highest score only if that one is ahead by :data:`LEAD` at least once while
    it leads without interruption; the segment then begins where that lead began. So two classes that are almost equal
    don't alternate.
    """
    scores = found.scores
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
    return tuple(_segment(found, first, end, given[first], labels) for first, end in _runs(given))


def of_labels(found: Moments, labels: Sequence[str]) -> tuple[Segment, ...]:
    """Segments of labels that may apply together, in the order of their starts.

    A segment is a stretch of scores of at least :data:`STILL` that reach :data:`PRESENT` somewhere.
    """
    segments = []
    for number in range(len(labels)):
        above = (found.scores[:, number] >= STILL).tolist()
        for first, end in _runs(above):
            if above[first] and float(found.scores[first:end, number].max()) >= PRESENT:
                segments.append(_segment(found, first, end, number, labels))
    return tuple(sorted(segments, key=lambda segment: (segment.start, segment.end)))


def _segment(found: Moments, first: int, end: int, label: int, labels: Sequence[str]) -> Segment:
    parts = found.parts[first:end]
    seconds = parts.diff(dim=1)[:, 0]
    score = (found.scores[first:end, label] * seconds).sum() / seconds.sum()
    return Segment(float(parts[0, 0]), float(parts[-1, 1]), labels[label], float(score))


def _runs(values: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First place of every run of equal values, and the place after its last."""
    first = 0
    for place in range(1, len(values) + 1):
        if place == len(values) or values[place] != values[first]:
            yield first, place
            first = place
