"""Which of many clips show the same: all pairs where few are near each other, the likely ones in a crowd.

Comparing the motion of two clips takes long, so most pairs are ruled out before, by bounds that never rule out clips
that are alike: by their length and background, then by coarse pictures of their motion. A clip may have more than
:data:`CROWD` others of like length and background, such as recordings of one fixed camera or skeletons on black.
Comparing it with all of them would take hours, so it is compared with its neighbours in several orders that keep like
motion together (:mod:`timesformer.data.care.candidates`).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from timesformer.data.care.candidates import ROUNDING, likely, neighbours
from timesformer.data.care.groups import Groups
from timesformer.data.care.looks import Floats, Looks, Pairs, distances, kept, looks_of, moving_of
from timesformer.data.care.signature import (
    BACKGROUND,
    MOMENTS,
    MOTION,
    NOISE,
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
_ROWS, _PAIRS = 512, 4096
"""Pairs whose motion is compared at once, whole and in coarse pictures."""


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
    looks = looks_of([signatures[place] for place in places], [numbers.setdefault(n, len(numbers)) for n in names])
    groups = Groups(len(places))
    found: list[Pairs] = []
    crowded = np.zeros(len(places), dtype=np.bool_)
    for pairs, done in neighbours(looks, crowded, most=crowd):
        found += _compared(looks, pairs, groups)
        progress(done, len(places))
    if crowded.any():
        for pairs in likely(looks, np.flatnonzero(crowded)):
            found += _compared(looks, pairs, groups)
        progress(len(places), len(places))
    chosen = np.unique(np.concatenate(found), axis=0) if found else np.empty((0, 2), dtype=np.int64)
    return [(int(first), int(second)) for first, second in places[chosen]]


def _compared(looks: Looks, pairs: Pairs, groups: Groups) -> list[Pairs]:
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
            some = some[_same(first, second, distances(looks, some))]
            for one, other in some:
                groups.join(int(one), int(other))
            found.append(some)
    return found


def _may_agree(looks: Looks, motion: Floats, pairs: Pairs) -> NDArray[np.bool_]:
    """Which pairs may agree by their coarse motion: it differs by no more than the pictures themselves."""
    first, second = pairs.T
    one, other = motion[first], motion[second]
    limit = MOTION * (np.sqrt((looks.energies[first] + looks.energies[second]) / 2) + NOISE) * ROUNDING
    result = np.zeros(len(pairs), dtype=np.bool_)
    for shift in (-1, 0, 1):
        ahead, behind = _shifted(shift)
        differences = np.square(one[:, ahead] - other[:, behind]).mean(axis=2)
        count = kept(differences.shape[1])
        least = np.partition(differences, count - 1, axis=1)[:, :count].mean(axis=1)
        result |= np.sqrt(least) <= limit
    return result


def _shifted(shift: int) -> tuple[slice, slice]:
    """The moments of one clip and those of another that are compared when it comes so many moments later."""
    return slice(max(shift, 0), MOMENTS + min(shift, 0)), slice(max(-shift, 0), MOMENTS - max(shift, 0))


def _motion(looks: Looks, places: NDArray[np.int64]) -> Floats:
    pictures = np.stack([looks.signatures[place].pictures for place in places])
    return moving_of(pictures, looks.backgrounds[places], looks.shows[places])


def _same(first: Floats, second: Floats, distances: Floats) -> NDArray[np.bool_]:
    """Whether the motion of pairs agrees, the better for a shift by a moment: a copy's frames may come later."""
    result = np.zeros(len(first), dtype=np.bool_)
    for shift in (-1, 0, 1):
        ahead, behind = _shifted(shift)
        one, other = first[:, ahead], second[:, behind]
        differences = np.square(one - other).mean(axis=2)
        energies = (np.square(one).mean(axis=2) + np.square(other).mean(axis=2)) / 2
        best = np.argsort(differences, axis=1)[:, : kept(differences.shape[1])]
        difference, energy = (
            np.sqrt(np.take_along_axis(each, best, axis=1).mean(axis=1)) for each in (differences, energies)
        )
        limit = np.where(energy < STILL, STILL_BACKGROUND, BACKGROUND)
        result |= (difference <= MOTION * (energy + NOISE)) & (distances <= limit)
    return result
