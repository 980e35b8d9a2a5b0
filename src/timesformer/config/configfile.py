"""A training's settings as TOML text and back, exactly; text only, no files.

The text carries every field with its sentence as a comment. Reading is strict: an unknown or ill-typed field is an
error with its dotted name, never ignored. Fields left out have their defaults.
"""

import ast
import difflib
import inspect
import json
import math
import textwrap
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from itertools import pairwise
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from timesformer.config import names
from timesformer.config.checks import ConfigError, shown, wanted
from timesformer.config.renamed import current
from timesformer.config.training import TrainConfig

T = TypeVar("T")
HEADER = "# Settings of a training: `timesformer train DATA --config FILE` runs it with them.\n"
_WIDTH = 120


def to_toml(config: TrainConfig) -> str:
    """All settings as TOML; :func:`from_toml` gives an equal config back.

    Raises :class:`ConfigError` for a text that no file could hold (a file name that is not valid Unicode).
    """
    names = [field.name for field in fields(config)]
    sections = [name for name in names if is_dataclass(getattr(config, name))]
    parts = [HEADER + _lines(config, [name for name in names if name not in sections])]
    for name in sections:
        value = getattr(config, name)
        lines = _lines(value, [field.name for field in fields(value)], f"{name}.")
        parts.append(f"{_comment(inspect.getdoc(value) or '')}[{name}]\n{lines}")
    return "\n".join(parts)


def from_toml(text: str) -> TrainConfig:
    """The config that TOML text describes.

    Raises :class:`ConfigError` for text that isn't TOML, for unknown fields (with the nearest names), for values of
    another type than the field's, and for what the config itself refuses.
    """
    try:
        parsed = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the config is not valid TOML: {error!s:.200}; correct it there.") from error
    return _decode(TrainConfig, parsed, "")


def _lines(config: object, names: Iterable[str], section: str = "") -> str:
    """Fields as settings, each under its sentence."""
    said, kind = sentences(), type(config).__name__
    return "".join(
        f"{_comment(said.get((kind, name), ''))}{name} = {_literal(getattr(config, name), section + name)}\n"
        for name in names
    )


def _comment(text: str) -> str:
    if not text:
        return ""
    return textwrap.indent(textwrap.fill(" ".join(text.split()), _WIDTH - 2, break_on_hyphens=False) + "\n", "# ")


@cache
def sentences() -> dict[tuple[str, str], str]:
    """The sentence under each field of each config, which Python itself keeps only in the source."""
    kinds = (TrainConfig, *filter(is_dataclass, get_type_hints(TrainConfig).values()))
    names = sorted({kind.__module__ for kind in kinds})
    try:
        modules = [ast.parse(inspect.getsource(import_module(name))) for name in names]
    except OSError:  # shipped without source: the settings are complete all the same, only without sentences
        return {}
    return {
        (kind.name, field.target.id): sentence.value.value
        for module in modules
        for kind in module.body
        if isinstance(kind, ast.ClassDef)
        for field, sentence in pairwise(kind.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(sentence, ast.Expr)
        if isinstance(sentence.value, ast.Constant) and isinstance(sentence.value.value, str)
    }


def _literal(value: object, name: str) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_literal(item, name) for item in value)}]"
    if isinstance(value, float):
        return float.__repr__(value)  # numpy's numbers are floats, too, but their own text is not a number's
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else repr(value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{name} is {value!r}, which is not valid Unicode; rename the file.") from error
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _decode(kind: type[T], table: Mapping[str, object], section: str) -> T:
    """A config from a parsed table, every value checked against its field's annotation."""
    hints = get_type_hints(kind)
    try:
        table = current(kind, table)
    except ConfigError as error:
        raise ConfigError(f"{section}{error}") from error
    for name in table:
        if name not in hints:
            raise ConfigError(f"{section}{name} is unknown; {_suggestion(section, name)}")
    values = {name: as_field(hints[name], value, section + name) for name, value in table.items()}
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"[{section[:-1]}] {error}" if section else str(error)) from error


def as_field(hint: Any, value: object, name: str) -> Any:
    """One value as its annotation wants it: lists become tuples, whole numbers become floats where asked.

    Raises :class:`ConfigError` with the field's name for a value of another type.
    """
    options = get_args(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, Mapping):
            return _decode(hint, value, f"{name}.")
    elif get_origin(hint) is Literal:
        if isinstance(value, str) and value in options:
            return value
    elif get_origin(hint) in (Union, UnionType):
        is_array = isinstance(value, list)
        return as_field(next(option for option in options if (get_origin(option) is tuple) == is_array), value, name)
    elif get_origin(hint) is tuple:
        if isinstance(value, list) and (options[-1] is Ellipsis or len(value) == len(options)):
            return tuple(as_field(options[0], item, f"{name}[{place}]") for place, item in enumerate(value))
    elif hint is float:
        is_whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 2**53
        if is_whole or (isinstance(value, float) and math.isfinite(value)):
            return float(value)  # type: ignore[arg-type]
    elif isinstance(value, hint) and isinstance(value, bool) == (hint is bool):
        return value
    section = "a section: [its name] on a line, and its settings under it."
    raise ConfigError(f"{name} is {shown(value)}; it must be {section if is_dataclass(hint) else wanted(hint, value)}")


def _suggestion(section: str, name: str) -> str:
    """The fields that an unknown name may mean: one of that name elsewhere, another program's name, or a near one."""
    own = [known.removeprefix(section) for known in _names() if known.rpartition(".")[0] == section.rstrip(".")]
    near = [known for known in _names() if known.rpartition(".")[2] == name]
    near = near or list(names.understood(name))
    near = near or [section + close for close in difflib.get_close_matches(name, own, n=3)]
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there are {', '.join(own)}."


@cache
def _names() -> tuple[str, ...]:
    """Dotted names of all fields and of the sections themselves."""
    names: list[str] = []
    for name, hint in get_type_hints(TrainConfig).items():
        names += [name, *(f"{name}.{inner}" for inner in (get_type_hints(hint) if is_dataclass(hint) else ()))]
    return tuple(names)
