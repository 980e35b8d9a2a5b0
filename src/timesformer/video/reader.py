"""Read frames of a video file, or of a folder of images: the interface to the decoder for the rest of the package.

Frames are numbered from 0 in presentation order, and a number means the same picture whether a file is read from its
start or by seeking. Frames that can't be decoded are always reported.
"""

import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from timesformer import machine
from timesformer.video.decoder.container import (
    DamagedVideoWarning,
    DecodeError,
    VideoError,
    is_out_of_memory,
    reason,
)
from timesformer.video.decoder.counting import Decodable, count_decodable
from timesformer.video.decoder.index import Index, index
from timesformer.video.decoder.orientation import orientation, turned
from timesformer.video.decoder.shots import Shot, shots, shots_in_order
from timesformer.video.notes import Given, replaced_frames, resized_frames

__all__ = [
    "DamagedVideoWarning",
    "Decodable",
    "Frame",
    "Frames",
    "VideoError",
    "VideoInfo",
    "count_decodable",
    "info",
    "is_out_of_memory",
    "read",
    "read_noted",
    "stream",
]

SHARE = 0.5
"""Fraction of the memory that the frames of one read may take."""
_UNASKED = 2**28
"""Bytes of frames below which the memory is not checked."""


@dataclass(frozen=True, eq=False)
class VideoInfo:
    """Facts of a video, measured rather than taken from its header."""

    path: Path
    frames: int
    fps: float
    """Frames per second, on average where the rate varies."""
    height: int
    """Height in pixels, after rotation."""
    width: int
    """Width in pixels, after rotation and with square pixels."""
    duration: float
    """Seconds from the start of the first frame to the end of the last one."""
    codec: str
    variable_rate: bool
    """Whether the frame rate varies."""
    times: NDArray[np.float64]
    """Presentation time of each frame in seconds from the first; read-only."""
    notes: tuple[str, ...] = ()
    """Remarks on the file: damaged parts, and which of several streams is read."""
    damage: tuple[str, ...] = ()
    """The notes that report damaged frames."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Decoded frames, with notes on damage."""

    pixels: Tensor
    """uint8 RGB, the shape of the requested numbers + (c, h, w)."""
    notes: tuple[str, ...]
    """Damage to these frames or to the file, without the path; empty for none."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded frame of a stream."""

    number: int
    pixels: Tensor
    """uint8 RGB ``(c, h, w)``."""
    given: Given
    """Which frame it is in truth, and of which size."""

    @property
    def sound(self) -> bool:
        """Whether it is the frame of this number, undamaged."""
        return self.given.clean and self.given.source == self.number


def info(path: Path | str) -> VideoInfo:
    """Return the facts of a video. Only its first frame is decoded, unless its packets are unreliable.

    A folder of images, in natural order of their names (2 before 10), is a video of 30 frames per second. Raises
    :class:`VideoError`.
    """
    table = index(Path(path))
    return VideoInfo(
        path=Path(path),
        frames=table.frames,
        fps=table.fps,
        height=table.size[0],
        width=table.size[1],
        duration=float(table.times[-1]) + 1 / table.fps,
        codec=table.codec,
        variable_rate=table.variable_rate,
        times=table.times,
        notes=(*table.remarks, *table.damage),
        damage=table.damage,
    )


def read_noted(path: Path | str, numbers: ArrayLike | Tensor, *, short_side: int | None = None) -> Frames:
    """Decode frames by number: uint8 RGB of the shape of ``numbers`` + (c, h, w), with notes on damage.

    Numbers may repeat and come in any order; the file is read once. With ``short_side``, frames with a longer short
    side are resized to it one by one, so that a long video is never held at full size: bilinear with antialiasing, the
    long side floor(long / short * short_side). A frame that can't be decoded is replaced by the nearest one that can.
    A frame of another size than the first is resized to fit inside it, on black. The notes report both. Thread-safe.
    Raises :class:`VideoError` where no frame decodes, or where the frames would take more than half of the memory, and
    IndexError for a number outside the video.
    """
    path, table = Path(path), index(Path(path))
    wanted = _checked(numbers, table)
    size = _fitted(table.size, short_side)
    _check_memory(path, wanted.size, size)
    flat = wanted.reshape(-1)
    unique = np.unique(flat).tolist()
    given: dict[int, Given] = {}
    try:
        frames = torch.empty((wanted.size, 3, *size), dtype=torch.uint8)
        for frame in _converted(path, shots(table, unique), size=size, shape=table.size):
            frames[torch.from_numpy(np.flatnonzero(flat == frame.number))] = frame.pixels
            given[frame.number] = frame.given
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise VideoError(path, f"takes more memory than there is: {_amount(wanted.size, size)}") from None
    if len(given) < len(unique):
        raise VideoError(path, "holds no frame that decodes")
    notes = (*table.damage, *replaced_frames(given), *resized_frames(given, table.size))
    return Frames(frames.reshape(*wanted.shape, 3, *size), notes)


