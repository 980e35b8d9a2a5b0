"""Names from files and folders made safe to show: a terminal obeys escape sequences, and a reader what looks harmless.

Labels come with weights and file names with data, so both are others' text. What is shown is never read back: lists
keep the names as they are.
"""

import re

_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, among them the escape that starts a terminal's sequences
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # that turn or hide what stands beside them
    "\u2028\u2029"  # line and paragraph breaks
    "\ud800-\udfff]"  # halves of characters; file names that aren't UTF-8 consist of them
)
_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def printable(text: str) -> str:
    """Return the text with everything that can't be seen as an escape: ``\\n``, ``\\x1b``, ``\\u202e``.

    The bytes of file names that aren't UTF-8 come as ``\\xff``. Ordinary characters of all scripts stay.
    """
    return _UNSEEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:
        number -= 0xDC00  # a byte that the system's names hold as it is (PEP 383)
    return _SHORT.get(character) or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")
