"""The one table of a data set: every video with its label and split, from a folder or any supported list."""

import csv
import io
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from timesformer.checks import choice
from timesformer.config import Task
from timesformer.data.files import VIDEO_SUFFIXES, locate
from timesformer.data.items import SPLITS, DataError, Item, Listing, Row, counted, some
from timesformer.data.labels import name_labels
from timesformer.data.recognise import existing, recognise
from timesformer.data.splits import complete, shared

__all__ = ["VIDEO_SUFFIXES", "DataError", "Item", "Manifest", "load", "write"]


@dataclass(frozen=True)
class Manifest:
    """All items of a data set, in order of name whatever the order of the files, and the names of its classes."""

    source: Path
    """The folder or list that it was read from."""
    items: tuple[Item, ...]
    labels: tuple[str, ...]
    """Class names in the order of the model's outputs; for regression the names of the numbers."""
    task: Task = "classes"
    notes: tuple[str, ...] = ()
    """What was chosen or noticed while reading, for a command to print."""
    fold: int | None = None
    """The fold that was read, of lists that come in folds: the training videos of one are test videos of another."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have items."""
        present = {item.split for item in self.items}
        return tuple(split for split in SPLITS if split in present)

    def of(self, split: str) -> tuple[Item, ...]:
        """Return the items of "train", "val" or "test", or of "all"; "test" is "val" where there is no test split.

        Raises :class:`DataError` if the split has no items.
        """
        if split not in (*SPLITS, "all"):
            raise DataError(f"split {split!r} is unknown; use {', '.join(SPLITS)} or all.")
        if split == "test" and "test" not in self.splits:
            split = "val"
        chosen = tuple(item for item in self.items if split in ("all", item.split))
        if not chosen:
            raise DataError(f"{self.source} has no {split} videos, only {' and '.join(self.splits)}; add some.")
        return chosen

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.labels)}

    def target(self, item: Item) -> int | tuple[float, ...]:
        """Return what a model is to answer: the class index, ones at the names that apply, or the numbers."""
        if isinstance(item.label, str):
            return self._positions[item.label]
        if self.task == "regression":
            return tuple(float(value) for value in item.label)
        applying = {self._positions[name] for name in item.label if isinstance(name, str)}
        return tuple(float(index in applying) for index in range(len(self.labels)))

    def class_counts(self, split: str) -> tuple[int, ...]:
        """Return how many items of a split each label has, in the order of ``labels``.

        Raises :class:`DataError` for regression, which has no classes.
        """
        if self.task == "regression":
            raise DataError("a regression has no classes to count; count the items instead.")
        counts: Counter[object] = Counter()
        for item in self.of(split):
            counts.update([item.label] if isinstance(item.label, str) else item.label)
        return tuple(counts[name] for name in self.labels)


def _names(paths: Sequence[str], root: Path) -> list[str]:
    """Paths relative to the root; those outside it relative to the folder that they have in common."""
    # Text, not Path.relative_to, which took a third of the time of reading 60,000 rows.
    inside = f"{str(root).rstrip(os.sep)}{os.sep}"
    outside = [path for path in paths if not path.startswith(inside)]
    common = f"{os.path.commonpath([Path(path).parent for path in outside])}{os.sep}" if outside else inside
    names = [path.removeprefix(inside if path.startswith(inside) else common) for path in paths]
    return [name.replace(os.sep, "/") for name in names]


def _place(listing: Listing, *, root: Path, missing: Literal["raise", "drop"]) -> tuple[list[Item], list[str]]:
    """Rows with their videos, as items in order of name."""
    if not root.is_dir():
        raise DataError(f"the folder of videos {root} does not exist; check the path.")
    places = locate(listing.rows, root, search=listing.search)
    lost = [f"{row.name} ({row.where})" for row, (path, _) in zip(listing.rows, places, strict=True) if path is None]
    if lost and (missing == "raise" or len(lost) == len(listing.rows)):
        raise DataError(
            f"{len(lost)} of {len(listing.rows)} listed videos do not exist below {root}: {some(lost)}; "
            "correct the list, name the folder of videos (--videos), or leave them out (--missing drop)."
        )
    found = [(row, path, cut) for row, (path, cut) in zip(listing.rows, places, strict=True) if path]
    paths = [os.path.normpath(path) for _, path, _ in found]
    items = []
    for (row, _, cut), path, name in zip(found, paths, _names(paths, root), strict=True):
        start, end = (None, None) if cut else (row.start, row.end)
        items.append(Item(Path(path), row.label, row.split, row.group, start, end, row.title or name))
    _refuse_repeats([row for row, _, _ in found], items)
    items.sort(key=lambda item: (item.name, item.start or 0.0, item.end or 0.0))
    return items, [f"left out: {counted(len(lost), 'listed video')} that can't be found: {some(lost)}"] if lost else []


