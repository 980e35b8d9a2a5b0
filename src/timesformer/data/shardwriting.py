"""Writing a data set as tar files: whole ones only, in the same order every time, going on where it was stopped."""

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from timesformer import machine
from timesformer.data.items import DataError, Item
from timesformer.data.manifest import Manifest
from timesformer.data.shardlist import INDEX, Shard
from timesformer.data.shards import webdataset_module
from timesformer.video import tars

PLAN = ".shards.plan"
"""File that says, until all shards are written, of which videos they are."""


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
    already, where it can't be written, and where no file can be read.
    """
    webdataset_module()
    if folders := [item.key for item in manifest.items if item.path.is_dir()]:
        raise DataError(f"{folders[0]} is no file; `timesformer prepare` makes one video of each item first.")
    if out.is_dir() and any(out.iterdir()) and not (out / PLAN).is_file():
        raise DataError(f"{out} is not empty; choose a new or empty folder.")
    items = list(manifest.items)
    while items:
        try:
            return _write_all(manifest, items, out, shard_bytes, progress)
        except _UnreadableError as error:
            if failed is None:
                raise DataError(f"{error.item.key}: {error.reason}; mend or remove it.") from None
            failed(error.item, error.reason)
            items.remove(error.item)
            for path in (*out.glob("*.tar"), out / PLAN):  # the order of all others depends on it
                path.unlink(missing_ok=True)
    raise DataError(f"none of the {len(manifest.items)} videos can be read; check the files.")


def _write_all(
    manifest: Manifest, items: Sequence[Item], out: Path, shard_bytes: int, progress: Callable[[int, int], None]
) -> tuple[Path, ...]:
    """Write the shards of items whose files can be read; raises :class:`_UnreadableError` for the first that can't."""
    for item in items:
        with _reading(item), tars.stream(item.path) as file:
            file.read(1)
    _open(out, _plan(manifest, items, shard_bytes))
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
    with _replacing(out / INDEX) as unfinished:
        unfinished.write_text(text, "utf-8")
    (out / PLAN).unlink(missing_ok=True)
    return tuple(out / shard["file"] for shards in index.values() for shard in shards)


@contextmanager
def _reading(item: Item) -> Iterator[None]:
    """Turn what can happen while an item's file is read into :class:`_UnreadableError`."""
    try:
        yield
    except (OSError, ValueError, MemoryError) as error:
        reason = f"can't be read ({getattr(error, 'strerror', None) or error or 'too large for the memory'})"
        raise _UnreadableError(item, reason) from error


def _plan(manifest: Manifest, items: Sequence[Item], shard_bytes: int) -> str:
    """What the shards of these items depend on, as a short text."""
    facts = [(item.key, item.split, item.group, manifest.target(item), tars.extent(item.path)) for item in items]
    text = repr((shard_bytes, manifest.task, manifest.labels, facts))
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _open(out: Path, plan: str) -> None:
    """Make the folder, or take up what an interrupted call has left in it; raises :class:`DataError`."""
    try:
        if out.exists() and any(out.iterdir()):
            begun = (out / PLAN).read_text("utf-8") if (out / PLAN).is_file() else ""
            if begun != plan:
                raise DataError(f"{out} holds part of the shards of other videos; choose a new or empty folder.")
            for path in out.glob(".*.part"):
                path.unlink()
            return
        out.mkdir(parents=True, exist_ok=True)
        (out / PLAN).write_text(plan, "utf-8")
    except OSError as error:
        raise DataError(f"{out} can't be written ({error.strerror or error}); choose another folder.") from error


def _write_shard(manifest: Manifest, items: Sequence[Item], path: Path, first: int) -> None:
    """Write one tar file, whole or not at all; raises :class:`DataError` where there is no room for it."""
    with _replacing(path) as unfinished, webdataset_module().TarWriter(str(unfinished), mtime=0) as tar:
        for place, item in enumerate(items, start=first):
            tar.write(_record(manifest, item, place))


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A name to write to, which becomes ``path`` once it is whole; raises :class:`DataError`."""
    unfinished = machine.unfinished(path)
    try:
        yield unfinished
        with unfinished.open("r+b") as file:
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
    suffix = item.path.suffix.lower().removeprefix(".") or "video"
    with _reading(item), tars.stream(item.path) as file:
        return {"__key__": f"{place:09d}", "json": facts, suffix: file.read()}
