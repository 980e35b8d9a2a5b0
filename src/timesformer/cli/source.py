"""The options of all commands that read a data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from timesformer.config.training import Task

if TYPE_CHECKING:
    from timesformer.data.manifest import Manifest


UNSET = tyro.conf.arg(help_behavior_hint="")
"""For options without a default, whose help would otherwise end in "(default: None)"."""


@dataclass(frozen=True)
class Source:
    """How the videos of a list are found."""

    videos: Annotated[Path | None, UNSET] = None
    """Folder of the videos that a list names; the list's own folder unless given."""
    fold: Annotated[int | None, UNSET] = None
    """Fold of the lists of UCF101 and HMDB51; 1 unless given."""
    missing: Literal["raise", "drop"] = "raise"
    """Stop at listed videos that do not exist ("raise"), or leave them out ("drop")."""

    def load(self, data: Path, *, task: Task, labels: tuple[str, ...] | None = None) -> "Manifest":
        """Read the data set; raises DataError as :func:`timesformer.data.manifest.load` does."""
        from timesformer.data import manifest

        return manifest.load(data, task=task, labels=labels, videos=self.videos, fold=self.fold, missing=self.missing)

    def named(self) -> "dict[str, object]":
        """Name and value of what says how the videos of a list are found."""
        return {"videos": self.videos, "fold": self.fold}

    def words(self) -> list[str]:
        """The flags that ask for the same again."""
        given = {"--videos": self.videos, "--fold": self.fold, "--missing": self.missing}
        left_alone = {"--missing": "raise"}
        return [
            word
            for flag, value in given.items()
            if value is not None and value != left_alone.get(flag)
            for word in (flag, str(value))
        ]


@dataclass(frozen=True)
class Labelled(Source):
    """How the videos of a data set are found, and what their labels are."""

    task: Task = "classes"
    """What the labels are: one class per video, any number of labels per video, or numbers to predict."""

    def read(self, data: Path) -> "Manifest":
        """Read the data set for its task."""
        return self.load(data, task=self.task)
