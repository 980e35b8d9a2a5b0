"""The options of all commands that read weights."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from timesformer.cli.source import UNSET

if TYPE_CHECKING:
    from timesformer.weights.checkpoint import Checkpoint


@dataclass(frozen=True)
class Opened:
    """How the weights are read."""

    labels: Annotated[Path | None, UNSET] = None
    """File with the class names: one per line, or JSON (a list, {number: name} or {name: number})."""
    heads: Annotated[int | None, UNSET] = None
    """Number of attention heads, for weights that don't state it, such as most image models."""
    key: Annotated[str, UNSET] = ""
    """Which model to read from a file with several, such as "teacher" or "state_dict_ema"."""

    def load(self, weights: str, *, say: Callable[[str], None]) -> "Checkpoint":
        """The weights, which must have a head; what had to be assumed about them is said."""
        from timesformer.weights import loading

        checkpoint = loading.load(weights, labels=self.labels, heads=self.heads, key=self.key)
        checkpoint.needs_head()
        for text in checkpoint.report.brief() if checkpoint.report else ():
            say(f"{weights}: {text}")
        return checkpoint
