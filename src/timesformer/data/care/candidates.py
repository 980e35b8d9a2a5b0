"""Which pairs of clips are worth comparing: all of like length and background, or in a crowd the likely ones."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from timesformer.data.care.looks import Looks, Pairs, like
from timesformer.data.care.signature import BACKGROUND, SIDE

ROUNDING = 1.01
"""Limits that only rule pairs out are this much looser, so that rounding never rules out a pair that is alike."""
TABLES, BESIDE, BITS = 32, 8, 14
"""Orders of the clips of a crowd, clips that each is compared with in an order, and bits of the codes of an order."""
_ROWS, _COLUMNS = 512, 4096
"""Clips that are compared at once with so many others."""
_AXES = 32
"""Numbers that a background is described by while pairs are looked for."""


def neighbours(looks: Looks, crowded: NDArray[np.bool_], *, most: int) -> Iterator[tuple[Pairs, int]]:
    """Yield all pairs of like length and background, each once, with the number of clips done; mark crowded clips.

    Pairs of two crowded clips are left out. Clips are in the order of their place along the axis on which backgrounds
    differ most, so that only those within a distance along it are looked at, and by fewer numbers than pixels.
    """
    sample = looks.centred[:: max(len(looks.centred) // 20_000, 1)]
    axes = np.linalg.eigh(sample.T @ sample)[1][:, ::-1][:, :_AXES]
    points = (looks.centred @ axes).astype(np.float32)
    order = np.argsort(points[:, 0], kind="stable")
    points, files = points[order], looks.files[order]
    squares = np.square(points).sum(axis=1)
    reach = BACKGROUND * SIDE * ROUNDING
    for start in range(0, len(order), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(order)))
        low, high = np.searchsorted(points[:, 0], [points[rows[0], 0] - reach, points[rows[-1], 0] + reach])
        counts, parts = np.zeros(len(rows), dtype=np.int64), []
        for first in range(low, high, _COLUMNS):
            active = rows[counts <= most]
            if not len(active):
                break
            columns = slice(first, min(first + _COLUMNS, high))
            products = points[active] @ points[columns].T
            near = squares[active, None] + squares[None, columns] - 2 * products <= reach**2
            near &= files[active, None] != files[None, columns]
            one, other = np.nonzero(near)
            pairs = np.stack([active[one], other + first], axis=1)
            pairs = pairs[like(looks, order[pairs])]
            counts += np.bincount(pairs[:, 0] - start, minlength=len(rows))
            parts.append(pairs)
        crowded[order[rows]] = counts > most
        pairs = np.concatenate(parts) if parts else np.empty((0, 2), dtype=np.int64)
        once = ~crowded[order[pairs[:, 0]]] & ((pairs[:, 0] < pairs[:, 1]) | crowded[order[pairs[:, 1]]])
        yield order[pairs[once]], int(rows[-1]) + 1


def likely(looks: Looks, crowd: NDArray[np.int64]) -> Iterator[Pairs]:
    """Pairs of clips of a crowd that are likely to move alike, or to be still before one background.

    Each order sorts the clips by a code of random signs, which like vectors mostly share, and then along one more
    random direction; neighbours are compared whatever their codes, or copies that differ by noise alone, which has a
    code of its own in each, would not be. Motion is smoothed over time, since a copy's frames may come a moment later.
    """
    moving = looks.coarse[-1][crowd]
    padded = np.pad(moving, ((0, 0), (1, 1), (0, 0)), mode="edge")
    motion = ((padded[:, :-2] + 2 * moving + padded[:, 2:]) / 4).reshape(len(crowd), -1)
    motion = motion - motion.mean(axis=0)
    still = looks.centred[crowd]
    random = np.random.default_rng(0)
    for table in range(TABLES):
        vectors = still - still.mean(axis=0) if table % 8 == 7 else motion
        directions = random.standard_normal((vectors.shape[1], BITS + 1)).astype(np.float32)
        values = vectors @ directions
        codes = (values[:, :BITS] > 0) @ (1 << np.arange(BITS))
        order = np.lexsort((values[:, BITS], codes))
        for step in range(1, min(BESIDE, len(order) - 1) + 1):
            pairs = np.sort(np.stack([crowd[order[:-step]], crowd[order[step:]]], axis=1), axis=1)
            yield pairs[like(looks, pairs)]
