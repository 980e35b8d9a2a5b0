"""A dataclass as the values that a file holds; :mod:`timesformer.config.decode` reads them."""

from dataclasses import fields, is_dataclass
from typing import Any

ADDED: dict[str, tuple[str, ...]] = {
    "ModelConfig": ("rotary", "registers", "norm_pre", "activation", "norm_eps", "pool")
}
"""For each dataclass, the fields that its first files didn't have. They are written only where they differ from their
defaults, so that models without them keep their texts, and earlier versions read them."""


def encode(config: object) -> dict[str, Any]:
    """The fields of a dataclass by name, those of nested dataclasses as dicts."""
    return {
        name: encode(value) if is_dataclass(value) else value
        for name in written(config)
        for value in (getattr(config, name),)
    }


def written(config: Any) -> list[str]:
    """The names of the fields that a file holds, in their order."""
    added = ADDED.get(type(config).__name__, ())
    changed = {field.name for field in fields(config) if getattr(config, field.name) != field.default}
    return [field.name for field in fields(config) if field.name not in added or field.name in changed]
