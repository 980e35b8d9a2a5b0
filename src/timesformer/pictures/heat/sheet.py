"""Heat on paper: the frames of a clip as a contact sheet, how much each of them counts, and attention over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from timesformer.pictures import lettering, palette
from timesformer.pictures.charts import drawing
from timesformer.pictures.heat import colours
from timesformer.pictures.strips import Pixels
from timesformer.plain import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

INK, SOFT, LINE = palette.INK.light, palette.SOFT.light, palette.LINE.light
BLUE, ORANGE = (colour.light for colour in palette.SERIES)
WIDTH = 11.0
"""Width of the picture in inches."""
ACROSS, FEW = 8, 4
"""Frames in a row; of up to twice as many as :data:`FEW`, those are the row, and larger."""
OVER_TIME = (
    "Attention over time, the mean over places. Rows: the frame that looks, the first at the top; columns: the frame "
    "looked at."
)
LARGEST = 640
"""Longest side of a frame in pixels that a picture shows."""
LONGEST = 60
"""Characters of a name that are shown."""
NAMED = 16
"""Bars that each have their time below them; of more, every few."""


@dataclass(frozen=True, eq=False)
class Bars:
    """A number for each frame that the model saw."""

    title: str
    values: NDArray[np.float64]
    colour: str
    least: float = 0.0
    """The axis goes at least so far up, and down if any value is negative, so that noise looks small."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """Everything on the picture."""

    title: str
    lines: tuple[str, ...]
    """Sentences below the title."""
    frames: Sequence[Pixels]
    """Frames under their colours, at most 16."""
    captions: Sequence[str]
    top: float
    """End of the scale of colours, in even shares."""
    bars: Sequence[Bars]
    times: Sequence[str]
    """The time of each bar."""
    attention: NDArray[np.float32] | None = None
    """Attention from frame (row) to frame (column) in the steps over time, (blocks, heads, t, t)."""


def draw(sheet: Sheet, path: Path) -> None:
    """Write the picture as PNG."""
    texts = [_short(each) for each in (sheet.title, *sheet.lines)]
    fonts, _ = lettering.families(texts)
    across = min(len(sheet.frames), FEW if len(sheet.frames) <= 2 * FEW else ACROSS)
    rows = -(-len(sheet.frames) // across)
    tall, wide = sheet.frames[0].shape[:2]
    cell = min((WIDTH - 0.4) / max(across, 3), 3.0)
    heights = [0.42 + 0.2 * len(sheet.lines), rows * (cell * min(tall / wide, 2.0) + 0.24) + 0.5]
    heights += [1.5] * len(sheet.bars)
    if sheet.attention is not None:
        heights.append(_attention_height(sheet.attention.shape))
    with drawing(path, fonts) as figure:
        figure.set_size_inches(WIDTH, sum(heights))
        parts: Any = figure.subfigures(len(heights), 1, height_ratios=heights)
        head, frames, *rest = parts
        _head(head, texts, heights[0])
        _frames(frames, sheet, (rows, across))
        for part, bars in zip(rest, sheet.bars, strict=False):
            _bars(part.subplots(), bars, sheet.times)
        if sheet.attention is not None:
            _attention(rest[-1], sheet.attention)


def _short(text: str) -> str:
    text = printable(text)
    return text if len(text) <= 3 * LONGEST else f"{text[: 3 * LONGEST - 1]}…"


def _head(part: "SubFigure", texts: Sequence[str], height: float) -> None:
    part.text(0.012, 1 - 0.1 / height, texts[0], fontsize=15, color=INK, va="top")
    for number, line in enumerate(texts[1:]):
        part.text(0.012, 1 - (0.38 + 0.2 * number) / height, line, fontsize=9, color=SOFT, va="top")


def _frames(part: "SubFigure", sheet: Sheet, shape: tuple[int, int]) -> None:
    """The frames in rows, and the scale of their colours below them."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    grid = part.subplots(*shape, squeeze=False)
    places = list(grid.flat)
    for axes in places:
        axes.axis("off")
    for axes, frame, caption in zip(places, sheet.frames, sheet.captions, strict=False):
        axes.imshow(frame, interpolation="none" if frame.shape[1] < 200 else "antialiased")
        axes.set_title(caption, fontsize=8, color=SOFT, pad=3)
    shown = ListedColormap(colours.bar(1, colours.LEVELS)[0] / 255)
    scale = part.colorbar(
        ScalarMappable(Normalize(1, sheet.top), shown),
        ax=places,
        orientation="horizontal",
        fraction=0.09,
        aspect=60,
        pad=0.02,
    )
    scale.set_label("relevance of a place, as a multiple of its even share (clear: the even share or less)", fontsize=8)
    scale.ax.tick_params(labelsize=8)
    scale.ax.xaxis.set_major_formatter("{x:g}×")
    scale.outline.set_visible(False)


