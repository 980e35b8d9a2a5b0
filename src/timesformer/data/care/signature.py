"""A clip as a few tiny grey pictures, by which copies are recognised although their files differ.

A re-encoded copy has other bytes, another size and other frames, but at the same share of its length it shows nearly
the same picture. So each clip is kept as tiny grey pictures at equal distances in time. Two clips are alike if their
*backgrounds* agree (the median over time, which a black start or a passing person does not change), and if the motion
before them agrees, too, since all recordings of one camera share a background. Pictures without detail look alike
whatever was filmed, so clips that consist of them are *blank* and like no other.

The limits were set on recordings re-encoded at other bit rates, sizes and frame rates (docs/scan_and_prepare.md).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timesformer.video import reader, transforms
from timesformer.video.views import frames_between

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
"""Contrast in grey levels from which a picture shows something, and the share of moments that must show something."""
LENGTH, LENGTH_SHARE = 0.5, 0.02
"""Largest difference of lengths: seconds, plus a share of the longer one."""

_READ_SIDE = 128  # shrinking from here makes the same pictures of a copy of another size
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
    """Look at a video, or at its time range from ``start`` to ``end`` seconds. Raises ``VideoError``."""
    return noted_signature(path, start=start, end=end)[0]


def noted_signature(
    path: Path, *, start: float | None = None, end: float | None = None
) -> tuple[Signature, tuple[str, ...]]:
    """The signature, and what was wrong with the frames that were read for it. Raises ``VideoError``."""
    info = reader.info(path)
    first, count = frames_between(info, start, end)
    times = np.array(info.times)
    begin = times[first]
    stop = times[first + count] if first + count < info.frames else info.duration
    moments = begin + (np.arange(MOMENTS) + 0.5) / MOMENTS * (stop - begin)
    numbers = np.clip(np.searchsorted(times, moments, side="right") - 1, first, first + count - 1)
    read = reader.read_noted(path, numbers, short_side=_READ_SIDE)
    frames = transforms.resize(read.pixels, (SIDE, SIDE))
    return Signature(frames.mean(1).round().byte().numpy(), float(stop - begin)), read.notes
