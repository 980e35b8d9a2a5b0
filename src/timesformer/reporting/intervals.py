"""How certain a measure is: intervals by the bootstrap over videos, or over groups where the data has groups.

The videos of a group (a person, a camera) are alike, so a resample draws whole groups (Field and Welsh 2007).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""The measure of each resample: how often each video was drawn, (draws, n) -> (draws,); NaN where it has none."""

DRAWS, LEVEL = 2000, 0.95
AT_ONCE = 2**22
"""Numbers of a table of draws and videos that are held at a time."""


@dataclass(frozen=True)
class Interval:
    """A measure with the range in which it would probably lie for other videos of the same kind."""

    value: float
    low: float
    high: float


def bootstrap(statistic: Statistic, units: Sequence[str], *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """A measure with its 95 % percentile interval (Efron and Tibshirani 1993), resampling units of videos.

    ``units`` says what each video belongs to; a unit is drawn with all its videos. ``seed`` makes it the same again.
    """
    names, member = np.unique(np.asarray(units, dtype=object).astype(str), return_inverse=True)
    generator = np.random.default_rng(seed)
    count, parts = len(names), []
    each = max(1, AT_ONCE // max(len(member), 1))
    for start in range(0, draws, each):
        size = min(each, draws - start)
        drawn = generator.multinomial(count, np.full(count, 1 / count), size=size)
        parts.append(statistic(drawn[:, member].astype(np.float64)))
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    value = float(statistic(np.ones((1, len(member))))[0])
    if not len(values):
        return Interval(value, value, value)
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def share(right: NDArray[np.bool_], units: Sequence[str]) -> Interval:
    """A share of videos with its interval: right is (n,).

    Where all or none are right every resample says the same, although a few videos say little. There the exact
    interval of a binomial share (Clopper and Pearson 1934) is taken, of as many cases as there are units.
    """
    count = len(set(units))
    if right.all() or not right.any():
        return exact(count if right.all() else 0, count)
    return bootstrap(weighted_mean(right.astype(np.float64)), units)


def exact(hits: int, count: int) -> Interval:
    """The exact 95 % interval of a share of independent cases (Clopper and Pearson 1934)."""
    tail = (1 - LEVEL) / 2
    low = 0.0 if hits == 0 else _solve(lambda share: _at_least(hits, count, share) - tail)
    high = 1.0 if hits == count else _solve(lambda share: tail - (1 - _at_least(hits + 1, count, share)))
    return Interval(hits / count, low, high)


def weighted_mean(values: Floats) -> Statistic:
    """The mean of a number of each video, (n,)."""
    return lambda drawn: drawn @ values / drawn.sum(axis=1)


def mean_of_classes(right: NDArray[np.bool_], classes: NDArray[np.int64]) -> Statistic:
    """The mean over classes of the share of right videos; a class that a resample lacks is left out of its mean."""
    present = np.unique(classes)
    one_hot = (classes[:, None] == present).astype(np.float64)

    def statistic(drawn: Floats) -> Floats:
        counts = drawn @ one_hot
        hits = drawn @ (one_hot * right[:, None])
        with np.errstate(invalid="ignore"):
            recalls = np.where(counts > 0, hits / counts, np.nan)
        found: Floats = np.nanmean(recalls, axis=1)
        return found

    return statistic


def mean_precision(scores: Floats, targets: Floats) -> Statistic:
    """The mean over labels of average precision, scores and targets (n, labels); a label without videos is left out."""
    return lambda drawn: _mean_of(
        [_precisions(scores[:, label], targets[:, label], drawn) for label in range(scores.shape[1])]
    )


def _mean_of(columns: list[Floats]) -> Floats:
    table = np.stack(columns)
    known = np.isfinite(table)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(known, table, 0).sum(axis=0) / known.sum(axis=0)
    return mean


def _precisions(scores: Floats, targets: Floats, drawn: Floats) -> Floats:
    """Average precision of one label in each resample; videos of equal score lie on one side of every threshold."""
    order = np.argsort(-scores, kind="stable")
    ranked, hit = scores[order], targets[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    weights = drawn[:, order]
    seen, hits = weights.cumsum(axis=1)[:, last], (weights * hit).cumsum(axis=1)[:, last]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(seen > 0, hits / seen, 0)
        return np.asarray((np.diff(hits, axis=1, prepend=0) * precision).sum(axis=1) / hits[:, -1])


def _at_least(hits: int, count: int, share: float) -> float:
    """The chance of at least so many hits among independent cases."""
    if count > 1000:  # the sum of large binomial numbers overflows; the normal law is close enough here
        from statistics import NormalDist

        deviation = (count * share * (1 - share)) ** 0.5 or 1e-12
        return 1 - NormalDist(count * share, deviation).cdf(hits - 0.5)
    return float(sum(comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(hits, count + 1)))


def _solve(rising: Callable[[float], float]) -> float:
    """Where a rising function of a share is zero."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2
