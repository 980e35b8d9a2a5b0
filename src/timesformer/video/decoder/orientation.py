"""How a decoded frame is to be shown: turned, mirrored, and with square pixels, as players do it.

Decoders give frames as they are stored. Beside them stands a display matrix (of the container, of the codec, or made
from a photograph's EXIF orientation) and a sample aspect ratio, the width of a pixel over its height.
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
"""Degrees up to which a turn is taken for the quarter turn beside it, as FFmpeg does."""
NEARLY_SQUARE = 0.01
"""Part by which pixels may be wider or higher than square and stay as they are: encoders round sides in such steps."""


@dataclass(frozen=True)
class Orientation:
    """What to do with stored rows and columns to see the picture: swap them, then turn each round."""

    transposed: bool = False
    rows_reversed: bool = False
    columns_reversed: bool = False
    tilt: float = 0.0
    """Degrees by which the picture is to be turned besides, or sheared; it is not."""


UPRIGHT = Orientation()
_HELD = 2**22
"""Pixels of frames that may lie about unused."""
_looked_at = 0


def _unnamed(kinds: type[Type], value: object) -> Type:
    kind: Any = object.__new__(kinds)
    kind._name_, kind._value_ = f"KIND_{value}", value
    return kind


# PyAV has no names for the newest kinds of side data (EXIF, views of 3D video); of a frame with one it would give none
Type._missing_ = classmethod(_unnamed)  # type: ignore[method-assign, assignment]


def orientation(frame: av.VideoFrame) -> Orientation:
    """Read the whole display matrix of a frame; one that turns everything into a line or a point counts as none."""
    _let_go(frame)
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data))
    # The pixel at x, y is shown at a * x + c * y, b * x + d * y
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
    """Free frames that were looked at before: side data refers to its frame and the frame to it, so they would stay.

    Python's own collector counts objects, not what they hold, and would let hundreds of frames gather.
    """
    global _looked_at
    _looked_at += frame.width * frame.height
    if _looked_at > _HELD:
        _looked_at = 0
        gc.collect(0)


def turned(pixels: Tensor, how: Orientation) -> Tensor:
    """Stored pixels (h, w, c) as they are to be seen, turned and mirrored, (h, w, c) or (w, h, c)."""
    if how.transposed:
        pixels = pixels.transpose(0, 1)
    reversed_ = [side for side, given in enumerate((how.rows_reversed, how.columns_reversed)) if given]
    return pixels.flip(reversed_) if reversed_ else pixels


def shown_size(frame: av.VideoFrame, aspect: Fraction) -> tuple[int, int]:
    """Height and width of a frame once its pixels are square and it is upright; the side that is too short grows."""
    height, width = frame.height, frame.width
    if abs(aspect - 1) <= NEARLY_SQUARE:
        pass
    elif aspect > 1:
        width = max(round(width * aspect), 1)
    else:
        height = max(round(height / aspect), 1)
    return (width, height) if orientation(frame).transposed else (height, width)
