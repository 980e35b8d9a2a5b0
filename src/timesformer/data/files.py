"""Where the videos lie: folders of classes, and the walk through folders that finds every video in them."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from timesformer.data.items import DataError, Listing, Row, counted, some, split_of_folder
from timesformer.video.decoder import tars

VIDEO_SUFFIXES = (
    ".264", ".265", ".3g2", ".3gp", ".amv", ".asf", ".av1", ".avc", ".avi", ".avs2", ".avs3", ".cavs", ".divx", ".dv",
    ".f4v", ".flc", ".fli", ".flv", ".gif", ".gxf", ".h261", ".h263", ".h264", ".h265", ".h26l", ".hevc", ".insv",
    ".ismv", ".ivf", ".lrv", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mj2", ".mjpeg", ".mjpg", ".mkv", ".mod", ".mov",
    ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".obu", ".ogm", ".ogv", ".ogx", ".qt", ".rm", ".rmvb",
    ".tod", ".tp", ".trp", ".ts", ".vc1", ".vob", ".vro", ".webm", ".wmv", ".wtv", ".xvid", ".y4m",
)  # fmt: skip
"""What FFmpeg reads and is nothing but video; a file of another suffix is read where a list names it."""
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
UNSEEN = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
"""Folders that systems put beside what people put there."""
RUN_FILES = ("metrics.jsonl", "last.pt", "best.safetensors", "trained_on.json", "training.lock")
"""What the folder of a training holds beside its config.toml."""


@dataclass
class PassedOver:
    """What a walk through folders saw and did not take for a video."""

    suffixes: Counter[str] = field(default_factory=Counter)
    """Files by suffix; "" for none."""
    loops: list[str] = field(default_factory=list)
    """Links to a folder that they lie in."""
    runs: list[str] = field(default_factory=list)
    """Folders of trainings."""
    unreadable: list[str] = field(default_factory=list)
    """Folders that can't be listed."""
    no_files: list[str] = field(default_factory=list)
    """Names of videos that are no files: links that lead nowhere, pipes, sockets and devices."""

    def notes(self) -> list[str]:
        """What is to be said of it."""
        notes = []
        if self.suffixes:
            kinds = sorted(self.suffixes.items(), key=lambda pair: (-pair[1], pair[0]))
            shown = some([f"{count} {suffix or 'without a suffix'}" for suffix, count in kinds], 8)
            notes.append(
                f"left out: {counted(self.suffixes.total(), 'file')} that by the suffix are no videos ({shown}); "
                "a list that names them reads them"
            )
        if self.loops:
            notes.append(f"left out: {counted(len(self.loops), 'link')} to a folder around it: {some(self.loops)}")
        if self.no_files:
            count = counted(len(self.no_files), "name")
            shown = some(self.no_files, 8)
            notes.append(f"left out: {count} of no file, but of a dead link, a pipe, a socket or a device: {shown}")
        if self.unreadable:
            count = counted(len(self.unreadable), "folder")
            notes.append(f"left out: {count} that can't be listed, whatever they hold: {some(self.unreadable)}")
        if self.runs:
            notes.append(f"left out: {counted(len(self.runs), 'folder')} of a training: {some(self.runs)}")
        return notes


def is_video_name(name: str) -> bool:
    """Whether the name ends like a video file."""
    return name.lower().endswith(VIDEO_SUFFIXES)


