"""A training's settings as TOML text and back, exactly; text only, no files.

The text carries every field under its sentence as a comment, but leaves out what :data:`encode.ADDED` names.
"""

import inspect
import json
import textwrap
import tomllib
from collections.abc import Iterable
from dataclasses import is_dataclass
from functools import cache
from typing import get_type_hints

import docstring_parser

from timesformer.config.checks import ConfigError
from timesformer.config.decode import decode
from timesformer.config.encode import written
from timesformer.config.training import TrainConfig

HEADER = "# Settings of a training: `timesformer train DATA --config FILE` runs it with them.\n"
_WIDTH = 120


def to_toml(config: TrainConfig) -> str:
    """All settings as TOML; :func:`from_toml` gives an equal config back.

    Raises :class:`ConfigError` for a text that no file could hold (a file name that is not valid Unicode).
    """
    names = written(config)
    sections = [name for name in names if is_dataclass(getattr(config, name))]
    parts = [HEADER + _lines(config, [name for name in names if name not in sections])]
    for name in sections:
        value = getattr(config, name)
        lines = _lines(value, written(value), f"{name}.")
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
    return decode(TrainConfig, parsed)


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
    """The sentence under each field of each config, by the class's name and the field's.

    Python keeps them in the source alone; for a package without source there are none.
    """
    kinds = [TrainConfig, *(hint for hint in get_type_hints(TrainConfig).values() if is_dataclass(hint))]
    return {
        (kind.__name__, param.arg_name): param.description or ""
        for kind in kinds
        if isinstance(kind, type)
        for param in docstring_parser.parse_from_object(kind).params
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
