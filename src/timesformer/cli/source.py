"""How the videos of DATA are found, as every command asks that reads a data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from timesformer.config.training import Task

if TYPE_CHECKING:
    from timesformer.data.manifest import Manifest


@dataclass(frozen=True)
class Source:
    """What a list of videos leaves open."""

    videos: Path | None = None
    """Folder of the videos that a list names, where it is not the list's own."""
    fold: int | None = None
    """Fold of UCF101 and HMDB51 lists; 1 unless given."""
    missing: Literal["raise", "drop"] = "raise"
    """What to do about listed videos that do not exist."""

    def load(self, data: Path, *, task: Task, labels: tuple[str, ...] | None = None) -> "Manifest":
        """Read the data set; raises DataError as :func:`timesformer.data.manifest.load` does."""
        from timesformer.data import manifest

        return manifest.load(data, task=task, labels=labels, videos=self.videos, fold=self.fold, missing=self.missing)

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
    """A data set without a model that would say what its labels are."""

    task: Task = "classes"
    """One class per video, any number of labels per video, or numbers to predict."""

    def read(self, data: Path) -> "Manifest":
        """Read the data set for its task."""
        return self.load(data, task=self.task)
