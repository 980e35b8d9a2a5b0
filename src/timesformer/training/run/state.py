"""The state of a training, what of it is saved, and the error of what can't be saved."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from timesformer.atomic import WriteError
from timesformer.training.run.epochs import EpochRow


class SaveError(WriteError):
    """Something of a run could not be written; what was there before is unchanged."""


@dataclass
class State:
    """How far a training has come: all that it needs, beside the weights, to continue as if it had never stopped."""

    done: int = 0
    """Steps done."""
    loss: float = 0.0
    """Sum of the losses of this epoch's clips; while it runs, of those of this process."""
    clips: int = 0
    """Number of these clips."""
    seconds: float = 0.0
    """Time that this epoch's steps took."""
    waited: float = 0.0
    """The part of this time that went into waiting for clips."""
    rows: list[EpochRow] = field(default_factory=list)
    """The metrics of the epochs before."""
    found: dict[str, str] = field(default_factory=dict)
    """Broken videos and why."""
    damaged: dict[str, str] = field(default_factory=dict)
    """Videos used although part of them does not decode."""
    average: list[torch.Tensor] = field(default_factory=list)
    """Averaged weights in the order of the parameters; empty without averaging."""
    scaler: dict[str, Any] = field(default_factory=dict)
    """State of the gradient scaler of a float16 training; empty in other precisions."""
    missing: list[str] = field(default_factory=list)
    """Tensors that were missing from the weights to start from, so that they learn even beside adapters."""
    data: str = ""
    """Hash of the training items and their order, which the steps depend on."""


@dataclass
class Kept:
    """How much of the training is saved."""

    done: int | None = None
    """Steps done in the saved state; None where none was saved."""
    failures: int = 0
    """How often saving failed since it last succeeded."""

    def holds(self, done: int) -> Literal["all", "earlier", "nothing"]:
        """Whether the saved state holds so many steps, fewer, or none."""
        if self.done is None:
            return "nothing"
        return "all" if self.done == done else "earlier"


class Saved(NamedTuple):
    """What a saved state consists of."""

    state: State
    weights: dict[str, Any]
    optimizer: dict[str, Any]
    parts: Path | None = None
    """The folder with weights and optimiser where each process wrote a part of them."""
