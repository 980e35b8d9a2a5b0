"""What a folder of unfinished shards says about itself, so that writing them can go on where it stopped.

The shards depend on every video that goes into them. The plan names the videos by a hash, and says which were left out.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from timesformer import atomic
from timesformer.data.care.inspection import AGAIN
from timesformer.data.items import DataError
from timesformer.data.manifest import Manifest
from timesformer.video.decoder import tars

PLAN = ".shards.plan"
"""Name of the file that holds the plan; it is removed once all shards are written."""


def of(manifest: Manifest, shard_bytes: int) -> str:
    """A hash of everything that the shards of a data set depend on."""
    facts: list[object] = [shard_bytes, manifest.task, manifest.labels]
    for item in manifest.items:
        facts += [item.key, item.split, item.group, manifest.target(item)]
        with suppress(OSError):
            facts.append(tars.extent(item.path))
    return hashlib.blake2b(repr(facts).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def resume(out: Path, plan: str, unreadable: Mapping[str, str]) -> dict[str, str]:
    """Make the folder, or go on with the shards that an interrupted call left in it.

    ``unreadable`` are the videos that can't be opened, each with the reason. Returns those that the interrupted call
    found to be cut off. Nothing is removed from a folder that holds anything else: that raises :class:`DataError`.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in out.iterdir() if not atomic.is_partial(path)}
        saved: dict[str, Any] = {}
        if PLAN in names:
            saved = json.loads((out / PLAN).read_text("utf-8"))
        elif names:
            raise DataError(f"{out} is not empty; choose a new or empty folder.")
        if saved and saved["plan"] != plan:
            raise DataError(f"{out} holds part of the shards of other videos; choose a new or empty folder.")
    except (OSError, ValueError, LookupError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{out} can't be used ({reason}); choose another folder.") from error
    cut_off: dict[str, str] = saved.get("torn", {})
    if saved.get("left") != dict(unreadable):
        start(out, plan, unreadable, cut_off)
    return cut_off


def start(out: Path, plan: str, unreadable: Mapping[str, str], cut_off: Mapping[str, str]) -> None:
    """Remove the shards that were written while other videos were left out, and save the plan."""
    atomic.clear(out)
    for path in out.glob("*.tar"):
        path.unlink()
    with replacing(out / PLAN) as file:
        file.write(json.dumps({"plan": plan, "left": unreadable, "torn": cut_off}).encode("utf-8"))


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that becomes ``path`` once it is written to its end; raises :class:`DataError`."""
    with atomic.replacing(path, lambda text: DataError(f"{text} {AGAIN}")) as temporary, temporary.open("wb") as file:
        yield file
