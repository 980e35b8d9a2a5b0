"""A dataclass from a parsed file, TOML or JSON, strictly: unknown and ill-typed fields are errors, never ignored.

Fields that the file leaves out have their defaults. Fields under their names of earlier versions are read, too.
"""

import difflib
import math
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from timesformer.config import names
from timesformer.config.checks import ConfigError, shown, wanted
from timesformer.config.renamed import current

T = TypeVar("T")


def decode(kind: type[T], table: Mapping[str, object], *, section: str = "", root: type | None = None) -> T:
    """An instance of the dataclass ``kind``, every value checked against its field's annotation.

    ``section`` is what the names of the fields begin with in messages ("optim."), and ``root`` is the dataclass of the
    whole file, in which the right place of a misplaced field is looked up. Raises :class:`ConfigError` with the dotted
    name of the field, the rule and the nearest names, and for what the dataclass itself refuses.
    """
    hints = get_type_hints(kind)
    root = root or kind
    try:
        table = current(kind, table)
    except ConfigError as error:
        raise ConfigError(f"{section}{error}") from error
    for name in table:
        if name not in hints:
            raise ConfigError(f"{section}{name!s:.60} is unknown; {_suggestion(root, section, str(name))}")
    values = {name: decode_value(hints[name], value, section + name, root=root) for name, value in table.items()}
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"[{section[:-1]}] {error}" if section else str(error)) from error


def decode_value(hint: Any, value: object, name: str, *, root: type | None = None) -> Any:
    """One value as its annotation wants it: lists become tuples, whole numbers become floats where asked.

    Raises :class:`ConfigError` with the field's ``name`` for a value of another type.
    """
    options = get_args(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, Mapping):
            return decode(hint, value, section=f"{name}.", root=root)
    elif get_origin(hint) is Literal:
        if isinstance(value, str) and value in options:
            return value
    elif get_origin(hint) in (Union, UnionType):
        is_array = isinstance(value, list | tuple)
        option = next(option for option in options if (get_origin(option) is tuple) == is_array)
        return decode_value(option, value, name)
    elif get_origin(hint) is tuple:
        if isinstance(value, list | tuple) and (options[-1] is Ellipsis or len(value) == len(options)):
            return tuple(decode_value(options[0], item, f"{name}[{place}]") for place, item in enumerate(value))
    elif hint is float:
        is_whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 2**53
        if is_whole or (isinstance(value, float) and math.isfinite(value)):
            return float(value)  # type: ignore[arg-type]
    elif isinstance(value, hint) and isinstance(value, bool) == (hint is bool):
        return value
    section = "a section: [its name] on a line, and its settings under it."
    raise ConfigError(f"{name} is {shown(value)}; it must be {section if is_dataclass(hint) else wanted(hint, value)}")


def _suggestion(root: type, section: str, name: str) -> str:
    """The fields that an unknown name may mean: one of that name elsewhere, another program's name, or a near one."""
    known = _names(root)
    own = [each.removeprefix(section) for each in known if each.rpartition(".")[0] == section.rstrip(".")]
    near = [each for each in known if each.rpartition(".")[2] == name]
    near = near or [each for each in names.understood(name) if each in known]
    near = near or [section + close for close in difflib.get_close_matches(name, own, n=3)]
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there are {', '.join(own)}."


@cache
def _names(root: type) -> tuple[str, ...]:
    """Dotted names of all fields and of the sections themselves."""
    found: list[str] = []
    for name, hint in get_type_hints(root).items():
        found += [name, *(f"{name}.{inner}" for inner in (get_type_hints(hint) if is_dataclass(hint) else ()))]
    return tuple(found)
