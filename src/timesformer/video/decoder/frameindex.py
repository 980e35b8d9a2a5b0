"""The index of a video's frames, and its compact form of a few bytes for each frame."""

import hashlib
import json
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

NO_TIME = -(2**63)
MAGIC = b"timesformer index 1\n"
ARRAYS = ("pts", "starts", "keys", "places", "targets")
FACTS = ("codec", "fps", "size", "frames", "tick", "remarks", "damage")
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