def _bars(axes: "Axes", bars: Bars, times: Sequence[str]) -> None:
    count = len(bars.values)
    axes.bar(range(count), bars.values, color=bars.colour, width=0.72)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_title(bars.title, loc="left", fontsize=9)
    every = -(-count // NAMED)
    axes.set_xticks(range(0, count, every), list(times[::every]), fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlim(-0.6, count - 0.4)
    low, high = float(bars.values.min(initial=0.0)), float(bars.values.max(initial=0.0))
    axes.set_ylim(min(low * 1.08, -bars.least if low < 0 else 0.0), max(high * 1.08, bars.least) or 1.0)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _attention_height(shape: tuple[int, ...]) -> float:
    blocks, heads = shape[:2]
    return blocks * _cell(blocks, heads) + 0.7


def _cell(blocks: int, heads: int) -> float:
    """Side in inches of the matrix of one head."""
    return min(0.95, (WIDTH - 2.0) / heads, max(8.0 / blocks, 0.35))


def _attention(part: "SubFigure", attention: NDArray[np.float32]) -> None:
    """A square for each block and head, all in one scale."""
    from matplotlib.colors import LinearSegmentedColormap

    blocks, heads, frames, _ = attention.shape
    part.suptitle(OVER_TIME, x=0.012, ha="left", fontsize=9)
    used = (heads * _cell(blocks, heads) + 1.5) / WIDTH
    axes, beside = part.subplots(1, 2, width_ratios=(used, max(1 - used, 0.01)))
    beside.axis("off")
    shown = LinearSegmentedColormap.from_list("shares", palette.SHARES).with_extremes(bad=LINE)
    most = max(float(attention.max()), min(2 / frames, 1.0))
    whole, middles = _side_by_side(attention)
    picture = axes.imshow(whole, cmap=shown, vmin=0, vmax=most, interpolation="none")
    axes.set_xticks(middles[:heads], [f"head {number + 1}" for number in range(heads)])
    axes.set_yticks(middles[:blocks], [f"block {number + 1}" for number in range(blocks)])
    axes.tick_params(length=0, labelsize=8 if heads <= 12 else 6)
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)
    scale = part.colorbar(picture, ax=axes, shrink=min(1.6 / _attention_height(attention.shape), 1.0), aspect=12)
    scale.ax.tick_params(labelsize=8)


def _side_by_side(attention: NDArray[np.float32]) -> tuple[NDArray[np.float32], list[float]]:
    """All matrices in one, gaps of NaN between them, and the middle of each along a side."""
    blocks, heads, frames, _ = attention.shape
    pitch = frames + max(frames // 8, 1)
    whole = np.full((blocks * pitch - pitch + frames, heads * pitch - pitch + frames), np.nan, np.float32)
    for block in range(blocks):
        for head in range(heads):
            top, left = block * pitch, head * pitch
            whole[top : top + frames, left : left + frames] = attention[block, head]
    return whole, [(frames - 1) / 2 + number * pitch for number in range(max(blocks, heads))]
