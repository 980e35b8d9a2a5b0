"""Write a data set as tar files of videos: a few large files instead of many small ones, which clusters read slowly.

The files are WebDataset shards, so other programs read them too: each item is ``000000012.mp4`` beside
``000000012.json``. An index beside the shards counts the items of each. The same data set always gives the same shards,
and an interrupted call goes on where it stopped.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from timesformer.data.care import shardplan
from timesformer.data.care.inspection import why
from timesformer.data.files import VIDEO_SUFFIXES
from timesformer.data.formats.shardlist import INDEX, Shard
from timesformer.data.items import DataError, Item
from timesformer.data.manifest import Manifest
from timesformer.video.decoder import tars

LARGEST = 8 * 2**30 - 1
"""Largest file, in bytes, that the usual tar format can hold."""


class _UnreadableError(Exception):
    """The file of an item can't be read."""

    def __init__(self, item: Item, reason: str) -> None:
        super().__init__(item, reason)
        self.item, self.reason = item, reason


def write(
    manifest: Manifest,
    out: Path,
    *,
    shard_bytes: int = 500_000_000,
    progress: Callable[[int, int], None] = lambda done, total: None,
    failed: Callable[[Item, str], None] | None = None,
) -> tuple[Path, ...]:
    """Write all splits of a data set as ``out/train-00000.tar`` and so on, and return the files.

    Items are shuffled first, always in the same way, so that every shard has a mixture of classes. A shard is closed
    once its videos have ``shard_bytes`` bytes. The index is written last, so a folder with an index is complete. An
    interrupted call can be repeated: it keeps the shards that are whole, and ends with the same files.

    ``failed`` is called with every item whose file can't be read, and the reason; that item is left out. Without
    ``failed``, such a file is an error.

    Raises :class:`DataError` for folders of images, where ``out`` holds anything else, lies in the data set or can't be
    written, and where no video can be read.
    """
    _webdataset()
    if folders := [item.key for item in manifest.items if item.path.is_dir()]:
        raise DataError(f"{folders[0]} is a folder of images; run `timesformer prepare` first, which makes it a video.")
    source = manifest.source.absolute()
    if source.is_dir() and out.absolute() != source and out.absolute().is_relative_to(source):
        raise DataError(f"{out} lies in the data set {source} and would become part of it; choose a folder elsewhere.")
    unreadable = {item.key: reason for item in manifest.items if (reason := _unreadable(item))}
    _report(manifest, unreadable, failed)
    plan = shardplan.of(manifest, shard_bytes)
    cut_off = shardplan.resume(out, plan, unreadable)
    _report(manifest, cut_off, failed)
    while True:
        items = [item for item in manifest.items if item.key not in unreadable and item.key not in cut_off]
        if not items:
            raise DataError(f"none of the {len(manifest.items)} videos can be read; check the files.")
        try:
            return _write_all(manifest, items, out, shard_bytes, progress)
        except _UnreadableError as error:
            # Leaving an item out changes the order of all others, so look for all cut-off files now.
            found = {item.key: reason for item in items if (reason := _unreadable(item, whole=True))}
            found.setdefault(error.item.key, error.reason)
            _report(manifest, found, failed)
            cut_off |= found
            shardplan.start(out, plan, unreadable, cut_off)


def _webdataset() -> ModuleType:
    """Import webdataset; raises ImportError with the command that installs it."""
    try:
        import webdataset
    except ImportError:
        raise ImportError("shards need webdataset; run: pip install 'timesformer[webdataset]'") from None
    return webdataset


def _report(manifest: Manifest, reasons: Mapping[str, str], failed: Callable[[Item, str], None] | None) -> None:
    for item in manifest.items:
        if item.key in reasons:
            if failed is None:
                raise DataError(f"{item.key}: {reasons[item.key]}; repair or remove it.")
            failed(item, reasons[item.key])


def _unreadable(item: Item, *, whole: bool = False) -> str:
    """Why the first byte of an item's file, or with ``whole`` all of it, can't be read; empty if it can."""
    try:
        with _reading(item), tars.stream(item.path) as file:
            while file.read(2**24 if whole else 1) and whole:
                pass
            if (size := tars.extent(item.path).size) > LARGEST:
                return f"has {size} bytes, too many for a tar file; `timesformer prepare` makes it smaller"
    except _UnreadableError as error:
        return error.reason
    return ""


def _write_all(
    manifest: Manifest, items: Sequence[Item], out: Path, shard_bytes: int, progress: Callable[[int, int], None]
) -> tuple[Path, ...]:
    """Write the missing shards and the index; raises :class:`_UnreadableError` for a file that can't be read."""
    index: dict[str, list[dict[str, Any]]] = {}
    done = 0
    for split in manifest.splits:
        chosen = [item for item in items if item.split == split]
        random.Random(0).shuffle(chosen)
        first = 0
        for number, part in enumerate(_parts(chosen, shard_bytes)):
            name = f"{split}-{number:05d}.tar"
            if not (out / name).is_file():
                _write_shard(manifest, part, out / name, first)
            done += len(part)
            progress(done, len(items))
            index.setdefault(split, []).append(asdict(Shard(name, first, len(part))))
            first += len(part)
    text = json.dumps({"task": manifest.task, "labels": manifest.labels, "splits": index}, indent=1)
    with shardplan.replacing(out / INDEX) as file:
        file.write(text.encode("utf-8"))
    (out / shardplan.PLAN).unlink(missing_ok=True)
    return tuple(out / shard["file"] for shards in index.values() for shard in shards)


@contextmanager
def _reading(item: Item) -> Iterator[None]:
    """Raise :class:`_UnreadableError` for any error in reading an item's file."""
    try:
        yield
    except (OSError, ValueError, MemoryError) as error:
        raise _UnreadableError(item, why(error)) from error


def _write_shard(manifest: Manifest, items: Sequence[Item], path: Path, first: int) -> None:
    """Write one tar file, whole or not at all; raises :class:`DataError` if the disk is full."""
    # Pass an open file: webdataset takes some file names for URLs and commands.
    with shardplan.replacing(path) as file, _webdataset().TarWriter(file, mtime=0) as tar:
        for place, item in enumerate(items, start=first):
            tar.write(_record(manifest, item, place))


def _parts(items: Sequence[Item], shard_bytes: int) -> Iterator[list[Item]]:
    part: list[Item] = []
    size = 0
    for item in items:
        part.append(item)
        size += tars.extent(item.path).size
        if size >= shard_bytes:
            yield part
            part, size = [], 0
    if part:
        yield part


def _record(manifest: Manifest, item: Item, place: int) -> dict[str, object]:
    facts = {
        "key": item.key,
        "label": item.label,
        "target": manifest.target(item),
        "group": item.group,
        "start": item.start,
        "end": item.end,
    }
    suffix = item.path.suffix.lower()
    suffix = suffix[1:] if suffix in VIDEO_SUFFIXES else "video"  # ".json" would clash with the facts
    with _reading(item), tars.stream(item.path) as file:
        return {"__key__": f"{place:09d}", "json": facts, suffix: file.read()}
