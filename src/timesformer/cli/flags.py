"""The settings of a training as flags: read before there is anything to check them against, and compared after."""

import inspect
from dataclasses import asdict, field, fields, is_dataclass, make_dataclass
from functools import cache
from typing import Annotated, Any, get_type_hints

import tyro

from timesformer.config import AugmentConfig, ClipConfig, ModelConfig, OptimConfig, TrainConfig
from timesformer.configfile import sentences

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


def changed(before: TrainConfig, after: TrainConfig) -> set[str]:
    """Dotted names of the settings that differ."""
    one, other = _flat(asdict(before)), _flat(asdict(after))
    return {name for name in one if one[name] != other[name]}


def _flat(settings: dict[str, Any], section: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{name}.") if isinstance(value, dict) else {f"{section}{name}": value}
    return found


def _hint(default: str) -> str:
    return f"(default: chosen, or {default})"