def stream(path: Path | str, numbers: Iterable[int]) -> Iterator[Frame]:
    """Decode frames by increasing number, one at a time at full size, in a single pass over the file.

    For videos of any length: nothing is held but the frame. Damaged frames are replaced as in :func:`read_noted`, and
    :func:`timesformer.video.notes.replaced_frames` says so in words. Raises :class:`VideoError` where no frame decodes,
    and IndexError for a number outside the video.
    """
    path, table = Path(path), index(Path(path))
    wanted = _checked(list(numbers), table).tolist()
    count = 0
    for frame in _converted(path, shots_in_order(table, wanted), size=table.size, shape=table.size):
        yield frame
        count += 1
    if count < len(wanted):
        raise VideoError(path, "holds no frame that decodes")


def _converted(path: Path, found: Iterable[Shot], *, size: tuple[int, int], shape: tuple[int, int]) -> Iterator[Frame]:
    """Shots as frames of ``size``, of a video of ``shape``."""
    reformatter = VideoReformatter()
    for shot in found:
        try:
            pixels = _pixels(shot, reformatter, size=size, shape=shape)
        except DecodeError as error:
            raise VideoError(path, f"has colours that can't be converted to RGB ({reason(error)})") from None
        yield Frame(shot.number, pixels, Given(shot.source, shot.clean, shot.size))


def read(path: Path | str, numbers: ArrayLike | Tensor, *, short_side: int | None = None) -> Tensor:
    """Decode frames as :func:`read_noted` does and return the pixels; damage is a :class:`DamagedVideoWarning`.

    Warnings don't tell threads apart: code that reads in threads, or that reports damaged videos, uses the notes of
    :func:`read_noted` instead.
    """
    frames = read_noted(path, numbers, short_side=short_side)
    if frames.notes:
        warnings.warn(f"{path}: {'; '.join(frames.notes)}", DamagedVideoWarning, stacklevel=2)
    return frames.pixels


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
    """Return height and width after reducing the short side; frames are never enlarged."""
    if short_side is not None and short_side < 1:
        raise ValueError(f"short_side is {short_side}; it must be at least 1.")
    short = min(size)
    if short_side is None or short <= short_side:
        return size
    return math.floor(size[0] * short_side / short), math.floor(size[1] * short_side / short)


def _check_memory(path: Path, frames: int, size: tuple[int, int]) -> None:
    """Raise :class:`VideoError` for a read of more than :data:`SHARE` of the memory."""
    taken = frames * 3 * math.prod(size)
    if taken > _UNASKED and taken > machine.memory() * SHARE:
        limit = f"more than half of the {machine.memory() / 1e9:.1f} GB of memory"
        raise VideoError(path, f"takes too much memory at once: {_amount(frames, size)}, {limit}; take fewer frames")


def _amount(frames: int, size: tuple[int, int]) -> str:
    return f"{frames} frames of {size[1]}x{size[0]} pixels are {frames * 3 * math.prod(size) / 1e9:.1f} GB"


def _pixels(shot: Shot, reformatter: VideoReformatter, *, size: tuple[int, int], shape: tuple[int, int]) -> Tensor:
    """Return a decoded frame as upright RGB of ``size``, (c, h, w); a frame of another shape than ``shape`` is padded.

    Colours are converted at full size first: converting and resizing in one call is off by several grey levels.
    """
    rgb = reformatter.reformat(shot.frame, format="rgb24", threads=1).to_ndarray()
    pixels = turned(torch.from_numpy(rgb), orientation(shot.frame)).permute(2, 0, 1)
    inside = size if shot.size == shape else _inside(shot.size, size)
    if pixels.shape[1:] != inside:
        pixels = functional.interpolate(pixels[None], size=inside, mode="bilinear", antialias=True)[0]
    if inside == size:
        return pixels
    top, left = ((whole - part) // 2 for whole, part in zip(size, inside, strict=True))
    framed = torch.zeros(3, *size, dtype=torch.uint8)
    framed[:, top : top + inside[0], left : left + inside[1]] = pixels
    return framed


def _inside(own: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Return the largest height and width with the aspect ratio of ``own`` that fit inside ``size``."""
    scale = min(size[0] / own[0], size[1] / own[1])
    height, width = (min(max(round(side * scale), 1), most) for side, most in zip(own, size, strict=True))
    return height, width
