"""What is compared of many clips: their lengths, backgrounds, and motion in coarse pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timesformer.data.care.signature import BACKGROUND, KEPT, LENGTH, LENGTH_SHARE, MOMENTS, SIDE, Signature

Floats = NDArray[np.float32]
Pairs = NDArray[np.int64]
"""Positions of two clips each, (n, 2)."""
_ROWS, _PAIRS = 512, 4096
"""Clips and pairs that are computed at once."""
_COARSE = (2, 4)
"""Sides of the coarse pictures, in pixels."""


@dataclass(frozen=True, eq=False)
class Looks:
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


def looks_of(signatures: Sequence[Signature], files: Sequence[int]) -> Looks:
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
        moving = moving_of(pictures, backgrounds[part], shows[part])
        squares = np.sort(np.square(moving).mean(axis=2), axis=1)
        energies[part] = squares[:, -kept(MOMENTS - 1) :].mean(axis=1)  # the fewest moments have the largest mean
        for side, into in zip(_COARSE, coarse, strict=True):
            blocks = moving.reshape(len(pictures), MOMENTS, side, SIDE // side, side, SIDE // side)
            into[part] = blocks.mean(axis=(3, 5)).reshape(len(pictures), MOMENTS, -1)
    return Looks(
        signatures,
        np.array([each.seconds for each in signatures]),
        np.array(files),
        shows,
        backgrounds,
        backgrounds - backgrounds.mean(axis=1, keepdims=True),
        coarse,
        energies,
    )


def like(looks: Looks, pairs: Pairs) -> NDArray[np.bool_]:
    """Which pairs have like lengths and backgrounds and are of two files."""
    first, second = pairs.T
    seconds = looks.seconds[first], looks.seconds[second]
    result: NDArray[np.bool_] = np.abs(seconds[0] - seconds[1]) <= LENGTH + LENGTH_SHARE * np.maximum(*seconds)
    result &= looks.files[first] != looks.files[second]
    places = np.flatnonzero(result)
    for start in range(0, len(places), _PAIRS):
        part = places[start : start + _PAIRS]
        result[part] = distances(looks, pairs[part]) <= BACKGROUND
    return result


def distances(looks: Looks, pairs: Pairs) -> Floats:
    """How far backgrounds are apart, in grey levels."""
    first, second = pairs.T
    distances: Floats = np.sqrt(np.square(looks.centred[first] - looks.centred[second]).mean(axis=1))
    return distances


def kept(moments: int) -> int:
    """How many moments must agree of those that are compared."""
    return int(KEPT * moments)


def moving_of(pictures: NDArray[np.uint8], backgrounds: Floats, shows: NDArray[np.bool_]) -> Floats:
    """What differs from the background, (n, moments, pixels); nothing where a picture is of one colour.

    Recordings that have a black start in common would otherwise pass for having moved alike.
    """
    flat = pictures.reshape(*shows.shape, -1).astype(np.float32)
    return (flat - backgrounds[:, None]) * shows[..., None]
