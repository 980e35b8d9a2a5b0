"""Headerless lists of paths and labels, in the forms that common loaders and data sets use.

::

    videos/abseiling/-3B32lodo2M_000059_000069.mp4 0           SlowFast, the official TimeSformer, MMAction2
    videos/air drumming/--nQbRBEz2s_000104_000114.mp4,air drumming
    some/video.mp4 0 2 4                                       MMAction2, several labels
    some/folder 151 3                                          MMAction2, frame images: folder, frames, label
    34870;Drumming Fingers                                     Jester
    Shooting046_x264.mp4  Shooting  4005  4230  4760  5088     UCF-Crime: two time ranges in frames, -1 for none

A line is split at its separator. A line of any other form is refused: an extra field in the label would make every
line a class of its own.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from timesformer.config.tasks import FACTS
from timesformer.config.training import Task
from timesformer.data.files import VIDEO_SUFFIXES, is_video_name
from timesformer.data.formats.tables import class_names, header, read_lines, refuse_bytes, separator_line
from timesformer.data.items import SPLIT_WORDS, DataError, Listing, Row, counted, shortened, split_in_name

PATH_COLUMNS = {"file", "filename", "file_name", "video", "video_path", "filepath", "file_path", "name", "clip"}
"""Column names for paths in tables of other programs."""
_QUOTED = r'"(?P<quoted>(?:[^"]|"")+)"'
_SUFFIXED = rf"(?P<plain>.*(?:{'|'.join(map(re.escape, VIDEO_SUFFIXES))}))"
_LINE = re.compile(rf"(?:{_QUOTED}|{_SUFFIXED})(?P<gap>\s*[,;]\s*|\s+|$)(?P<rest>.*)", re.IGNORECASE)
_WORDS = re.compile(r'"((?:[^"]|"")*)"(?=\s|$)|(\S+)')
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_UCF_CRIME = re.compile(r"(\S.*?)[\s,;]+(-?\d+)[\s,;]+(-?\d+)[\s,;]+(-?\d+)[\s,;]+(-?\d+)")
FORMS = (
    "a headerless list holds 'path label'; 'path 0 2 4' (class indices, --task multilabel); 'folder frames label' "
    "(frame images); or 'path class start end start end' in frames (UCF-Crime). Quote a label that has numbers beside "
    'words (path "phase 1"), or write a header that names the columns: path,label,split,group,start,end'
)


@dataclass(frozen=True)
class _Line:
    """A line split into its fields."""

    where: str
    text: str
    path: str
    rest: str
    """The text after the path."""
    fields: tuple[str, ...]
    spaced: bool
    """Whether single spaces separate the fields, so that a label of several words is split."""

    def refusal(self, why: str) -> DataError:
        """Return the error for this line, showing its fields."""
        shown = " | ".join(map(shortened, (self.path, *self.fields[:12])))
        return DataError(f"{self.where}: {shortened(self.text, 120)!r} {why} (its fields: {shown}); {FORMS}.")


def _separated(text: str, separator: str) -> tuple[str, ...]:
    fields = next(csv.reader([text], delimiter=separator, skipinitialspace=True), [])
    return tuple(field.strip() for field in fields)


def _spaced(text: str) -> tuple[str, ...]:
    return tuple(match[1].replace('""', '"') if match[2] is None else match[2] for match in _WORDS.finditer(text))


def _rest_fields(gap: str, rest: str) -> tuple[tuple[str, ...], bool]:
    """Return the fields after the path, and whether single spaces separate them."""
    if gap.strip():
        return _separated(rest, gap.strip()), False
    if "\t" in gap:
        return _separated(re.sub(r"\t+", "\t", rest), "\t"), False
    wide = tuple(re.split(r"\s{2,}|\t", rest))
    return (wide, False) if len(gap) > 1 and len(wide) > 1 else (_spaced(rest), True)


def _without_suffix(text: str) -> tuple[str, str, tuple[str, ...], bool]:
    """Return path, rest and fields of a line that starts with an identifier or folder instead of a video file."""
    marks = [mark for mark in "\t;," if mark in text]
    if marks:
        mark = "\t" if "\t" in marks else min(marks, key=text.index)
        path, *fields = _separated(text, mark)
        return path, text.partition(mark)[2].strip(), tuple(fields), False
    words = text.split()
    numbers = 0
    while numbers < len(words) - 1 and words[-1 - numbers].isdecimal():
        numbers += 1
    if 0 < numbers < len(words) - 1:
        numbers = min(numbers, 2)  # the path has spaces, so its last words may be numbers too
    slashes = [place for place, word in enumerate(words[:-1], start=1) if "/" in word or "\\" in word]
    place = len(words) - numbers if numbers else max([1, *slashes])
    return " ".join(words[:place]), " ".join(words[place:]), tuple(words[place:]), True


def _taken_apart(text: str, where: str, separator: str) -> _Line:
    if separator:
        path, *others = _separated(text, separator)
        rest, spaced = text.partition(separator)[2].strip(), False
        fields = tuple(others)
    elif match := _LINE.fullmatch(text):
        path = match["plain"] or match["quoted"].replace('""', '"')
        rest = match["rest"].strip()
        fields, spaced = _rest_fields(match["gap"], rest)
    else:
        path, rest, fields, spaced = _without_suffix(text)
    while fields and not fields[-1]:
        fields = fields[:-1]
    if not path.strip() or not fields or not all(fields):
        raise DataError(
            f"{where}: {shortened(text, 120)!r} is not a path and a label; separate them by a space or comma. "
            f"In full: {FORMS}."
        )
    return _Line(where, text, path.strip(), rest, fields, spaced)


def _ranges(line: _Line, split: str) -> list[Row]:
    """Return the rows of a line of UCF-Crime's list, one for each time range; none for any other line."""
    match = _UCF_CRIME.fullmatch(line.rest)
    if not match or _NUMBER.fullmatch(match[1]) or any(len(number) > 18 for number in match.groups()[1:]):
        return []
    numbers = [int(number) for number in match.groups()[1:]]
    pairs = [
        (first, last) for first, last in zip(numbers[::2], numbers[1::2], strict=True) if (first, last) != (-1, -1)
    ]
    if any(not 0 <= first < last for first, last in pairs):
        raise line.refusal("has a time range whose end is not after its start and that is not -1 -1")
    label = match[1].strip('" ')
    return [Row(line.path, label, line.where, split, frames=pair) for pair in pairs] or [
        Row(line.path, label, line.where, split)
    ]


