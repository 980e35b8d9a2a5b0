"""The videos whose features are wanted: a data set with labels, or any videos without."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from timesformer.data import manifest as manifests
from timesformer.data.files import PassedOver, folders_in, holds_frames, is_run, is_video_name, videos_in, visible
from timesformer.data.formats.recognise import existing
from timesformer.data.formats.shardlist import INDEX
from timesformer.data.items import DataError, Item, counted, split_in_name
from timesformer.data.manifest import Manifest


def collected(data: Path | str | Sequence[Path | str], **source: Any) -> Manifest:
    """The videos of a data set, as :func:`timesformer.data.manifest.load` reads it, or of files and folders of them.

    A folder in which videos lie directly, a video, or several paths are videos without labels and splits. ``source``
    are the arguments of the data set's reading. Raises :class:`DataError` for paths that don't exist or hold no videos.
    """
    several = [Path(data)] if isinstance(data, str | Path) else [Path(each) for each in data]
    if not several:
        raise DataError("no videos are named; give a folder, a list, or video files.")
    if len(several) == 1 and not _is_unlabelled(existing(several[0])):
        return manifests.load(several[0], **source)
    passed = PassedOver()
    files = list(dict.fromkeys(file for each in several for file in _files(existing(each), passed)))
    if not files:
        raise DataError(f"{several[0]} holds no videos; name files, or folders of them.")
    common = os.path.commonpath([file.parent for file in files])
    items = tuple(Item(file, "", name=Path(os.path.relpath(file, common)).as_posix()) for file in files)
    notes = (f"{counted(len(items), 'video')} without labels", *passed.notes())
    return Manifest(Path(common), items, (), notes=notes)


def label_text(item: Item) -> str:
    """The label of an item in one text: "wave", "wave;bend", "0.25;3.0"."""
    return item.label if isinstance(item.label, str) else ";".join(map(str, item.label))


def size_of(item: Item) -> int:
    """Bytes of the video's file, by which a changed file is noticed; 0 for a folder of frames or a part of a tar."""
    try:
        return item.path.stat().st_size if item.path.is_file() else 0
    except OSError:
        return 0


def _is_unlabelled(path: Path) -> bool:
    """Whether a path is a video, or a folder of videos without class folders and without a list."""
    if path.is_file():
        return is_video_name(path.name)
    if holds_frames(path):
        return True
    names = [entry.name for entry in visible(path)]
    classes = [folder for folder in folders_in(path) if not is_run(folder)]
    return any(map(is_video_name, names)) and not classes and not any(map(_is_list, names))


def _is_list(name: str) -> bool:
    """Whether a file in a folder may be the list by which its videos are read."""
    suffixes = (".csv", ".json", ".txt")
    return name in ("labels.csv", "classInd.txt", INDEX) or (
        name.endswith(suffixes) and bool(split_in_name(Path(name)))
    )


def _files(path: Path, passed: PassedOver) -> list[Path]:
    return list(videos_in(path, passed)) if path.is_dir() and not holds_frames(path) else [path]
