"""The colours of heat: from clear at the even share, through purple and orange, to light yellow.

They are a part of matplotlib's "plasma", whose lightness grows evenly, which every kind of colour blindness keeps in
order. Frames below them are grey, so every colour in a picture is heat.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

LEVELS = 256
DARKEST = 0.25
"""Where the colours begin in "plasma", whose darkest ones would vanish on dark frames."""
OPAQUE = 0.78
"""Opacity of the highest value: what is below it can still be seen."""
STEPS = (4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150, 200, 300, 400, 500, 600, 800, 1000)
"""Ends of the scale, in even shares. Below four even shares, differences are those of a map that says nothing."""
QUANTILE = 0.998
"""The share of the values that lie below the end of the scale."""


@cache
def table() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Colours (256, 3) from 0 to 255, and their opacities (256, 1) from 0 to 1; the first one is clear."""
    import matplotlib

    places = np.linspace(0, 1, LEVELS)
    colours = matplotlib.colormaps["plasma"](DARKEST + (1 - DARKEST) * places)[:, :3] * 255
    opacities = OPAQUE * places**0.75
    return colours.astype(np.float32), opacities[:, None].astype(np.float32)


def top(values: NDArray[np.float32]) -> float:
    """The end of the scale for values in even shares: a round number that few of them exceed, at least 4."""
    most = float(np.quantile(values, QUANTILE)) if values.size else 0.0
    return float(next((step for step in STEPS if step >= most), STEPS[-1]))


def levels(values: NDArray[np.float32], top: float) -> NDArray[np.uint8]:
    """The level of colour, 0 to 255, of values in even shares: clear up to 1, full at ``top``; the same shape."""
    scaled = (values - 1) * ((LEVELS - 1) / (top - 1))
    return scaled.clip(0, LEVELS - 1).round().astype(np.uint8)


def blend(grey: NDArray[np.float32], levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours over grey: (h, w) from 0 to 255 and levels (h, w) -> RGB (h, w, 3)."""
    colours, opacities = table()
    mixed = grey[..., None] * (1 - opacities)[levels] + (colours * opacities)[levels]
    blended: NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return blended


def bar(height: int, width: int, *, ground: float = 128.0) -> NDArray[np.uint8]:
    """The scale from left to right as it looks on grey, (height, width, 3)."""
    levels = np.linspace(0, LEVELS - 1, width).round().astype(np.uint8)
    return np.ascontiguousarray(
        np.broadcast_to(blend(np.full(width, ground, np.float32)[None], levels[None]), (height, width, 3))
    )
