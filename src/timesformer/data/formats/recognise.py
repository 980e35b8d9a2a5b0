"""Recognise the format of a folder or list by its content."""

import difflib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from timesformer.config.tasks import FACTS
from timesformer.config.training import Task
from timesformer.data.files import folders_in, holds_frames, is_run, is_video_name, visible
from timesformer.data.formats import annotations, lists, shardlist
from timesformer.data.formats.folders import class_folders
from timesformer.data.formats.plainlists import plain_list
from timesformer.data.formats.tables import header, records, table
from timesformer.data.formats.tree import alike
from timesformer.data.items import DataError, Listing, Row, split_in_name, split_of_folder


def existing(data: Path) -> Path:
    """Return the absolute path; raises :class:`DataError`, with similar names, if it doesn't exist."""
    path = Path(os.path.normpath(data.expanduser().absolute()))
    if path.exists():
        return path
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "check the path."
    raise DataError(f"{data} does not exist; {hint}")


def _reader(path: Path, *, task: Task, targets: tuple[str, ...] | None) -> tuple[str, Callable[[], Listing]]:
    """Return the format of a list file, and a function that reads it."""
    if path.suffix.lower() == ".json":
        content = lists.read_json(path)
        if content == []:
            raise DataError(f"{path} lists no videos; download it again.")
        entries = content if isinstance(content, list) else []
        first = next((entry for entry in entries if isinstance(entry, dict)), {})
        if annotations.is_label_studio(first):
            return "Label Studio", lambda: annotations.label_studio(path, iter(lists.entries(path)), task=task)
        if "vid_name" in first:
            return "Diving-48", lambda: lists.diving(path)
        if "id" in first:
            return "Something-Something-V2", lambda: lists.something(path)
        if annotations.is_create_ml(tuple(first)):
            return "CreateML", lambda: annotations.create_ml(path, iter(lists.entries(path)))
        raise DataError(
            f"{path}: neither a list of Something-Something-V2 nor of Diving-48, nor an export of Label Studio or "
            "CreateML; name one of those, or write a table with the header path,label."
        )
    columns = header(path)
    if not columns:
        raise DataError(f"{path} is empty; write a header path,label and a line for each video.")
    if "youtube_id" in columns:
        return "Kinetics", lambda: lists.kinetics(path)
    if {"video_id", "task_id"} <= set(columns):
        return "HowTo100M", lambda: lists.howto100m(path)
    if annotations.is_label_studio(dict.fromkeys(columns)):
        return "Label Studio", lambda: annotations.label_studio(path, records(path), task=task)
    if annotations.is_create_ml(columns) and not FACTS[task].numeric:
        return "CreateML", lambda: annotations.create_ml(path, records(path))
    if "path" in columns:
        return "table", lambda: table(path, task=task, targets=targets)
    return "plain list", lambda: plain_list(path, task=task, targets=targets)


def _without_repeated_test(rows: list[Row]) -> tuple[list[Row], tuple[str, ...]]:
    """Drop a test list that is a copy of the validation list, as is common with Kinetics."""
    seen = {split: {(r.name, r.label, r.start, r.end) for r in rows if r.split == split} for split in ("val", "test")}
    if not seen["test"] or seen["val"] != seen["test"]:
        return rows, ()
    return [row for row in rows if row.split != "test"], ("the test list repeats the validation list",)


def _list_files(files: list[Path], *, task: Task, targets: tuple[str, ...] | None) -> Listing:
    """Read lists of one format, one for each split, as one."""
    readers = [_reader(file, task=task, targets=targets) for file in files]
    if len({name for name, _ in readers}) > 1:
        found = ", ".join(f"{file.name}: {name}" for file, (name, _) in zip(files, readers, strict=True))
        raise DataError(f"the lists in {files[0].parent} are of several formats ({found}); name the one to read.")
    parts = [read() for _, read in readers]
    rows, notes = _without_repeated_test([row for part in parts for row in part.rows])
    return Listing(
        tuple(rows),
        root=parts[0].root,
        labels=next((part.labels for part in parts if part.labels), None),
        indexed=parts[0].indexed,
        search=parts[0].search,
        notes=(*(note for part in parts for note in part.notes), *notes),
    )


