"""How the points of each class are drawn, so that neither colours nor shapes alone have to tell them apart."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from timesformer.pictures.palette import CATEGORIES, SOFT, Colour

SHAPES = {
    "circle": ("o", "M1 0A1 1 0 1 1-1 0A1 1 0 1 1 1 0Z"),
    "square": ("s", "M-.88-.88H.88V.88H-.88Z"),
    "triangle": ("^", "M0-1.15L1.1.8H-1.1Z"),
    "diamond": ("D", "M0-1.25L1.05 0L0 1.25L-1.05 0Z"),
    "wedge": ("v", "M0 1.15L1.1-.8H-1.1Z"),
    "plus": ("P", "M-.4-1.1H.4V-.4H1.1V.4H.4V1.1H-.4V.4H-1.1V-.4H-.4Z"),
    "cross": ("X", "M0-.5L.6-1.1L1.1-.6L.5 0L1.1.6L.6 1.1L0 .5L-.6 1.1L-1.1.6L-.5 0L-1.1-.6L-.6-1.1Z"),
}
"""The marker of matplotlib and the path in SVG of each shape, about 2 wide around the origin. Their number and that of
the colours have no common divisor, so that classes get every pair of the two before one comes again."""
MOST = len(CATEGORIES) * len(SHAPES)
"""Classes with a mark of their own."""
UNLABELLED = "without a label"


@dataclass(frozen=True)
class Mark:
    """The mark of a class in all panels of a map."""

    name: str
    colour: Colour
    shape: str
    number: int
    """Place of its colour in the palette, or -1 for grey."""


def marks(labels: Iterable[str]) -> dict[str, Mark]:
    """A mark for each label, in order of name; where there are too many, all but the most frequent share a grey one."""
    counts = Counter(labels)
    nothing = counts.pop("", 0)
    names = sorted(counts)
    if len(names) > MOST:
        own = {name for name, _ in counts.most_common(MOST - 1)}
        names = [name for name in names if name in own]
    shapes = list(SHAPES)
    found = {
        name: Mark(name, CATEGORIES[place % len(CATEGORIES)], shapes[place % len(shapes)], place % len(CATEGORIES))
        for place, name in enumerate(names)
    }
    others = sorted(counts.keys() - found.keys())
    grey = Mark(f"{len(others)} other classes", SOFT, "circle", -1)
    found |= dict.fromkeys(others, grey)
    return found | ({"": Mark(UNLABELLED, SOFT, "circle", -1)} if nothing else {})
