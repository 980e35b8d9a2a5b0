"""An item of a data set, a row of a list before its video is found, and the names of the splits."""

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
    """One video, or a time range of one, with its label and split."""

    path: Path
    """Absolute path of the video file, or of the folder of its frame images."""
    label: str | tuple[str, ...] | tuple[float, ...]
    """A class name; the names that apply (multi-label); or numbers to predict (regression)."""
    split: str = ""
    """"train", "val" or "test"; empty before a split was chosen."""
    group: str = ""
    """Items of one group stay in one split: a person, a camera, a recording. Empty: a group of its own."""
    start: float | None = None
    """Start of the time range in seconds; None is the start of the video."""
    end: float | None = None
    """End of the time range in seconds; None is the end of the video."""
    name: str = field(default="", compare=False)
    """The path relative to the data folder, with forward slashes, as messages and results show it."""

    @property
    def key(self) -> str:
        """The item's identity as text: "relative/path.mp4", or "relative/path.mp4@1.5-4" for a time range."""
        name = self.name or self.path.as_posix()
        return f"{name}{range_suffix(self.start, self.end)}"

    @property
    def unit(self) -> str:
        """What stays together when splits are chosen: the group, or else the video."""
        return f"group {self.group}" if self.group else f"video {self.name or self.path.as_posix()}"


@dataclass(frozen=True)
class Row:
    """One line of a list, before its video is searched and its label is interpreted."""

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
    """Name of a file that is already trimmed to the time range; it is preferred, without start and end."""
    title: str = ""
    """Name shown instead of the path, for a video in a shard."""
    frames: tuple[int, int] | None = None
    """First frame of the time range and the frame after its last, where the list counts frames instead of seconds."""
    images: int = 0
    """Number of frame images that the list gives for a folder of frames; 0 where it gives none."""
    aliases: tuple[str, ...] = ()
    """Other names that the video file may have, where a tool renamed it."""


@dataclass(frozen=True)
class Listing:
    """All rows of a list or folder, with its class names."""

    rows: tuple[Row, ...]
    root: Path
    """Folder that the names are relative to, unless the caller gives another."""
    labels: tuple[str, ...] | None = None
    """Class names in the order of the source; None if it has none."""
    indexed: bool = False
    """Whether integer labels are class indices rather than names."""
    search: bool = False
    """Whether a name without a matching path is searched in the whole folder, with any suffix."""
    notes: tuple[str, ...] = ()
    fold: int | None = None
    """The cross-validation fold that was read, for lists that come in folds."""


def range_suffix(start: float | None, end: float | None) -> str:
    """Return the suffix of a time range for the name of its video: "@1.5-4", or "" for the whole video."""
    if start is None and end is None:
        return ""
    first, last = ("" if time is None else f"{time:.10g}" for time in (start, end))
    return f"@{first}-{last}"


def split_of(word: str, where: str) -> str:
    """Return "train", "val" or "test" for the word of a list, or "" for an empty one.

    Raises :class:`DataError` for any other word.
    """
    name = word.strip().lower()
    if name and name not in SPLIT_WORDS:
        raise DataError(f"{where}: split {word!r} is unknown; use train, val or test.")
    return SPLIT_WORDS.get(name, "")


def split_in_name(path: Path) -> str:
    """Return the split in the last word of a file's name ("kinetics700_validate.csv"), or ""."""
    return SPLIT_WORDS.get(re.split(r"[-_. ]", path.stem.lower())[-1], "")


def split_of_folder(folder: Path) -> str:
    """Return the split that a folder is named after, or ""."""
    return SPLIT_WORDS.get(folder.name.lower(), "")


def canonical(label: str) -> str:
    """Return a label in canonical form: Unicode NFC, on one line, without surrounding spaces."""
    return unicodedata.normalize("NFC", " ".join(label.splitlines()).strip())


def shortened(text: str, limit: int = 60) -> str:
    """Return a text for a message, truncated where it is long."""
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
