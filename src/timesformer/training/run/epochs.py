"""What was measured in one epoch: one line of metrics.jsonl."""

from collections.abc import Mapping
from dataclasses import dataclass, field

VALIDATION = "val_"
"""What the names of measures of the validation videos begin with."""


@dataclass(frozen=True)
class EpochRow:
    """The measures of one epoch, over all processes."""

    epoch: int
    """Number of the epoch, from 1."""
    step: int
    """Steps done at its end, over the whole training."""
    lr: float
    """Learning rate of its last step."""
    clips_per_second: float
    """Training throughput."""
    waited: float
    """Share of the time that went into waiting for clips."""
    train_loss: float
    """Mean loss of its clips."""
    broken: int
    """Videos that could not be read, since the training began."""
    damaged: int
    """Videos used although part of them does not decode, since the training began."""
    validation: Mapping[str, float] = field(default_factory=dict)
    """Measures of the validation videos by name, such as "val_loss" and "val_top1"."""
    best: bool = False
    """Whether its weights were kept as the best so far."""

    def as_dict(self) -> dict[str, float]:
        """The row as users, files and ``on_epoch`` get it: every measure by name, as a float."""
        named = {name: float(value) for name, value in vars(self).items() if name not in ("validation", "best")}
        return named | dict(self.validation) | {"best": float(self.best)}

    @classmethod
    def of(cls, values: Mapping[str, float]) -> "EpochRow":
        """The row that :meth:`as_dict` gave."""
        return cls(
            epoch=int(values["epoch"]),
            step=int(values["step"]),
            lr=values["lr"],
            clips_per_second=values.get("clips_per_second", 0.0),
            waited=values.get("waited", 0.0),
            train_loss=values["train_loss"],
            broken=int(values["broken"]),
            damaged=int(values["damaged"]),
            validation={name: value for name, value in values.items() if name.startswith(VALIDATION)},
            best=bool(values["best"]),
        )
