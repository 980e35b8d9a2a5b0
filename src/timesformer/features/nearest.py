"""Which vectors are alike, by the cosine of the angle between them, and what the nearest ones say of a class."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timesformer.features.kinds import Floats

TEMPERATURE = 0.07
"""Divides the cosines of the votes, as for DINO (Caron et al. 2021, section 4.1) and by Wu et al. (2018)."""
_TOGETHER = 2**24
"""Cosines computed at once."""


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest of some vectors to each of n queries, nearest first."""

    numbers: NDArray[np.int64]
    """(n, k)"""
    cosines: Floats
    """(n, k); minus infinity where there are fewer than k."""


def nearest(
    queries: Floats,
    among: Floats,
    count: int,
    *,
    query_units: Sequence[Hashable] = (),
    units: Sequence[Hashable] = (),
) -> Nearest:
    """The ``count`` nearest of ``among`` (m, d) to each of ``queries`` (n, d).

    With ``units``, a query of the same unit as a vector, such as a person, leaves that vector out.
    """
    count = min(count, len(among))
    own, others = _codes(query_units, units)
    first, second = unit_length(queries), unit_length(among)
    numbers = np.empty((len(first), count), dtype=np.int64)
    cosines = np.empty((len(first), count), dtype=np.float32)
    step = max(_TOGETHER // max(len(second), 1), 1)
    for start in range(0, len(first), step):
        part = slice(start, start + step)
        found = first[part] @ second.T
        if units:
            found[own[part, None] == others] = -np.inf
        order = np.argsort(-found, axis=1, kind="stable")[:, :count]
        numbers[part], cosines[part] = order, np.take_along_axis(found, order, axis=1)
    return Nearest(numbers, cosines)


def vote(found: Nearest, labels: Sequence[str]) -> list[str]:
    """The class with most votes of each query's nearest vectors; a vote weighs exp(cosine / 0.07).

    ``labels`` are those of the vectors. A query that has no vector to ask gets an empty class.
    """
    weights = np.where(np.isfinite(found.cosines), np.exp((found.cosines - 1) / TEMPERATURE), 0.0)
    names, codes = np.unique(np.array(labels), return_inverse=True)
    votes = np.zeros((len(weights), len(names)))
    np.add.at(votes, (np.arange(len(weights))[:, None], codes[found.numbers]), weights)
    return [str(names[row.argmax()]) if row.any() else "" for row in votes]


def unit_length(vectors: Floats) -> Floats:
    """The vectors (n, d) divided by their lengths; a vector of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _codes(query_units: Sequence[Hashable], units: Sequence[Hashable]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A number for each unit, the same for the same unit."""
    numbers: dict[Hashable, int] = {}
    first, second = (
        np.array([numbers.setdefault(unit, len(numbers)) for unit in each], dtype=np.int64)
        for each in (query_units, units)
    )
    return first, second
