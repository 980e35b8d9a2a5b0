"""A saved state is checked against the training that it is to go on with, before anything of that is touched.

A file may be damaged, cut, swapped for another run's, or made to harm. What is taken over from it must have the types,
names and shapes that this training itself would write, and numbers that are numbers.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from timesformer.config.checks import ConfigError, fits
from timesformer.config.training import TrainConfig
from timesformer.tasks.table import TABLE
from timesformer.training.run.epochs import EpochRow
from timesformer.weights.formats import contents, pickles
from timesformer.weights.report import WeightsError

LATER = {"scaler"}
"""Parts of the state that older versions did not save."""
PARTS = ("last.parts.0", "last.parts.1")
"""Folders beside a state that hold weights and optimiser where every process wrote its own part."""
MEASURED = ("epoch", "step", "lr", "train_loss", "broken", "damaged", "best")
"""What every epoch's row says, among other things."""
SETTINGS = ("weight_decay", "scale", "betas", "eps", "momentum", "dampening", "nesterov", "amsgrad", "maximize")
"""Settings of the optimiser that decide what is learned; the learning rate comes from the schedule."""
MOMENTS = {"AdamW": ("step", "exp_avg", "exp_avg_sq"), "SGD": ("momentum_buffer",)}
"""What an optimiser keeps for each parameter."""
SCALER = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")


def refusal(path: Path, what: str) -> ConfigError:
    """The error for a state that can't be gone on with."""
    return ConfigError(f"{path} is not a whole saved state ({what:.160}); put a copy back, or remove it to begin anew.")


def read(path: Path, state: type) -> dict[str, Any]:
    """What a file of a state holds, every part of the type that it must have; raises ConfigError.

    "state" holds the fields of the dataclass ``state``, "weights" and "optimizer" tensors and settings by name, and
    "parts" the folder beside it where they lie instead, or nothing.
    """
    try:
        saved = pickles.read(path)
    except (WeightsError, OSError) as error:
        raise refusal(path, f"{error!s:.120}".replace(f"{path} ", "")) from error
    names = {"state": dict, "weights": dict, "optimizer": dict, "parts": str}
    if not isinstance(saved, dict) or set(dict.keys(saved)) != set(names):
        raise refusal(path, f"it must hold {', '.join(names)}")
    saved = dict(dict.items(saved))
    for name, kind in names.items():
        if not isinstance(saved[name], kind):
            raise refusal(path, f"{name} is a {type(saved[name]).__name__}")
    if saved["parts"] not in ("", *PARTS) or (saved["parts"] and not (path.parent / saved["parts"]).is_dir()):
        raise refusal(path, f"parts is {saved['parts']!r:.60}, which is no folder of it")
    if saved["parts"] and (saved["weights"] or saved["optimizer"]):
        raise refusal(path, "it holds weights and names parts")
    if problem := _progress(saved["state"], state):
        raise refusal(path, problem)
    return saved


def _progress(values: Mapping[Any, Any], state: type) -> str:
    """What is wrong with the fields of a state, or nothing."""
    names = [field.name for field in fields(state) if field.default is not MISSING or field.default_factory]
    absent = [name for name in names if name not in values and name not in LATER]
    strange = [str(name) for name in values if name not in names]
    if absent or strange:
        return f"its state {f'lacks {absent[0]}' if absent else f'has an unknown {strange[0]:.40}'}"
    for name in ("done", "clips"):
        if not fits(values[name], int) or values[name] < 0:
            return f"{name} is {values[name]!r:.40}"
    for name in ("loss", "seconds", "waited"):
        if not fits(values[name], float) or (name != "loss" and values[name] < 0):
            return f"{name} is {values[name]!r:.40}"
    for name in ("found", "damaged"):
        if not isinstance(values[name], dict) or not all(_text(pair) for pair in values[name].items()):
            return f"{name} is no table of texts"
    if not isinstance(values["lacking"], list) or not _text(values["lacking"]) or not isinstance(values["data"], str):
        return "lacking or data is no text"
    return _rows(values["rows"], values["done"])


def _text(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _rows(rows: Any, done: int) -> str:
    """What is wrong with the epochs before, or nothing."""
    if not isinstance(rows, list):
        return "rows is no list"
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or not _text(row):
            return f"row {number} is no table of measures"
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in row.values()):
            return f"row {number} holds what is no number"
        if not all(name in row and math.isfinite(row[name]) for name in MEASURED) or row["epoch"] != number:
            return f"row {number} isn't that of epoch {number}"
        if row["step"] != rows[0]["step"] * number:
            return f"row {number} doesn't follow the ones before"
    if rows and not rows[-1]["step"] <= done <= rows[-1]["step"] + rows[0]["step"]:
        return f"{done} steps done do not follow {len(rows)} epochs"
    return ""


def check(
    path: Path,
    saved: tuple[Any, dict[Any, Any], dict[Any, Any]],
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


def check_parts(path: Path, state: Any, config: TrainConfig) -> None:
    """Raise ConfigError unless a state whose tensors lie in parts fits this training; the parts are checked as read."""
    problem = _scaler(state.scaler) or _measures(state.rows, config) or ("average is no list" if state.average else "")
    if problem:
        raise refusal(path, problem)


def check_progress(path: Path, state: Any, *, per_epoch: int, epochs: int) -> None:
    """Raise ConfigError unless the steps that are done belong to the epochs that are behind."""
    finished = len(state.rows)
    fitting = per_epoch * finished <= state.done <= per_epoch * (finished + 1)
    if finished > epochs or not fitting or (state.rows and state.rows[-1].step != per_epoch * finished):
        raise refusal(path, f"{state.done} steps and {finished} epochs, of {per_epoch} steps each, do not agree")


def _tensors(title: str, given: Mapping[Any, Any], wanted: Mapping[str, Tensor]) -> str:
    """How tensors differ from those wanted, by name, shape, type and in being numbers; or nothing."""
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
    """What is wrong with the optimiser's memory of each parameter and its settings, or nothing."""
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
        if not isinstance(names, list) or not _text(names) or any(name in found for name in names):
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
    """Whether settings differ in more than the list that torch makes of a tuple, or in their kind."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return list(one) != list(other)
    return isinstance(one, Tensor) or one != other


def own_settings(moments: Mapping[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimiser's memory with the settings that this training gives it: none are taken from the file."""
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
    """Whether rows hold the measures by which the best epoch is told; what is wrong, or nothing."""
    wanted = (TABLE[config.task].best, TABLE[config.task].best_weighted)
    absent = ((row.epoch, name) for row in rows for name in wanted if name not in row.validation)
    return next((f"epoch {epoch} has no {name}" for epoch, name in absent), "")
