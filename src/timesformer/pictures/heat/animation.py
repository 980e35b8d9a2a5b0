"""Animated GIFs, small enough for a README: the colours of heat over grey in one palette, and no dithering."""

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from timesformer import atomic
from timesformer.pictures import palette
from timesformer.pictures.heat import colours
from timesformer.pictures.strips import Pixels

GREYS, DARKER, LEVELS = 48, 12, 15
"""Greys without colour; greys under each of the levels of colour. Together with the words' colours at most 256."""
WORDS = (palette.CARD.dark, palette.INK.dark, palette.SOFT.dark, palette.SERIES[1].dark)
"""Colours of the words below the frames."""
STAY = 600
"""Milliseconds that the last frame stays, so that the start can be seen."""


def gif(frames: Sequence[Pixels], *, seconds: float) -> bytes:
    """Frames (h, w, 3) as a GIF that repeats for ever; each is shown for a time, in steps of 10 milliseconds."""
    pictures = [Image.fromarray(each).quantize(palette=_palette(), dither=Image.Dither.NONE) for each in frames]
    each = max(round(seconds * 100), 2) * 10
    durations = [each] * (len(pictures) - 1) + [max(each, STAY)]
    data = BytesIO()
    pictures[0].save(data, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    return data.getvalue()


def save(data: bytes, path: Path) -> None:
    """Write a GIF, whole or not at all."""
    with atomic.replacing(path) as temporary:
        temporary.write_bytes(data)


@cache
def _palette() -> Image.Image:
    """The colours that films have: greys, greys under colours, and those of the words."""
    plain = np.linspace(0, 255, GREYS, dtype=np.float32)
    under = np.linspace(0, 255, DARKER, dtype=np.float32)
    levels = np.linspace(0, colours.LEVELS - 1, LEVELS + 1).round().astype(np.uint8)[1:]
    mixed = [
        colours.blend(plain[None], np.zeros((1, GREYS), np.uint8))[0],
        *(colours.blend(under[None], np.full((1, DARKER), level, np.uint8))[0] for level in levels),
        *(np.frombuffer(bytes.fromhex(colour[1:]), np.uint8)[None] for colour in WORDS),
    ]
    image = Image.new("P", (1, 1))
    image.putpalette(np.concatenate(mixed).tobytes())
    return image
