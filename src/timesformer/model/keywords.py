"""Lets programs of torch.fx, which torch.export makes, use modules whose names are words of Python itself.

The second step of the local-global scheme is called global, in saved weights too, and torch.fx writes the way to a
parameter as Python code: ``steps.global.norm`` is none. Only names that could not be written before are written in
another way, so no other program changes.
"""

import keyword
from collections.abc import Callable

from torch.fx import graph

Written = Callable[[str, str], str]


def keyword_safe(written: Written) -> Written:
    """``written(base, target)`` that gives the code of an attribute's path, also for keywords in it."""

    def path(base: str, target: str) -> str:
        parts = target.split(".")
        if not any(map(keyword.iskeyword, parts)):
            return written(base, target)
        for part in parts:
            plain = part.isidentifier() and not keyword.iskeyword(part)
            base = f"{base}.{part}" if plain else f'getattr({base}, "{part}")'
        return base

    return path


def install() -> None:
    """Let torch.fx write keywords safely, once; a torch that names its writer otherwise is left as it is."""
    written = getattr(graph, "_format_target", None)
    if written is not None and written.__module__ != __name__:
        graph._format_target = keyword_safe(written)  # type: ignore[assignment]