def visible(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder in order of name, without those that are hidden or a system's own.

    Raises :class:`DataError` where the folder can't be listed.
    """
    try:
        with os.scandir(folder) as entries:
            shown = (entry for entry in entries if not entry.name.startswith(".") and entry.name not in UNSEEN)
            return sorted(shown, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{folder} can't be listed ({error.strerror}); mend its permissions, or move it away."
        ) from None


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder; a link that leads nowhere, or to itself, is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a file that can be read to its end: no pipe or device, and no link that leads nowhere."""
    try:
        return entry.is_file()
    except OSError:
        return False


def holds_frames(folder: Path) -> bool:
    """Whether the folder is one video kept as frame images: images lie directly in it, and no video files."""
    names = [entry.name.lower() for entry in visible(folder)]
    return any(n.endswith(IMAGE_SUFFIXES) for n in names) and not any(n.endswith(VIDEO_SUFFIXES) for n in names)


def is_run(folder: Path) -> bool:
    """Whether the folder is that of a training."""
    # os.path's own, since Path's raises for a folder whose files must not be asked about
    has = [os.path.isfile(folder / name) for name in ("config.toml", *RUN_FILES)]  # noqa: PTH113
    return has[0] and any(has[1:])


def is_video(path: Path) -> bool:
    """Whether the path is a file, or in a tar file, or a folder of frame images. What it holds is for the decoder."""
    if os.path.isfile(path):  # noqa: PTH113 - Path's own raises for names that are too long
        return True
    return (os.path.isdir(path) and holds_frames(path)) or _is_member(path)  # noqa: PTH112


def _is_member(path: Path) -> bool:
    try:
        return tars.containing(path) is not None and tars.extent(path).size >= 0
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise DataError(f"{error}; copy it again, or write it again.") from None


def _identity(path: Path | os.DirEntry[str]) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 - of a link's target
    return status.st_dev, status.st_ino


def walk(
    folder: Path, passed: PassedOver, *, is_whole: Callable[[os.DirEntry[str]], bool] | None = None
) -> Iterator[os.DirEntry[str]]:
    """Yield every entry below a folder in order of name, but what lies in a training, a loop, or a folder taken whole.

    Those are the folders of frame images unless ``is_whole`` says otherwise.
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

    What is passed over goes into ``passed``, folders below that can't be listed among it. Raises :class:`DataError`
    where ``folder`` itself can't be.
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
    """The folders directly in a folder, in order of name."""
    return [Path(entry.path) for entry in visible(folder) if is_folder(entry)]


def _split_folders(data: Path, passed: PassedOver) -> tuple[list[Path], list[Path]]:
    """Folders of the splits, and the others; no split folders where one holds videos itself and so is a class."""
    folders = folders_in(data)
    folders = [folder for folder in folders if _is_listed(folder, passed)]
    passed.runs.extend(str(folder) for folder in folders if is_run(folder))
    folders = [folder for folder in folders if not is_run(folder)]
    splits = [folder for folder in folders if split_of_folder(folder)]
    if any(is_video_name(entry.name) for folder in splits for entry in visible(folder)):
        return [], folders
    return splits, [folder for folder in folders if folder not in splits]


def _is_listed(folder: Path, passed: PassedOver) -> bool:
    """Whether a folder can be listed; it is noted where not."""
    try:
        visible(folder)
    except DataError:
        passed.unreadable.append(str(folder))
        return False
    return True


def _class_rows(folder: Path, *, data: Path, split: str, passed: PassedOver) -> list[Row]:
    if holds_frames(folder):
        raise DataError(f"{folder} holds images; put the frames of each video into a folder of their own inside it.")
    return [
        Row(path.relative_to(data).as_posix(), folder.name, where=str(path), split=split)
        for path in videos_in(folder, passed)
    ]


def _refuse_empty(classes: list[tuple[Path, str]], counts: list[int]) -> list[str]:
    """Refuse empty class folders, but where other classes of a val/ or test/ folder have videos; those get a note."""
    filled = {split for (_, split), count in zip(classes, counts, strict=True) if count}
    notes = []
    for (folder, split), count in zip(classes, counts, strict=True):
        if not count and (split in ("", "train") or split not in filled):
            raise DataError(
                f"class folder {folder} holds no videos ({' '.join(VIDEO_SUFFIXES)}); add some or remove the folder."
            )
        if not count:
            notes.append(str(folder))
    return [f"no videos in {counted(len(notes), 'class folder')}: {some(notes)}"] if notes else []


def class_folders(data: Path) -> Listing:
    """Read a folder with one folder per class, optionally under train/, val/ and test/.

    Class folders may have folders inside. Raises :class:`DataError` where there is no class, or an empty one that
    others of its split don't outnumber.
    """
    passed = PassedOver()
    splits, others = _split_folders(data, passed)
    notes = [f"folders that are no split are left out: {some([f.name for f in others])}"] if splits and others else []
    inside = [(c, split_of_folder(f)) for f in splits for c in folders_in(f) if _is_listed(c, passed)]
    classes = [(c, split) for c, split in inside if not is_run(c)] or [(c, "") for c in others]
    if not classes:
        loose = sum(is_video_name(entry.name) for entry in visible(data))
        found = f"{counted(loose, 'video')} and no class folders" if loose else "no videos"
        raise DataError(
            f"{data} holds {found}; make one folder per class, optionally under train/, val/ and test/, "
            "or write a labels.csv with the columns path,label."
        )
    parts = [_class_rows(folder, data=data, split=split, passed=passed) for folder, split in classes]
    notes += _refuse_empty(classes, [len(part) for part in parts])
    return Listing(tuple(row for part in parts for row in part), root=data, notes=(*notes, *passed.notes()))
