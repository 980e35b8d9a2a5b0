"""Clips that show the same, whatever their files: found by small pictures of what stays and of what moves.

A re-encoded copy has other bytes, another size and other frames, but at the same share of its length it shows nearly
the same picture. So each clip is kept as a few tiny grey pictures, evenly spread over its time. Two clips are alike if
their *backgrounds* are (the median over time, which a black start or a passing person does not change) and if what
moves before them does, too: a camera's recordings all share one background. Pictures without detail are like each
other whatever was filmed, so clips that consist of them are *blank* and like nothing.

The limits were set on recordings re-encoded at other bit rates, sizes and frame rates (docs/scan_and_prepare.md).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timesformer.video import reader, transforms
from timesformer.video.views import stretch

MOMENTS = 24
"""Pictures kept of each clip."""
SIDE = 16
"""Pixels along each side of a picture."""
BACKGROUND, STILL_BACKGROUND = 6.0, 3.0
"""Largest difference of backgrounds, in grey levels, of clips with motion; and without, where it alone must decide."""
STILL = 1.5
"""Grey levels below which motion is mostly noise."""
MOTION = 0.65
"""Largest share of the motion that may differ; that of different clips is about 1.4, that of equal ones below 0.5."""
NOISE = 0.6
"""Grey levels that compression adds to motion."""
KEPT = 0.85
"""Share of the moments that must agree: cuts and flashes may fall between other moments of a copy."""
DETAIL, SEEN = 2.0, 0.25
"""Grey levels of contrast that make a picture one of something, and the share of moments that must show something."""
LENGTH, LENGTH_SHARE = 0.5, 0.02
"""Largest difference of lengths: seconds, plus a share of the longer one."""

_READ_SIDE = 128  # shrinking from here makes the same pictures of a copy of another size
_BLOCK = 256
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Signature:
    """What a clip looks like, in 6 kB."""

    pictures: NDArray[np.uint8]
    """Grey pictures (moments, side, side)."""
    seconds: float

    @property
    def blank(self) -> bool:
        """Whether hardly any moment shows anything but one colour."""
        return bool(self.shows.mean() < SEEN)

    @property
    def shows(self) -> NDArray[np.bool_]:
        """Which moments show more than one colour."""
        contrasts: NDArray[np.bool_] = self.pictures.reshape(len(self.pictures), -1).std(axis=1) >= DETAIL
        return contrasts


def signature(path: Path, *, start: float | None = None, end: float | None = None) -> Signature:
    """Look at a video, or at its stretch from ``start`` to ``end`` seconds. Raises ``VideoError``."""
    info = reader.info(path)
    first, count = stretch(info, start, end)
    times = np.array(info.times)
    begin = times[first]
    stop = times[first + count] if first + count < info.frames else info.duration
    moments = begin + (np.arange(MOMENTS) + 0.5) / MOMENTS * (stop - begin)
    numbers = np.clip(np.searchsorted(times, moments, side="right") - 1, first, first + count - 1)
    frames = transforms.resize(reader.read(path, numbers, short_side=_READ_SIDE), (SIDE, SIDE))
    return Signature(frames.mean(1).round().byte().numpy(), float(stop - begin))


def alike(signatures: Sequence[Signature]) -> list[tuple[int, int]]:
    """Find the pairs of clips that show the same, as increasing pairs of positions; blank ones have none."""
    places = np.array([place for place, each in enumerate(signatures) if not each.blank], dtype=np.int64)
    if len(places) < 2:
        return []
    pictures = np.stack([signatures[place].pictures for place in places])
    shows = np.stack([signatures[place].shows for place in places])
    seconds = np.array([signatures[place].seconds for place in places])
    backgrounds = np.median(pictures, axis=1).reshape(len(places), -1).astype(np.float32)
    found = []
    for pairs, distances in _candidates(backgrounds, seconds):
        for chunk in range(0, len(pairs), _BLOCK):
            part = slice(chunk, chunk + _BLOCK)
            first, second = (_moving(pictures[side], backgrounds[side], shows[side]) for side in pairs[part].T)
            found.append(pairs[part][_same(first, second, distances[part])])
    chosen = np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)
    return [(int(first), int(second)) for first, second in places[chosen]]


def _candidates(backgrounds: Floats, seconds: NDArray[np.float64]) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Yield pairs (n, 2) of like length and background, with the distances of their backgrounds in grey levels.

    Differences of brightness don't count. Block by block: all pairs of a large data set don't fit into memory.
    """
    centred = backgrounds - backgrounds.mean(axis=1, keepdims=True)
    squares = np.square(centred).mean(axis=1)
    for start in range(0, len(centred), _BLOCK):
        block = slice(start, start + _BLOCK)
        products = centred[block] @ centred[start:].T / centred.shape[1]
        distances = np.sqrt(np.maximum(squares[block, None] + squares[None, start:] - 2 * products, 0))
        longer = np.maximum(seconds[block, None], seconds[None, start:])
        apart = np.abs(seconds[block, None] - seconds[None, start:])
        near = (distances <= BACKGROUND) & (apart <= LENGTH + LENGTH_SHARE * longer)
        rows, columns = np.nonzero(np.triu(near, 1))
        yield np.stack([rows, columns], axis=1) + start, distances[rows, columns]


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
        ahead, behind = slice(max(shift, 0), MOMENTS + min(shift, 0)), slice(max(-shift, 0), MOMENTS - max(shift, 0))
        one, other = first[:, ahead], second[:, behind]
        differences = np.square(one - other).mean(axis=2)
        energies = (np.square(one).mean(axis=2) + np.square(other).mean(axis=2)) / 2
        best = np.argsort(differences, axis=1)[:, : int(KEPT * differences.shape[1])]
        difference, energy = (
            np.sqrt(np.take_along_axis(each, best, axis=1).mean(axis=1)) for each in (differences, energies)
        )
        limit = np.where(energy < STILL, STILL_BACKGROUND, BACKGROUND)
        result |= (difference <= MOTION * (energy + NOISE)) & (distances <= limit)
    return result
