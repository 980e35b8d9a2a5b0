"""Exports of annotation tools: Label Studio's JSON, JSON-MIN and CSV, and CreateML's CSV and JSON.

::

    [{"id": 1, "data": {"video": "/data/upload/1/1a2b3c4d-left_0.mp4"}, "annotations":
      [{"result": [{"type": "choices", "value": {"choices": ["left"]}}]}]}]                       JSON
    [{"video": "/data/upload/1/1a2b3c4d-left_0.mp4", "choice": "left", "annotation_id": 1}]       JSON-MIN
    annotation_id,annotator,choice,id,lead_time,video                                             CSV

    video,label,start,end                                                                         CreateML
    jumps.mp4,jump,0:05,0:12
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from timesformer.config.tasks import FACTS
from timesformer.config.training import Task
from timesformer.data.files import is_video_name
from timesformer.data.formats.plainlists import PATH_COLUMNS
from timesformer.data.formats.tables import class_names, times
from timesformer.data.items import DataError, Listing, Row, counted, shortened, some, split_in_name, split_of

STARTS = ("start", "start_time", "starttime", "time_start")
ENDS = ("end", "end_time", "endtime", "time_end")
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")
"""Label Studio's prefix for the name of an uploaded file."""
_FACTS = {
    "id", "inner_id", "annotator", "annotation_id", "annotations", "completed_by", "created_at", "updated_at",
    "lead_time", "agreement", "total_annotations", "cancelled_annotations", "total_predictions", "comment_count",
    "comment_authors", "last_comment_updated_at", "updated_by", "project", "file_upload", "drafts", "predictions",
}  # fmt: skip
"""Label Studio's facts of an annotation other than data and labels."""
_LABEL_KEYS = ("choice", "choices", "label", "labels", "class", "action", "timelinelabels", "videolabels")
"""Usual names of the labels in Label Studio's flat exports, in lower case."""


@dataclass(frozen=True)
class _Annotation:
    """One annotation of a video."""

    where: str
    video: str
    labels: tuple[str, ...]
    ranges: tuple[tuple[str, int, int], ...]
    """Label, first frame and the frame after the last."""


def is_label_studio(record: Mapping[str, Any]) -> bool:
    """Whether an entry of a JSON list, or the columns of a CSV, come from Label Studio."""
    nested = isinstance(record.get("data"), dict) and bool({"annotations", "completions", "predictions"} & set(record))
    return nested or {"annotation_id", "annotator"} <= set(record) or {"annotation_id", "lead_time"} <= set(record)


def label_studio(path: Path, records: Iterator[tuple[str, Mapping[str, Any]]], *, task: Task) -> Listing:
    """Read an export of Label Studio: choices of whole videos, or timeline labels, which are time ranges in frames.

    A video is searched by the name that Label Studio gave it and by its original name. Entries without an annotation
    are left out with a note. Raises :class:`DataError` where annotators disagree, where a video has several choices
    but the task is one class, and where it is unclear which part of an entry is the label.
    """
    annotations, bare = [], 0
    for where, record in records:
        found = list(_annotations(where, record))
        annotations += found
        bare += not found
    rows, repeated = _rows(annotations, task=task, split=split_in_name(path))
    notes = [f"left out: {counted(bare, 'entry').replace('entrys', 'entries')} of {path.name} without a label"] * bool(
        bare
    )
    if repeated:
        notes.append(f"annotated more than once, with the same labels: {counted(repeated, 'video')}")
    return Listing(tuple(rows), path.parent, labels=class_names(path), search=True, notes=tuple(notes))


def _annotations(where: str, record: Mapping[str, Any]) -> Iterator[_Annotation]:
    """Yield the annotations of one entry that have a label."""
    data = record.get("data")
    if not isinstance(data, dict):
        video = _video(record, where)
        labels, ranges = _flat(record, where)
        if labels or ranges:
            yield _Annotation(where, video, labels, ranges)
        return
    for annotation in record.get("annotations") or record.get("completions") or ():
        if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
            continue
        labels, ranges = _said([part.get("value") for part in _dicts(annotation.get("result"))])
        if labels or ranges:
            yield _Annotation(where, _video(data, where), labels, ranges)


def _dicts(value: object) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _video(data: Mapping[str, Any], where: str) -> str:
    """Return the name of the video in an entry's data."""
    texts = {key: value for key, value in data.items() if isinstance(value, str) and key not in _FACTS}
    usual = [value for key, value in texts.items() if key.lower() in ("path", "url", *PATH_COLUMNS) and value]
    named = [value for value in texts.values() if is_video_name(value.partition("&")[0].strip())]
    if not usual and not named:
        raise DataError(f"{where}: no name of a video among {', '.join(map(str, data))}; export with the task's data.")
    return (usual or named)[0]


