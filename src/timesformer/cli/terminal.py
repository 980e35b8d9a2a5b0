"""What is said to the terminal: text that no encoding refuses."""

import codecs
import sys

SIMPLER = {"█": "#", "▏": "|", "→": "->", "…": "...", "×": "x", "≥": ">=", "≤": "<=", "–": "-", "—": "-", "•": "*"}
"""Our own signs in letters that every terminal has."""


def accept_any_text() -> None:
    """Let standard output and errors write what their encoding lacks as ``\\uXXXX``, in place of ending in an error.

    That is also how JSON writes such a character, so that lines of JSON stay what they are in every encoding.
    """
    codecs.register_error("spelled", _spelled)
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="spelled")


def _spelled(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(SIMPLER.get(character) or _escape(character) for character in text), error.end


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
