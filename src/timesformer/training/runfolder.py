"""The folder of one training: what it wrote before stays readable whatever happens while it writes again."""

import csv
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from timesformer import charts, configfile
from timesformer.config import ConfigError, TrainConfig

Row = dict[str, float]
"""What was measured in one epoch."""


class SaveError(OSError):
    """Something could not be written; what was there before is untouched."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside the target to write to, put in its place on leaving; raises :class:`SaveError` if it can't."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise SaveError(
            f"{path} could not be written ({error}); the previous one is kept. Is the disk full?"
        ) from error


@dataclass
class State:
    """How far a training has come: with the weights, everything it needs to go on as if it had never stopped."""

    done: int = 0
    """Steps done."""
    loss: float = 0.0
    """Sum of the losses of this epoch's steps."""
    rows: list[Row] = field(default_factory=list)
    """The metrics of the epochs before."""
    found: dict[str, str] = field(default_factory=dict)
    """Broken videos and why."""
    average: list[torch.Tensor] = field(default_factory=list)
    """Averaged weights in the order of the parameters; empty without averaging."""


class RunFolder:
    """Names and formats of a run's files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.toml"
        self.metrics = path / "metrics.jsonl"
        self.best = path / "best.safetensors"
        self.final = path / "final.safetensors"
        self.last = path / "last.pt"
        self.broken = path / "broken.csv"
        self.curves = path / "curves.png"

    def open(self, config: TrainConfig, *, data: str, resume: bool) -> None:
        """Make the folder and write the whole config into it; a folder with a run in it is only opened to resume."""
        if self.last.exists() and not resume:
            raise ConfigError(
                f"{self.path} holds a run already; go on with it (--resume), or choose another folder (--out)."
            )
        self.path.mkdir(parents=True, exist_ok=True)
        if not resume or not self.config.exists():
            with replacing(self.config) as path:
                path.write_text(f"# data: {data}\n{configfile.to_toml(config)}", encoding="utf-8")

    def save(self, state: State, weights: dict[str, Any], optimizer: dict[str, Any]) -> None:
        """Replace the saved state."""
        with replacing(self.last) as path:
            torch.save({"state": vars(state), "weights": weights, "optimizer": optimizer}, path)

    def load(self) -> tuple[State, dict[str, Any], dict[str, Any]] | None:
        """The saved state with weights and optimiser, or None where none was saved yet."""
        if not self.last.exists():
            return None
        saved = torch.load(self.last, weights_only=True)
        return State(**saved["state"]), saved["weights"], saved["optimizer"]

    def write(self, rows: list[Row], found: dict[str, str]) -> None:
        """Replace the metrics, a JSON line for each epoch, their picture, and the list of broken videos."""
        with replacing(self.metrics) as path:
            path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        charts.curves(rows, self.curves)
        if found:
            with replacing(self.broken) as path, path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["path", "reason"])
                writer.writerows(found.items())
