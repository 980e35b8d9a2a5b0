"""The folder of one training: what it wrote before stays readable whatever happens while it writes again."""

import csv
import json
import shutil
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from timesformer import atomic
from timesformer.atomic import WriteError
from timesformer.config import configfile
from timesformer.config.checks import ConfigError
from timesformer.config.training import TrainConfig
from timesformer.pictures import charts
from timesformer.plain import printable
from timesformer.training.run import resuming
from timesformer.training.run.epochs import EpochRow
from timesformer.training.run.lock import Lock
from timesformer.weights.runs import LEARNED

DRAWING = 15.0
"""Seconds between two pictures of the curves, which take longer to draw than a small epoch to train."""
MEASURING = ("seed", "clips", "crops")
"""Settings of the engine that a resumed run keeps: draws and measures before and after must be comparable."""


class SaveError(WriteError):
    """Something of a run could not be written; what was there before is unchanged."""


@dataclass
class State:
    """How far a training has come: with the weights, everything it needs to go on as if it had never stopped."""

    done: int = 0
    """Steps done."""
    loss: float = 0.0
    """Sum of the losses of this epoch's clips; while it runs, of those of this process."""
    clips: int = 0
    """Number of these clips."""
    seconds: float = 0.0
    """Time that this epoch's steps took."""
    waited: float = 0.0
    """Part of it spent waiting for clips."""
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
    lacking: list[str] = field(default_factory=list)
    """Tensors that the weights to start from did not have, so that they learn even beside adapters."""
    data: str = ""
    """Fingerprint of the training items, whose order the steps depend on."""


@dataclass
class Kept:
    """What of the state is on the disk."""

    done: int | None = None
    """Steps done in the saved state; None where none was saved."""
    failures: int = 0
    """Savings that failed since the last one that did not."""

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


