"""Lets torch.fx write programs for modules whose names are Python keywords.

The second step of the local-global scheme is called ``global``, also in saved weights. torch.export makes programs of
torch.fx, which writes the path to a parameter as Python code, and ``steps.global.norm`` is not valid Python. Paths
without keywords are written as before, so no other program changes.

Another name in the model with the old one in files would take this module's place, but names of parameters are also
those of the optimiser's groups, of saved training states and of torch.distributed.checkpoint, which finds each name
in the state dict by walking the modules. All of them would have to translate.
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
