"""The result of a training, and the type of a function that is called after each epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from timesformer.data.batches.batch import Broken
from timesformer.training.run.runfolder import RunFolder
from timesformer.weights import loading
from timesformer.weights.checkpoint import Checkpoint

OnEpoch = Callable[[dict[str, float]], object]
"""Called after each epoch with its measures; what it returns is ignored."""


@dataclass(frozen=True)
class Outcome:
    """The result of a training."""

    run: RunFolder
    rows: tuple[dict[str, float], ...]
    """The metrics of each epoch."""
    broken: tuple[Broken, ...]
    """Videos that could not be read."""
    stopped: int = 0
    """The signal that stopped it early, or 0."""
    measure: str = ""
    """Name of the measure that says which epoch is best."""
    saved: Literal["all", "earlier", "nothing"] = "nothing"
    """What the saved state holds, from which the training can be resumed: all steps, only earlier ones, or none."""

    @property
    def best(self) -> Path:
        """The file of the best epoch's weights."""
        return self.run.best

    @property
    def usable(self) -> Path:
        """The best epoch's weights, or those of the last one where the best could not be kept."""
        return self.run.best if self.run.best.exists() else self.run.final

    @property
    def best_row(self) -> dict[str, float] | None:
        """The metrics of the epoch whose weights were kept as the best; None where none was."""
        return next((row for row in reversed(self.rows) if row["best"]), None)

    @property
    def best_score(self) -> float | None:
        """What the best epoch reached on the validation videos, of ``measure``."""
        return self.best_row[self.measure] if self.best_row else None

    @property
    def checkpoint(self) -> Checkpoint:
        """The best weights, read from their file; raises WeightsError where there are none."""
        return loading.load(self.best)
