"""What a folder of shards holds: the index beside the tar files, and what they say about each video in them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from timesformer.config import Task
from timesformer.data.items import DataError, Listing, Row, split_of, stretched
from timesformer.video import tars

INDEX = "shards.json"
AGAIN = "copy it again, or write the shards again"
AT_ONCE = 16
"""Tar files that are listed at once: on a network each header is a wait."""


@dataclass(frozen=True)
class Shard:
    """One tar file and the items in it, numbered through a split."""

    file: str
    first: int
    count: int


def index_of(data: Path) -> Path:
    """Return where the index of a folder of shards is; it may be named itself."""
    return data if data.name == INDEX else data / INDEX


def shards_of(folder: Path, split: str) -> tuple[Shard, ...]:
    """The shards of a split in order. Raises :class:`DataError` where there is no index or no such split."""
    splits = _splits(_index(folder), folder)
    if split not in splits:
        raise DataError(f"{folder} has no split {split!r}, only {' and '.join(splits)}.")
    return splits[split]


def listing(folder: Path, *, task: Task, targets: Sequence[str] | None = None) -> Listing:
    """Read what the shards in a folder hold: a row for each video, with the name, label and split it had before.

    ``targets`` are the numbers that a regression reads, by name. Raises :class:`DataError` where the shards were
    written for another task, and for a tar file that is missing, damaged, or lacks items of the index.
    """
    index = _index(folder)
    if index.get("task", task) != task:
        raise DataError(f"{folder} was written for {index['task']}, not {task}; choose that task (--task).")
    labels = tuple(index.get("labels", ())) or None
    splits = [(split_of(split, str(folder / INDEX)), shards) for split, shards in _splits(index, folder).items()]
    jobs = [(shard, split) for split, shards in splits for shard in shards]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        rows = [row for part in threads.map(lambda job: list(_rows(folder, *job)), jobs) for row in part]
    if task == "regression" and targets and labels:
        rows, labels = _chosen(rows, labels, tuple(targets), folder), tuple(targets)
    seen: dict[str, Row] = {}
    for row in rows:
        key = f"{row.title}{stretched(row.start, row.end)}"
        if (first := seen.setdefault(key, row)) is not row:
            raise DataError(f"{first.where} and {row.where} are both {key}; write the shards again.")
    return Listing(tuple(rows), root=folder, labels=labels)


def _index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    if not path.is_file():
        raise DataError(f"{folder} holds no {INDEX}; it is no folder of shards, or was not written to its end.")
    try:
        index = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); {AGAIN}.") from None
    if not isinstance(index, dict) or not isinstance(index.get("splits"), dict):
        raise DataError(f'{path} has no "splits" with the tar files of each; {AGAIN}.')
    return index


def _splits(index: dict[str, Any], folder: Path) -> dict[str, tuple[Shard, ...]]:
    try:
        return {split: tuple(Shard(**shard) for shard in shards) for split, shards in index["splits"].items()}
    except TypeError as error:
        raise DataError(f"{folder / INDEX}: a shard has other facts than file, first and count ({error}).") from None


def _rows(folder: Path, shard: Shard, split: str) -> Iterator[Row]:
    """The items of one tar file: a video beside a JSON file of the same name each."""
    tar = folder / shard.file
    try:
        members = tars.members(tar)
        with tar.open("rb") as file:
            texts = {}
            for name in (name for name in members if name.endswith(".json")):
                start, size = members[name]
                file.seek(start)
                texts[_stem(name)] = file.read(size)
    except FileNotFoundError:
        raise DataError(f"{tar} is missing although {INDEX} names it; {AGAIN}.") from None
    except OSError as error:
        raise DataError(f"{error}; {AGAIN}.") from None
    videos = {_stem(name): name for name in members if not name.endswith(".json")}
    whole = texts.keys() & videos.keys()
    if len(whole) != shard.count:
        raise DataError(f"{tar} holds {len(whole)} items of the {shard.count} that {INDEX} counts; {AGAIN}.")
    for stem in sorted(whole):
        yield _row(f"{tar}/{videos[stem]}", texts[stem], where=f"{tar}/{stem}.json", split=split)


def _stem(name: str) -> str:
    """A member's name up to the first dot of its last part: what the files of an item share."""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition('.')[0]}"


def _row(name: str, text: bytes, *, where: str, split: str) -> Row:
    try:
        facts: Mapping[str, Any] = json.loads(text)
        key, label, start, end = facts["key"], facts["label"], facts.get("start"), facts.get("end")
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{where} does not tell the key and label of its video ({error!r}); {AGAIN}.") from None
    if isinstance(label, list):
        numbers = bool(label) and not any(isinstance(value, str) for value in label)
        label = tuple(map(float, label)) if numbers else ";".join(label)
    return Row(
        name,
        label,
        where=where,
        split=split,
        group=facts.get("group") or "",
        start=start,
        end=end,
        title=key.removesuffix(stretched(start, end)),
    )


def _chosen(rows: Sequence[Row], names: tuple[str, ...], wanted: tuple[str, ...], folder: Path) -> list[Row]:
    """The rows with the numbers that are wanted, in that order."""
    if unknown := [name for name in wanted if name not in names]:
        raise DataError(f"{folder} has no numbers {' and '.join(unknown)}, only {' and '.join(names)}.")
    places = [names.index(name) for name in wanted]
    return [replace(row, label=tuple(float(row.label[place]) for place in places)) for row in rows]
