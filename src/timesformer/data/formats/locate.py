"""Find the videos of a list: by path, by a path of another machine or system, or by name only."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from timesformer.data.files import PassedOver, folders_in, holds_frames, is_folder, is_video, is_video_name, walk
from timesformer.data.formats.tree import Tree, alike, parts
from timesformer.data.items import DataError, Row, counted, some

_ABSOLUTE = re.compile(r"\s*([A-Za-z]:[\\/]|[\\/]|[a-z0-9]+://)")
"""Start of an absolute path or an address, on any operating system."""
_TRIED = 20
"""Number of rows that are tried in each folder inside the root before all are."""
Found = tuple[Path | None, bool]
"""Path of a row's video, or None; and whether it is already trimmed to its time range."""


@dataclass(frozen=True)
class Places:
    """Paths of the videos of a list, and notes on how they were found."""

    found: tuple[Found, ...]
    notes: tuple[str, ...]


def is_far(name: str) -> bool:
    """Whether a listed name is an absolute path or an address, on any operating system."""
    return bool(_ABSOLUTE.match(name))


def locate(rows: Sequence[Row], root: Path, *, search: bool) -> Places:
    """Find each row's video.

    A row's name is a path below ``root``, in any Unicode form and case, with slashes or backslashes. A name without a
    video's suffix, or any name if ``search`` is on, is also searched by its bare name in all folders below ``root``:
    lists use identifiers, and users convert and move videos. The same holds for absolute paths of another machine.
    Raises :class:`DataError` if two videos match one name.
    """
    paths = [None if row.cut else _direct(row, root) for row in rows]
    found: list[Found] = [(path, False) for path in paths]
    lost = [index for index, path in enumerate(paths) if path is None]
    notes: list[str] = []
    if lost:
        tree = Tree()
        relative = [i for i in lost if not rows[i].cut and not is_far(rows[i].name)]
        far = dict.fromkeys(i for i in lost if not rows[i].cut and is_far(rows[i].name))
        _fill(found, {i: tree.path(root, parts(rows[i].name)) for i in relative})
        if relative and len(lost) == len(rows) and not any(path for path, _ in found):
            notes += _inside(rows, relative, root, tree, found)
        _fill(found, _moved(rows, list(far), root, tree))
        wanted = [
            i for i in lost if not found[i][0] and (search or is_far(rows[i].name) or not is_video_name(rows[i].name))
        ]
        _by_name(rows, wanted, root, found)
        notes += _far_notes(rows, [i for i in far if found[i][0]], root)
    return Places(tuple(found), (*notes, *_form_notes(rows, found, root)))


def _fill(found: list[Found], paths: dict[int, Path | None]) -> None:
    for index, path in paths.items():
        if path and not found[index][0]:
            found[index] = path, False


def _forms(name: str) -> Iterator[str]:
    """Yield the spellings of a path that are tried: unchanged, in both Unicode forms, with slashes."""
    yield name
    plain = name.strip()
    for text in dict.fromkeys((plain, plain.replace("\\", "/"))):
        if text != name:
            yield text
        if not text.isascii():
            yield unicodedata.normalize("NFC", text)
            yield unicodedata.normalize("NFD", text)


def _direct(row: Row, root: Path) -> Path | None:
    if row.title:
        return root / row.name
    for form in _forms(row.name):
        path = os.path.join(root, form)  # noqa: PTH118 - Path took a third of the time of reading 240,000 rows
        if os.path.isfile(path) or is_video(Path(path)):  # noqa: PTH113
            return Path(path)
    return None


def _inside(rows: Sequence[Row], lost: Sequence[int], root: Path, tree: Tree, found: list[Found]) -> list[str]:
    """If no path exists below the root, try each folder in it, or the paths without their first folders.

    Unpacking can create ``clips/clips``, and a list may be relative to a parent folder.
    """
    some_of = [parts(rows[i].name) for i in lost[:_TRIED]]
    ways = [(folder, 0) for folder in folders_in(root)]
    ways += [(root, skip) for skip in range(1, max(map(len, some_of)) - 1)]
    works = [(start, skip) for start, skip in ways if any(tree.path(start, steps[skip:]) for steps in some_of)]
    if len(works) != 1:
        return []
    start, skip = works[0]
    _fill(found, {i: tree.path(start, parts(rows[i].name)[skip:]) for i in lost})
    without = f" without the first {counted(skip, 'folder')} of their paths" if skip else ""
    return [f"the listed videos were found below {start}{without}"]


