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
    """The frames of a video in presentation order; a tick is the stream's unit of time."""

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
    """Presentation time of each frame in ticks, increasing; empty if frames can only be counted from the start."""
    starts: NDArray[np.int64] = field(default_factory=_no_ticks)
    """For each frame, the key frame that decoding must start at; empty if ``pts`` is."""
    keys: NDArray[np.int64] = field(default_factory=_no_ticks)
    """Presentation time of each key packet in ticks, in decoding order; it includes packets that are never shown."""
    places: NDArray[np.int64] = field(default_factory=_no_ticks)
    """Byte offset of each key packet in the file."""
    targets: NDArray[np.int64] = field(default_factory=_no_ticks)
    """Ticks to seek to for each key."""
    images: tuple[Path, ...] = ()
    """The files of a folder of images, in order."""
    remarks: tuple[str, ...] = ()
    """Choices made where the file holds several streams or shots."""
    damage: tuple[str, ...] = ()
    """Damage found anywhere in the file."""

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """Seconds from the first frame, for each frame."""
        times = (self.pts - self.pts[0]) * self.tick if len(self.pts) else np.arange(self.frames) / self.fps
        times.flags.writeable = False
        return times

    @cached_property
    def variable_rate(self) -> bool:
        """Whether the frame rate varies."""
        steps = np.diff(self.times)
        # containers round times to 1 or 2 ms, and cameras jitter by up to a tenth of a frame
        return len(steps) > 0 and float(steps.max() - steps.min()) > 0.002 + 0.1 * float(np.median(steps))

    def start(self, number: int) -> int:
        """The key frame that decoding must start at for a frame; 0 if there are none."""
        return int(self.starts[number]) if len(self.starts) else 0

    def number(self, pts: int | None) -> int | None:
        """Frame number of a presentation time in ticks, or None if no frame has it."""
        if pts is None:
            return None
        place = int(np.searchsorted(self.pts, pts))
        return place if place < len(self.pts) and self.pts[place] == pts else None

    def is_key(self, pts: int, place: int | None) -> bool:
        """Whether a packet is a known key packet; seeking by a broken index gives packets wrong times."""
        return bool(np.any((self.keys == pts) & (self.places == (NO_TIME if place is None else place))))


def packed(index: Index, stamp: Stamp) -> bytes:
    """The compact form of an index: its facts as a line of JSON, and the differences within its arrays, compressed."""
    steps = [_in_few_bytes(np.diff(getattr(index, name), prepend=np.int64(0))) for name in ARRAYS]
    kinds = [(each.dtype.str, len(each)) for each in steps]
    facts = {name: getattr(index, name) for name in FACTS}
    facts |= {"stamp": stamp, "decoder": av.ffmpeg_version_info, "arrays": kinds}
    body = json.dumps(facts).encode() + b"\n" + zlib.compress(b"".join(each.tobytes() for each in steps), 1)
    return MAGIC + hashlib.blake2b(body, digest_size=16).digest() + body


def unpacked(path: Path, stamp: Stamp, data: bytes) -> Index | None:
    """The index of a compact form; None if it is damaged, or of another state of the file or another decoder."""
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
    """The same numbers in the smallest integer type that holds them; an overflow is undone by the later sum."""
    low, high = (int(steps.min()), int(steps.max())) if len(steps) else (0, 0)
    kinds = (np.dtype(kind) for kind in ("<i1", "<i2", "<i4", "<i8"))
    return steps.astype(next(kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max))
