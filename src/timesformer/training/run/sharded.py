"""The state of a sharded training (FSDP): every process writes its own part, and any number of processes can read them.

The parts are safetensors files, so reading them runs no code. Processes on several machines need a shared folder.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed.checkpoint as dcp
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.fsdp import FSDPModule

from timesformer.config.checks import ConfigError
from timesformer.training.run.state import SaveError

Problem = (CheckpointException, SafetensorError, OSError, RuntimeError, ValueError, KeyError)
"""Errors of parts that can't be written or read. The first collects those of all processes; it is no Exception."""


def is_sharded(model: nn.Module) -> bool:
    """Whether each process holds a part of every parameter."""
    return isinstance(model, FSDPModule)


def write(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, average: Sequence[Tensor]) -> None:
    """Write this process's part of weights, optimiser state and averaged weights; all processes must call it.

    Raises :class:`SaveError` in every process if one of them can't write its part.
    """
    _, _, values = _tensors(model, optimizer, average)
    try:
        dcp.save(values, storage_writer=dcp.HuggingFaceStorageWriter(str(folder), save_distributed=True))
    except Problem as error:
        raise SaveError(
            f"{folder} could not be written ({_cause(error)}); the earlier state is kept; free some space on the disk."
        ) from error


def read(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, average: Sequence[Tensor]) -> None:
    """Set model, optimiser and averaged weights, each sharded or whole, to what :func:`write` wrote.

    Raises ConfigError where parts are missing or damaged.
    """
    weights, state, values = _tensors(model, optimizer, average)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="torch.distributed is disabled"
            )  # loading in one process is intended
            dcp.load(values, storage_reader=dcp.HuggingFaceStorageReader(str(folder)))
    except Problem as error:
        raise ConfigError(
            f"{folder} is not a whole saved state ({_cause(error):.120}); restore it from a copy, or remove it and "
            "last.pt beside it to start again."
        ) from error
    set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=state)


def _tensors(
    model: nn.Module, optimizer: torch.optim.Optimizer, average: Sequence[Tensor]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """State dicts of model and optimiser, and one table with their tensors and the averaged weights by name.

    The optimiser's settings are not in the table: they come from the config, and the learning rate from the schedule.
    """
    weights, state = cast("tuple[dict[str, Any], dict[str, Any]]", get_state_dict(model, optimizer))
    values = {f"weights.{name}": value for name, value in weights.items()}
    for name, parts in state["state"].items():
        values |= {f"optimizer.{name}.{part}": value for part, value in parts.items()}
    if average:
        names = (name for name, _ in model.named_parameters())
        values |= {f"average.{name}": value for name, value in zip(names, average, strict=True)}
    return weights, state, values


def _cause(error: BaseException) -> str:
    """The first error of a process in one line."""
    if isinstance(error, CheckpointException) and error.failures:
        error = next(iter(error.failures.values()))[0]
    return " ".join(f"{type(error).__name__}: {error}".split())