def _moved(rows: Sequence[Row], far: Sequence[int], root: Path, tree: Tree) -> dict[int, Path | None]:
    """Find absolute paths of another machine by their last folders and name below the root."""
    moved: dict[int, Path | None] = {}
    skips: Counter[int] = Counter({0: 0})
    for i in far:
        steps = parts(rows[i].name)
        likely = [skip for skip, _ in skips.most_common(3)]
        for skip in dict.fromkeys((*likely, *range(len(steps) - 1))):
            if skip < len(steps) - 1 and (path := tree.path(root, steps[skip:])):
                moved[i] = path
                skips[skip] += 1
                break
    return moved


def bare(name: str) -> str:
    """Return the last part of a name without a video's suffix, in one case and Unicode form."""
    last = name.replace("\\", "/").rstrip("/ ").rsplit("/", 1)[-1]
    return alike(last.rsplit(".", 1)[0] if is_video_name(last) else last)


def _by_name(rows: Sequence[Row], wanted: Sequence[int], root: Path, found: list[Found]) -> None:
    """Fill in rows whose videos are found by bare name below the root, in one walk."""
    if not wanted:
        return
    names = {bare(name) for i in wanted for name in (rows[i].cut, rows[i].name, *rows[i].aliases) if name}
    there: dict[str, list[Path]] = {}

    def is_whole(entry: os.DirEntry[str]) -> bool:
        return bare(entry.name) in names and holds_frames(Path(entry.path))

    for entry in walk(root, PassedOver(), is_whole=is_whole):
        name = bare(entry.name)
        if name in names and (is_video_name(entry.name) or (is_folder(entry) and is_whole(entry))):
            there.setdefault(name, []).append(Path(entry.path))
    listed = {i: bare(rows[i].name) for i in wanted}
    same = Counter(bare(name) for name in {row.name for row in rows if is_far(row.name)})
    for i in wanted:
        if not is_far(rows[i].name) or same[listed[i]] == 1:  # otherwise the name is ambiguous
            found[i] = _take(rows[i], there, root)


def _take(row: Row, there: dict[str, list[Path]], root: Path) -> Found:
    for name in filter(None, (row.cut, row.name, *row.aliases)):
        paths = there.get(bare(name), [])
        exact = [path for path in paths if _last(path.name) == _last(name)]
        if len(paths) > 1 and len(exact) != 1:
            places = some([str(path) for path in paths])
            raise DataError(
                f"{row.where}: {name!r} is {len(paths)} videos below {root}: {places}; "
                "name a folder of videos that holds each once."
            )
        if paths:
            return (exact or paths)[0], name == row.cut
    return None, False


def _last(name: str) -> str:
    """Return the last part of a name without a video's suffix, in one Unicode form."""
    last = unicodedata.normalize("NFC", parts(name)[-1]) if parts(name) else ""
    return last.rsplit(".", 1)[0] if is_video_name(last) else last


def _far_notes(rows: Sequence[Row], far: Sequence[int], root: Path) -> list[str]:
    if not far:
        return []
    paths = "absolute path of another machine" if len(far) == 1 else "absolute paths of another machine"
    return [
        f"{len(far)} {paths}, such as {rows[far[0]].name}: found by folder and name below {root} "
        "(--videos DIR for another folder)"
    ]


def _form_notes(rows: Sequence[Row], found: Sequence[Found], root: Path) -> list[str]:
    """Return a note on names that differ from their files' by case or Unicode form."""
    differing = []
    for row, (path, cut) in zip(rows, found, strict=True):
        if path is None or cut or row.title or not is_video_name(row.name):
            continue
        name, last = parts(row.name)[-1], path.name
        if name != last and alike(name) == alike(last):
            differing.append(f"{name!a} is {last!a}")
    if not differing:
        return []
    return [f"{counted(len(differing), 'listed name')} spelled differently than the file: {some(differing)}"]
