"""The folder of one training: its files, and whether a training may begin or continue in it.

Every file is written atomically, so the folder can be read, and resumed from, whenever the training ends.
"""

import csv
import json
import shutil
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

from timesformer import atomic
from timesformer.config import configfile
from timesformer.config.checks import ConfigError
from timesformer.config.training import TrainConfig
from timesformer.pictures import charts
from timesformer.plain import printable
from timesformer.training.run import statefile
from timesformer.training.run.lock import Lock
from timesformer.training.run.state import Saved, SaveError, State
from timesformer.weights.runs import LEARNED

DRAWING = 15.0
"""Seconds between two pictures of the curves: drawing one can take longer than training a small epoch."""
MEASURING = ("seed", "clips", "crops")
"""Settings of the engine that a resumed run keeps, so that its random numbers and measures stay comparable."""


class RunFolder:
    """Names and formats of a run's files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.toml"
        self.metrics = path / "metrics.jsonl"
        self.best = path / "best.safetensors"
        self.final = path / "final.safetensors"
        self.last = path / "last.pt"
        self._parts = [path / name for name in statefile.PARTS]
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
                f"{self.path} holds a run already; resume it (--resume), or choose another folder (--out)."
            )

    def check(self, config: TrainConfig, *, resume: bool) -> None:
        """Raise ConfigError where a run would be overwritten, or resumed with other settings."""
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
                    f"the run in {self.path} was started with other settings ({', '.join(changed)}); resume it with "
                    "its own settings, or start a new run from its weights (--init)."
                )

    def begun(self) -> TrainConfig:
        """The settings that the run was started with, or last extended with; raises ConfigError."""
        return configfile.from_toml(self.config.read_text(encoding="utf-8"))

    def added(self, config: TrainConfig) -> str:
        """What changes where the run gets more epochs than before, in a sentence; empty where it does not."""
        before = self.begun().optim.epochs if self.last.exists() and self.config.exists() else config.optim.epochs
        after = config.optim.epochs
        if after <= before:
            return ""
        steps = "the learning rate follows its milestones"
        cosine = f"the learning rate now falls to zero over all {after} epochs, so it rises where the run continues"
        return f"{before} epochs become {after}: {cosine if config.optim.schedule == 'cosine' else steps}"

    def make(self) -> None:
        """Make the folder; raises :class:`SaveError` where it can't be."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SaveError(
                f"{self.path} could not be made ({error.strerror}); choose another folder (--out)."
            ) from error

    def take(self) -> bool:
        """Lock the folder for this training; returns False where its file system has no locks.

        Raises ConfigError where another training has it, :class:`SaveError` where it can't be written into.
        """
        try:
            return self.lock.take()
        except OSError as error:
            raise SaveError(
                f"{self.path} could not be written to ({error.strerror}); free some space, change its permissions, or "
                "choose another folder (--out)."
            ) from error

    def open(self, config: TrainConfig, *, data: Path) -> None:
        """Write the config into the folder, and remove what a killed process left half written."""
        atomic.clear(self.path)
        if not (self.last.exists() and self.config.exists()) or config.optim.epochs > self.begun().optim.epochs:
            with self._replacing(self.config) as path:
                path.write_text(f"# data: {printable(str(data))}\n{configfile.to_toml(config)}", encoding="utf-8")

    def _replacing(self, path: Path) -> AbstractContextManager[Path]:
        """A temporary path that takes the place of a file of the run; raises :class:`SaveError`."""
        if not self.path.is_dir():
            raise SaveError(f"{path} could not be written: the folder of the run is gone; restore it, or start again.")
        return atomic.replacing(path, SaveError)

    def size(self) -> int:
        """Bytes of the files in the folder that a training replaces."""
        files = [self.last, self.best, self.final, *(file for part in self._parts for file in part.glob("*"))]
        return sum(file.stat().st_size for file in files if file.is_file())

    def save(self, saved: Saved) -> None:
        """Replace the saved state, and remove the parts of the one before."""
        with self._replacing(self.last) as path:
            statefile.write(path, saved)
        for folder in self._parts:
            if folder != saved.parts:
                shutil.rmtree(folder, ignore_errors=True)

    def free_parts(self) -> Path:
        """The folder for the parts of the next state: of two, the one that the saved state does not use."""
        first, second = self._parts
        saved = self.load()
        return second if saved and saved.parts == first else first

    def load(self) -> Saved | None:
        """The saved state with weights and optimiser, or None where nothing is saved yet; raises ConfigError."""
        return statefile.read(self.last) if self.last.exists() else None

    def write(self, state: State, *, last: bool) -> None:
        """Replace the metrics, a JSON line for each epoch, the list of broken videos, and now and then the curves.

        After the ``last`` epoch the curves are always drawn. Raises :class:`timesformer.atomic.WriteError`.
        """
        with self._replacing(self.metrics) as path:
            path.write_text("".join(f"{json.dumps(row.as_dict())}\n" for row in state.rows), encoding="utf-8")
        self.write_broken(state.found, state.damaged)
        if last or time.monotonic() - self._drawn > DRAWING:
            charts.curves([row.as_dict() for row in state.rows], self.curves)
            self._drawn = time.monotonic()

    def write_learned(self, keys: Sequence[str]) -> None:
        """Write the names of the training videos, so that a later evaluation can tell that it measures on them."""
        with self._replacing(self.path / LEARNED) as path:
            path.write_text(json.dumps(keys), encoding="utf-8")

    def write_broken(self, found: dict[str, str], damaged: dict[str, str]) -> None:
        """Replace the list of broken and of partly used videos, each with its reason; there is no list without any."""
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
