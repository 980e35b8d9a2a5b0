"""Read a folder of shards: its index, and the tar files with a JSON file for each video."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from timesformer.config.tasks import FACTS
from timesformer.config.training import Task
from timesformer.data.items import DataError, Listing, Row, range_suffix, shortened, split_of
from timesformer.video.decoder import tars

INDEX = "shards.json"
AGAIN = "copy it again, or write the shards again"
AT_ONCE = 16
"""Tar files that are listed at once, since network storage delays each header."""
LONGEST = 2**24
"""Largest size of an item's JSON file in bytes."""
MOST = 10**12
"""Largest number of items in a split."""
LARGEST = 1e300
"""Largest number in an item's JSON file."""
OPTIONAL: dict[str, Any] = {"group": "", "start": None, "end": None, "target": 0}
"""Optional fields of an item's JSON file, with their defaults."""


@dataclass(frozen=True)
class Shard:
    """One tar file and its items, which are numbered over the whole split."""

    file: str
    first: int
    count: int


def index_of(data: Path) -> Path:
    """Return the path of the index of a folder of shards; ``data`` may be the index itself."""
    return data if data.name == INDEX else data / INDEX


def listing(folder: Path, *, task: Task, targets: Sequence[str] | None = None) -> Listing:
    """Read a folder of shards: a row for each video, with its original name, label and split.

    ``targets`` are the numbers that a regression reads, by name. Raises :class:`DataError` where the shards were
    written for another task, and for a tar file that is missing, damaged, or has fewer items than the index says.
    """
    index = _index(folder)
    if index.get("task", task) != task:
        raise DataError(f"{folder} was written for {index['task']}, not {task}; choose that task (--task).")
    labels = tuple(index.get("labels", ())) or None
    splits = [(split_of(split, str(folder / INDEX)), shards) for split, shards in _splits(index, folder).items()]
    jobs = [(shard, split) for split, shards in splits for shard in shards]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        rows = [row for part in threads.map(lambda job: list(_rows(folder, *job)), jobs) for row in part]
    if FACTS[task].numeric and targets and labels:
        rows, labels = _chosen(rows, labels, tuple(targets), folder), tuple(targets)
    seen: dict[str, Row] = {}
    for row in rows:
        key = f"{row.title}{range_suffix(row.start, row.end)}"
        if (first := seen.setdefault(key, row)) is not row:
            raise DataError(f"{first.where} and {row.where} are both {key}; write the shards again.")
    return Listing(tuple(rows), root=folder, labels=labels)


def _index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    if not path.is_file():
        raise DataError(f"{folder} holds no {INDEX}; it is not a folder of shards, or writing it was interrupted.")
    try:
        index = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({shortened(str(error))}); {AGAIN}.") from None
    except OSError as error:
        raise DataError(f"{path} can't be read ({error.strerror or error}); check its permissions.") from error
    if not isinstance(index, dict) or not isinstance(index.get("splits"), dict):
        raise DataError(f'{path} has no "splits" with the tar files of each; {AGAIN}.')
    labels = index.get("labels", [])
    if not (isinstance(labels, list) and all(isinstance(name, str) and name for name in labels)):
        raise DataError(f'{path}: "labels" is {shortened(repr(labels))}; it must be a list of names; {AGAIN}.')
    if len(set(labels)) < len(labels):
        raise DataError(f'{path}: "labels" names a class twice; {AGAIN}.')
    return index


def _splits(index: dict[str, Any], folder: Path) -> dict[str, tuple[Shard, ...]]:
    """Return the tar files of each split; raises :class:`DataError` for other files and paths outside the folder."""
    found: dict[str, tuple[Shard, ...]] = {}
    for split, shards in index["splits"].items():
        where = f"{folder / INDEX}: split {shortened(repr(split))}"
        if not (isinstance(shards, list) and all(isinstance(shard, dict) for shard in shards)):
            raise DataError(f"{where} is {shortened(repr(shards))}; it must be a list of tar files; {AGAIN}.")
        found[split] = tuple(_shard_of(shard, where) for shard in shards)
    return found


def _shard_of(shard: dict[str, Any], where: str) -> Shard:
    if shard.keys() != {"file", "first", "count"}:
        names = shortened(", ".join(map(str, shard)))
        raise DataError(f"{where}: a shard has other fields than file, first and count ({names}); {AGAIN}.")
    file, first, count = shard["file"], shard["first"], shard["count"]
    if not (isinstance(file, str) and file.lower().endswith(".tar") and not re.search(r"[/\\\x00]", file)):
        raise DataError(f"{where}: {shortened(repr(file))} is not the name of a tar file, without folders; {AGAIN}.")
    if not (type(first) is int and type(count) is int and 0 <= first < MOST and 0 < count < MOST):
        raise DataError(
            f"{where}: {file} has items from {shortened(repr(first))}, {shortened(repr(count))} of them; these must be "
            f"whole numbers, at least 0 and 1; {AGAIN}."
        )
    return Shard(file, first, count)


