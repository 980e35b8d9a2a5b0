"""How WEIGHTS are read, as every command asks that takes them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timesformer.weights.checkpoint import Checkpoint


@dataclass(frozen=True)
class Opened:
    """What weights leave open."""

    labels: Path | None = None
    """A file with the class names (one a line, or JSON: a list, {number: name} or {name: number})."""
    heads: int | None = None
    """Attention heads, for weights that don't state them, as most image models."""
    key: str = ""
    """Which of several models in a file, such as "teacher" or "state_dict_ema"."""

    def load(self, weights: str, *, say: Callable[[str], None]) -> "Checkpoint":
        """The weights; what had to be assumed about them is said."""
        from timesformer.weights import loading

        checkpoint = loading.load(weights, labels=self.labels, heads=self.heads, key=self.key)
        for text in checkpoint.report.brief() if checkpoint.report else ():
            say(f"{weights}: {text}")
        return checkpoint