def _refuse_repeats(rows: Sequence[Row], items: Sequence[Item]) -> None:
    seen: dict[tuple[Path, float | None, float | None], Row] = {}
    repeats = []
    for row, item in zip(rows, items, strict=True):
        first = seen.setdefault((item.path, item.start, item.end), row)
        if first is not row:
            repeats.append(f"{item.key} ({first.where} and {row.where})")
    if repeats:
        raise DataError(
            f"listed twice: {counted(len(repeats), 'video')}: {some(repeats)}; keep one line for each, "
            "with several labels as 'a;b' (multi-label)."
        )


def _untaught(manifest: Manifest) -> list[str]:
    """A note naming the classes without a training video."""
    if manifest.task == "regression" or "train" not in manifest.splits:
        return []
    counts = manifest.class_counts("train")
    empty = [name for name, count in zip(manifest.labels, counts, strict=True) if not count]
    return [f"no training video for {counted(len(empty), 'class')}: {some(empty)}"] if empty else []


def _joined(names: Sequence[str], task: Task) -> list[str]:
    """A note naming classes that look like several."""
    joined = [repr(name) for name in names if ";" in name] if task == "classes" else []
    return [f"one class each: {some(joined)}; several labels per video are --task multilabel"] if joined else []


def load(
    data: Path | str,
    *,
    task: Task = "classes",
    labels: tuple[str, ...] | None = None,
    seed: int = 0,
    videos: Path | str | None = None,
    fold: int | None = None,
    missing: Literal["raise", "drop"] = "raise",
    val_share: float = 0.2,
) -> Manifest:
    """Read a data set: a folder of class folders, a table, or a benchmark's own lists (docs/data.md has them all).

    ``labels`` are the class names of existing weights, whose order is then kept; ``videos`` is the folder that
    listed names are relative to, if it isn't the list's own; ``fold`` chooses among the lists of UCF101 and HMDB51
    (1 unless given); ``missing`` says whether listed videos that don't exist stop everything or are left out and
    noted. Where no validation split is given, ``seed`` and ``val_share`` choose one from training.

    Nothing is decoded. Raises :class:`DataError` for whatever would spoil a training: wrong paths, empty class
    folders, a single class, repeated or missing videos, unknown labels.
    """
    choice("task", task, get_args(Task))
    choice("missing", missing, ("raise", "drop"))
    source = existing(Path(data))
    listing = recognise(source, task=task, targets=labels, fold=fold)
    root = existing(Path(videos)) if videos else listing.root
    if not listing.rows:
        raise DataError(f"{source} lists no videos with labels; add some.")
    listing = name_labels(listing, task=task, labels=labels)
    items, missed = _place(listing, root=root, missing=missing)
    names = listing.labels or ()
    if task == "classes" and labels is None and len({item.label for item in items}) < 2:
        raise DataError(f"all {len(items)} videos of {source} are of one class, {names[0]!r}; a second one is needed.")
    divided, chosen = complete(items, share=val_share, seed=seed)
    manifest = Manifest(source, divided, names, task, fold=listing.fold)
    return replace(
        manifest,
        notes=(*listing.notes, *_joined(names, task), *missed, *chosen, *shared(divided), *_untaught(manifest)),
    )


def _write_atomically(path: Path, text: str) -> None:
    """Write beside the target and rename, so a reader never sees half a file."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _fields(item: Item, folder: Path) -> list[str]:
    path = item.path.relative_to(folder) if item.path.is_relative_to(folder) else item.path
    if isinstance(item.label, str):
        label = [item.label]
    elif item.label and isinstance(item.label[0], float):
        label = [repr(value) for value in item.label]
    else:
        label = [";".join(map(str, item.label))]
    times = ["" if time is None else repr(time) for time in (item.start, item.end)]
    return [path.as_posix(), *label, item.split, item.group, *times]


def write(manifest: Manifest, path: Path) -> None:
    """Write the table as CSV (path,label,split,group,start,end), which :func:`load` reads back to the same items.

    Paths are relative to the CSV's folder where the videos lie below it, and absolute otherwise. A regression has
    a column for each number instead of label. The order of the classes goes into ``<name>.classes.txt`` beside it.
    """
    path = Path(os.path.normpath(path.expanduser().absolute()))
    if awkward := [name for name in manifest.labels if "\n" in name or (manifest.task == "multilabel" and ";" in name)]:
        raise DataError(f"class {awkward[0]!r} can't be written to a table; rename it without ';' and line breaks.")
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    columns = manifest.labels if manifest.task == "regression" else ("label",)
    table.writerow(["path", *columns, "split", "group", "start", "end"])
    table.writerows(_fields(item, path.parent) for item in manifest.items)
    if manifest.task != "regression":
        _write_atomically(path.with_suffix(".classes.txt"), "".join(f"{name}\n" for name in manifest.labels))
    _write_atomically(path, text.getvalue())
