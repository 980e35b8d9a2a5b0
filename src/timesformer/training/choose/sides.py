"""Whether a class name speaks of sides, so that a mirrored clip would be of another class; and of which."""

import re
import unicodedata
from collections import defaultdict
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

OPPOSITES = (
    ("left", "right"),
    ("l", "r"),
    ("lhs", "rhs"),
    ("cw", "ccw"),
    # and the same in a few other languages
    ("links", "rechts"),
    ("gauche", "droite"),
    ("izquierda", "derecha"),
    ("izquierdo", "derecho"),
    ("sinistra", "destra"),
    ("esquerda", "direita"),
    ("vlevo", "vpravo"),
    ("lewo", "prawo"),
)
"""Words that a mirror exchanges. East and west are none: "east coast swing" and "west coast swing" are two dances."""
_OTHER = {word: other for one, two in OPPOSITES for word, other in ((one, two), (two, one))}
_JOINED = re.compile("left|right")
"""A side that is part of a word: "leftward", "lefthand", "swiperight"."""
_CLOCKWISE = (
    (re.compile(r"\b(?:(?:counter|anti|contra) ?clock ?wise|acw)\b"), "ccw"),
    (re.compile(r"\bclock ?wise\b"), "cw"),
)
"""The spellings of the two senses of rotation, in words between single spaces."""


def speaking_of_sides(names: Sequence[str]) -> list[str]:
    """The names that may depend on the side: by a word, or because nobody here can read them (numbers, other scripts).

    Words are whole ones, of text in camel case and snake case and beside digits too: "breast stroke" holds no "east",
    "turnRight2" and "swipe_left" are found.
    """
    return [name for name in names if not _readable(name) or any(map(_speaks, _words(name)))]


def mirror_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of names that a mirror exchanges, such as swipe_left and swipe_right; only where both are there.

    All words of a name that mean a side are exchanged: "from left to right" becomes "from right to left". Spelling
    does not count ("turnCW", "turn_counter-clockwise"). A name of which another spelling is there, too, has no pair.
    """
    spelled: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in names:
        spelled[_key(name)].append(name)
    keys = list(spelled)
    found: dict[frozenset[str], tuple[str, str]] = {}
    for key, same in spelled.items():  # in the order of the names
        others = spelled.get(_mirrored(key, keys), [])
        if len(others) == 1 == len(same) and others != same:
            found.setdefault(frozenset((*same, *others)), (same[0], others[0]))
    return list(found.values())


def _key(name: str) -> tuple[str, ...]:
    """The words and numbers of a name, in lower case; a sense of rotation is "cw" or "ccw"."""
    text = " ".join(part.lower() for part in re.findall(rf"{_WORD.pattern}|\d+", name))
    for spelling, short in _CLOCKWISE:
        text = spelling.sub(short, text)
    return tuple(text.split())


def _mirrored(key: tuple[str, ...], keys: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The words as a mirror shows them; ``keys`` are those of all names."""
    return tuple(word if _is_letter(key, at, keys) else _other(word) for at, word in enumerate(key))


def _other(word: str) -> str:
    if word in _OTHER or INNOCENT.fullmatch(word):
        return _OTHER.get(word, word)
    return _JOINED.sub(lambda found: _OTHER[found[0]], word)


def _is_letter(key: tuple[str, ...], at: int, keys: Sequence[tuple[str, ...]]) -> bool:
    """Whether an "L" or "R" is a letter like others, not a side: "sign_L" beside "sign_M"."""
    if key[at] not in ("l", "r"):
        return False
    alike = (
        other[at]
        for other in keys
        if len(other) == len(key) and other[:at] + other[at + 1 :] == key[:at] + key[at + 1 :]
    )
    return any(len(word) == 1 and word not in "lr" for word in alike)


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _speaks(word: str) -> bool:
    return bool(SIDED.fullmatch(word)) and not INNOCENT.fullmatch(word)


def _readable(name: str) -> bool:
    letters = [letter for letter in name if letter.isalpha()]
    return bool(letters) and all(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
