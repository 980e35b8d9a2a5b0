"""What is kept of the indices of videos: a bounded part in memory, and those of large files on disk.

An index costs a pass over the whole file, so it is made once. In memory lie whole indices, and many more in a compact
form of a few hundred bytes for a short video and some ten thousand for hours; the compact form of a large file's is
also written into the cache folder (:func:`timesformer.machine.cache_folder`), for other processes and the next run. A
file that has changed in size or time is indexed again; a damaged, unreadable or foreign entry counts as none, and
where the folder can't be written nothing is lost but time.
"""

import hashlib
import json
import os
import shutil
import threading
import zlib
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import av
import numpy as np
from numpy.typing import NDArray

from timesformer import atomic, machine

NO_TIME = -(2**63)
HELD = 64 * 2**20
"""Bytes of whole indices that are held in memory, and again of compact ones."""
WORTH_WRITING = 4 * 2**20
"""Bytes of a video from which its index is written to disk; a smaller one is indexed nearly as fast as it is read."""
PER_FOLDER = 512
"""Entries of one of the 256 folders on disk; when there are more, the older half goes."""
MAGIC = b"timesformer index 1\n"
Stamp = tuple[int, int, int]
"""Modification time in nanoseconds, size, and first byte where the video lies in a tar file."""


def _no_ticks() -> NDArray[np.int64]:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Index:
    """The frames of a video in the order in which they are shown; a tick is the stream's unit of time."""

    path: Path
    codec: str
    fps: float
    size: tuple[int, int]
    """Height and width in pixels, upright and square."""
    frames: int
    """Number of frames."""
    tick: float = 0.0
    """Seconds."""
    pts: NDArray[np.int64] = field(default_factory=_no_ticks)
    """Presentation time in ticks of each frame, increasing; empty where frames can only be counted from the start."""
    starts: NDArray[np.int64] = field(default_factory=_no_ticks)
    """For each frame, the key that decoding must start at; empty as ``pts``."""
    keys: NDArray[np.int64] = field(default_factory=_no_ticks)
    """Presentation time in ticks of each key packet in decoding order, also of those that are never shown."""
    places: NDArray[np.int64] = field(default_factory=_no_ticks)
    """Byte of the file at which each key packet lies."""
    targets: NDArray[np.int64] = field(default_factory=_no_ticks)
    """Ticks to seek to for each key."""
    images: tuple[Path, ...] = ()
    """The files of a folder of images, in order."""
    remarks: tuple[str, ...] = ()
    """What was chosen of what the file holds."""
    damage: tuple[str, ...] = ()
    """What of the whole file is not as it should be."""

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """Seconds from the first frame, for each frame."""
        times = (self.pts - self.pts[0]) * self.tick if len(self.pts) else np.arange(self.frames) / self.fps
        times.flags.writeable = False
        return times

    @cached_property
    def variable_rate(self) -> bool:
        """Whether frames are shown for unequal times."""
        steps = np.diff(self.times)
        # 2 ms and a tenth of a frame are the rounding of containers and the jitter of cameras
        return len(steps) > 0 and float(steps.max() - steps.min()) > 0.002 + 0.1 * float(np.median(steps))

    def start(self, number: int) -> int:
        """The key that decoding must start at for a frame; 0 where there are no keys."""
        return int(self.starts[number]) if len(self.starts) else 0

    def number(self, pts: int | None) -> int | None:
        """Frame number of a presentation time in ticks, or None where no frame has it."""
        if pts is None:
            return None
        place = int(np.searchsorted(self.pts, pts))
        return place if place < len(self.pts) and self.pts[place] == pts else None

    def is_key(self, pts: int, place: int | None) -> bool:
        """Whether a packet is a known key; where the file's own index is broken, seeking gives packets wrong times."""
        return bool(np.any((self.keys == pts) & (self.places == (NO_TIME if place is None else place))))


Value = TypeVar("Value")
ARRAYS = ("pts", "starts", "keys", "places", "targets")
FACTS = ("codec", "fps", "size", "frames", "tick", "remarks", "damage")


class _Held(Generic[Value]):
    """Values by path up to a number of bytes, those used last; safe in threads."""

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

    def clear(self) -> None:
        with self._lock:
            self._values.clear()
            self._bytes = 0


_whole: _Held[Index] = _Held()
_compact: _Held[bytes] = _Held()


def find(path: Path, stamp: Stamp) -> Index | None:
    """Return what is kept of an unchanged file, or None."""
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
        return  # a list of file names: making it again costs what reading it would
    data = packed(index, stamp)
    _compact.put(index.path, stamp, data, len(data) + 1000)
    if stamp[1] >= WORTH_WRITING:
        _to_disk(index.path, data)


def forget() -> None:
    """Drop what lies in memory, as in a new process."""
    _whole.clear()
    _compact.clear()


def _size(index: Index) -> int:
    """Bytes that an index takes or may come to take, roughly."""
    return 2000 + 24 * index.frames + 24 * len(index.keys) + 300 * len(index.images)


def packed(index: Index, stamp: Stamp) -> bytes:
    """The compact form of an index: its facts as a line of JSON, and the steps of its arrays in as few bytes each."""
    steps = [_in_few_bytes(np.diff(getattr(index, name), prepend=np.int64(0))) for name in ARRAYS]
    kinds = [(each.dtype.str, len(each)) for each in steps]
    facts = {name: getattr(index, name) for name in FACTS}
    facts |= {"stamp": stamp, "decoder": av.ffmpeg_version_info, "arrays": kinds}
    body = json.dumps(facts).encode() + b"\n" + zlib.compress(b"".join(each.tobytes() for each in steps), 1)
    return MAGIC + hashlib.blake2b(body, digest_size=16).digest() + body


def unpacked(path: Path, stamp: Stamp, data: bytes) -> Index | None:
    """The index of a compact form; None where that is damaged, of another state of the file, or of other software."""
    body = data[len(MAGIC) + 16 :]
    if data[: len(MAGIC) + 16] != MAGIC + hashlib.blake2b(body, digest_size=16).digest():
        return None
    line, _, rest = body.partition(b"\n")
    try:
        facts: dict[str, Any] = json.loads(line)
        if tuple(facts["stamp"]) != stamp or facts["decoder"] != av.ffmpeg_version_info:
            return None
        content, place = zlib.decompress(rest), 0
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value := facts[name], list) else value for name in FACTS
        }
        for name, (kind, count) in zip(ARRAYS, facts["arrays"], strict=True):
            steps = np.frombuffer(content, dtype=kind, count=count, offset=place)
            place += steps.nbytes
            values[name] = np.cumsum(steps, dtype=np.int64)
    except (ValueError, TypeError, LookupError, zlib.error):
        return None
    return Index(path=path, **values)


def _in_few_bytes(steps: NDArray[np.int64]) -> NDArray[np.integer[Any]]:
    """The same numbers in the smallest type that holds them; what wrapped round on the way wraps back in the sum."""
    low, high = (int(steps.min()), int(steps.max())) if len(steps) else (0, 0)
    kinds = (np.dtype(kind) for kind in ("<i1", "<i2", "<i4", "<i8"))
    return steps.astype(next(kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max))


def _entry(path: Path) -> Path | None:
    """Where the index of a file is on disk; None where there is no place for it."""
    folder = machine.cache_folder()
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
    """Write an entry whole or not at all, whoever else writes it at the same time."""
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
