"""A map as a PNG file: panels of points side by side, with one legend for all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timesformer.pictures import lettering
from timesformer.pictures.charts import GRID, INK, LONGEST, drawing
from timesformer.pictures.maps.classes import SHAPES, marks
from timesformer.pictures.palette import CARD
from timesformer.plain import printable

SIDE = 4.6
"""Width of a panel in inches."""
ACROSS = 4
"""Panels in a row."""


@dataclass(frozen=True, eq=False)
class Panel:
    """Points with their classes."""

    title: str
    places: NDArray[np.float64]
    """(n, 2)"""
    labels: Sequence[str]


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Draw panels in which a class looks the same; each has its own axes, whose units mean nothing."""
    legend = marks(label for panel in panels for label in panel.labels)
    names = {mark.name: _short(mark.name) for mark in legend.values()}
    titles = [printable(panel.title) for panel in panels]
    fonts, written = lettering.legible([*names.values(), *titles])
    with drawing(path, fonts) as figure:
        columns = min(len(panels), ACROSS)
        rows = math.ceil(len(panels) / columns)
        width = max(columns * SIDE, 5.2)
        entries = max(int(width / (0.45 + 0.075 * max(len(name) for name in names.values()))), 1)
        lines = math.ceil(len(names) / entries)
        figure.set_size_inches(width, rows * (SIDE + 0.3) + 0.2 * lines + 0.2)
        drawn: dict[str, Any] = {}
        for axes, panel, title in zip(figure.subplots(rows, columns, squeeze=False).flat, panels, titles, strict=False):
            size = float(np.clip(6400 / max(len(panel.labels), 1), 8, 60))
            for label, mark in legend.items():
                here = panel.places[[own == label for own in panel.labels]]
                points = axes.scatter(
                    *here.T,
                    s=size,
                    marker=SHAPES[mark.shape][0],
                    color=mark.colour.light,
                    edgecolors=CARD.light,
                    linewidths=0.5,
                )
                drawn[mark.name] = points
            axes.set_title(written[title], loc="left", fontsize=10, color=INK)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_aspect("equal", adjustable="datalim")
            axes.spines[:].set_color(GRID)
        for axes in figure.axes[len(panels) :]:
            axes.axis("off")
        figure.legend(
            list(drawn.values()),
            [written[names[name]] for name in drawn],
            loc="outside lower center",
            ncols=min(entries, len(drawn)),
            frameon=False,
            fontsize=9,
            handletextpad=0.3,
            columnspacing=1.2,
        )


def _short(name: str) -> str:
    plain = printable(name)
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 1]}…"