class RunFolder:
    """Names and formats of a run's files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.toml"
        self.metrics = path / "metrics.jsonl"
        self.best = path / "best.safetensors"
        self.final = path / "final.safetensors"
        self.last = path / "last.pt"
        self._parts = (path / "last.parts.0", path / "last.parts.1")
        self.broken = path / "broken.csv"
        self.curves = path / "curves.png"
        self.lock = Lock(path)
        self._drawn = time.monotonic()

    def claim(self, *, resume: bool) -> None:
        """Raise ConfigError where a run would be overwritten, or where the folder is a file."""
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.path} is a file; choose a folder for the run (--out).")
        if self.last.exists() and not resume:
            raise ConfigError(
                f"{self.path} holds a run already; go on with it (--resume), or choose another folder (--out)."
            )

    def check(self, config: TrainConfig, *, resume: bool) -> None:
        """Raise ConfigError where a run would be overwritten, or resumed with settings that it was not begun with."""
        self.claim(resume=resume)
        if self.last.exists() and self.config.exists():
            begun = self.begun()
            engine = replace(begun.engine, **{name: getattr(config.engine, name) for name in MEASURING})
            same = replace(config, engine=engine, optim=replace(config.optim, epochs=begun.optim.epochs))
            changed = _differences(begun, same)
            if config.optim.epochs < begun.optim.epochs:
                changed.append(f"optim.epochs was {begun.optim.epochs}, is {config.optim.epochs}: more can be added")
            if changed:
                raise ConfigError(
                    f"the run in {self.path} was begun with other settings ({', '.join(changed)}); resume it with its "
                    "own, or start another from its weights (--init)."
                )

    def begun(self) -> TrainConfig:
        """The settings that the run was begun with, or that epochs were added to; raises ConfigError."""
        return configfile.from_toml(self.config.read_text(encoding="utf-8"))

    def added(self, config: TrainConfig) -> str:
        """What more epochs than the run was begun with change, in a sentence; nothing where there are none."""
        before = self.begun().optim.epochs if self.last.exists() and self.config.exists() else config.optim.epochs
        after = config.optim.epochs
        if after <= before:
            return ""
        steps = "the learning rate goes on by its milestones"
        cosine = f"the learning rate now falls to zero over all {after}, so it rises where the run goes on"
        return f"{before} epochs become {after}: {cosine if config.optim.schedule == 'cosine' else steps}"

    def make(self) -> None:
        """Make the folder; raises :class:`SaveError` where it can't be."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SaveError(f"{self.path} can't be made ({error.strerror}); choose another folder (--out).") from error

    def take(self) -> bool:
        """Lock the folder for this training; whether its file system can do that.

        Raises ConfigError where another training has it, :class:`SaveError` where it can't be written into.
        """
        try:
            return self.lock.take()
        except OSError as error:
            raise SaveError(
                f"{self.path} can't be written into ({error.strerror}); free space or change its permissions, or "
                "choose another folder (--out)."
            ) from error

    def open(self, config: TrainConfig, *, data: Path) -> None:
        """Write the whole config into the folder, and remove what an earlier process left half written."""
        atomic.clear(self.path)
        if not (self.last.exists() and self.config.exists()) or config.optim.epochs > self.begun().optim.epochs:
            with self._replacing(self.config) as path:
                path.write_text(f"# data: {printable(str(data))}\n{configfile.to_toml(config)}", encoding="utf-8")

    def _replacing(self, path: Path) -> AbstractContextManager[Path]:
        """A temporary path that takes the place of a file of the run; raises :class:`SaveError`."""
        if not self.path.is_dir():
            raise SaveError(f"{path} could not be written: the folder of the run is gone; restore it, or start anew.")
        return atomic.replacing(path, SaveError)

    def size(self) -> int:
        """Bytes of what the folder holds that a training replaces."""
        files = [self.last, self.best, self.final, *(file for part in self._parts for file in part.glob("*"))]
        return sum(file.stat().st_size for file in files if file.is_file())

    def save(self, saved: Saved) -> None:
        """Replace the saved state; the parts of the one before go with it."""
        with self._replacing(self.last) as path:
            parts = saved.parts.name if saved.parts else ""
            state = vars(saved.state) | {"rows": [row.as_dict() for row in saved.state.rows]}
            content = {"state": state, "weights": saved.weights, "optimizer": saved.optimizer}
            torch.save(content | {"parts": parts}, path)
        for folder in self._parts:
            if folder.name != parts:
                shutil.rmtree(folder, ignore_errors=True)

    def free_parts(self) -> Path:
        """A folder for the parts of the next state: of two, the one that the saved state has no use for."""
        first, second = self._parts
        saved = self.load()
        return second if saved and saved.parts == first else first

    def load(self) -> Saved | None:
        """The saved state with weights and optimiser, or None where none was saved yet; raises ConfigError."""
        if not self.last.exists():
            return None
        saved = resuming.read(self.last, State)
        parts = self.path / saved["parts"] if saved["parts"] else None
        state = State(**saved["state"] | {"rows": [EpochRow.of(row) for row in saved["state"]["rows"]]})
        return Saved(state, saved["weights"], saved["optimizer"], parts)

    def write(self, state: State, *, last: bool) -> None:
        """Replace the metrics, a JSON line for each epoch, and the list of broken videos; now and then their picture.

        After the ``last`` epoch it is drawn in any case. Raises :class:`SaveError` and WeightsError.
        """
        with self._replacing(self.metrics) as path:
            path.write_text("".join(f"{json.dumps(row.as_dict())}\n" for row in state.rows), encoding="utf-8")
        self.write_broken(state.found, state.damaged)
        if last or time.monotonic() - self._drawn > DRAWING:
            charts.curves([row.as_dict() for row in state.rows], self.curves)
            self._drawn = time.monotonic()

    def write_learned(self, keys: Sequence[str]) -> None:
        """Write which videos teach the weights, so that no later evaluation takes them for new ones."""
        with self._replacing(self.path / LEARNED) as path:
            path.write_text(json.dumps(keys), encoding="utf-8")

    def write_broken(self, found: dict[str, str], damaged: dict[str, str]) -> None:
        """Replace the list of broken videos and of those used in part, each with its reason; none, no list."""
        if found or damaged:
            # names that aren't UTF-8 are written as the bytes they are
            with (
                self._replacing(self.broken) as path,
                path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
            ):
                writer = csv.writer(file)
                writer.writerow(["path", "reason", "used"])
                writer.writerows((key, reason, "no") for key, reason in sorted(found.items()))
                writer.writerows((key, reason, "yes") for key, reason in sorted(damaged.items()))


def _differences(first: object, second: object, section: str = "") -> list[str]:
    """Dotted names of the settings in which two configs differ, each with both values."""
    changed = []
    for name in (each.name for each in fields(first)):  # type: ignore[arg-type]
        one, other = getattr(first, name), getattr(second, name)
        if is_dataclass(one):
            changed += _differences(one, other, f"{section}{name}.")
        elif one != other:
            changed.append(f"{section}{name} was {one!r}, is {other!r}")
    return changed
