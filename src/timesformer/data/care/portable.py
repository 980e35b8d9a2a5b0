"""File names that are valid on every system, made from any name."""

import re
from hashlib import blake2b

LONGEST = 255
"""Bytes that a name may have on most systems."""
_FORBIDDEN = re.compile('[<>:"\\\\|?*\x00-\x1f\x7f\ud800-\udfff]')
"""What Windows forbids in names, and bytes that are no UTF-8, which macOS does."""
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def portable(name: str, *, room: int = 40) -> str:
    """Return a relative path with forward slashes that stays inside the folder that it is put into.

    Ordinary names stay. Of others the characters that a system forbids become "_", what is too long is cut off, with
    ``room`` bytes to spare, and a hash of the whole name keeps two of them apart.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "/".join(_portable(part, room) for part in parts)


def _portable(part: str, room: int) -> str:
    plain = _FORBIDDEN.sub("_", part)
    if plain.rstrip(". ") != plain or _DEVICE.match(plain):
        plain = f"_{plain.rstrip('. ')}"
    if len(plain.encode()) <= LONGEST - room and plain == part:
        return part
    short = plain.encode()[: LONGEST - room - 17].decode("utf-8", "ignore")
    return f"{short}~{blake2b(part.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"
