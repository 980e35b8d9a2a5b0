"""Charts as PNG files: a confusion matrix, and the curves of a training.

:mod:`timesformer.pictures.figures` draws the same kinds of charts as parts of a page.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timesformer import atomic
from timesformer.pictures import lettering, palette
from timesformer.plain import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COUNTED, NAMED, LISTED = 25, 60, 32
"""A matrix of up to so many classes has counts in its cells, and one of up to so many has names at its sides. Beside a
larger one so many confusions are listed."""
LONGEST = 28
"""Characters of a label that are shown."""
VALIDATION, TRAIN = (colour.light for colour in palette.SERIES)
INK, GRID = palette.INK.light, palette.LINE.light
METRICS = {"val_top1": "top-1", "val_mean_class": "mean class", "val_map": "mAP", "val_mae": "mean absolute error"}
MOST = 2000
"""No matrix of more classes is drawn: the picture would take gigabytes, and show nothing."""
UNWRITTEN = "Classes whose names no installed font can write are shown by their number (from 0, as in results.json)."


def confusion(matrix: ArrayLike, labels: Sequence[str], path: Path) -> bool:
    """Draw how many videos of each class (row) were predicted as each class (column), coloured by share of the row.

    With many classes there is space for numbers only at the sides, and the most frequent confusions are listed by name.
    With more than :data:`MOST` classes nothing is drawn. Returns whether a picture was written.
    """
    if len(labels) > MOST:
        return False
    counts = np.asarray(matrix, dtype=np.int64)
    plain = [printable(label) for label in labels]
    names = [label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…" for label in plain]
    fonts, missing = lettering.families(names)
    unwritten = [number for number, name in enumerate(names) if missing.intersection(name)]
    for number in unwritten:
        names[number] = f"class {number}"
    with drawing(path, fonts) as figure:
        if unwritten:
            figure.supxlabel(UNWRITTEN, fontsize=7, wrap=True)
        if len(names) <= NAMED:
            _named_matrix(figure, counts, names)
        else:
            _large_matrix(figure, counts, names)
    return True


def curves(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw loss, validation metrics and learning rate over the epochs, from the rows of a run's metrics.jsonl.

    A row holds what was measured in its epoch; other values may be missing.
    """
    with drawing(path) as figure:
        figure.set_size_inches(11, 3.3)
        loss, validation, rate = figure.subplots(1, 3)
        _line(loss, rows, "train_loss", text="training", colour=TRAIN)
        _line(loss, rows, "val_loss", text="validation", colour=VALIDATION)
        shown = [name for name in METRICS if any(name in row for row in rows)]
        for name, style in zip(shown, ("-", "--", ":", "-."), strict=False):
            _line(validation, rows, name, text=METRICS[name], colour=VALIDATION, style=style)
        _line(rate, rows, "lr", text="", colour=INK)
        for axes, title in ((loss, "loss"), (validation, "validation"), (rate, "learning rate")):
            _finish(axes, title)


@contextmanager
def drawing(path: Path, fonts: Sequence[str] = (lettering.DEFAULT,)) -> Iterator["Figure"]:
    """An empty figure that is written to ``path`` at the end; no window system or global state of pyplot is touched."""
    import matplotlib
    from matplotlib.figure import Figure

    look: Any = {
        "font.family": list(fonts),
        "font.size": 9,
        "text.parse_math": False,
        "axes.edgecolor": INK,
        "text.color": INK,
    }
    with matplotlib.rc_context(look):
        figure = Figure(dpi=110, layout="constrained")
        yield figure
        with atomic.replacing(path) as temporary:
            figure.savefig(temporary, format="png")


def _named_matrix(figure: "Figure", counts: NDArray[np.int64], names: Sequence[str]) -> None:
    """Every class by name on both sides, and counts in the cells if they are large enough."""
    side = max(3.0, 0.32 * len(names)) if len(names) <= COUNTED else 0.21 * len(names)
    longest = 0.085 * max(len(name) for name in names)
    margin = longest + 0.8
    figure.set_size_inches(side + margin + 0.9, side + margin)
    axes = figure.subplots()
    shares = _shares(counts)
    _colours(figure, axes, shares)
    size = 9 if len(names) <= COUNTED else 7
    axes.set_xticks(range(len(names)), names, rotation=0 if longest < side / len(names) else 90, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    if len(names) <= COUNTED:
        for row, column in zip(*np.nonzero(counts), strict=True):
            ink = "white" if shares[row, column] > 0.55 else INK
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=ink, fontsize=8)


def _large_matrix(figure: "Figure", counts: NDArray[np.int64], names: Sequence[str]) -> None:
    """Class numbers at the sides, and the most frequent confusions by name beside it."""
    figure.set_size_inches(14, 8)
    axes, beside = figure.subplots(1, 2, width_ratios=(8, 5))
    _colours(figure, axes, _shares(counts))
    beside.axis("off")
    wrong = counts * (1 - np.eye(len(names), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:LISTED]
    pairs = [divmod(int(place), len(names)) for place in order if wrong.flat[place]]
    beside.set_title("most frequent confusions: true class, predicted class", loc="left")
    for line, (row, column) in enumerate(pairs):
        height = 0.985 - line / LISTED
        beside.text(0.0, height, f"{wrong[row, column]} of {counts[row].sum()}", fontsize=8, va="top")
        beside.text(0.14, height, f"{row}  {names[row]}", fontsize=8, va="top")
        beside.text(0.58, height, f"{column}  {names[column]}", fontsize=8, va="top")


def _shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _colours(figure: "Figure", axes: "Axes", shares: NDArray[np.float64]) -> None:
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    # Without counts in the cells, the colour has to show one video among thirty.
    norm = PowerNorm(1.0 if len(shares) <= COUNTED else 0.5, vmin=0, vmax=1)
    picture = axes.imshow(shares, cmap=LinearSegmentedColormap.from_list("shares", palette.SHARES), norm=norm)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    figure.colorbar(picture, ax=axes, shrink=0.6, label="share of the class's videos")


def _line(
    axes: "Axes", rows: Sequence[Mapping[str, float]], name: str, *, text: str, colour: str, style: str = "-"
) -> None:
    points = [(row["epoch"], row[name]) for row in rows if name in row]
    if points:
        marker = "o" if len(points) < 40 else ""
        axes.plot(
            *zip(*points, strict=True), style, color=colour, label=text, marker=marker, markersize=3, linewidth=1.4
        )


def _finish(axes: "Axes", title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, loc="left")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(color=GRID, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False)
