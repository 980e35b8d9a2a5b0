"""From a video file, or a folder of images, to frames: the door to the decoder for everything above.

Frames are numbered from 0 in the order in which they are shown, and a number is the same picture whether a file is read
from its start or by a seek. What can't be decoded is named, never passed over in silence.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

from timesformer.video.container import (
    DamagedVideoWarning,
    DecodeError,
    VideoError,
    decoded,
    opened,
    picture,
    quarter_turns,
    reason,
)
from timesformer.video.index import Index, index
from timesformer.video.shots import Shot, shots

__all__ = [
    "DamagedVideoWarning",
    "Decodable",
    "Frames",
    "VideoError",
    "VideoInfo",
    "count_decodable",
    "info",
    "read",
    "read_noted",
]


@dataclass(frozen=True)
class VideoInfo:
    """What a video holds, counted rather than taken from its header."""

    path: Path
    frames: int
    fps: float
    """Frames a second, on average where the rate varies."""
    height: int
    """Pixels, upright."""
    width: int
    """Pixels, upright."""
    duration: float
    """Seconds from the start of the first frame to the end of the last."""
    codec: str
    variable_rate: bool
    """Whether frames are shown for unequal times."""
    times: tuple[float, ...]
    """When each frame is shown, in seconds from the first."""
    notes: tuple[str, ...] = ()
    """What is to be said of the file: parts that do not decode, and what was chosen of what it holds."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Decoded frames, and what was wrong with them."""

    pixels: Tensor
    """uint8 RGB of the shape of the numbers + (c, h, w)."""
    notes: tuple[str, ...]
    """What of these frames, or of the whole file, did not decode as it should; without the path. Empty where all is
    well."""


@dataclass(frozen=True)
class Decodable:
    """What came of decoding a whole video."""

    path: Path
    frames: int
    """Frames that decode."""
    expected: int
    """Frames that the file has packets for; 0 where it can't be read at all."""
    error: str
    """The first thing that went wrong; empty for a sound video."""


def info(path: Path | str) -> VideoInfo:
    """Count the frames of a video and measure them, decoding the first only where packets can be trusted.

    A folder of images, numbered as people number files, is a video of 30 frames a second. Raises :class:`VideoError`.
    """
    table = index(Path(path))
    steps = np.diff(table.times)
    # 2 ms and a tenth of a frame are the rounding of containers and the jitter of cameras
    varies = len(steps) > 0 and float(steps.max() - steps.min()) > 0.002 + 0.1 * float(np.median(steps))
    return VideoInfo(
        path=Path(path),
        frames=table.frames,
        fps=table.fps,
        height=table.size[0],
        width=table.size[1],
        duration=float(table.times[-1]) + 1 / table.fps,
        codec=table.codec,
        variable_rate=varies,
        times=tuple(table.times.tolist()),
        notes=table.damage,
    )


def read_noted(path: Path | str, numbers: ArrayLike | Tensor, *, short_side: int | None = None) -> Frames:
    """Decode frames by number: uint8 RGB of the shape of ``numbers`` + (c, h, w), with notes on what was wrong.

    Numbers may repeat and come in any order; the file is gone through once. With ``short_side``, frames with a longer
    short side are shrunk to it as they come, so that a long video is never held at full size: bilinear with
    antialiasing, the long side floor(long / short * short_side). Frames that do not decode are replaced by the nearest
    that does, and the notes name them. Safe in threads. Raises :class:`VideoError` where no frame decodes, and
    IndexError for a number outside the video.
    """
    table = index(Path(path))
    wanted = _checked(numbers, table)
    size = _fitted(table.size, short_side)
    frames = torch.empty((wanted.size, 3, *size), dtype=torch.uint8)
    flat = wanted.reshape(-1)
    unique = np.unique(flat).tolist()
    given: dict[int, tuple[int, bool]] = {}
    reformatter = VideoReformatter()
    for shot in shots(table, unique):
        places = torch.from_numpy(np.flatnonzero(flat == shot.number))
        try:
            frames[places] = _pixels(shot, reformatter, size=size)
        except DecodeError as error:
            raise VideoError(Path(path), f"has colours that can't be converted to RGB ({reason(error)})") from None
        given[shot.number] = (shot.source, shot.clean)
    if len(given) < len(unique):
        raise VideoError(Path(path), "holds no frame that decodes")
    return Frames(frames.reshape(*wanted.shape, 3, *size), (*table.damage, *_damage(given)))


