"""The colours of every picture and page: readable on light and dark ground, and distinct to colour-blind eyes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """A colour as ``#rrggbb``: one for light ground, which pictures in files have too, and one for dark pages."""

    light: str
    dark: str


GROUND = Colour("#fbfaf7", "#15171b")
"""Behind everything on a page."""
CARD = Colour("#ffffff", "#1e2127")
"""Behind a figure or table, and of pictures in files."""
INK = Colour("#23262b", "#e7e8ea")
"""Text."""
SOFT = Colour("#656b74", "#a0a6b0")
"""Text that explains, and numbers on axes."""
LINE = Colour("#dfe1e5", "#363b44")
"""Borders and grid lines."""
SERIES = (Colour("#1f6fb4", "#67b0ee"), Colour("#b3500f", "#f0985a"))
"""Things to tell apart, such as two runs: blue and orange, which every kind of colour blindness keeps apart."""
CATEGORIES = (
    Colour("#1f6fb4", "#67b0ee"),
    Colour("#c65a11", "#f0985a"),
    Colour("#00806a", "#4fd0ae"),
    Colour("#b5488f", "#e79ac9"),
    Colour("#8a7400", "#e0cb4a"),
    Colour("#3b3f46", "#d5d8dd"),
    Colour("#2a93bd", "#8fd8f5"),
    Colour("#c62f4b", "#ff8086"),
)
"""Classes of points, beside a shape of their own: many colours are never told apart by everybody."""
GOOD = Colour("#00706b", "#5ad1b5")
"""What was reached. It never stands without a word, and neither does :data:`BAD`."""
BAD = Colour("#b3261e", "#ff8a80")
SHARES = ("#ffffff", "#8fbbe0", "#1f6fb4", "#0b2f52")
"""From a share of 0 to a share of 1, evenly spaced: each darker than the one before, through the blue of the series."""
