"""The folder for files that can be made or downloaded again: indices of videos, timings, published weights."""

import os
import sys
from contextlib import suppress
from pathlib import Path


def folder() -> Path | None:
    """Return the cache folder, which may not exist yet; None where there is none.

    The environment variable ``TIMESFORMER_CACHE`` names it; an empty value switches the cache off. Without the variable
    it is ``timesformer`` in the system's folder for caches, or None for a user without a home folder.
    """
    named = os.environ.get("TIMESFORMER_CACHE")
    if named is not None:
        return Path(named) if named else None
    with suppress(RuntimeError):  # no home folder
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "timesformer" / "cache"
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "timesformer"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "timesformer"
    return None
