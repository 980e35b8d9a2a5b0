"""The settings of a training as flags, which are parsed before the data says what they must agree with."""

import inspect
from dataclasses import field, fields, is_dataclass, make_dataclass
from functools import cache
from typing import Annotated, Any, get_type_hints

import tyro

from timesformer.config.configfile import sentences
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.training import AugmentConfig, OptimConfig

CHOSEN = (ModelConfig, ClipConfig, AugmentConfig, OptimConfig)
"""Sections whose settings are chosen by the data, so that their help names no fixed default."""


@cache
def unchecked(kind: type) -> type[Any]:
    """A class with the fields of a config, but without its checks.

    Some settings must agree with others, such as the width with the number of heads. Those others may be chosen by the
    data, which is read only after the flags are parsed.
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


def _hint(default: str) -> str:
    return f"(default: chosen by the data, or {default})"
