"""A timeline as a picture: frames of the video, and below them a lane for each label with its scores and segments."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from timesformer.pictures import lettering, palette
from timesformer.pictures.charts import LONGEST, drawing
from timesformer.pictures.strips import Pixels
from timesformer.plain import printable
from timesformer.video.clock import clock

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LANES = 12
"""Most labels that are drawn: those whose segments are longest in total."""
WIDTH, RIGHT, TOP, BOTTOM = 12.0, 0.75, 0.45, 0.55
"""The picture's width and its margins in inches; the margin on the left is as wide as the labels."""
STRIP, LANE, SPACE = 0.85, 0.46, 0.12
"""Heights of the frames, of a lane, and of the space between them, in inches."""
BAR = 0.2
"""Share of a lane that the bar of a segment takes, at its bottom."""
INK, SOFT, LINE, BLUE = (colour.light for colour in (palette.INK, palette.SOFT, palette.LINE, palette.SERIES[0]))
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
"""Seconds between two marks of the axis."""


@dataclass(frozen=True)
class Lane:
    """One label over time."""

    label: str
    scores: Sequence[float]
    """Its score in each part of the video."""
    bars: Sequence[tuple[float, float]]
    """Start and end in seconds of its segments."""


@dataclass(frozen=True)
class Picture:
    """Everything in the picture."""

    title: str
    about: str
    """What the windows were."""
    borders: Sequence[float]
    """Start of each part of the video in seconds, and the end of the last one."""
    lanes: Sequence[Lane]
    frames: Pixels
    """Frames at equal distances, (m, h, w, 3)."""
    damaged: Sequence[tuple[float, float]]
    """Start and end in seconds of what doesn't decode."""
    shares: bool
    """Whether scores are between 0 and 1; otherwise each lane has its own scale."""


def draw(picture: Picture, path: Path) -> None:
    """Draw a timeline as a PNG file."""
    lanes = sorted(picture.lanes, key=lambda lane: -sum(end - start for start, end in lane.bars))[:LANES]
    lanes = [lane for lane in picture.lanes if lane in lanes]
    names = [_name(lane.label) for lane in lanes]
    fonts, missing = lettering.families([*names, printable(picture.title)])
    names = [name if not missing.intersection(name) else f"label {at + 1}" for at, name in enumerate(names)]
    title = "".join("?" if sign in missing else sign for sign in printable(picture.title))
    left = 0.35 + 0.085 * max(map(len, names), default=0)
    body = len(lanes) * LANE
    tall = TOP + STRIP + SPACE + body + BOTTOM
    with drawing(path, fonts) as figure:
        figure.set_layout_engine("none")
        figure.set_size_inches(WIDTH, tall)
        wide = WIDTH - left - RIGHT
        figure.text(left / WIDTH, 1 - 0.2 / tall, title, va="center", weight="bold")
        figure.text(1 - RIGHT / WIDTH, 1 - 0.2 / tall, picture.about, va="center", ha="right", color=SOFT)
        said = ["shaded: score from 0 to 1", "bar: segment"] if picture.shares else []
        if len(lanes) < len(picture.lanes):
            said.append(f"{len(picture.lanes) - len(lanes)} more labels with shorter segments are not drawn")
        said += ["hatched: something is the matter with the frames"] if picture.damaged else []
        figure.text(left / WIDTH, 0.14 / tall, "      ".join(said), color=SOFT, fontsize=8)
        box = (left / WIDTH, (BOTTOM + body + SPACE) / tall, wide / WIDTH, STRIP / tall)
        strip = figure.add_axes(box)
        _frames(strip, picture, wide)
        below = figure.add_axes((left / WIDTH, BOTTOM / tall, wide / WIDTH, max(body, 0.01) / tall), sharex=strip)
        _lanes(below, lanes, names, picture)


def _name(label: str) -> str:
    text = printable(label)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _frames(axes: "Axes", picture: Picture, wide: float) -> None:
    """As many frames as fit beside each other, each in the middle of the time that it stands for."""
    duration = picture.borders[-1]
    axes.set_xlim(0, duration)
    axes.set_ylim(0, 1)
    axes.axis("off")
    count, height, width = picture.frames.shape[:3]
    if not count:
        return
    own = min(STRIP * width / height, wide)
    fitting = max(min(int(wide / (own + 0.03)), count), 1)
    half = own / wide * duration / 2
    for place in range(fitting):
        middle = (place + 0.5) / fitting
        frame = picture.frames[int(middle * count)]
        seconds = middle * duration
        axes.imshow(frame, extent=(seconds - half, seconds + half, 0, 1), aspect="auto", interpolation="lanczos")
    axes.set_xlim(0, duration)


def _lanes(axes: "Axes", lanes: Sequence[Lane], names: Sequence[str], picture: Picture) -> None:
    borders = np.asarray(picture.borders)
    for place, lane in enumerate(lanes):
        bottom = len(lanes) - 1 - place
        values = np.asarray(lane.scores, dtype=np.float64)
        low, high = (0.0, 1.0) if picture.shares else (values.min(), values.max())
        heights = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
        base = bottom + BAR + 0.06
        axes.stairs(base + heights * (0.94 - BAR - 0.06), borders, baseline=base, fill=True, color=BLUE, alpha=0.28)
        axes.stairs(base + heights * (0.94 - BAR - 0.06), borders, baseline=None, color=BLUE, linewidth=1)
        for start, end in lane.bars:
            axes.broken_barh([(start, end - start)], (bottom + 0.06, BAR - 0.06), color=BLUE, linewidth=0)
        axes.axhline(bottom, color=LINE, linewidth=0.8)
        for height, text in ((base, f"{low:.3g}"), (bottom + 0.94, f"{high:.3g}")) if not picture.shares else ():
            axes.text(1.005, height, text, transform=axes.get_yaxis_transform(), va="center", fontsize=7, color=SOFT)
    for start, end in picture.damaged:
        axes.axvspan(start, end, facecolor="none", edgecolor=SOFT, hatch="////", linewidth=0)
    axes.set_ylim(0, max(len(lanes), 0.01))
    axes.set_yticks([len(lanes) - 0.5 - place for place in range(len(lanes))], names)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", color=SOFT)
    axes.spines[["top", "left", "right"]].set_visible(False)
    duration = picture.borders[-1]
    step = next((step for step in STEPS if duration / step <= 12), duration)
    marks = np.arange(0, duration + 1e-9, step)
    digits = step < 1 or duration < 1
    axes.set_xticks(marks, [clock(mark) if digits else clock(mark).removesuffix(".0") for mark in marks])
    axes.set_xlim(0, duration)
