"""The description of a checkpoint as JSON and back, checked field by field."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from timesformer.config import decode as strictly
from timesformer.config.checks import ConfigError
from timesformer.config.encode import encode
from timesformer.config.model import ClipConfig, ModelConfig
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
    return dumps({"version": VERSION, **encode(description)})


def dumps(content: object, *, indent: int | None = None) -> str:
    """JSON text that any file can hold and that comes back the same.

    Letters of all scripts stay readable; lone surrogates, as in file names that aren't UTF-8, are escaped.
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
            raise WeightsError(f"{source} has no {name} settings in its description; save the checkpoint again.")
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


def decode(kind: type[T], table: Mapping[str, object], where: str) -> T:
    """A dataclass from parsed JSON, strictly as settings are read; raises :class:`WeightsError` with ``where``."""
    try:
        return strictly.decode(kind, table)
    except ConfigError as error:
        raise WeightsError(
            f"{where}: {error} The file is damaged or from a newer timesformer; get it again."
        ) from error
