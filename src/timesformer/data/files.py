"""Find all videos below a folder."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from timesformer.data.items import DataError, counted, some
from timesformer.video.decoder import tars

VIDEO_SUFFIXES = (
    ".264", ".265", ".3g2", ".3gp", ".amv", ".asf", ".av1", ".avc", ".avi", ".avs2", ".avs3", ".cavs", ".divx", ".dv",
    ".f4v", ".flc", ".fli", ".flv", ".gif", ".gxf", ".h261", ".h263", ".h264", ".h265", ".h26l", ".hevc", ".insv",
    ".ismv", ".ivf", ".lrv", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mj2", ".mjpeg", ".mjpg", ".mkv", ".mod", ".mov",
    ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".obu", ".ogm", ".ogv", ".ogx", ".qt", ".rm", ".rmvb",
    ".tod", ".tp", ".trp", ".ts", ".vc1", ".vob", ".vro", ".webm", ".wmv", ".wtv", ".xvid", ".y4m",
)  # fmt: skip
"""Suffixes of video formats that FFmpeg reads; files with other suffixes are read where a list names them."""
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
UNSEEN = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
"""Folders that operating systems create."""
RUN_FILES = ("metrics.jsonl", "last.pt", "best.safetensors", "trained_on.json", "training.lock")
"""Files in the folder of a training run, beside its config.toml."""


@dataclass
class PassedOver:
    """What a search of folders skipped."""

    suffixes: Counter[str] = field(default_factory=Counter)
    """Number of files that are no videos, by suffix; "" for none."""
    loops: list[str] = field(default_factory=list)
    """Links to a folder that contains them."""
    runs: list[str] = field(default_factory=list)
    """Folders of training runs."""
    unreadable: list[str] = field(default_factory=list)
    """Folders that can't be listed."""
    no_files: list[str] = field(default_factory=list)
    """Names of videos that are not files: broken links, pipes, sockets and devices."""

    def notes(self) -> list[str]:
        """Return notes on what was skipped."""
        notes = []
        if self.suffixes:
            kinds = sorted(self.suffixes.items(), key=lambda pair: (-pair[1], pair[0]))
            shown = some([f"{count} {suffix or 'without a suffix'}" for suffix, count in kinds], 8)
            notes.append(
                f"left out: {counted(self.suffixes.total(), 'file')} without a video's suffix ({shown}); "
                "name them in a list to use them"
            )
        if self.loops:
            notes.append(
                f"left out: {counted(len(self.loops), 'link')} to a folder that contains it: {some(self.loops)}"
            )
        if self.no_files:
            count = counted(len(self.no_files), "name")
            shown = some(self.no_files, 8)
            notes.append(f"left out: {count} of a broken link, a pipe, a socket or a device: {shown}")
        if self.unreadable:
            count = counted(len(self.unreadable), "folder")
            notes.append(f"left out: {count} that can't be listed: {some(self.unreadable)}")
        if self.runs:
            notes.append(f"left out: {counted(len(self.runs), 'folder')} of a training: {some(self.runs)}")
        return notes


def is_video_name(name: str) -> bool:
    """Whether a name has the suffix of a video file."""
    return name.lower().endswith(VIDEO_SUFFIXES)


def visible(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder in order of name, without hidden and system files.

    Raises :class:`DataError` where the folder can't be listed.
    """
    try:
        with os.scandir(folder) as entries:
            shown = (entry for entry in entries if not entry.name.startswith(".") and entry.name not in UNSEEN)
            return sorted(shown, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{folder} can't be listed ({error.strerror}); change its permissions, or move it elsewhere."
        ) from None


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder; a broken link is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a regular file: no pipe, device or broken link."""
    try:
        return entry.is_file()
    except OSError:
        return False


def holds_frames(folder: Path) -> bool:
    """Whether a folder is one video stored as frame images: it holds images and no video files."""
    names = [entry.name.lower() for entry in visible(folder)]
    return any(n.endswith(IMAGE_SUFFIXES) for n in names) and not any(n.endswith(VIDEO_SUFFIXES) for n in names)


def is_run(folder: Path) -> bool:
    """Whether the folder is that of a training run."""
    # os.path's own, since Path's raises for a folder without permissions
    has = [os.path.isfile(folder / name) for name in ("config.toml", *RUN_FILES)]  # noqa: PTH113
    return has[0] and any(has[1:])


def is_video(path: Path) -> bool:
    """Whether the path is a file, a member of a tar file, or a folder of frame images. Nothing is decoded."""
    if os.path.isfile(path):  # noqa: PTH113 - Path's own raises for names that are too long
        return True
    return (os.path.isdir(path) and holds_frames(path)) or _is_member(path)  # noqa: PTH112


def _is_member(path: Path) -> bool:
    try:
        return tars.containing(path) is not None and tars.extent(path).size >= 0
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise DataError(f"{error}; copy or write it again.") from None


def _identity(path: Path | os.DirEntry[str]) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 - of a link's target
    return status.st_dev, status.st_ino


def walk(
    folder: Path, passed: PassedOver, *, is_whole: Callable[[os.DirEntry[str]], bool] | None = None
) -> Iterator[os.DirEntry[str]]:
    """Yield every entry below a folder in order of name, without entering runs, link loops and whole folders.

    Whole folders are those of frame images, unless ``is_whole`` says otherwise.
    """
    around = {_identity(each) for each in (folder.resolve(), *folder.resolve().parents)}
    yield from _walk(folder, frozenset(around), passed, is_whole or (lambda entry: holds_frames(Path(entry.path))))


def _walk(
    folder: Path,
    around: frozenset[tuple[int, int]],
    passed: PassedOver,
    is_whole: Callable[[os.DirEntry[str]], bool],
) -> Iterator[os.DirEntry[str]]:
    for entry in visible(folder):
        if not is_folder(entry):
            yield entry
            continue
        path = Path(entry.path)
        try:
            identity, run, whole = _identity(entry), is_run(path), is_whole(entry)
            visible(path)
        except (OSError, DataError):
            passed.unreadable.append(entry.path)
            continue
        if identity in around:
            passed.loops.append(entry.path)
        elif run:
            passed.runs.append(entry.path)
        else:
            yield entry
            if not whole:
                yield from _walk(path, around | {identity}, passed, is_whole)


def videos_in(folder: Path, passed: PassedOver | None = None) -> Iterator[Path]:
    """Yield all videos below a folder in order of name; a folder of images counts as one video.

    What is skipped is added to ``passed``, including folders that can't be listed. Raises :class:`DataError` where
    ``folder`` itself can't be listed.
    """
    passed = PassedOver() if passed is None else passed
    for entry in walk(folder, passed):
        path = Path(entry.path)
        if is_folder(entry):
            if holds_frames(path):
                yield path
        elif is_video_name(entry.name) and not is_file(entry):
            passed.no_files.append(entry.path)
        elif is_video_name(entry.name):
            yield path
        else:
            passed.suffixes[path.suffix.lower()] += 1


def folders_in(folder: Path) -> list[Path]:
    """Return the folders directly in a folder, in order of name."""
    return [Path(entry.path) for entry in visible(folder) if is_folder(entry)]
