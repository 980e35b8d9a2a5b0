"""The settings of a training as flags, read before there is anything to check them against; and which are named."""

import inspect
from collections.abc import Sequence
from dataclasses import field, fields, is_dataclass, make_dataclass
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, get_type_hints

import tyro

from timesformer.config.configfile import sentences
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.names import known
from timesformer.config.training import AugmentConfig, OptimConfig

CHOSEN = (ModelConfig, ClipConfig, AugmentConfig, OptimConfig)
"""Sections that are chosen by the data, which help doesn't see."""


@cache
def unchecked(kind: type) -> type[Any]:
    """A config's class with the same fields, but without its checks.

    What a setting must agree with, as the width with the number of heads, is often chosen only when the data is known,
    and where the data is, only the flags say.
    """
    hints, said = get_type_hints(kind), sentences()
    made: list[tuple[str, Any, Any]] = []
    for each in fields(kind):
        hint, start = hints[each.name], each.default
        if is_dataclass(hint) and isinstance(hint, type):
            made.append((each.name, unchecked(hint), field(default_factory=unchecked(hint))))
        else:
            flag = tyro.conf.arg(
                help=said.get((kind.__name__, each.name)), help_behavior_hint=_hint if kind in CHOSEN else None
            )
            made.append((each.name, Annotated[hint, flag], field(default=start)))
    return make_dataclass(kind.__name__, made, frozen=True, namespace={"__doc__": inspect.getdoc(kind)})


def named(words: Sequence[str], settings: Any) -> dict[str, Any]:
    """Values of the settings that flags among the words name, by dotted name, as they were parsed."""
    found = {}
    for word in words:
        name = word.partition("=")[0].removeprefix("--").replace("-", "_")
        section, dot, last = name.rpartition(".")
        for each in (name, f"{section}{dot}{last.removeprefix('no_')}"):
            if word.startswith("--") and each in known():
                found[each] = attrgetter(each)(settings)
    return found


def _hint(default: str) -> str:
    return f"(default: chosen, or {default})"
