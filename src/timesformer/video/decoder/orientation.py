"""How a decoded frame is displayed: rotated, mirrored and with square pixels, as video players do.

Decoders return frames as they are stored. The display matrix (of the container, of the codec, or from a photograph's
EXIF orientation) gives their rotation; the sample aspect ratio is the width of a pixel over its height.
"""

import gc
import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.sidedata.sidedata import Type
from torch import Tensor

STRAIGHT = 1.0
"""A rotation within so many degrees of a quarter turn is taken for it, as in FFmpeg."""
NEARLY_SQUARE = 0.01
"""Pixels whose aspect ratio differs from 1 by at most this are taken as square: encoders round sides."""


@dataclass(frozen=True)
class Orientation:
    """How to display a stored frame: transpose it, then reverse rows or columns."""

    transposed: bool = False
    rows_reversed: bool = False
    columns_reversed: bool = False
    tilt: float = 0.0
    """Remaining rotation or shear in degrees, which is not applied."""


UPRIGHT = Orientation()
_HELD = 2**22
"""Pixels of unused frames before they are garbage-collected."""
_FULL = 16
"""Every so many collections is a full one: a frame in use during another one is never looked at again by those."""
_looked_at = _collections = 0


def _unnamed(kinds: type[Type], value: object) -> Type:
    kind: Any = object.__new__(kinds)
    kind._name_, kind._value_ = f"KIND_{value}", value
    return kind


# PyAV fails on frames with new kinds of side data (EXIF, views of 3D video), which it has no names for
Type._missing_ = classmethod(_unnamed)  # type: ignore[method-assign, assignment]


def orientation(frame: av.VideoFrame) -> Orientation:
    """Return the orientation by a frame's display matrix; a singular matrix is ignored."""
    _let_go(frame)
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data))
    # the pixel at x, y is displayed at a * x + c * y, b * x + d * y
    across, down = math.hypot(a, b), math.hypot(c, d)
    if not across or not down:
        return UPRIGHT
    a, b, c, d = a / across, b / across, c / down, d / down
    if abs(a * d - b * c) < 1e-3:
        return UPRIGHT
    transposed = abs(b) + abs(c) > abs(a) + abs(d)
    tilt = math.degrees(math.asin(min(max(abs(a), abs(d)) if transposed else max(abs(b), abs(c)), 1.0)))
    rows, columns = (b, c) if transposed else (d, a)
    return Orientation(transposed, rows < 0, columns < 0, tilt if tilt > STRAIGHT else 0.0)


def _let_go(frame: av.VideoFrame) -> None:
    """Free earlier frames: side data and its frame refer to each other, so only the garbage collector frees them.

    Python's collector counts objects, not bytes, and would let hundreds of frames accumulate.
    """
    global _looked_at, _collections
    _looked_at += frame.width * frame.height
    if _looked_at > _HELD:
        _looked_at = 0
        _collections += 1
        gc.collect(0 if _collections % _FULL else 2)


def turned(pixels: Tensor, how: Orientation) -> Tensor:
    """Return stored pixels (h, w, c) as displayed, rotated and mirrored: (h, w, c) or (w, h, c)."""
    if how.transposed:
        pixels = pixels.transpose(0, 1)
    reversed_ = [side for side, given in enumerate((how.rows_reversed, how.columns_reversed)) if given]
    return pixels.flip(reversed_) if reversed_ else pixels


def shown_size(frame: av.VideoFrame, aspect: Fraction) -> tuple[int, int]:
    """Return height and width of a frame as displayed; the shorter side of its pixels is enlarged to square."""
    height, width = frame.height, frame.width
    if abs(aspect - 1) <= NEARLY_SQUARE:
        pass
    elif aspect > 1:
        width = max(round(width * aspect), 1)
    else:
        height = max(round(height / aspect), 1)
    return (width, height) if orientation(frame).transposed else (height, width)
