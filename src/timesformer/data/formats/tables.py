"""CSV files with a header, and helpers for reading the text of other lists.

A table with a header::

    path,label,split,group,start,end
    wave/ann_1.mp4,wave,train,ann,,
    long/match.mp4,serve,val,court2,12.5,14
"""

import codecs
import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from timesformer.config.tasks import FACTS
from timesformer.config.training import Task
from timesformer.data.items import DataError, Listing, Row, canonical, shortened, some, split_in_name, split_of

RESERVED = ("path", "split", "group", "start", "end")
_SEPARATOR_LINE = re.compile(r"sep=(.)", re.IGNORECASE)
"""Excel's first line that names the separator."""
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d*)?)")
"""Minutes and seconds, optionally with hours."""


def read_text(path: Path, *, any_bytes: bool = False) -> str:
    """Return the text of a UTF-8 file, or of a UTF-16 file with a byte order mark, as Windows writes it.

    With ``any_bytes``, bytes that are not UTF-8 are kept by surrogateescape, since file names may have any.
    Otherwise, another encoding raises :class:`DataError`.
    """
    content = path.read_bytes()
    try:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return content.decode("utf-16")
        return content.decode("utf-8-sig", errors="surrogateescape" if any_bytes else "strict")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8.") from error


def refuse_bytes(path: Path, *texts: str) -> None:
    """Raise :class:`DataError` if a text other than a file name has bytes that are not UTF-8."""
    if not all(map(is_text, texts)):
        read_text(path)
        raise DataError(f"{path} is not UTF-8; save the file as UTF-8.")


def is_text(text: str) -> bool:
    """Whether a text has no bytes that are not UTF-8."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def read_lines(path: Path, *, any_bytes: bool = False) -> Iterator[tuple[str, str]]:
    """Yield every non-empty line with its "file:line" for messages; line ends may be of any system."""
    text = read_text(path, any_bytes=any_bytes).replace("\r\n", "\n").replace("\r", "\n")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", line.strip()


def class_names(path: Path) -> tuple[str, ...] | None:
    """Return the class names in the file beside a list, one name per line; None if there is no such file.

    The file is ``<list>.classes.txt`` for a list ``<list>.csv``, or ``classes.txt``.
    """
    for file in (path.with_suffix(".classes.txt"), path.parent / "classes.txt"):
        if file.is_file():
            names = tuple(canonical(line) for _, line in read_lines(file))
            if repeated := sorted(name for name, count in Counter(names).items() if count > 1):
                raise DataError(f"{file}: class {repeated[0]!r} is named twice; name each class once.")
            return names
    return None


def separator_line(path: Path) -> str:
    """Return the separator that the first line names ("sep=;", as Excel writes it), or ""."""
    said = _SEPARATOR_LINE.fullmatch(next((line for _, line in read_lines(path, any_bytes=True)), ""))
    return said[1] if said else ""


def _layout(path: Path) -> tuple[str, str]:
    """Return the first line of fields and their separator."""
    lines = (line for _, line in read_lines(path, any_bytes=True))
    first = next(lines, "")
    if said := _SEPARATOR_LINE.fullmatch(first):
        return next(lines, ""), said[1]
    return first, max(",;\t", key=re.sub(r'"[^"]*"', "", first).count)


def header(path: Path) -> tuple[str, ...]:
    """Return the fields of the first line, the columns of a file with a header; known ones in lower case."""
    first, separator = _layout(path)
    try:
        fields = next(csv.reader([first], delimiter=separator), [])
    except csv.Error as error:
        raise DataError(f"{path}:1: {_csv_fault(error)}") from None
    names = [field.strip() for field in fields]
    return tuple(name.lower() if name.lower() in (*RESERVED, "label") else name for name in names)


def _csv_fault(error: csv.Error) -> str:
    if "limit" in str(error):
        return f"a field has more than {csv.field_size_limit():,} characters; close its opening quote."
    return f"not a line of a table ({error}); correct it."


def records(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield every line of a table as column -> text, with its "file:line" for messages.

    Surrounding spaces are removed, except from a path, which may begin or end with spaces. Raises
    :class:`DataError` where a line has more or fewer fields than the header.
    """
    columns, (_, separator) = header(path), _layout(path)
    if twice := [name for name, count in Counter(columns).items() if name and count > 1]:
        raise DataError(f"{path}:1: the header names {twice[0]!r} twice; name each column once.")
    text = read_text(path, any_bytes=True)
    _refuse_open_quote(path, text, separator)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        lines = (line for line in reader if any(field.strip() for field in line))
        for _ in range(2 if separator_line(path) else 1):
            next(lines, None)
        for fields in lines:
            where = f"{path}:{reader.line_num}"
            if len(fields) != len(columns):
                raise DataError(
                    f"{where}: {len(fields)} fields but the header has {len(columns)} ({','.join(columns)}); "
                    "put quotes around text that holds the separator."
                )
            record = {c: f if c == "path" else f.strip() for c, f in zip(columns, fields, strict=True)}
            refuse_bytes(path, *(field for column, field in record.items() if column not in ("path", "group")))
            yield where, record
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: {_csv_fault(error)}") from None