def _rows(line: _Line, *, split: str, task: Task, known: frozenset[str]) -> list[Row]:
    """Return the rows of one line; raises :class:`DataError` where its form is unknown or ambiguous."""
    fields, labels, images = line.fields, line.fields, 0
    if rows := _ranges(line, split):
        return rows
    whole = all(field.isdecimal() for field in fields)
    if whole and len(fields) > 1 and not is_video_name(line.path):
        images, labels = int(fields[0][:18]), fields[1:]
    if len(labels) == 1:
        return [Row(line.path, labels[0], line.where, split, images=images)]
    if whole:
        if not FACTS[task].several:
            raise line.refusal(f"has {len(labels)} numbers where one label belongs")
        if len(set(labels)) < len(labels):
            raise line.refusal("has a number twice, so the numbers can't be its labels")
        return [Row(line.path, ";".join(labels), line.where, split, images=images)]
    text = " ".join(fields)
    if text in known or (line.spaced and not any(_is_value(field) for field in fields)):
        return [Row(line.path, text, line.where, split)]
    raise line.refusal(f"has {len(fields)} fields after its path")


def _is_value(word: str) -> bool:
    """Whether a word is a separate value rather than part of a label of several words."""
    bare = word.strip(",;:|()[]")
    return bool(_NUMBER.fullmatch(bare)) or bare.lower() in SPLIT_WORDS


def _refuse_columns(lines: Sequence[_Line], rows: Sequence[Row], known: frozenset[str]) -> None:
    """Raise where the first words look like classes and the following words differ from line to line."""
    labels = {str(row.label) for row in rows}
    words = {len(line.fields) for line in lines if line.spaced}
    first = {line.fields[0] for line in lines}
    many = len(lines) >= 6 and 3 * len(labels) > 2 * len(lines) and 2 * len(first) < len(labels)
    if many and not known and len(words) == 1 and words != {1} and all(line.spaced for line in lines):
        raise lines[0].refusal(
            f"and the other lines make {len(labels)} classes if all words after the path are the label"
        )


def plain_list(path: Path, *, task: Task = "classes", targets: tuple[str, ...] | None = None) -> Listing:
    """Read a headerless list; the split is in its name, and the module's docstring has the forms.

    An integer label is an index into the class names: those of the file of class names beside the list, or of the
    weights it is used with (``targets``), or else "0", "1" and so on. A test list without labels gives no rows and a
    note. Raises :class:`DataError` with the line, its fields and the forms for lines of any other form.
    """
    columns = header(path)
    if nearly := sorted(PATH_COLUMNS.intersection(field.lower() for field in columns)):
        raise DataError(f"{path}:1: the header has {nearly[0]!r} but no 'path'; name the columns path,label.")
    words = [word.lower() for word in " ".join(columns).split()]
    if words and words[0] in (*PATH_COLUMNS, "path") and {"label", "class", "split"} & set(words[1:]):
        raise DataError(f"{path}:1: spaces separate the names of columns ({' '.join(words)}); use commas.")
    split, separator, names = split_in_name(path), separator_line(path), class_names(path)
    texts = list(read_lines(path, any_bytes=True))[1 if separator else 0 :]
    if split == "test" and all(not re.search(r"[\s;,]", text) for _, text in texts):
        return Listing(
            (), path.parent, notes=(f"left out: {counted(len(texts), 'video')} of {path.name} without a label",)
        )
    known = frozenset((*(names or ()), *(targets or ())))
    lines = [_taken_apart(text, where, separator) for where, text in texts]
    rows = [row for line in lines for row in _rows(line, split=split, task=task, known=known)]
    refuse_bytes(path, *(str(row.label) for row in rows))
    _refuse_columns(lines, rows, known)
    return Listing(tuple(rows), root=path.parent, labels=names, indexed=True)
