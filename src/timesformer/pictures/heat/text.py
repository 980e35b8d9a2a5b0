"""Text as pixels, for pictures that are put together from pixels: any script for which a font is installed."""

from functools import lru_cache

import numpy as np

from timesformer.pictures import lettering, palette
from timesformer.pictures.strips import Pixels
from timesformer.plain import printable

DPI = 72
"""One point of a font is one pixel."""


@lru_cache(maxsize=512)
def line(text: str, size: int, *, ink: str = palette.INK.dark, ground: str = palette.CARD.dark) -> Pixels:
    """One line of text as RGB (h, w, 3), its font ``size`` pixels high; the height is that of every line of the size.

    Characters that can't be seen are shown as escapes, and those that no font has as boxes. The pixels are read-only.
    """
    import warnings

    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    text = printable(text)
    fonts, _ = lettering.families([text])
    tall = round(size * 1.4)
    with rc_context({"font.family": fonts, "text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure = Figure(dpi=DPI, facecolor=ground)
        canvas = FigureCanvasAgg(figure)
        written = figure.text(0, 0.5, text, fontsize=size, color=ink, va="center_baseline")
        box = written.get_window_extent(canvas.get_renderer())
        wide = max(int(np.ceil(box.width)) + 1, 1)
        figure.set_size_inches(wide / DPI, tall / DPI)
        written.set_position((0, 0.5))
        canvas.draw()
        pixels = np.array(canvas.buffer_rgba())[..., :3]
    pixels.flags.writeable = False
    return pixels


def fitted(text: str, size: int, width: int, **colours: str) -> Pixels:
    """A line that is cut off with "…" where it would be wider than ``width`` pixels."""
    text = printable(text)
    whole = line(text, size, **colours)
    if whole.shape[1] <= width:
        return whole
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high) if line(f"{text[:middle]}…", size, **colours).shape[1] <= width else (low, middle - 1)
        )
    cut = line(f"{text[:low].rstrip()}…", size, **colours)
    return cut[:, :width]


def digits(text: str, size: int, **colours: str) -> Pixels:
    """A line of figures and signs, put together from letters that are drawn once: fast for a running clock."""
    return np.concatenate([line(character, size, **colours) for character in text], axis=1)


def put(ground: Pixels, pixels: Pixels, top: int, left: int) -> None:
    """Lay pixels onto a ground, cut off at its edges."""
    tall, wide = min(pixels.shape[0], ground.shape[0] - top), min(pixels.shape[1], ground.shape[1] - left)
    if tall > 0 and wide > 0:
        ground[top : top + tall, left : left + wide] = pixels[:tall, :wide]
