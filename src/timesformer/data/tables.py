"""Text tables of videos: a CSV with a header, and the headerless list "path label" of Kinetics loaders.

A table with a header::

    path,label,split,group,start,end
    wave/ann_1.mp4,wave,train,ann,,
    long/match.mp4,serve,val,court2,12.5,14

A headerless list, as SlowFast and the official TimeSformer read it (label: a position or a name)::

    videos/abseiling/-3B32lodo2M_000059_000069.mp4 0
"""

import csv
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path

from timesformer.config import Task
from timesformer.data.files import VIDEO_SUFFIXES
from timesformer.data.items import DataError, Listing, Row, split_in_name, split_of

RESERVED = ("path", "split", "group", "start", "end")
_NEARLY_PATH = {"file", "filename", "file_name", "video", "video_path", "filepath", "file_path", "name", "clip"}
_LINE = re.compile(
    rf"(?P<path>.*?(?:{'|'.join(map(re.escape, VIDEO_SUFFIXES))}))(?:\s*[,;]\s*|\s+)(?P<label>\S.*)", re.IGNORECASE
)


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file; raises :class:`DataError` for another encoding."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8.") from error


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield every line that isn't empty, after "file:line" for messages."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", line.strip()


def class_names(path: Path) -> tuple[str, ...] | None:
    """Return the names, in order, of the file of class names beside a list, one name a line; None if there is none.

    It is ``<list>.classes.txt`` for a list ``<list>.csv``, or ``classes.txt``.
    """
    for file in (path.with_suffix(".classes.txt"), path.parent / "classes.txt"):
        if file.is_file():
            names = tuple(line for _, line in read_lines(file))
            if repeated := sorted({name for name in names if names.count(name) > 1}):
                raise DataError(f"{file}: class {repeated[0]!r} is named twice; name each class once.")
            return names
    return None


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        return next((line.strip() for line in lines if line.strip()), "")


def _delimiter(path: Path) -> str:
    return max(",;\t", key=_first_line(path).count)


def header(path: Path) -> tuple[str, ...]:
    """Return the fields of the first line, which are the columns if the file has a header; known ones in lower case."""
    fields = next(csv.reader([_first_line(path)], delimiter=_delimiter(path)), [])
    names = [field.strip() for field in fields]
    return tuple(name.lower() if name.lower() in (*RESERVED, "label") else name for name in names)


def records(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield every line of a table with a header as column -> text, after "file:line" for messages.

    Raises :class:`DataError` where a line has more or fewer fields than the header.
    """
    columns = header(path)
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=_delimiter(path))
    for index, fields in enumerate(line for line in reader if any(field.strip() for field in line)):
        where = f"{path}:{reader.line_num}"
        if index == 0:
            continue
        if len(fields) != len(columns):
            raise DataError(
                f"{where}: {len(fields)} fields but the header has {len(columns)} ({','.join(columns)}); "
                "put quotes around text that holds the separator."
            )
        yield where, dict(zip(columns, (field.strip() for field in fields), strict=True))


def number(text: str, *, column: str, where: str) -> float:
    """Return the finite number that a field holds; raises :class:`DataError` otherwise."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {column} is {text!r}; it must be a number.")
    return value


def times(record: dict[str, str], where: str, *, start: str, end: str) -> tuple[float | None, float | None]:
    """Return start and end in seconds from the two named columns; None where empty or absent.

    Raises :class:`DataError` unless 0 <= start < end.
    """
    first, last = (number(record[c], column=c, where=where) if record.get(c) else None for c in (start, end))
    if (first or 0.0) < 0 or (last is not None and last <= (first or 0.0)):
        raise DataError(f"{where}: {start} {first} and {end} {last}; seconds must be 0 <= {start} < {end}.")
    return first, last


def table(path: Path, *, task: Task, targets: tuple[str, ...] | None = None) -> Listing:
    """Read a CSV with the header ``path,label[,split][,group][,start][,end]``; further columns are left alone.

    For regression every column that isn't one of those is a number to predict, or those named in ``targets``.
    """
    columns = header(path)
    if task == "regression":
        targets = targets or tuple(column for column in columns if column not in RESERVED)
    needed = ("path", *(targets or ())) if task == "regression" else ("path", "label")
    if absent := [column for column in needed if column not in columns]:
        other = "" if task == "regression" else ", or say that the columns are numbers to predict (--task regression)"
        raise DataError(f"{path}:1: no column {absent[0]!r} among {', '.join(columns)}; name it in the header{other}.")
    if task == "regression" and not targets:
        raise DataError(f"{path}:1: no column to predict; add one with numbers beside {', '.join(columns)}.")
    rows = []
    for where, record in records(path):
        if not record["path"]:
            raise DataError(f"{where}: the path is empty; name a video or remove the line.")
        label: str | tuple[float, ...] = record.get("label", "")
        if task == "regression" and targets:
            label = tuple(number(record[target], column=target, where=where) for target in targets)
        split = split_of(record.get("split", ""), where) or ("" if "split" in columns else split_in_name(path))
        start, end = times(record, where, start="start", end="end")
        rows.append(Row(record["path"], label, where, split, record.get("group", ""), start, end))
    names = targets if task == "regression" else class_names(path)
    return Listing(tuple(rows), root=path.parent, labels=names)


def _path_and_label(line: str, where: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line.replace('"', ""))
    parts = match.group("path", "label") if match else line.rsplit("," if "," in line else None, 1)
    if len(parts) != 2 or not all(part.strip() for part in parts):
        raise DataError(f"{where}: {line!r} is no path and label; write them with a space or comma between.")
    return parts[0].strip(), parts[1].strip()


def plain_list(path: Path) -> Listing:
    """Read a headerless list of ``path label``, separated by a space or a comma; its name says the split.

    An integer label is a position among the class names: those of the file of class names beside the list, or of
    the weights it is used with, or else "0", "1" and so on.
    """
    if nearly := sorted(_NEARLY_PATH.intersection(field.lower() for field in header(path))):
        raise DataError(f"{path}:1: the header has {nearly[0]!r} but no 'path'; name the columns path,label.")
    split = split_in_name(path)
    rows = [Row(*_path_and_label(line, where), where, split) for where, line in read_lines(path)]
    return Listing(tuple(rows), root=path.parent, labels=class_names(path), indexed=True)
