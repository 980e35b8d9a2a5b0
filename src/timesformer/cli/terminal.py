"""What is said to the terminal: text that no encoding refuses, and errors of the system as sentences with a remedy."""

import codecs
import errno
import os
import sys

from timesformer.plain import without_numbers

SIMPLER = {"█": "#", "▏": "|", "→": "->", "…": "...", "×": "x", "≥": ">=", "≤": "<=", "–": "-", "—": "-", "•": "*"}
"""Our own signs in letters that every terminal has."""
REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space there, or write elsewhere (--out)",
    errno.EDQUOT: "your share of the disk is used up; free some space there, or write elsewhere (--out)",
    errno.EACCES: "permission is denied; change its permissions (ls -l shows them), or use another place",
    errno.EPERM: "the system does not permit it; change its permissions, or use another place",
    errno.EROFS: "the file system can only be read; write elsewhere (--out)",
    errno.ENOENT: "it does not exist; check the path",
    errno.ENOTDIR: "a part of the path is a file, not a folder; check the path",
    errno.EISDIR: "it is a folder; name a file",
    errno.EEXIST: "it exists already; name another, or remove it",
    errno.ENAMETOOLONG: "the name is too long for this file system; shorten it",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n), or use fewer workers",
    errno.ENFILE: "too many files are open on this machine; close other programs, or use fewer workers",
    errno.EIO: "the disk or network drive failed while it was read or written; check it, or copy the data elsewhere",
    errno.ESTALE: "the network drive no longer knows the file; mount it again",
    errno.ENOMEM: "the machine's memory is used up; use fewer workers, or close other programs",
    errno.ELOOP: "its links lead in a circle; remove one of them",
    errno.ENOTEMPTY: "the folder is not empty; name another",
}
"""What went wrong and what to do, by the system's number for it."""


def accept_any_text() -> None:
    """Let standard output and errors write what their encoding lacks as ``\\uXXXX``, in place of ending in an error.

    That is also how JSON writes such a character, so that lines of JSON stay what they are in every encoding.
    """
    codecs.register_error("spelled", _spelled)
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="spelled")


def sentence(error: OSError) -> str:
    """An error of the system in words: which file, what is wrong with it, and what to do; our own ones as they are."""
    if error.errno is None or not error.strerror:
        return without_numbers(str(error))
    what = REMEDIES.get(error.errno, f"{error.strerror[:1].lower()}{error.strerror[1:]}; check the path and its disk")
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return f"{' and '.join(names)}: {what}." if names else f"{what[:1].upper()}{what[1:]}."


def _spelled(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(SIMPLER.get(character) or _escape(character) for character in text), error.end


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
