"""Draw the map of the package for CONTRIBUTING.md, from its imports: python -m docs.pictures.floors docs/floors.png

The floors are those that tests/test_house.py holds, and the text beside a room is the first sentence of its docstring.
"""

import ast
import re
import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from tests.test_house import FLOORS, PACKAGE, edges, read

from timesformer.pictures.palette import CARD, GROUND, INK, LINE, SERIES, SOFT

ROW = 0.27
"""Height of a room in inches."""
NAME, TEXT, DOTS = 0.2, 2.0, 7.6
"""Where names, sentences and dots begin, in inches."""
LONGEST = 92
"""Characters of a sentence that fit."""

RULE = (
    "Each row shows with dots which rooms a room imports. They lie on lower floors, so no dot is left of the diagonal."
)


def room(module: str) -> str:
    """The room that a module is in: the longest name among the floors that its own begins with."""
    parts = module.split(".")[1:]
    return next(name for count in range(len(parts), -1, -1) if (name := ".".join(parts[:count])) in FLOORS)


def rooms() -> dict[str, set[str]]:
    """The rooms that hold code, from the top floor down, and the other rooms that each imports."""
    sources = read(PACKAGE)
    found: dict[str, set[str]] = {}
    for module, targets in edges(PACKAGE, sources).items():
        if len(sources[module].body) > 1:  # more than a docstring
            found.setdefault(room(module), set()).update(map(room, targets))
    order = {name: place for place, name in enumerate(FLOORS)}
    return {name: found[name] - {name} for name in sorted(found, key=lambda name: -order[name])}


def sentence(name: str) -> str:
    """The first sentence of a room's docstring, without its end; of a long one, the words before its colon."""
    path = PACKAGE.joinpath(*name.split(".")) if name else PACKAGE
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    first = text.split("\n\n")[0].replace("\n", " ").split(". ")[0].rstrip(".").replace("`", "")
    return first if len(first) <= LONGEST else re.split("[:;]", first)[0][:LONGEST]


def draw(out: Path) -> None:
    """Write the picture: a row for each room, and a dot under each room that it imports."""
    house = rooms()
    names = list(house)
    height, width = ROW * len(names), DOTS + ROW * (len(names) + 0.7)
    figure = Figure(figsize=(width, height + 2.2), dpi=100, facecolor=CARD.light)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height + 0.3, -1.9))
    axes.axis("off")
    axes.text(NAME, -1.5, "The floors of timesformer", fontsize=14, weight="bold", color=INK.light)
    axes.text(NAME, -1.22, RULE, color=SOFT.light)
    axes.text(NAME, -0.3, "room", color=SOFT.light, fontsize=8)
    axes.text(TEXT, -0.3, "what it holds", color=SOFT.light, fontsize=8)
    for place in range(len(names)):
        _row(axes, place, names, house)
    figure.savefig(out)


def _row(axes: Axes, place: int, names: list[str], house: dict[str, set[str]]) -> None:
    name, top, middle = names[place], ROW * place, ROW * (place + 0.5)
    shade = GROUND.light if FLOORS[name] % 2 else CARD.light
    axes.add_patch(
        Rectangle((NAME / 2, top), DOTS - NAME / 2 + ROW * len(names), ROW, facecolor=shade, edgecolor="none")
    )
    shown = name or "timesformer"
    axes.text(NAME, middle, shown, va="center", weight="bold", fontsize=9, color=SERIES[0].light)
    axes.text(TEXT, middle, sentence(name), va="center", fontsize=8.5, color=INK.light)
    x = DOTS + ROW * (place + 0.5)
    axes.text(
        x, -0.12, shown, rotation=60, fontsize=7.5, color=SOFT.light, ha="left", va="bottom", rotation_mode="anchor"
    )
    axes.add_patch(Rectangle((DOTS + ROW * place, top), ROW, ROW, facecolor=LINE.light, edgecolor="none"))
    for target in house[name]:
        axes.plot(DOTS + ROW * (names.index(target) + 0.5), middle, "o", markersize=6, color=SERIES[0].light)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
