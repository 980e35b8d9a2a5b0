"""Fonts for text of any script, among those that are installed."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache

DEFAULT = "DejaVu Sans"
"""The font that comes with matplotlib."""
PREFERRED = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans",
    "WenQuanYi Micro Hei",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "PingFang SC",
    "Hiragino Sans",
    "Arial Unicode MS",
)
"""Fonts to try first for characters that the default one doesn't have."""


def families(texts: Iterable[str]) -> tuple[list[str], frozenset[str]]:
    """Names of installed fonts that together write the texts, and the characters that none of them has."""
    needed = {character for text in texts for character in text if not character.isspace()}
    chosen, missing = [DEFAULT], {character for character in needed if ord(character) not in _characters(DEFAULT)}
    for name in _others() if missing else ():
        if added := {character for character in missing if ord(character) in _characters(name)}:
            chosen.append(name)
            missing -= added
    return chosen, frozenset(missing)


def legible(texts: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Fonts that write the texts, and for each text the same with a "?" for every character that no font has."""
    given = list(texts)
    fonts, missing = families(given)
    return fonts, {text: "".join("?" if character in missing else character for character in text) for text in given}


@cache
def _others() -> Sequence[str]:
    """The other installed fonts, also those that were installed after matplotlib last looked for fonts."""
    from matplotlib import font_manager

    known = {font.fname for font in font_manager.fontManager.ttflist}
    for path in set(font_manager.findSystemFonts()) - known:
        with suppress(OSError, RuntimeError, ValueError):
            font_manager.fontManager.addfont(path)
    names = {font.name for font in font_manager.fontManager.ttflist} - {DEFAULT, "Last Resort"}
    return [*(name for name in PREFERRED if name in names), *sorted(names - set(PREFERRED))]


@cache
def _characters(name: str) -> frozenset[int]:
    """Code points that a font can write; none if its file can't be read."""
    from matplotlib import font_manager

    files = [font.fname for font in font_manager.fontManager.ttflist if font.name == name]
    with suppress(OSError, RuntimeError, ValueError):
        return frozenset(font_manager.get_font(files[0]).get_charmap())
    return frozenset()
