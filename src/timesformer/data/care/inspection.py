"""Inspect one video file: whether it decodes, what it holds, and what its clips look like."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from timesformer.data.care.signature import Signature, noted_signature
from timesformer.video import reader
from timesformer.video.decoder import tars
from timesformer.video.reader import VideoError, VideoInfo
from timesformer.video.views import frames_between

Trouble = Literal["", "broken", "damaged", "empty", "beyond"]
FAILURES = (OSError, MemoryError, RuntimeError, ValueError)
"""Errors that reading a file may raise, whatever it holds; they concern that file alone."""
AGAIN = "Run the same command again afterwards: it goes on where it stopped."
_AT_ONCE, _SIDE = 256, 64
"""Frames held while a time range is decoded, and their short side."""


@dataclass(frozen=True)
class Work:
    """A file to inspect, with the time ranges of its clips."""

    path: Path
    ranges: tuple[tuple[float | None, float | None], ...]
    full: bool = True
    """Decode every frame, not only the pictures of the signatures."""


@dataclass(frozen=True)
class Clip:
    """What a clip holds; ``frames`` is 0 if it can't be read."""

    trouble: Trouble
    """"broken": no frame decodes. "damaged": some don't. "empty": no bytes. "beyond": ends before its time range."""
    reason: str = ""
    first: int = 0
    """Number of the clip's first frame in the video."""
    frames: int = 0
    seconds: float = 0.0
    fps: float = 0.0
    height: int = 0
    width: int = 0
    codec: str = ""
    variable_rate: bool = False
    notes: tuple[str, ...] = ()
    """Remarks about a file that is not damaged, such as which of its streams is read."""
    digest: str = ""
    """Hash of the file's bytes."""
    signature: Signature | None = None


def inspect(work: Work) -> tuple[Clip, ...]:
    """Inspect each time range of a file. A file that can't be read is reported as broken, and raises nothing."""
    try:
        return _inspect(work)
    except FAILURES as error:
        return tuple(Clip("broken", why(error)) for _ in work.ranges)


def why(error: Exception) -> str:
    """Why a file can't be read; the message that it goes into names the file."""
    if isinstance(error, VideoError):
        return error.reason
    if isinstance(error, MemoryError):
        return "takes more memory than there is"
    return f"can't be read ({getattr(error, 'strerror', None) or error or type(error).__name__})"


def _inspect(work: Work) -> tuple[Clip, ...]:
    digest = _digest(work.path)
    if not digest:
        return tuple(Clip("empty", "has no bytes") for _ in work.ranges)
    trouble, reason = _decode(work.path) if work.full else ("", "")
    try:
        info = reader.info(work.path)
    except VideoError as error:
        return tuple(Clip("broken", error.reason, digest=digest) for _ in work.ranges)
    return tuple(_clip(info, bounds, trouble=trouble, reason=reason, digest=digest) for bounds in work.ranges)


def _decode(path: Path) -> tuple[Trouble, str]:
    whole = reader.count_decodable(path)
    if not whole.error:
        return "", ""
    return ("damaged" if whole.frames else "broken"), whole.error


def _clip(
    info: VideoInfo, bounds: tuple[float | None, float | None], *, trouble: Trouble, reason: str, digest: str
) -> Clip:
    """What one time range holds; damage elsewhere in the file does not count."""
    try:
        first, frames = frames_between(info, *bounds)
        last = first + frames
        stop = info.times[last] if last < info.frames else info.duration
    except VideoError as error:
        return Clip("beyond", error.reason, digest=digest)
    clip = Clip(
        trouble,
        reason,
        first=first,
        frames=frames,
        seconds=float(stop - info.times[first]),
        fps=info.fps,
        height=info.height,
        width=info.width,
        codec=info.codec,
        variable_rate=info.variable_rate,
        notes=info.notes,
        digest=digest,
    )
    if trouble == "broken":
        return clip
    try:
        if trouble == "damaged" and frames < info.frames and not info.damage:
            own = _damage(info.path, first, last)
            clip = replace(clip, trouble="damaged" if own else "", reason=own)
        look, damage = noted_signature(info.path, start=bounds[0], end=bounds[1])
    except FAILURES as error:
        return replace(clip, trouble="broken", reason=why(error))
    if damage and not clip.trouble:
        clip = replace(clip, trouble="damaged", reason=damage[0])
    return replace(clip, signature=look)


def _damage(path: Path, first: int, last: int) -> str:
    """What is wrong with the frames from ``first`` to before ``last``; empty if all decode."""
    for start in range(first, last, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, last))
        if notes := reader.read_noted(path, numbers, short_side=_SIDE).notes:
            return notes[0]
    return ""


def _digest(path: Path) -> str:
    """A hash of a file's bytes, or of the files of a folder in order of name; empty if there are no bytes."""
    files = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
    total = hashlib.sha256()
    size = 0
    for file in files:
        with tars.stream(file) as opened:
            total.update(hashlib.file_digest(opened, "sha256").digest())  # type: ignore[arg-type]
        size += tars.extent(file).size
    return total.hexdigest() if size else ""
