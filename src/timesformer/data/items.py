"""The words of a data set: an item, a row of a list before its video is found, and the names of the splits."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from timesformer.errors import TimesformerError

SPLITS = ("train", "val", "test")
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


class DataError(TimesformerError, ValueError):
    """A data set that can't be used as it is: the message says where, the rule and the remedy."""


@dataclass(frozen=True)
class Item:
    """One video, or a stretch of one, with what is known about it."""

    path: Path
    """Absolute path of the video file, or of the folder of its frame images."""
    label: str | tuple[str, ...] | tuple[float, ...]
    """A class name; the names that apply (multi-label); or numbers to predict (regression)."""
    split: str = ""
    """"train", "val" or "test"; empty before a split was chosen."""
    group: str = ""
    """What must not be torn between splits: a person, a camera, a recording. Empty: the video stands alone."""
    start: float | None = None
    """Start of the stretch in seconds; None is the start of the video."""
    end: float | None = None
    """End of the stretch in seconds; None is the end of the video."""
    name: str = field(default="", compare=False)
    """The path relative to the data folder, with forward slashes, as messages and results show it."""

    @property
    def key(self) -> str:
        """The item's identity as text: "relative/path.mp4", or "relative/path.mp4@1.5-4" for a stretch."""
        name = self.name or self.path.as_posix()
        return f"{name}{stretched(self.start, self.end)}"

    @property
    def unit(self) -> str:
        """What stays together when splits are chosen: the group, or else the video that the stretch is from."""
        return f"group {self.group}" if self.group else f"video {self.name or self.path.as_posix()}"


@dataclass(frozen=True)
class Row:
    """One line of a list, before its video is looked for and its label is understood."""

    name: str
    """Path or identifier of the video, as the list writes it."""
    label: str | tuple[str, ...] | tuple[float, ...]
    """The label as the list writes it; numbers where the task is regression."""
    where: str
    """File and line, for messages."""
    split: str = ""
    group: str = ""
    start: float | None = None
    end: float | None = None
    cut: str = ""
    """Name of the file if it is already cut to this stretch; it is preferred, and start and end then fall away."""
    title: str = ""
    """The name to show in place of the path's, for a video that is known to lie there: one in a shard."""
    frames: tuple[int, int] | None = None
    """First frame of the time range and the frame after its last, where the list counts frames instead of seconds."""
    images: int = 0
    """Number of frame images that the list gives for the folder that it names; 0 where it says nothing of a folder."""
    aliases: tuple[str, ...] = ()
    """Other names that the video may have where a tool gave it a new one."""


@dataclass(frozen=True)
class Listing:
    """All rows of a source, with what the source says about its labels."""

    rows: tuple[Row, ...]
    root: Path
    """Folder that the rows' names are relative to, unless the caller names another."""
    labels: tuple[str, ...] | None = None
    """Class names in the order that the source fixes; None if it fixes none."""
    indexed: bool = False
    """Whether integer labels are positions in a list of names, not names."""
    search: bool = False
    """Whether a name without a matching path is looked for in the whole folder, whatever its suffix."""
    notes: tuple[str, ...] = ()
    fold: int | None = None
    """The fold that was read, of lists that come in folds."""


def stretched(start: float | None, end: float | None) -> str:
    """Return what a stretch adds to the name of its video: "@1.5-4", or nothing for the whole video."""
    if start is None and end is None:
        return ""
    first, last = ("" if time is None else f"{time:.10g}" for time in (start, end))
    return f"@{first}-{last}"


def split_of(word: str, where: str) -> str:
    """Return "train", "val" or "test" for the word that a list uses, or "" for an empty one.

    Raises :class:`DataError` for any other word.
    """
    name = word.strip().lower()
    if name and name not in SPLIT_WORDS:
        raise DataError(f"{where}: split {word!r} is unknown; use train, val or test.")
    return SPLIT_WORDS.get(name, "")


def split_in_name(path: Path) -> str:
    """Return the split that a file or folder is named after: its last word ("kinetics700_validate.csv"), or ""."""
    return SPLIT_WORDS.get(re.split(r"[-_. ]", path.stem.lower())[-1], "")


def split_of_folder(folder: Path) -> str:
    """Return the split whose name the folder bears as a whole, or ""."""
    return SPLIT_WORDS.get(folder.name.lower(), "")


def canonical(label: str) -> str:
    """Return a label as it is compared and kept: in the Unicode form NFC, on one line, without spaces around it."""
    return unicodedata.normalize("NFC", " ".join(label.splitlines()).strip())


def shortened(text: str, limit: int = 60) -> str:
    """Return a text for a message, cut off where it is long."""
    return text if len(text) <= limit else f"{text[:limit]}..."


def some(names: list[str], limit: int = 3) -> str:
    """Join the first few names for a message, and say how many more there are."""
    shown = ", ".join(names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


def together(remarks: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Sentences from (video, remark) pairs, one for each remark, which name the videos that it is about."""
    videos: dict[str, list[str]] = {}
    for video, remark in remarks:
        videos.setdefault(remark, []).append(video)
    return tuple(f"{some(names)}: {remark}" for remark, names in videos.items())


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: "1 video", "2 videos", "0 classes"."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
