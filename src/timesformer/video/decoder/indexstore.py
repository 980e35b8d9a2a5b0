"""A cache of video indices: in memory up to a limit, and on disk for large files.

An index costs a pass over the whole file, so it is made once. Memory holds whole indices, and many more in a compact
form: a few hundred bytes for a short video, some ten thousand for hours. The compact form of a large file's index is
also written to the cache folder (:func:`timesformer.cache.folder`), for other processes and the next run. A file whose
size or time has changed is indexed again. A damaged, unreadable or foreign entry is ignored, and so
is a folder that can't be written to.
"""

import hashlib
import os
import shutil
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from timesformer import atomic, cache
from timesformer.video.decoder.frameindex import Index, Stamp, packed, unpacked

HELD = 64 * 2**20
"""Bytes of whole indices that memory holds; as many again for compact ones."""
WORTH_WRITING = 4 * 2**20
"""Size of a video, in bytes, from which its index is written to disk; a smaller one is indexed fast enough."""
PER_FOLDER = 512
"""Most entries in each of the 256 folders on disk; when there are more, the older half is removed."""
Value = TypeVar("Value")


class _Held(Generic[Value]):
    """The most recently used values by path, up to a number of bytes; safe to use from several threads."""

    def __init__(self) -> None:
        self._values: OrderedDict[Path, tuple[Stamp, Value, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, path: Path, stamp: Stamp) -> Value | None:
        with self._lock:
            entry = self._values.get(path)
            if entry is None or entry[0] != stamp:
                return None
            self._values.move_to_end(path)
            return entry[1]

    def put(self, path: Path, stamp: Stamp, value: Value, size: int) -> None:
        with self._lock:
            self._bytes += size - self._values.pop(path, (stamp, value, 0))[2]
            self._values[path] = (stamp, value, size)
            while self._bytes > HELD and len(self._values) > 1:
                self._bytes -= self._values.popitem(last=False)[1][2]


_whole: _Held[Index] = _Held()
_compact: _Held[bytes] = _Held()


def find(path: Path, stamp: Stamp) -> Index | None:
    """Return the index of an unchanged file, or None if there is none."""
    index = _whole.get(path, stamp)
    if index is not None:
        return index
    data = _compact.get(path, stamp) or _from_disk(path, stamp)
    index = None if data is None else unpacked(path, stamp, data)
    if index is not None and data is not None:
        _compact.put(path, stamp, data, len(data) + 1000)
        _whole.put(path, stamp, index, _size(index))
    return index


def keep(index: Index, stamp: Stamp) -> None:
    """Keep an index for later calls of :func:`find`, also by other processes."""
    _whole.put(index.path, stamp, index, _size(index))
    if index.images:
        return  # a list of file names: reading it would take as long as making it again
    data = packed(index, stamp)
    _compact.put(index.path, stamp, data, len(data) + 1000)
    if stamp[1] >= WORTH_WRITING:
        _to_disk(index.path, data)


def _size(index: Index) -> int:
    """Rough number of bytes that an index takes."""
    return 2000 + 24 * index.frames + 24 * len(index.keys) + 300 * len(index.images)


def _entry(path: Path) -> Path | None:
    """Where the index of a file is on disk; None without a cache folder."""
    folder = cache.folder()
    if folder is None:
        return None
    name = hashlib.blake2b(os.fsencode(path), digest_size=16).hexdigest()
    return folder / "indices" / name[:2] / name[2:]


def _from_disk(path: Path, stamp: Stamp) -> bytes | None:
    entry = _entry(path) if stamp[1] >= WORTH_WRITING else None
    if entry is not None:
        with suppress(OSError):
            return entry.read_bytes()
    return None


def _to_disk(path: Path, data: bytes) -> None:
    """Write an entry; other processes may write it at the same time."""
    entry = _entry(path)
    if entry is None:
        return
    with suppress(OSError):
        with atomic.replacing(entry) as temporary:
            temporary.write_bytes(data)
        _prune(entry.parent)


def _prune(folder: Path) -> None:
    """Remove the older half of too many entries."""
    entries = list(folder.iterdir())
    if len(entries) > PER_FOLDER:
        for entry in sorted(entries, key=lambda each: each.stat().st_mtime)[: len(entries) // 2]:
            if atomic.is_partial(entry):  # of a process that was killed
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
