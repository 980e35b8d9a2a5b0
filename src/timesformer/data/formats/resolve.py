"""Turn the rows of a list into items with videos, names and time ranges, in order of name."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from timesformer.data.formats.locate import Found, is_far, locate
from timesformer.data.formats.tables import is_text
from timesformer.data.formats.tree import alike
from timesformer.data.items import DataError, Item, Listing, Row, counted, some
from timesformer.video import reader
from timesformer.video.reader import VideoError


def resolve(listing: Listing, *, root: Path, missing: Literal["raise", "drop"]) -> tuple[list[Item], list[str]]:
    """Return the rows with their videos, as items in order of name, and notes.

    ``missing`` says whether missing videos are an error or are left out with a note. Raises :class:`DataError` for
    missing videos, for videos that are listed twice, and for files listed as folders of frame images.
    """
    if not root.is_dir():
        raise DataError(f"the folder of videos {root} does not exist; check the path.")
    places = locate(listing.rows, root, search=listing.search)
    lost = [row for row, (path, _) in zip(listing.rows, places.found, strict=True) if path is None]
    gone = _gone(listing.rows, lost, places.found) if lost else ""
    if lost and (missing == "raise" or len(lost) == len(listing.rows)):
        raise DataError(
            f"{len(lost)} of {len(listing.rows)} listed videos do not exist below {root}: {gone}; "
            "correct the list, name the folder of videos (--videos), or leave them out (--missing drop)."
        )
    rows, items, ranged = [], [], _Ranged()
    paths = [os.path.normpath(path) for path, _ in places.found if path]
    found = [(row, cut) for row, (path, cut) in zip(listing.rows, places.found, strict=True) if path]
    for (row, cut), path, name in zip(found, paths, _names(paths, root), strict=True):
        start, end = (None, None) if cut else ranged.times(row, Path(path))
        if row.images and not os.path.isdir(path):  # noqa: PTH112 - see _names
            raise DataError(
                f"{row.where}: {row.name!r} has a number of frames ({row.images}) before its label, as folders of "
                "frame images have, but is a file; write path and label."
            )
        rows.append(row)
        items.append(Item(Path(path), row.label, row.split, row.group.strip(), start, end, row.title or name))
    rows, items = ranged.once(rows, items)
    _refuse_repeats(rows, items)
    items.sort(key=lambda item: (item.name, item.start or 0.0, item.end or 0.0, item.key, str(item.path)))
    missed = [f"left out: {counted(len(lost), 'listed video')} that can't be found: {gone}"] if lost else []
    return items, [*places.notes, *ranged.notes(), *missed, *_alike(items)]


def _gone(rows: Sequence[Row], lost: Sequence[Row], found: Sequence[Found]) -> str:
    """Describe which rows have no video, whether they are whole classes, and the likely reason."""
    text = some([f"{row.name} ({row.where})" for row in lost])
    there = {row.label for row, (path, _) in zip(rows, found, strict=True) if path}
    if whole := sorted({row.label for row in lost if isinstance(row.label, str)} - there) if there else []:
        text += f"; they are all videos of {counted(len(whole), 'class')}: {some(list(map(repr, whole)))}"
    if far := [row.name for row in lost if is_far(row.name)]:
        text += f"; {far[0]} is an absolute path, possibly of another machine, and no file here has its name"
    if not all(is_text(row.name) for row in lost):
        text += "; the list is not UTF-8, so other names may be wrong, too: save it as UTF-8"
    return text


def _names(paths: Sequence[str], root: Path) -> list[str]:
    """Return paths relative to the root; those outside it are relative to their common folder, or absolute."""
    # as text, since Path.relative_to takes a third of the time of reading 60,000 rows
    inside = f"{str(root).rstrip(os.sep)}{os.sep}"
    outside = [path for path in paths if not path.startswith(inside)]
    try:
        common = f"{os.path.commonpath([Path(path).parent for path in outside])}{os.sep}" if outside else inside
    except ValueError:  # on different drives
        common = ""
    within = {path.removeprefix(inside) for path in paths if path.startswith(inside)}
    names = []
    for path in paths:
        name = path.removeprefix(inside if path.startswith(inside) else common)
        names.append(path if name in within and not path.startswith(inside) else name)
    return [name.replace(os.sep, "/") for name in names]


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


def _alike(items: Sequence[Item]) -> list[str]:
    """Return a note on videos whose names differ only by case or Unicode form."""
    names: defaultdict[str, set[str]] = defaultdict(set)
    for item in items:
        names[alike(item.name)].add(item.name)
    pairs = [" and ".join(map(ascii, sorted(group))) for _, group in sorted(names.items()) if len(group) > 1]
    return [f"names that differ only by case or Unicode form: {some(pairs)}"] if pairs else []


class _Ranged:
    """Converts time ranges in frames to seconds, by each file's frame times."""

    def __init__(self) -> None:
        self._read: list[str] = []
        self._beyond: list[str] = []

    def times(self, row: Row, path: Path) -> tuple[float | None, float | None]:
        """Return start and end in seconds; None where the file is shorter than the range, so another than listed."""
        if row.frames is None:
            return row.start, row.end
        first, last = row.frames
        try:
            info = reader.info(path)
        except VideoError:  # reported when it is read
            self._beyond.append(row.name)
            return None, None
        if last > info.frames:
            self._beyond.append(row.name)
            return None, None
        self._read.append(row.name)
        return float(info.times[first]), float(info.times[last]) if last < info.frames else None

    def once(self, rows: Sequence[Row], items: Sequence[Item]) -> tuple[list[Row], list[Item]]:
        """Return the rows and items without repetitions of a file that is used whole."""
        whole: set[tuple[Path, object]] = set()
        kept_rows, kept = [], []
        for row, item in zip(rows, items, strict=True):
            if row.frames is not None and item.start is None and item.end is None:
                if (item.path, item.label) in whole:
                    continue
                whole.add((item.path, item.label))
            kept_rows.append(row)
            kept.append(item)
        return kept_rows, kept

    def notes(self) -> list[str]:
        """Return notes on the time ranges."""
        notes = []
        if self._read:
            notes.append(f"{counted(len(self._read), 'time range')} in frames converted by each file's frame times")
        if self._beyond:
            files = sorted(set(self._beyond))
            notes.append(
                f"{counted(len(files), 'video')} used whole, since their files have fewer frames than the time ranges "
                f"of the list, or can't be read: {some(files)}"
            )
        return notes