def read(path: Path | str, numbers: ArrayLike | Tensor, *, short_side: int | None = None) -> Tensor:
    """Decode frames as :func:`read_noted` does and return the pixels; what was wrong is a :class:`DamagedVideoWarning`.

    Warnings can't be told apart by thread; code that reads in threads, or that is to name damaged videos, takes the
    notes of :func:`read_noted`.
    """
    frames = read_noted(path, numbers, short_side=short_side)
    if frames.notes:
        warnings.warn(f"{path}: {'; '.join(frames.notes)}", DamagedVideoWarning, stacklevel=2)
    return frames.pixels


def count_decodable(path: Path | str) -> Decodable:
    """Decode a whole video and count what comes; a video that can't be read counts 0 and says why. Never raises."""
    path, frames, error = Path(path), 0, ""
    try:
        table = index(path)
        if table.images:
            for image in table.images:
                try:
                    picture(image)
                    frames += 1
                except VideoError as broken:
                    error = error or str(broken)
        else:
            with opened(path) as (container, stream):
                for frame, trouble in decoded(container.demux(stream), stream):
                    frames += frame is not None and not trouble
                    error = error or (trouble and f"after {frames} frames: {trouble}")
    except VideoError as broken:
        return Decodable(path, frames=0, expected=0, error=broken.reason)
    if not error and frames != table.frames:
        error = f"{frames} frames decode of {table.frames}"
    return Decodable(path, frames=frames, expected=table.frames, error=error)


def _checked(numbers: ArrayLike | Tensor, table: Index) -> np.ndarray:
    wanted = np.asarray(numbers)
    if wanted.size == 0:
        return wanted.astype(np.int64)
    if not np.issubdtype(wanted.dtype, np.integer):
        raise TypeError(f"numbers are {wanted.dtype}; frame numbers must be integers.")
    for extreme in (int(wanted.min()), int(wanted.max())):
        if not 0 <= extreme < table.frames:
            raise IndexError(f"{table.path} has no frame {extreme}; its frames are 0 to {table.frames - 1}.")
    return wanted


def _fitted(size: tuple[int, int], short_side: int | None) -> tuple[int, int]:
    """Height and width after shrinking the short side; nothing is ever enlarged."""
    if short_side is not None and short_side < 1:
        raise ValueError(f"short_side is {short_side}; it must be at least 1.")
    short = min(size)
    if short_side is None or short <= short_side:
        return size
    return math.floor(size[0] * short_side / short), math.floor(size[1] * short_side / short)


def _pixels(shot: Shot, reformatter: VideoReformatter, *, size: tuple[int, int]) -> Tensor:
    """Upright RGB of a decoded frame at the wanted size, (c, h, w).

    Colours are converted at full size first: one call that converts and shrinks at once is off by several grey levels.
    """
    rgb = reformatter.reformat(shot.frame, format="rgb24", threads=1).to_ndarray()
    pixels = torch.rot90(torch.from_numpy(rgb), quarter_turns(shot.frame)).permute(2, 0, 1)
    if pixels.shape[1:] == size:
        return pixels
    # also where a stream changes its size on the way
    return functional.interpolate(pixels[None], size=size, mode="bilinear", antialias=True)[0]


def _damage(given: dict[int, tuple[int, bool]]) -> Iterator[str]:
    """Name frames that others stand in for, and frames decoded between damage and the next key frame."""
    lost = [number for number, (source, _) in given.items() if source != number]
    marked = [number for number, (source, clean) in given.items() if source == number and not clean]
    if lost:
        instead = _ranges(sorted({given[number][0] for number in lost}))
        yield f"frames {_ranges(lost)} do not decode and frames {instead} stand in for them"
    if marked:
        yield f"frames {_ranges(marked)} lie near damage and may show traces of it"


def _ranges(numbers: Sequence[int]) -> str:
    """Write increasing numbers in short: 1, 4-7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)
