"""Whether a class name speaks of sides, so that a mirrored clip would be of another class."""

import re
import unicodedata
from collections.abc import Sequence

SIDED = re.compile(
    r"(left|right|east|west|north(ea|we)st|south(ea|we)st)(s|wards?|bound|y)?|[lr]|[lr]hs|a?c?cw|\w*clock(wise)?"
    r"|rotat\w*|u?turn(s|ed|ing)?|side(s|ways?)?|direction(s|al)?"
    # and the same in a few other languages
    r"|links|rechts|gauche|droite|izquierd[ao]|derech[ao]|sinistra|destra|esquerda|direita|vlevo|vpravo|lewo|prawo"
    # joined to other words: "swipeleft", "righthand"
    r"|(left|right)\w+|\w+(left|right)"
)
"""Words under which mirroring could change the class."""
INNOCENT = re.compile(
    r"(al?|b|birth|copy|down|forth|f|out|play|up|w|ship|wheel|mill|cart|eye)right(ly|s|ness|ing|er)?|clefts?"
    r"|leftovers?|leftists?|right(eous|ful|ly|eously|eousness|fully)|righto"
)
"""Words that hold "left" or "right" and mean neither."""
_WORD = re.compile(r"[A-ZÀ-ÖØ-Þ]+(?![a-zß-öø-ÿ])|[A-ZÀ-ÖØ-Þ]?[a-zß-öø-ÿ]+|[^\W\d_]+")


def speaking_of_sides(names: Sequence[str]) -> list[str]:
    """The names that may depend on the side: by a word, or because nobody here can read them (numbers, other scripts).

    Words are whole ones, of text in camel case and snake case and beside digits too: "breast stroke" holds no "east",
    "turnRight2" and "swipe_left" are found.
    """
    return [name for name in names if not _readable(name) or any(map(_speaks, _words(name)))]


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _speaks(word: str) -> bool:
    return bool(SIDED.fullmatch(word)) and not INNOCENT.fullmatch(word)


def _readable(name: str) -> bool:
    letters = [letter for letter in name if letter.isalpha()]
    return bool(letters) and all(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
