"""Checks of a config: types, choices and limits of its fields; and frame sizes as text."""

import difflib
import math
import re
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from timesformer.errors import TimesformerError


class ConfigError(TimesformerError, ValueError):
    """A setting that can't work: the message says the value, the rule and the remedy."""


def require(condition: bool, message: str) -> None:
    """Raise :class:`ConfigError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise ConfigError(message)


def check_fields(config: object) -> None:
    """Raise :class:`ConfigError` unless every field of a dataclass holds what its annotation says.

    An integer field takes no float, string or boolean; floats must be finite. A list is converted where the field is a
    tuple, so that equal settings compare equal.
    """
    kind: Any = type(config)
    for name, hint in _hints(kind).items():
        value = getattr(config, name)
        if isinstance(value, list) and fits(tuple(value), hint):
            object.__setattr__(config, name, tuple(value))
        elif not fits(value, hint):
            raise ConfigError(f"{name} is {shown(value)}; it must be {wanted(hint, value)}")


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def fits(value: object, hint: Any) -> bool:
    """Whether a value has the type of a config field's annotation."""
    origin, options = get_origin(hint), get_args(hint)
    if origin is Literal:
        return any(type(value) is type(option) and value == option for option in options)
    if origin in (Union, UnionType):
        return any(fits(value, option) for option in options)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = options[:1] * len(value) if options[-1] is Ellipsis else options
        return len(kinds) == len(value) and all(map(fits, value, kinds))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and _finite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return isinstance(value, origin or hint)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def choice(name: str, value: object, options: Iterable[str]) -> None:
    """Raise :class:`ConfigError` for a value that is none of the options, and suggest the nearest."""
    options = tuple(options)
    known = isinstance(value, str) and value in options
    require(known, f"{name} is {shown(value)}; it must be {_one_of(options, value)}")


def shown(value: object) -> str:
    """Return a value as text for a message, truncated where it is long."""
    if isinstance(value, int) and value.bit_length() > 10**4:  # Python itself refuses to write thousands of digits
        return "a whole number of thousands of digits"
    return "a table" if isinstance(value, dict) else f"{value!r:.80}"


def wanted(hint: Any, value: object) -> str:
    """Describe what a field accepts, as the end of a sentence, with the nearest choice to a wrong value."""
    options = get_args(hint)
    if get_origin(hint) is Literal:
        return _one_of(options, value)
    if get_origin(hint) in (Union, UnionType):
        parts = [wanted(option, value).rstrip(".") for option in options]
        return f"{', or '.join(parts)}."
    if get_origin(hint) is tuple:
        count = "" if options[-1] is Ellipsis else f"{len(options)} "
        kinds = {int: "whole numbers", str: "texts"}.get(options[0], "numbers")
        return f"an array of {count}{kinds} in square brackets."
    if hint is int and fits(value, float):
        return "a whole number." if isinstance(value, float) else "a whole number of at most 64 bits."
    words = {bool: "true or false.", int: "a whole number.", float: "a finite number.", str: "a text in quotes."}
    return words.get(hint) or f"{'None' if hint is NoneType else getattr(hint, '__name__', hint)}."


def _one_of(options: Iterable[Any], value: object) -> str:
    options = tuple(options)
    near = nearest(value, options) if isinstance(value, str) else None
    return f"one of {', '.join(map(repr, options))}{f'; did you mean {near!r}?' if near else '.'}"


def nearest(value: str, options: Iterable[Any]) -> str | None:
    """Return the option that a wrong text most likely means: another spelling, an abbreviation, or a typo."""
    plain = {_plain(option): option for option in options if isinstance(option, str)}
    given = _plain(value)
    if given in plain:
        return plain[given]
    longer = [name for name in plain if given and name and (given.startswith(name) or name.startswith(given))]
    close = difflib.get_close_matches(given, longer or plain, n=1, cutoff=0.0 if longer else 0.5)
    return plain[close[0]] if close else None


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def at_least(least: int, config: object, *names: str) -> None:
    """Raise :class:`ConfigError` unless each field is finite and at least ``least``."""
    for name in names:
        value = getattr(config, name)
        require(least <= value < math.inf, f"{name} is {shown(value)}; it must be at least {least}.")


def at_most(config: object, **limits: float) -> None:
    """Raise :class:`ConfigError` for a field above its limit, which is far above any useful value."""
    for name, most in limits.items():
        value = getattr(config, name)
        require(value <= most, f"{name} is {shown(value)}; it must be at most {most:,}.")


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return height and width in pixels; one number is the side of a square."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def in_pixels(size: int | tuple[int, int]) -> str:
    """Return a size as text: "224 px", or height and width, "224 x 398 px"."""
    height, width = sides(size)
    return f"{height} px" if height == width else f"{height} x {width} px"
