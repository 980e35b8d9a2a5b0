"""One video file looked at closely: does it decode, what does it hold, and what do its clips look like."""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from timesformer.data.duplicates import Signature, signature
from timesformer.video import reader, tars
from timesformer.video.reader import DamagedVideoWarning, VideoError, VideoInfo
from timesformer.video.views import noting_damage, stretch

Trouble = Literal["", "broken", "damaged", "empty", "beyond"]


@dataclass(frozen=True)
class Work:
    """A file to look at, with the stretches of it that are clips."""

    path: Path
    stretches: tuple[tuple[float | None, float | None], ...]
    full: bool = True
    """Decode every frame, not only the pictures of the signatures."""


@dataclass(frozen=True)
class Clip:
    """What a clip holds; without frames where it can't be read."""

    trouble: Trouble
    """"broken": no frame decodes. "damaged": some don't. "empty": no bytes. "beyond": ends before its stretch."""
    reason: str = ""
    frames: int = 0
    seconds: float = 0.0
    fps: float = 0.0
    height: int = 0
    width: int = 0
    codec: str = ""
    variable_rate: bool = False
    digest: str = ""
    """Of the file's bytes."""
    signature: Signature | None = None


def inspect(work: Work) -> tuple[Clip, ...]:
    """Look at each stretch of a file. Never raises for what the file holds."""
    digest = _digest(work.path)
    if not digest:
        return tuple(Clip("empty", "has no bytes") for _ in work.stretches)
    trouble, reason = _decode(work.path) if work.full else ("", "")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamagedVideoWarning)  # the decoding of all frames, or of the clip, tells it
            info = reader.info(work.path)
    except VideoError as error:
        return tuple(Clip("broken", error.reason, digest=digest) for _ in work.stretches)
    return tuple(_clip(info, bounds, trouble=trouble, reason=reason, digest=digest) for bounds in work.stretches)


def _decode(path: Path) -> tuple[Trouble, str]:
    whole = reader.count_decodable(path)
    if not whole.error:
        return "", ""
    return ("damaged" if whole.frames else "broken"), whole.error


def _clip(
    info: VideoInfo, bounds: tuple[float | None, float | None], *, trouble: Trouble, reason: str, digest: str
) -> Clip:
    look = None
    try:
        first, frames = stretch(info, *bounds)
        last = first + frames
        stop = info.times[last] if last < info.frames else info.duration
    except VideoError as error:
        return Clip("beyond", error.reason, digest=digest)
    if trouble != "broken":
        try:
            with noting_damage() as damage:
                look = signature(info.path, start=bounds[0], end=bounds[1])
            if damage and not trouble:
                trouble, reason = "damaged", damage[0].removeprefix(f"{info.path}: ")
        except VideoError as error:
            trouble, reason = "broken", error.reason
    return Clip(
        trouble,
        reason,
        frames=frames,
        seconds=stop - info.times[first],
        fps=info.fps,
        height=info.height,
        width=info.width,
        codec=info.codec,
        variable_rate=info.variable_rate,
        digest=digest,
        signature=look,
    )


def _digest(path: Path) -> str:
    """A fingerprint of a file's bytes, or of the files of a folder in order of name; empty where there are none."""
    files = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
    total = hashlib.sha256()
    size = 0
    for file in files:
        with tars.stream(file) as opened:
            total.update(hashlib.file_digest(opened, "sha256").digest())  # type: ignore[arg-type]
        size += tars.extent(file).size
    return total.hexdigest() if size else ""
