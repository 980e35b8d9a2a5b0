"""The table of a data set: every video with its label and split, from a folder or any supported list."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from timesformer import atomic
from timesformer.config.checks import choice
from timesformer.config.tasks import FACTS
from timesformer.config.training import Task
from timesformer.data.files import VIDEO_SUFFIXES
from timesformer.data.formats.labels import name_labels
from timesformer.data.formats.recognise import existing, recognise
from timesformer.data.formats.resolve import resolve
from timesformer.data.items import SPLITS, DataError, Item, canonical, counted, some
from timesformer.data.splits import complete, shared

_AWKWARD = re.compile(r'^\s|\s$|[^\S ]|[",;]')
"""Characters that require a field to be quoted."""

__all__ = ["VIDEO_SUFFIXES", "DataError", "Item", "Manifest", "load", "write"]


@dataclass(frozen=True)
class Manifest:
    """All items of a data set in order of name, and the names of its classes."""

    source: Path
    """The folder or list that it was read from."""
    items: tuple[Item, ...]
    labels: tuple[str, ...]
    """Class names in the order of the model's outputs; for regression the names of the numbers."""
    task: Task = "classes"
    notes: tuple[str, ...] = ()
    """What was chosen or noticed while reading, for a command to print."""
    fold: int | None = None
    """The cross-validation fold that was read, for lists that come in folds."""

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
        """Return the target of an item: the class index, a multi-hot vector, or the numbers."""
        if isinstance(item.label, str):
            return self._positions[item.label]
        if FACTS[self.task].numeric:
            return tuple(float(value) for value in item.label)
        applying = {self._positions[name] for name in item.label if isinstance(name, str)}
        return tuple(float(index in applying) for index in range(len(self.labels)))

    def class_counts(self, split: str) -> tuple[int, ...]:
        """Return how many items of a split each label has, in the order of ``labels``.

        Raises :class:`DataError` for regression, which has no classes.
        """
        if FACTS[self.task].numeric:
            raise DataError("a regression has no classes to count; count the items instead.")
        counts: Counter[object] = Counter()
        for item in self.of(split):
            counts.update([item.label] if isinstance(item.label, str) else item.label)
        return tuple(counts[name] for name in self.labels)


def _untaught(manifest: Manifest) -> list[str]:
    """Return a note on classes without a training video."""
    if FACTS[manifest.task].numeric or "train" not in manifest.splits:
        return []
    counts = manifest.class_counts("train")
    empty = [name for name, count in zip(manifest.labels, counts, strict=True) if not count]
    return [f"no training video for {counted(len(empty), 'class')}: {some(empty)}"] if empty else []


def _joined(names: Sequence[str], task: Task) -> list[str]:
    """Return a note on class names that look like several labels."""
    joined = [repr(name) for name in names if ";" in name] if FACTS[task].exclusive else []
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
    (1 by default); ``missing`` says whether listed videos that don't exist are an error ("raise") or are left out with
    a note ("drop"). Where no validation split is given, ``seed`` and ``val_share`` choose one from training.

    Nothing is decoded. Raises :class:`DataError` for wrong paths, empty class folders, a single class, repeated or
    missing videos, and unknown labels.
    """
    choice("task", task, get_args(Task))
    choice("missing", missing, ("raise", "drop"))
    source = existing(Path(data))
    listing = recognise(source, task=task, targets=labels, fold=fold)
    root = existing(Path(videos)) if videos else listing.root
    if not listing.rows:
        raise DataError(f"{source} lists no videos with labels; add some.")
    listing = name_labels(listing, task=task, labels=labels)
    items, missed = resolve(listing, root=root, missing=missing)
    names = listing.labels or ()
    if FACTS[task].exclusive and labels is None and len({item.label for item in items}) < 2:
        lost = f" ({'; '.join(missed)})" if missed else ""
        only = items[0].label
        raise DataError(
            f"all {len(items)} videos of {source} have the same class, {only!r}; at least two classes are needed{lost}."
        )
    divided, chosen = complete(items, share=val_share, seed=seed)
    manifest = Manifest(source, divided, names, task, fold=listing.fold)
    return replace(
        manifest,
        notes=(*listing.notes, *_joined(names, task), *missed, *chosen, *shared(divided), *_untaught(manifest)),
    )


def _write_text(path: Path, text: str) -> None:
    """Write a file whole; names of files may be bytes that are not UTF-8, which Python keeps by surrogateescape."""
    with (
        atomic.replacing(path, DataError) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        file.write(text)


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


def _line(fields: Sequence[str]) -> str:
    """Return a line of CSV; the csv module writes carriage returns unquoted and then can't read them."""
    return (
        ",".join(f'"{field.replace(chr(34), chr(34) * 2)}"' if _AWKWARD.search(field) else field for field in fields)
        + "\n"
    )


def write(manifest: Manifest, path: Path) -> None:
    """Write the table as CSV (path,label,split,group,start,end), which :func:`load` reads back to the same items.

    Paths are relative to the CSV's folder where the videos lie below it, and absolute otherwise; a path that is not
    UTF-8 is written as its bytes. A regression has a column for each number instead of label. The order of
    the classes goes into ``<name>.classes.txt`` beside it. Raises :class:`DataError` where it can't be written.
    """
    path = Path(os.path.normpath(path.expanduser().absolute()))
    check_written(manifest, path)
    columns = manifest.labels if FACTS[manifest.task].numeric else ("label",)
    lines = [["path", *columns, "split", "group", "start", "end"]]
    lines += [_fields(item, path.parent) for item in manifest.items]
    if not FACTS[manifest.task].numeric:
        _write_text(path.with_suffix(".classes.txt"), "".join(f"{name}\n" for name in manifest.labels))
    _write_text(path, "".join(map(_line, lines)))


def check_written(manifest: Manifest, path: Path) -> None:
    """Raise :class:`DataError` where the table could not be written; called before long work."""
    if awkward := [n for n in manifest.labels if canonical(n) != n or (FACTS[manifest.task].several and ";" in n)]:
        raise DataError(
            f"class {awkward[0]!r} can't be written to a table; rename it without ';' and line breaks (form NFC)."
        )
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file to write, as {path / 'cleaned.csv'}.")
    folder = next(each for each in path.expanduser().absolute().parents if each.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"{path} can't be written, because {folder} is not writable; name another file.")
