"""What the architecture of the weights to start from decides, where a recipe or a file has the other settings."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from timesformer.config.training import TrainConfig
from timesformer.training.choose.reason import Reason
from timesformer.weights import loading

FACTS = ("rotary", "registers", "norm_pre", "activation", "norm_eps")
"""Settings of a model that weights decide, and of which recipes and most settings files know nothing."""


def of_weights(config: TrainConfig, named: Mapping[str, Any]) -> tuple[TrainConfig, tuple[Reason, ...]]:
    """The settings with the :data:`FACTS` of the weights that are started from, and a reason where that changed any.

    Those that the user names (dotted) stay, and loading says whether the weights fit them.
    """
    init = named.get("init", config.init)
    if not init:
        return config, ()
    size = named.get("model.size", config.model.size)
    grid = tuple(size) if isinstance(size, list | tuple) else None  # embeddings don't say their shape
    found = loading.read_source(init, grid, key=named.get("key", config.key)).config
    facts = {name: getattr(found, name) for name in FACTS if f"model.{name}" not in named}
    other = {name: value for name, value in facts.items() if value != getattr(config.model, name)}
    if not other:
        return config, ()
    text = ", ".join(f"{name} {_shown(value)}" for name, value in other.items())
    return replace(config, model=replace(config.model, **other)), (Reason(f"as in the weights {init}: {text}"),)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