def _said(value: object) -> tuple[tuple[str, ...], tuple[tuple[str, int, int], ...]]:
    """Return the labels and time ranges in a value, for any of the exports."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return (str(value),), ()
    if isinstance(value, str):
        return ((value,), ()) if value.strip() else ((), ())
    if isinstance(value, list):
        parts = [_said(part) for part in value]
        labels = dict.fromkeys(label for part, _ in parts for label in part)
        return tuple(labels), tuple(span for _, spans in parts for span in spans)
    if not isinstance(value, dict):
        return (), ()
    if "ranges" in value:
        names = [str(name) for name in value.get("timelinelabels") or value.get("labels") or ()]
        spans = [(part.get("start"), part.get("end")) for part in _dicts(value["ranges"])]
        whole = [(a, b) for a, b in spans if isinstance(a, int) and isinstance(b, int) and 1 <= a <= b]
        return (), tuple((name, first - 1, last) for name in names for first, last in whole)
    choices = value.get("choices") or ()
    return tuple(dict.fromkeys(map(str, [choices] if isinstance(choices, str) else choices))), ()


def _flat(record: Mapping[str, Any], where: str) -> tuple[tuple[str, ...], tuple[tuple[str, int, int], ...]]:
    """Return the labels and time ranges of an entry of JSON-MIN or CSV, under any key."""
    video = _video(record, where)
    said = {
        key: found
        for key, value in record.items()
        if key not in _FACTS and value != video and any(found := _said(value))
    }
    for name in _LABEL_KEYS:
        said = next(({key: found} for key, found in said.items() if key.lower() == name), said)
        if len(said) == 1:
            break
    if len(said) > 1:
        raise DataError(
            f"{where}: which of {', '.join(sorted(said))} is the label? Write a table with the header path,label."
        )
    return next(iter(said.values()), ((), ()))


def _names(video: str) -> tuple[str, tuple[str, ...]]:
    """Return the path of a video, and the name that it had before it was uploaded."""
    name = video
    if "?d=" in video:  # a file on the server's disk
        name = parse_qs(urlsplit(video).query).get("d", [video])[0]
    elif "://" in video:
        name = unquote(urlsplit(video).path)
    folder, slash, last = name.rpartition("/")
    plain = _UPLOADED.sub("", last, count=1)
    return name, (f"{folder}{slash}{plain}",) if plain != last else ()


def _rows(annotations: Sequence[_Annotation], *, task: Task, split: str) -> tuple[list[Row], int]:
    """Return a row for each video or time range, and the number of videos with a second, equal annotation."""
    seen: dict[str, _Annotation] = {}
    rows, repeated, differing = [], 0, []
    for each in annotations:
        first = seen.setdefault(each.video, each)
        if first is not each:
            same = (set(first.labels), set(first.ranges)) == (set(each.labels), set(each.ranges))
            repeated += same
            differing += [] if same else [f"{each.video} ({first.where} and {each.where})"]
            continue
        name, aliases = _names(each.video)
        if len(each.labels) > 1 and not FACTS[task].several:
            raise DataError(
                f"{each.where}: {name} has the labels {some(list(map(repr, each.labels)))}; several labels per video "
                "are --task multilabel."
            )
        if each.labels:
            rows.append(Row(name, ";".join(each.labels), each.where, split, aliases=aliases))
        else:
            rows += [Row(name, s[0], each.where, split, frames=s[1:], aliases=aliases) for s in each.ranges]
    if differing:
        raise DataError(
            f"annotators disagree about {counted(len(differing), 'video')}: {some(differing)}; resolve this in Label "
            "Studio, and export again."
        )
    return rows, repeated


def create_ml(path: Path, records: Iterator[tuple[str, Mapping[str, Any]]]) -> Listing:
    """Read annotations of CreateML's action classifier: file, label, and start and end in seconds or as mm:ss.

    Any usual column names are accepted. Raises :class:`DataError` for a line without file or label.
    """
    rows = []
    for where, given in records:
        record = {str(key).lower(): "" if value is None else str(value) for key, value in given.items()}
        name = next((record[key] for key in ("path", *sorted(PATH_COLUMNS)) if record.get(key)), "")
        if not name.strip() or not record.get("label", "").strip():
            raise DataError(f"{where}: no file or no label in {shortened(str(given))}; every line needs both.")
        start = next((key for key in STARTS if record.get(key)), "start")
        end = next((key for key in ENDS if record.get(key)), "end")
        first, last = times(record, where, start=start, end=end)
        split = split_of(record.get("split", ""), where) or split_in_name(path)
        rows.append(Row(name, record["label"], where, split, record.get("group", ""), first, last))
    return Listing(tuple(rows), path.parent, labels=class_names(path), search=False)


def is_create_ml(columns: Sequence[str]) -> bool:
    """Whether columns are CreateML's: a file, a label, and times with other names than in our table."""
    names = {column.lower() for column in columns}
    ours = "path" in names and "start_time" not in names and "end_time" not in names
    timed = bool(names & set(STARTS)) or bool(names & set(ENDS))
    return "label" in names and bool(names & {"path", *PATH_COLUMNS}) and timed and not ours
