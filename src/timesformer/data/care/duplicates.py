"""Which of many clips show the same: all pairs where few are near each other, the likely ones in a crowd.

To compare the motion of two clips takes long, so most pairs are ruled out before, by bounds that never rule out clips
that are alike: by their length and background, then by coarser pictures of their motion. Only clips with more than
:data:`CROWD` others of like length and background, as those of one fixed camera or skeletons on black, are not compared
with all of these, which would take hours, but with the :data:`BESIDE` next to them in each of :data:`TABLES` orders
that keep like motion together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timesformer.data.care.groups import Groups
from timesformer.data.care.signature import (
    BACKGROUND,
    KEPT,
    LENGTH,
    LENGTH_SHARE,
    MOMENTS,
    MOTION,
    NOISE,
    SIDE,
    STILL,
    STILL_BACKGROUND,
    Signature,
    signature,
)

__all__ = ["Signature", "alike", "signature"]
CROWD = 1000
"""Clips of like length and background up to which every one is compared with all of them."""
GATHERED = 64
"""Size of a group from which further pairs within it are not looked for: they add nothing to the group."""
TABLES, BESIDE, BITS = 32, 8, 14
"""Orders of the clips of a crowd, clips that each is compared with in an order, and bits of the codes of an order."""

_ROWS, _COLUMNS, _PAIRS = 512, 4096, 4096
_AXES = 32
_COARSE = (2, 4)
"""Sides of the coarser pictures, in pixels."""
_ROUNDING = 1.01
Floats = NDArray[np.float32]
Pairs = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Looks:
    """What is compared of n clips that are not blank."""

    signatures: Sequence[Signature]
    seconds: NDArray[np.float64]
    files: NDArray[np.int64]
    shows: NDArray[np.bool_]
    """(n, moments)"""
    backgrounds: Floats
    """(n, pixels)"""
    centred: Floats
    """The same less their mean, since differences of brightness don't count."""
    coarse: tuple[Floats, ...]
    """Motion in coarse pictures, (n, moments, pixels) each."""
    energies: Floats
    """Upper bound of the mean square of the motion in the moments that count, (n,)."""


def alike(
    signatures: Sequence[Signature],
    *,
    files: Sequence[str] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    crowd: int = CROWD,
) -> list[tuple[int, int]]:
    """Find the pairs of clips that show the same, as increasing pairs of positions; blank ones have none.

    Clips of one of the ``files`` are not compared with each other. Of more than :data:`GATHERED` clips that are all
    alike, not every pair is given, but enough that each is joined to the others. ``progress`` gets the number of clips
    that are compared, and of all. Clips with more than ``crowd`` others of like length and background are crowded.
    """
    places = np.array([place for place, each in enumerate(signatures) if not each.blank], dtype=np.int64)
    if len(places) < 2:
        return []
    numbers: dict[str, int] = {}
    names = [files[place] if files else str(place) for place in places]
    looks = _looks([signatures[place] for place in places], [numbers.setdefault(n, len(numbers)) for n in names])
    groups = Groups(len(places))
    found: list[Pairs] = []
    crowded = np.zeros(len(places), dtype=np.bool_)
    for pairs, done in _neighbours(looks, crowded, most=crowd):
        found += _compared(looks, pairs, groups)
        progress(done, len(places))
    if crowded.any():
        for pairs in _likely(looks, np.flatnonzero(crowded)):
            found += _compared(looks, pairs, groups)
        progress(len(places), len(places))
    chosen = np.unique(np.concatenate(found), axis=0) if found else np.empty((0, 2), dtype=np.int64)
    return [(int(first), int(second)) for first, second in places[chosen]]


