"""A training's settings as TOML text and back, exactly; text only, no files.

The text carries every field with its sentence as a comment. Reading is strict: an unknown or ill-typed field is an
error with its dotted name, never ignored. Fields left out have their defaults.
"""

import ast
import difflib
import inspect
import json
import textwrap
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import pairwise
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from timesformer.config import ConfigError, TrainConfig

T = TypeVar("T")
HEADER = "# Settings of a training: `timesformer train DATA --config FILE` runs it with them.\n"
_WIDTH = 120


def to_toml(config: TrainConfig) -> str:
    """All settings as TOML; :func:`from_toml` gives an equal config back.

    Raises :class:`ConfigError` for a text that no file could hold (a file name that is not valid Unicode).
    """
    plain, sections = [HEADER], []
    for name in (field.name for field in fields(config)):
        value = getattr(config, name)
        if is_dataclass(value):
            lines = _comment(inspect.getdoc(type(value)) or "") + f"[{name}]\n"
            sections.append(lines + "".join(_line(value, field.name, f"{name}.") for field in fields(value)))
        else:
            plain.append(_line(config, name, ""))
    return "\n".join(["".join(plain), *sections])


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


def _line(config: Any, name: str, section: str) -> str:
    return (
        _comment(_sentences(type(config)).get(name, ""))
        + f"{name} = {_literal(getattr(config, name), section + name)}\n"
    )


def _comment(text: str) -> str:
    if not text:
        return ""
    return textwrap.indent(textwrap.fill(" ".join(text.split()), _WIDTH - 2, break_on_hyphens=False) + "\n", "# ")


@cache
def _sentences(kind: type) -> dict[str, str]:
    """The sentence under each field of a config, which Python itself keeps only in the source."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body  # type: ignore[attr-defined]
    except OSError:  # shipped without source: the settings are complete all the same, only uncommented
        return {}
    return {
        field.target.id: sentence.value.value
        for field, sentence in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(sentence, ast.Expr)
        if isinstance(sentence.value, ast.Constant) and isinstance(sentence.value.value, str)
    }


def _literal(value: object, name: str) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_literal(item, name) for item in value)}]"
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
    for name in table:
        if name not in hints:
            raise ConfigError(f"{section}{name} is unknown; {_suggestion(section, name)}")
    values = {name: _value(hints[name], value, section + name) for name, value in table.items()}
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"[{section[:-1]}] {error}" if section else str(error)) from error


def _value(hint: Any, value: object, name: str) -> Any:
    """One value as its annotation wants it: arrays become tuples, whole numbers become floats where asked."""
    options = get_args(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, Mapping):
            return _decode(hint, value, f"{name}.")
    elif get_origin(hint) is Literal:
        if isinstance(value, str) and value in options:
            return value
    elif get_origin(hint) in (Union, UnionType):
        is_array = isinstance(value, list)
        return _value(next(option for option in options if (get_origin(option) is tuple) == is_array), value, name)
    elif get_origin(hint) is tuple:
        if isinstance(value, list) and (options[-1] is Ellipsis or len(value) == len(options)):
            return tuple(_value(options[0], item, f"{name}[{place}]") for place, item in enumerate(value))
    elif hint is float:
        if (
            isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**1000
        ):  # no infinity, and no whole number beyond floats
            return float(value)
    elif isinstance(value, hint) and isinstance(value, bool) == (hint is bool):
        return value
    raise ConfigError(f"{name} is {_shown(value)}; it must be {_wanted(hint, value)}")


def _shown(value: object) -> str:
    return "a table" if isinstance(value, dict) else f"{value!r:.80}"


def _wanted(hint: Any, value: object) -> str:
    """What a field takes, as the end of a sentence, with the nearest choice to a wrong one."""
    options = get_args(hint)
    if get_origin(hint) is Literal:
        near = difflib.get_close_matches(str(value), options, n=1)
        return f"one of {', '.join(map(repr, options))}{f'; did you mean {near[0]!r}?' if near else '.'}"
    if get_origin(hint) is tuple:
        count = "" if options[-1] is Ellipsis else f"{len(options)} "
        return f"an array of {count}{'whole ' if options[0] is int else ''}numbers in square brackets."
    if is_dataclass(hint):
        return "a section: [its name] on a line, and its settings under it."
    return {bool: "true or false.", int: "a whole number.", float: "a finite number.", str: "a text in quotes."}[hint]


def _suggestion(section: str, name: str) -> str:
    """The fields nearest to an unknown one, in its own section before others, as the end of a sentence."""
    own = [known.removeprefix(section) for known in _names() if known.rpartition(".")[0] == section.rstrip(".")]
    near = [section + close for close in difflib.get_close_matches(name, own, n=3)]
    near = near or [known for known in _names() if known.rpartition(".")[2] == name]
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
