"""Where the videos lie: folders of classes, and the search for the videos that a list names."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from timesformer.data.items import DataError, Listing, Row, counted, some, split_of_folder
from timesformer.video import tars

VIDEO_SUFFIXES = (
    ".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv",
    ".ts", ".vob", ".webm", ".wmv",
)  # fmt: skip
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")


def is_video_name(name: str) -> bool:
    """Whether the name ends like a video file."""
    return name.lower().endswith(VIDEO_SUFFIXES)


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)


def holds_frames(folder: Path) -> bool:
    """Whether the folder is one video kept as frame images: images lie directly in it, and no video files."""
    names = [entry.name.lower() for entry in _visible(folder)]
    return any(n.endswith(IMAGE_SUFFIXES) for n in names) and not any(n.endswith(VIDEO_SUFFIXES) for n in names)


def is_video(path: Path) -> bool:
    """Whether the path is a file, or in a tar file, or a folder of frame images. What it holds is for the decoder."""
    return path.is_file() or (path.is_dir() and holds_frames(path)) or _is_member(path)


def _is_member(path: Path) -> bool:
    try:
        return tars.containing(path) is not None and tars.extent(path).size >= 0
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DataError(f"{error}; copy it again, or write it again.") from None


def videos_in(folder: Path) -> Iterator[Path]:
    """Yield all videos below a folder in order of name; a folder of images counts as one video."""
    for entry in _visible(folder):
        path = Path(entry.path)
        if entry.is_dir():
            if holds_frames(path):
                yield path
            else:
                yield from videos_in(path)
        elif is_video_name(entry.name):
            yield path


def _folders(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in _visible(folder) if entry.is_dir()]


def _split_folders(data: Path) -> tuple[list[Path], list[Path]]:
    """Folders of the splits, and the others; no split folders where one holds videos itself and so is a class."""
    folders = _folders(data)
    splits = [folder for folder in folders if split_of_folder(folder)]
    if any(is_video_name(entry.name) for folder in splits for entry in _visible(folder)):
        return [], folders
    return splits, [folder for folder in folders if folder not in splits]


def _class_rows(folder: Path, *, data: Path, split: str) -> Iterator[Row]:
    if holds_frames(folder):
        raise DataError(f"{folder} holds images; put the frames of each video into a folder of their own inside it.")
    empty = True
    for path in videos_in(folder):
        empty = False
        yield Row(path.relative_to(data).as_posix(), folder.name, where=str(path), split=split)
    if empty:
        suffixes = " ".join(VIDEO_SUFFIXES)
        raise DataError(f"class folder {folder} holds no videos ({suffixes}); add some or remove the folder.")


def class_folders(data: Path) -> Listing:
    """Read a folder with one folder per class, optionally under train/, val/ and test/.

    Class folders may have folders inside. Raises :class:`DataError` where there is no class, or an empty one.
    """
    splits, others = _split_folders(data)
    notes = (f"folders that are no split are left out: {some([f.name for f in others])}",) if splits and others else ()
    classes = [(c, split_of_folder(f)) for f in splits for c in _folders(f)] or [(c, "") for c in others]
    if not classes:
        loose = sum(is_video_name(entry.name) for entry in _visible(data))
        found = f"{counted(loose, 'video')} and no class folders" if loose else "no videos"
        raise DataError(
            f"{data} holds {found}; make one folder per class, optionally under train/, val/ and test/, "
            "or write a labels.csv with the columns path,label."
        )
    rows = [row for folder, split in classes for row in _class_rows(folder, data=data, split=split)]
    return Listing(tuple(rows), root=data, notes=notes)


def _bare(name: str) -> str:
    """The last part of a name without a video's suffix: what is searched for."""
    last = name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return last.rsplit(".", 1)[0] if is_video_name(last) else last


def _search(folder: Path, wanted: set[str], found: dict[str, list[Path]]) -> None:
    """Collect the videos below a folder whose bare names are wanted; a folder that is one is not searched itself."""
    for entry in _visible(folder):
        path = Path(entry.path)
        directory = entry.is_dir()
        if (bare := _bare(entry.name)) in wanted and (is_video_name(entry.name) or (directory and holds_frames(path))):
            found.setdefault(bare, []).append(path)
        elif directory:
            _search(path, wanted, found)


def _take(row: Row, found: dict[str, list[Path]], root: Path) -> tuple[Path | None, bool]:
    for name in filter(None, (row.cut, row.name)):
        paths = found.get(_bare(name), [])
        if len(paths) > 1:
            places = some([str(path) for path in paths])
            raise DataError(
                f"{row.where}: {name!r} is {len(paths)} videos below {root}: {places}; "
                "name a folder of videos that holds each once."
            )
        if paths:
            return paths[0], name == row.cut
    return None, False


def locate(rows: Sequence[Row], root: Path, *, search: bool) -> list[tuple[Path | None, bool]]:
    """Find each row's video; beside it, whether it is the already cut one. None where there is no video.

    A row's name is a path below ``root``. A name without a video's suffix, or any name if ``search`` is on, is
    also looked for in the whole of ``root`` by its bare name: lists name videos by identifier, and people convert
    and move them. One walk serves all rows. Raises :class:`DataError` if two videos answer to one name.
    """
    direct = [root / row.name if row.title or (not row.cut and is_video(root / row.name)) else None for row in rows]
    sought = [path is None and (search or not is_video_name(r.name)) for r, path in zip(rows, direct, strict=True)]
    lost = [row for row, looked_for in zip(rows, sought, strict=True) if looked_for]
    found: dict[str, list[Path]] = {}
    if lost:
        _search(root, {_bare(name) for row in lost for name in (row.name, row.cut) if name}, found)
    return [
        _take(row, found, root) if looked_for else (path, False)
        for row, path, looked_for in zip(rows, direct, sought, strict=True)
    ]