def _folded(data: Path, fold: int | None) -> Listing | None:
    """Read the lists of UCF101 or HMDB51, which come in folds; None if the path isn't one of them."""
    folder = data if data.is_dir() else data.parent
    if data.is_file():
        if not (data.match("*list[0-9][0-9].txt") or data.match("*_test_split[0-9].txt")):
            return None
        fold = fold or int("".join(filter(str.isdigit, data.stem[-2:])))
    if (folder / "classInd.txt").is_file():
        listing = lists.ucf101(folder, fold=fold or 1)
    elif any(folder.glob("*_test_split[0-9].txt")):
        listing = lists.hmdb51(folder, fold=fold or 1)
    else:
        return None
    note = f"fold {fold or 1} of the lists in {folder.name} (--fold for another)"
    return replace(listing, notes=(*listing.notes, note), fold=fold or 1)


def recognise(data: Path, *, task: Task, targets: tuple[str, ...] | None = None, fold: int | None = None) -> Listing:
    """Read a folder or list of any supported format; ``targets`` are the columns that a regression predicts.

    A folder is taken as, in this order: a labels.csv; the lists of UCF101 or HMDB51; shards; lists named after splits
    (train.csv, kinetics700_validate.csv, something-something-v2-train.json); folders of classes.
    Raises :class:`DataError` for anything else.
    """
    if data.is_file() and is_video_name(data.name):
        raise DataError(f"{data} is one video; a data set is a folder or a list of videos.")
    if data.is_dir() and (data / "labels.csv").is_file():
        data = data / "labels.csv"
    if folded := _folded(data, fold):
        return folded
    if fold is not None:
        raise DataError(f"fold is {fold}, but {data} is no split list of UCF101 or HMDB51; leave fold out.")
    if shardlist.index_of(data).is_file():
        return shardlist.listing(shardlist.index_of(data).parent, task=task, targets=targets)
    if data.is_file():
        return _list_files([data], task=task, targets=targets)
    files = sorted(file for file in data.iterdir() if file.is_file() and _names_a_split(file))
    if files:
        return _list_files(files, task=task, targets=targets)
    if inner := _inner(data, known=targets or ()):
        listing = recognise(inner, task=task, targets=targets)
        return replace(listing, notes=(f"read from {inner}, the only folder in {data}", *listing.notes))
    return class_folders(data)


def _inner(data: Path, *, known: tuple[str, ...]) -> Path | None:
    """Return the only folder in a folder where unpacking made such a pair, as clips/clips; None otherwise."""
    if any(is_video_name(entry.name) for entry in visible(data)):
        return None
    folders = [folder for folder in folders_in(data) if not is_run(folder)]
    if len(folders) != 1 or split_of_folder(folders[0]) or folders[0].name in known or holds_frames(folders[0]):
        return None
    inner, inside = folders[0], folders_in(folders[0])
    if any(is_video_name(entry.name) for entry in visible(inner)):
        return None
    same = alike(inner.name) in alike(data.name)
    lists_there = (inner / "labels.csv").is_file() or shardlist.index_of(inner).is_file()
    if lists_there or any(split_of_folder(each) for each in inside) or (same and len(inside) > 1):
        return inner
    return inner if same and inside and _inner(inner, known=known) else None


def _names_a_split(file: Path) -> bool:
    """Whether a file is the list of a split; for a text file, the split must be its whole name."""
    suffix = file.suffix.lower()
    return bool(split_in_name(file)) and (suffix in (".csv", ".json") or (suffix == ".txt" and "_" not in file.stem))
