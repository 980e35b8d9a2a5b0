"""Find paths in any case and Unicode form of their parts."""

import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from timesformer.data.files import is_video


def alike(text: str) -> str:
    """Return a text in one case and Unicode form, for comparison."""
    return (
        text.lower() if text.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
    )


def parts(name: str) -> list[str]:
    """Return the parts of a path of any operating system."""
    return [part for part in re.split(r"[\\/]+", name.strip()) if part not in ("", ".")]


class Tree:
    """Cached listings of folders, to find paths in any case and Unicode form of their parts."""

    def __init__(self) -> None:
        self._names: dict[Path, dict[str, list[str]]] = {}

    def _listed(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._names:
            names: dict[str, list[str]] = {}
            try:
                for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names, not paths
                    names.setdefault(alike(name), []).append(name)
            except (OSError, ValueError):  # not a folder, or one that can't be listed
                names = {}
            self._names[folder] = names
        return self._names[folder]

    def path(self, root: Path, steps: Sequence[str]) -> Path | None:
        """Return the video at these parts of a path; None where there is none, or several that differ by case."""
        place = root
        for step in steps:
            names = self._listed(place).get(alike(step), [])
            if step in names:
                place = place / step
            elif step == "..":
                place = place.parent
            elif len(names) == 1:
                place = place / names[0]
            else:
                return None
        return place if steps and is_video(place) else None