def _refuse_open_quote(path: Path, text: str, separator: str) -> None:
    """Raise where a quote is never closed, which would join all following lines into one field."""
    if '"' not in text:
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    begun = 1
    try:
        for _ in reader:
            begun = reader.line_num + 1
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise DataError(f"{path}:{begun}: an opening quote is never closed; close it.") from None


def number(text: str, *, column: str, where: str) -> float:
    """Return the finite number in a field; raises :class:`DataError` for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {column} is {shortened(text)!r}; it must be a number.")
    return value


def _seconds(text: str, *, column: str, where: str) -> float:
    """Return a time in seconds, from seconds or minutes and seconds: 65, 1:05 or 0:01:05.5."""
    clock = _CLOCK.fullmatch(text)
    if not clock:
        return number(text, column=column, where=where)
    hours, minutes, seconds = (number(part or "0", column=column, where=where) for part in clock.groups())
    return 3600 * hours + 60 * minutes + seconds


def times(record: dict[str, str], where: str, *, start: str, end: str) -> tuple[float | None, float | None]:
    """Return start and end in seconds from the two named columns; None where empty or absent.

    Raises :class:`DataError` unless 0 <= start < end.
    """
    first, last = (_seconds(record[c], column=c, where=where) if record.get(c) else None for c in (start, end))
    if (first or 0.0) < 0 or (last is not None and last <= (first or 0.0)):
        raise DataError(f"{where}: {start} {first} and {end} {last}; seconds must be 0 <= {start} < {end}.")
    return first, last


def table(path: Path, *, task: Task, targets: tuple[str, ...] | None = None) -> Listing:
    """Read a CSV with the header ``path,label[,split][,group][,start][,end]``; other columns are ignored.

    For regression, the columns to predict are those named in ``targets``, or all others that aren't listed above.
    """
    columns = header(path)
    if FACTS[task].numeric:
        targets = targets or tuple(column for column in columns if column not in RESERVED)
    needed = ("path", *(targets or ())) if FACTS[task].numeric else ("path", "label")
    if absent := [column for column in needed if column not in columns]:
        other = "" if FACTS[task].numeric else ", or say that the columns are numbers to predict (--task regression)"
        raise DataError(f"{path}:1: no column {absent[0]!r} among {', '.join(columns)}; name it in the header{other}.")
    if FACTS[task].numeric and not targets:
        raise DataError(f"{path}:1: no column to predict; add one with numbers beside {', '.join(columns)}.")
    rows = []
    for where, record in records(path):
        if not record["path"].strip():
            raise DataError(f"{where}: the path is empty; name a video or remove the line.")
        label: str | tuple[float, ...] = record.get("label", "")
        if "\n" in record.get("label", "") or "\r" in record.get("label", ""):
            raise DataError(f"{where}: label {shortened(record['label'])!r} spans several lines; close its quote.")
        if FACTS[task].numeric and targets:
            label = tuple(number(record[target], column=target, where=where) for target in targets)
        split = split_of(record.get("split", ""), where) or ("" if "split" in columns else split_in_name(path))
        start, end = times(record, where, start="start", end="end")
        rows.append(Row(record["path"], label, where, split, record.get("group", ""), start, end))
    names = targets if FACTS[task].numeric else class_names(path)
    unread = [column for column in columns if column and column not in (*needed, *RESERVED, "label")]
    notes = (f"columns that are not read: {some(unread, 6)}",) if unread else ()
    return Listing(tuple(rows), root=path.parent, labels=names, notes=notes)
