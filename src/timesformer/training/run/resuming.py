"""Compare a saved state with the training that resumes from it, before anything of that training changes.

The names, shapes and types must be those that this training would save itself, and all numbers must be finite.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from timesformer.config.checks import fits
from timesformer.config.training import TrainConfig
from timesformer.tasks.table import TABLE
from timesformer.training.run.epochs import EpochRow
from timesformer.training.run.state import State
from timesformer.training.run.statefile import refusal
from timesformer.weights.formats import contents

SETTINGS = ("weight_decay", "scale", "betas", "eps", "momentum", "dampening", "nesterov", "amsgrad", "maximize")
"""Settings of the optimiser that decide what is learned; the learning rate comes from the schedule."""
MOMENTS = {"AdamW": ("step", "exp_avg", "exp_avg_sq"), "SGD": ("momentum_buffer",)}
"""What an optimiser keeps for each parameter."""
SCALER = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")


def check(
    path: Path,
    saved: tuple[State, dict[Any, Any], dict[Any, Any]],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
) -> None:
    """Raise ConfigError unless state, weights and optimiser are those of this model in this training."""
    state, weights, moments = saved
    problem = (
        _tensors("weights", weights, model.state_dict())
        or _average(state.average, model, averaged=config.optim.ema > 0)
        or _moments(moments, model, optimizer)
        or _scaler(state.scaler)
        or _measures(state.rows, config)
    )
    if problem:
        raise refusal(path, problem)


def check_parts(path: Path, state: State, config: TrainConfig) -> None:
    """Raise ConfigError unless a state whose tensors lie in parts fits this training; reading checks the parts."""
    problem = _scaler(state.scaler) or _measures(state.rows, config) or ("average is no list" if state.average else "")
    if problem:
        raise refusal(path, problem)


def check_progress(path: Path, state: State, *, per_epoch: int, epochs: int) -> None:
    """Raise ConfigError unless the number of steps fits the number of finished epochs."""
    finished = len(state.rows)
    fitting = per_epoch * finished <= state.done <= per_epoch * (finished + 1)
    if finished > epochs or not fitting or (state.rows and state.rows[-1].step != per_epoch * finished):
        raise refusal(path, f"{state.done} steps and {finished} epochs, of {per_epoch} steps each, do not agree")


def _tensors(title: str, given: Mapping[Any, Any], wanted: Mapping[str, Tensor]) -> str:
    """The first difference in names, shapes or types, or the first tensor that is not finite; empty without any."""
    if given.keys() != wanted.keys():
        absent = [name for name in wanted if name not in given]
        strange = [f"{name!s:.60}" for name in given if name not in wanted]
        return f"{title} lacks {absent[0]}" if absent else f"{title} has {strange[0]}, which the model hasn't"
    return next((problem for name in wanted if (problem := _tensor(f"{title} {name}", given[name], wanted[name]))), "")


def _tensor(title: str, given: Any, wanted: Tensor) -> str:
    if not contents.is_tensor(given):
        return f"{title} is no tensor"
    if given.shape != wanted.shape or given.dtype != wanted.dtype:
        return f"{title} is {given.dtype} {list(given.shape)}, not {wanted.dtype} {list(wanted.shape)}".replace(
            "torch.", ""
        )
    return "" if bool(given.isfinite().all()) else f"{title} holds what is no number"


def _average(given: Any, model: nn.Module, *, averaged: bool) -> str:
    wanted = list(model.parameters()) if averaged else []
    if not isinstance(given, list) or len(given) != len(wanted):
        return "the averaged weights are not those of the model"
    pairs = enumerate(zip(given, wanted, strict=True))
    return next((problem for number, pair in pairs if (problem := _tensor(f"average {number}", *pair))), "")


def _moments(given: Mapping[Any, Any], model: nn.Module, optimizer: torch.optim.Optimizer) -> str:
    """What is wrong with the optimiser's state of each parameter and its settings, or nothing."""
    own = {id(value): name for name, value in model.named_parameters()}
    learning = {own[id(value)]: value for group in optimizer.param_groups for value in group["params"]}
    state, groups = given.get("state"), given.get("param_groups")
    if set(given) != {"state", "param_groups"} or not isinstance(state, dict) or not isinstance(groups, list):
        return "the optimiser must hold state and param_groups"
    kept = MOMENTS[type(optimizer).__name__] if optimizer.defaults.get("momentum", 1) else ()
    if set(state) != (set(learning) if kept else set()):
        return "the optimiser's state is not for the parameters that learn"
    for name, parts in state.items():
        if not isinstance(parts, dict) or set(parts) != set(kept):
            return f"the optimiser's state of {name} must hold {', '.join(kept)}"
        whole = learning[name].detach()
        likeness = {part: torch.zeros(()) if part == "step" else whole for part in kept}
        if problem := _tensors(f"the optimiser's state of {name}:", parts, likeness):
            return problem
        if any(bool((parts[part] < 0).any()) for part in ("step", "exp_avg_sq") if part in parts):
            return f"the optimiser's state of {name} is negative where it can't be"
    return _groups(groups, own, optimizer)


def _groups(groups: Iterable[Any], own: Mapping[int, str], optimizer: torch.optim.Optimizer) -> str:
    """What is wrong with the groups of parameters and their settings, or nothing."""
    found: dict[str, Any] = {}
    for group in groups:
        names = group.get("params") if isinstance(group, dict) else None
        if not isinstance(names, list) or any(not isinstance(name, str) or name in found for name in names):
            return "the optimiser's groups must name their parameters, each once"
        found |= dict.fromkeys(names, group)
    for group in optimizer.param_groups:
        for name in (own[id(value)] for value in group["params"]):
            if name not in found:
                return f"the optimiser's groups lack {name}"
            theirs = found.pop(name)
            other = [key for key in SETTINGS if key in group and _differ(theirs.get(key), group[key])]
            if other:
                return f"the optimiser's {other[0]} of {name} is {theirs.get(other[0])!r:.40}, not {group[other[0]]!r}"
    return f"the optimiser's groups have {next(iter(found)):.60}, which does not learn" if found else ""


def _differ(one: Any, other: Any) -> bool:
    """Whether settings differ; torch turns some tuples into lists, which is no difference."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return list(one) != list(other)
    return isinstance(one, Tensor) or one != other


def own_settings(moments: Mapping[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimiser's saved state with the settings of this training: none are taken from the file."""
    own = {id(value): name for name, value in model.named_parameters()}
    groups = [{**group, "params": [own[id(value)] for value in group["params"]]} for group in optimizer.param_groups]
    return {"state": moments["state"], "param_groups": groups}


def _scaler(given: Any) -> str:
    """What is wrong with the state of a gradient scaler, which may be empty; or nothing."""
    if not isinstance(given, dict) or (given and set(given) != set(SCALER)):
        return "the gradient scaler's state is not one"
    if any(not fits(value, float) or value < 0 for value in given.values()) or given.get("scale", 1) == 0:
        return "the gradient scaler's state holds what can't be"
    return ""


def _measures(rows: Iterable[EpochRow], config: TrainConfig) -> str:
    """Which measure is missing of those that choose the best epoch, or nothing."""
    wanted = (TABLE[config.task].best, TABLE[config.task].best_weighted)
    absent = ((row.epoch, name) for row in rows for name in wanted if name not in row.validation)
    return next((f"epoch {epoch} has no {name}" for epoch, name in absent), "")