def members_of(tar: Path) -> Mapping[str, tuple[int, int]]:
    """Return the members of a tar file (``tars.members``); raises :class:`DataError`."""
    try:
        return tars.members(tar)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{tar} is missing although {INDEX} names it; {AGAIN}.") from None
    except OSError as error:
        raise DataError(f"{error if error.errno is None else f'{tar}: {error.strerror}'}; {AGAIN}.") from None


def pairs(members: Iterable[str]) -> list[tuple[int, str, str]]:
    """Return the items of a tar file in order: number (-1 if not numbered), name of the JSON file, of the video."""
    names = list(members)
    texts = {_stem(name): name for name in names if name.endswith(".json")}
    videos = {_stem(name): name for name in names if not name.endswith(".json")}
    return sorted(
        (int(stem) if stem.isdecimal() and len(stem) < 16 else -1, texts[stem], videos[stem])
        for stem in texts.keys() & videos.keys()
    )


def _rows(folder: Path, shard: Shard, split: str) -> Iterator[Row]:
    """Yield the items of one tar file, each a video and a JSON file of the same name."""
    tar = folder / shard.file
    members = members_of(tar)
    items = pairs(members)
    if len(items) != shard.count:
        raise DataError(f"{tar} holds {len(items)} items of the {shard.count} that {INDEX} counts; {AGAIN}.")
    try:
        with tar.open("rb") as file:
            for _, name, video in items:
                start, size = members[name]
                if size > LONGEST:
                    raise DataError(f"{tar}/{name} has {size} bytes, more than the limit of {LONGEST}; {AGAIN}.")
                file.seek(start)
                yield _row(f"{tar}/{video}", file.read(size), where=f"{tar}/{name}", split=split)
    except OSError as error:
        raise DataError(f"{tar} can't be read ({error.strerror or error}); {AGAIN}.") from error


def _stem(name: str) -> str:
    """Return a member's name up to the first dot of its last part, which the files of an item share."""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition('.')[0]}"


def facts_of(text: bytes, *, where: str) -> dict[str, Any]:
    """Return the fields of an item's JSON file, with their types checked; raises :class:`DataError`."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON ({shortened(str(error))}); {AGAIN}.") from None
    if not isinstance(told, dict) or not {"key", "label"} <= told.keys():
        raise DataError(f"{where} has no key or no label; {AGAIN}.")
    facts: dict[str, Any] = {**OPTIONAL, **told}
    facts["group"] = facts["group"] or ""
    label, target, start, end = (facts[name] for name in ("label", "target", "start", "end"))
    words = isinstance(label, list) and all(isinstance(one, str) for one in label)
    right = {
        "key": isinstance(facts["key"], str) and facts["key"],
        "label": isinstance(label, str) or words or (isinstance(label, list) and all(map(_finite, label))),
        "target": _finite(target) or (isinstance(target, list) and all(map(_finite, target))),
        "group": isinstance(facts["group"], str),
        "start": start is None or (_finite(start) and start >= 0),
        "end": end is None or (_finite(end) and end > 0),
    }
    for name, is_right in right.items():
        if not is_right:
            raise DataError(f"{where}: {name} is {shortened(repr(facts[name]))}, which is not allowed; {AGAIN}.")
    if start is not None and end is not None and not start < end:
        raise DataError(f"{where}: start is {start} and end {end}; start must be before end; {AGAIN}.")
    return facts


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def _row(name: str, text: bytes, *, where: str, split: str) -> Row:
    facts = facts_of(text, where=where)
    key, label, start, end = facts["key"], facts["label"], facts["start"], facts["end"]
    if isinstance(label, list):
        numbers = bool(label) and not isinstance(label[0], str)
        label = tuple(map(float, label)) if numbers else ";".join(label)
    return Row(
        name,
        label,
        where=where,
        split=split,
        group=facts["group"],
        start=start,
        end=end,
        title=key.removesuffix(range_suffix(start, end)),
    )


def _chosen(rows: Sequence[Row], names: tuple[str, ...], wanted: tuple[str, ...], folder: Path) -> list[Row]:
    """Return the rows with the wanted numbers, in that order."""
    if unknown := [name for name in wanted if name not in names]:
        raise DataError(f"{folder} has no numbers {' and '.join(unknown)}, only {' and '.join(names)}.")
    places = [names.index(name) for name in wanted]
    for row in rows:
        if not isinstance(row.label, tuple) or len(row.label) != len(names):
            raise DataError(f"{row.where} has other numbers than {' and '.join(names)}; {AGAIN}.")
    return [replace(row, label=tuple(float(row.label[place]) for place in places)) for row in rows]
