"""Writing a data set as tar files: whole ones only, in the same order every time, going on where it was stopped."""

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from timesformer import machine
from timesformer.data.care.inspection import why
from timesformer.data.care.shards import webdataset_module
from timesformer.data.files import VIDEO_SUFFIXES
from timesformer.data.formats.shardlist import INDEX, Shard
from timesformer.data.items import DataError, Item
from timesformer.data.manifest import Manifest
from timesformer.video.decoder import tars

PLAN = ".shards.plan"
"""File that says, until all shards are written, of which videos they are, and which were left out."""
LARGEST = 8 * 2**30 - 1
"""Bytes of a file in a tar file of the usual format."""


class _UnreadableError(Exception):
    """An item whose file can't be read, and why."""

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

    Items are shuffled once, the same way every time, so that every shard is a mixture. A shard is closed when it has
    ``shard_bytes`` of videos. The index comes last, so a folder with one is complete; what an interrupted call wrote
    of the same items is kept, and the files end as if it had not been interrupted. ``failed`` is told of a file that
    can't be read, and why, which is then left out; without it such a file is an error.

    Raises :class:`DataError` for folders of images, which are no single file, where ``out`` holds anything else
    already or lies in the data set, where it can't be written, and where no file can be read.
    """
    webdataset_module()
    if folders := [item.key for item in manifest.items if item.path.is_dir()]:
        raise DataError(f"{folders[0]} is no file; `timesformer prepare` makes one video of each item first.")
    source = manifest.source.absolute()
    if source.is_dir() and out.absolute() != source and out.absolute().is_relative_to(source):
        raise DataError(f"{out} lies in {source}, which it would then be part of; choose a folder elsewhere.")
    left = {item.key: reason for item in manifest.items if (reason := _unreadable(item))}
    _report(manifest, left, failed)
    plan = _plan(manifest, shard_bytes)
    torn = _open(out, plan, left)
    _report(manifest, torn, failed)
    while True:
        items = [item for item in manifest.items if item.key not in left and item.key not in torn]
        if not items:
            raise DataError(f"none of the {len(manifest.items)} videos can be read; check the files.")
        try:
            return _write_all(manifest, items, out, shard_bytes, progress)
        except _UnreadableError as error:
            # The order of all others depends on what is left out, so find out at once all that end too early.
            found = {item.key: reason for item in items if (reason := _unreadable(item, whole=True))}
            found.setdefault(error.item.key, error.reason)
            _report(manifest, found, failed)
            torn |= found
            _begin(out, plan, left, torn)


def _report(manifest: Manifest, reasons: Mapping[str, str], failed: Callable[[Item, str], None] | None) -> None:
    for item in manifest.items:
        if item.key in reasons:
            if failed is None:
                raise DataError(f"{item.key}: {reasons[item.key]}; mend or remove it.")
            failed(item, reasons[item.key])


def _unreadable(item: Item, *, whole: bool = False) -> str:
    """Why an item's file can't be read, by its first byte or by all; empty where it can."""
    try:
        with _reading(item), tars.stream(item.path) as file:
            while file.read(2**24 if whole else 1) and whole:
                pass
            if (size := tars.extent(item.path).size) > LARGEST:
                return f"has {size} bytes, more than a tar file takes; `timesformer prepare` makes it smaller"
    except _UnreadableError as error:
        return error.reason
    return ""


def _write_all(
    manifest: Manifest, items: Sequence[Item], out: Path, shard_bytes: int, progress: Callable[[int, int], None]
) -> tuple[Path, ...]:
    """Write the shards that are not there yet; raises :class:`_UnreadableError` for a file that can't be read."""
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
    with _replacing(out / INDEX) as file:
        file.write(text.encode("utf-8"))
    (out / PLAN).unlink(missing_ok=True)
    return tuple(out / shard["file"] for shards in index.values() for shard in shards)


@contextmanager
def _reading(item: Item) -> Iterator[None]:
    """Turn what can happen while an item's file is read into :class:`_UnreadableError`."""
    try:
        yield
    except (OSError, ValueError, MemoryError) as error:
        raise _UnreadableError(item, why(error)) from error


def _plan(manifest: Manifest, shard_bytes: int) -> str:
    """What the shards depend on, as a short text."""
    facts: list[object] = [shard_bytes, manifest.task, manifest.labels]
    for item in manifest.items:
        facts += [item.key, item.split, item.group, manifest.target(item)]
        with suppress(OSError):
            facts.append(tars.extent(item.path))
    return hashlib.blake2b(repr(facts).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _open(out: Path, plan: str, left: Mapping[str, str]) -> dict[str, str]:
    """Make the folder, or take up what an interrupted call has left in it; return what that found to end too early.

    Nothing is removed from a folder that holds anything else. Raises :class:`DataError`.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in out.iterdir()} - {machine.unfinished(out / PLAN).name}
        begun: dict[str, Any] = {}
        if PLAN in names:
            begun = json.loads((out / PLAN).read_text("utf-8"))
        elif names:
            raise DataError(f"{out} is not empty; choose a new or empty folder.")
        if begun and begun["plan"] != plan:
            raise DataError(f"{out} holds part of the shards of other videos; choose a new or empty folder.")
    except (OSError, ValueError, LookupError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{out} can't be used ({reason}); choose another folder.") from error
    torn: dict[str, str] = begun.get("torn", {})
    if begun.get("left") != dict(left):
        _begin(out, plan, left, torn)
    return torn


def _begin(out: Path, plan: str, left: Mapping[str, str], torn: Mapping[str, str]) -> None:
    """Remove the shards of the same videos that were written while others were left out, and say which are now."""
    for path in (*out.glob("*.tar"), *out.glob(".*.part")):
        path.unlink()
    with _replacing(out / PLAN) as file:
        file.write(json.dumps({"plan": plan, "left": left, "torn": torn}).encode("utf-8"))


def _write_shard(manifest: Manifest, items: Sequence[Item], path: Path, first: int) -> None:
    """Write one tar file, whole or not at all; raises :class:`DataError` where there is no room for it."""
    # An open file: webdataset takes some names for addresses and commands.
    with _replacing(path) as file, webdataset_module().TarWriter(file, mtime=0) as tar:
        for place, item in enumerate(items, start=first):
            tar.write(_record(manifest, item, place))


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which becomes ``path`` once it is whole; raises :class:`DataError`."""
    unfinished = machine.unfinished(path)
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            machine.sync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise DataError(
            f"{path} can't be written ({error.strerror or error}); make room, then run the same again to go on."
        ) from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


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
    suffix = suffix[1:] if suffix in VIDEO_SUFFIXES else "video"  # ".json" is the facts', and some are no ending at all
    with _reading(item), tars.stream(item.path) as file:
        return {"__key__": f"{place:09d}", "json": facts, suffix: file.read()}