def _looks(signatures: Sequence[Signature], files: Sequence[int]) -> _Looks:
    """Backgrounds and coarse motion of all clips, a portion of the pictures at a time."""
    count = len(signatures)
    shows = np.empty((count, MOMENTS), dtype=np.bool_)
    backgrounds = np.empty((count, SIDE * SIDE), dtype=np.float32)
    coarse = tuple(np.empty((count, MOMENTS, side * side), dtype=np.float32) for side in _COARSE)
    energies = np.empty(count, dtype=np.float32)
    for start in range(0, count, _ROWS):
        part = slice(start, start + _ROWS)
        pictures = np.stack([each.pictures for each in signatures[part]])
        shows[part] = np.stack([each.shows for each in signatures[part]])
        backgrounds[part] = np.median(pictures, axis=1).reshape(len(pictures), -1)
        moving = _moving(pictures, backgrounds[part], shows[part])
        squares = np.sort(np.square(moving).mean(axis=2), axis=1)
        energies[part] = squares[:, -_kept(MOMENTS - 1) :].mean(axis=1)  # the fewest moments have the largest mean
        for side, into in zip(_COARSE, coarse, strict=True):
            blocks = moving.reshape(len(pictures), MOMENTS, side, SIDE // side, side, SIDE // side)
            into[part] = blocks.mean(axis=(3, 5)).reshape(len(pictures), MOMENTS, -1)
    return _Looks(
        signatures,
        np.array([each.seconds for each in signatures]),
        np.array(files),
        shows,
        backgrounds,
        backgrounds - backgrounds.mean(axis=1, keepdims=True),
        coarse,
        energies,
    )


def _neighbours(looks: _Looks, crowded: NDArray[np.bool_], *, most: int) -> Iterator[tuple[Pairs, int]]:
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
    reach = BACKGROUND * SIDE * _ROUNDING
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
            pairs = pairs[_like(looks, order[pairs])]
            counts += np.bincount(pairs[:, 0] - start, minlength=len(rows))
            parts.append(pairs)
        crowded[order[rows]] = counts > most
        pairs = np.concatenate(parts) if parts else np.empty((0, 2), dtype=np.int64)
        once = ~crowded[order[pairs[:, 0]]] & ((pairs[:, 0] < pairs[:, 1]) | crowded[order[pairs[:, 1]]])
        yield order[pairs[once]], int(rows[-1]) + 1


def _like(looks: _Looks, pairs: Pairs) -> NDArray[np.bool_]:
    """Which pairs have like lengths and backgrounds and are of two files."""
    first, second = pairs.T
    seconds = looks.seconds[first], looks.seconds[second]
    result: NDArray[np.bool_] = np.abs(seconds[0] - seconds[1]) <= LENGTH + LENGTH_SHARE * np.maximum(*seconds)
    result &= looks.files[first] != looks.files[second]
    places = np.flatnonzero(result)
    for start in range(0, len(places), _PAIRS):
        part = places[start : start + _PAIRS]
        result[part] = _distances(looks, pairs[part]) <= BACKGROUND
    return result


def _distances(looks: _Looks, pairs: Pairs) -> Floats:
    """How far backgrounds are apart, in grey levels."""
    first, second = pairs.T
    distances: Floats = np.sqrt(np.square(looks.centred[first] - looks.centred[second]).mean(axis=1))
    return distances


def _likely(looks: _Looks, crowd: NDArray[np.int64]) -> Iterator[Pairs]:
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
            yield pairs[_like(looks, pairs)]


def _compared(looks: _Looks, pairs: Pairs, groups: Groups) -> list[Pairs]:
    """The pairs that move alike, increasing; joined in their groups, so that large ones are not compared further."""
    found = []
    for start in range(0, len(pairs), _PAIRS):
        part = np.sort(pairs[start : start + _PAIRS], axis=1)
        part = part[~groups.together(part, above=GATHERED)]
        for motion in looks.coarse:
            part = part[_may_agree(looks, motion, part)]
        for place in range(0, len(part), _ROWS):
            some = part[place : place + _ROWS]
            some = some[~groups.together(some, above=GATHERED)]
            if not len(some):
                continue
            first, second = (_motion(looks, side) for side in some.T)
            some = some[_same(first, second, _distances(looks, some))]
            for one, other in some:
                groups.join(int(one), int(other))
            found.append(some)
    return found


def _kept(moments: int) -> int:
    """How many moments must agree of those that are compared."""
    return int(KEPT * moments)


def _may_agree(looks: _Looks, motion: Floats, pairs: Pairs) -> NDArray[np.bool_]:
    """Which pairs may agree by their coarse motion: it differs by no more than the pictures themselves."""
    first, second = pairs.T
    one, other = motion[first], motion[second]
    limit = MOTION * (np.sqrt((looks.energies[first] + looks.energies[second]) / 2) + NOISE) * _ROUNDING
    result = np.zeros(len(pairs), dtype=np.bool_)
    for shift in (-1, 0, 1):
        ahead, behind = _shifted(shift)
        differences = np.square(one[:, ahead] - other[:, behind]).mean(axis=2)
        count = _kept(differences.shape[1])
        least = np.partition(differences, count - 1, axis=1)[:, :count].mean(axis=1)
        result |= np.sqrt(least) <= limit
    return result


def _shifted(shift: int) -> tuple[slice, slice]:
    """The moments of one clip and those of another that are compared when it comes so many moments later."""
    return slice(max(shift, 0), MOMENTS + min(shift, 0)), slice(max(-shift, 0), MOMENTS - max(shift, 0))


def _motion(looks: _Looks, places: NDArray[np.int64]) -> Floats:
    pictures = np.stack([looks.signatures[place].pictures for place in places])
    return _moving(pictures, looks.backgrounds[places], looks.shows[places])


def _moving(pictures: NDArray[np.uint8], backgrounds: Floats, shows: NDArray[np.bool_]) -> Floats:
    """What differs from the background, (n, moments, pixels); nothing where a picture is of one colour.

    Recordings that have a black start in common would otherwise pass for having moved alike.
    """
    flat = pictures.reshape(*shows.shape, -1).astype(np.float32)
    return (flat - backgrounds[:, None]) * shows[..., None]


def _same(first: Floats, second: Floats, distances: Floats) -> NDArray[np.bool_]:
    """Whether the motion of pairs agrees, the better for a shift by a moment: a copy's frames may come later."""
    result = np.zeros(len(first), dtype=np.bool_)
    for shift in (-1, 0, 1):
        ahead, behind = _shifted(shift)
        one, other = first[:, ahead], second[:, behind]
        differences = np.square(one - other).mean(axis=2)
        energies = (np.square(one).mean(axis=2) + np.square(other).mean(axis=2)) / 2
        best = np.argsort(differences, axis=1)[:, : _kept(differences.shape[1])]
        difference, energy = (
            np.sqrt(np.take_along_axis(each, best, axis=1).mean(axis=1)) for each in (differences, energies)
        )
        limit = np.where(energy < STILL, STILL_BACKGROUND, BACKGROUND)
        result |= (difference <= MOTION * (energy + NOISE)) & (distances <= limit)
    return result
