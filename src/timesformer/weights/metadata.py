"""Configs as JSON and back, checked field by field: what a checkpoint says about itself."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from timesformer.config import checks
from timesformer.config.checks import ConfigError
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.renamed import current
from timesformer.config.training import Task
from timesformer.weights.report import WeightsError

VERSION = 1
T = TypeVar("T")
TargetStats = tuple[tuple[float, float], ...]
"""Mean and standard deviation of each number of a regression over the training videos, by which it is normalised."""


@dataclass(frozen=True)
class Description:
    """Everything in a checkpoint but its tensors."""

    model: ModelConfig
    clip: ClipConfig
    labels: tuple[str, ...] = ()
    task: Task = "classes"
    about: str = ""
    target_stats: TargetStats = ()


def to_json(description: Description) -> str:
    """The description as JSON text with a version number."""
    return dumps({"version": VERSION, **asdict(description)})


def dumps(content: object, *, indent: int | None = None) -> str:
    """JSON text that any file can hold and that comes back the same.

    Letters of all scripts stay readable, but halves of characters, such as names of files that aren't UTF-8 hold, are
    written as escapes.
    """
    text = json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False)
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def from_json(text: str, source: str) -> Description:
    """The description that :func:`to_json` wrote; fields that it leaves out have their defaults.

    Raises :class:`WeightsError` for text that isn't JSON, another version, unknown fields, and values that a config
    refuses.
    """
    parsed = parse(text, source)
    version = parsed.pop("version", None)
    if version != VERSION:
        raise WeightsError(
            f"{source} has description version {version!r:.40}; this release reads {VERSION}: update timesformer."
        )
    for name in ("model", "clip"):
        if name not in parsed:
            raise WeightsError(f"{source} has no {name} settings in its description; save the checkpoint anew.")
    return decode(Description, parsed, source)


def parse(text: str, source: str) -> dict[str, Any]:
    """A JSON object as a dict; raises :class:`WeightsError` for anything else."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{source} is not valid JSON ({error!s:.80}); it is damaged: get the file again.") from error
    if not isinstance(parsed, dict):
        raise WeightsError(f"{source} holds a JSON {type(parsed).__name__}; an object is needed: get the file again.")
    return parsed


def decode(kind: type[T], value: object, where: str) -> T:
    """A config dataclass from parsed JSON, every field checked against its annotation and by the dataclass itself."""
    if not isinstance(value, Mapping):
        raise WeightsError(f"{where} is {value!r:.60}; an object with the fields of {kind.__name__} is needed.")
    try:
        value = current(kind, value)
    except ConfigError as error:
        raise WeightsError(f"{where}: {error}") from error
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(map(str, value)) - set(names))
    if unknown:
        raise WeightsError(
            f"{where} has unknown fields {', '.join(unknown)[:200]}; {kind.__name__} has {', '.join(names)}: "
            "the file is damaged, or from a newer timesformer."
        )
    given = {name: _field(hints[name], value[name], f"{where}: {name}") for name in names if name in value}
    try:
        return kind(**given)
    except ConfigError as error:
        raise WeightsError(f"{where}: {error}") from error


def _field(hint: Any, value: object, where: str) -> Any:
    """One value as its annotation wants it; JSON lists become tuples, whole numbers become floats where asked."""
    origin, options = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__"):
        return decode(hint, value, where)
    if origin is Literal:
        fits = isinstance(value, str) and value in options
    elif origin in (Union, UnionType):
        wanted = isinstance(value, list | tuple)
        kind = next(option for option in options if (get_origin(option) is tuple) == wanted)
        return _field(kind, value, where)
    elif origin is tuple:
        fits = isinstance(value, list | tuple) and (options[-1] is Ellipsis or len(value) == len(options))
        if isinstance(value, list | tuple) and fits:
            return tuple(_field(options[0], item, f"{where}[{position}]") for position, item in enumerate(value))
    elif hint is float:
        fits = checks.fits(value, float)
        value = float(value) if fits else value  # type: ignore[arg-type]
    elif hint is int:
        fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31
    else:
        fits = isinstance(value, hint)
    if not fits:
        raise WeightsError(f"{where} is {value!r:.60}; it must be {_words(hint)}: the file is damaged, get it again.")
    return value


def _words(hint: Any) -> str:
    """An annotation in words for an error message."""
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(repr(option) for option in get_args(hint))
    return str(hint) if get_origin(hint) else hint.__name__
