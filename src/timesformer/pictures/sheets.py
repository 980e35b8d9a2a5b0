"""A contact sheet as a PNG file: in each row a video's frame, and beside it those of the videos like it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timesformer.pictures import lettering
from timesformer.pictures.charts import INK, drawing
from timesformer.pictures.palette import BAD, GOOD, LINE, SERIES, SOFT
from timesformer.plain import printable

LONGEST = 22
"""Characters of a line below a frame."""


@dataclass(frozen=True, eq=False)
class Cell:
    """A frame with what is said of it."""

    frame: NDArray[np.uint8] | None
    """(h, w, 3), or None where there is none to show."""
    lines: Sequence[str]
    """A line in bold, and lines below it."""
    agrees: bool | None = None
    """Whether its class is that of the first in the row, where both have one."""


def draw(rows: Sequence[Sequence[Cell]], path: Path, *, side: float = 1.55) -> None:
    """Draw rows of cells; the first of each row stands apart from the others. ``side`` is a cell's width in inches."""
    columns = max(len(row) for row in rows)
    fonts, written = lettering.legible(_short(line) for row in rows for cell in row for line in cell.lines)
    with drawing(path, fonts) as figure:
        below = 0.17 * max(len(cell.lines) for row in rows for cell in row) + 0.12
        figure.set_size_inches(columns * side + 0.35, len(rows) * (side + below))
        grid = figure.subplots(len(rows), columns + 1, squeeze=False, width_ratios=[1, 0.12, *[1] * (columns - 1)])
        for row, all_axes in zip(rows, grid, strict=True):
            spare = [all_axes[0], *all_axes[2:]]
            all_axes[1].axis("off")
            for axes in spare[len(row) :]:
                axes.axis("off")
            for place, (axes, cell) in enumerate(zip(spare, row, strict=False)):
                axes.set_xticks([])
                axes.set_yticks([])
                if cell.frame is None:
                    axes.text(0.5, 0.5, "no frame", ha="center", va="center", color=SOFT.light, fontsize=8)
                    axes.set_box_aspect(1)
                else:
                    axes.imshow(cell.frame)
                colour = SERIES[0] if not place else LINE if cell.agrees is None else GOOD if cell.agrees else BAD
                axes.spines[:].set(color=colour.light, linewidth=2.2 if not place or cell.agrees is not None else 1)
                first, *others = (written[_short(line)] for line in cell.lines)
                axes.set_xlabel("\n".join(others), fontsize=7.5, color=SOFT.light, labelpad=13)
                axes.text(
                    0.5, -0.035, first, transform=axes.transAxes, ha="center", va="top",
                    fontsize=8.5, weight="bold", color=INK,
                )  # fmt: skip


def _short(line: str) -> str:
    plain = printable(line)
    return plain if len(plain) <= LONGEST else f"…{plain[-LONGEST + 1 :]}"
