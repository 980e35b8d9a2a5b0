"""From a video file, or a folder of images, to frames: the door to the decoder for everything above.

Frames are numbered from 0 in the order in which they are shown, and a number is the same picture whether a file is read
from its start or by a seek. What can't be decoded is named, never passed over in silence.
"""

import math
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
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
    decoded,
    lacking,
    opened,
    picture,
    reason,
)
from timesformer.video.decoder.index import Index, index
from timesformer.video.decoder.orientation import orientation, turned
from timesformer.video.decoder.shots import Shot, shots

__all__ = [
    "DamagedVideoWarning",
    "Decodable",
    "Frames",
    "VideoError",
    "VideoInfo",
    "count_decodable",
    "info",
    "lacking",
    "read",
    "read_noted",
]

SHARE = 0.5
"""Part of the memory that the frames of one read may take."""
_UNASKED = 2**28
"""Bytes of frames that any machine has room for."""


@dataclass(frozen=True, eq=False)
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
    times: NDArray[np.float64]
    """When each frame is shown, in seconds from the first; not to be written to."""
    notes: tuple[str, ...] = ()
    """What is to be said of the file: parts that do not decode, and what was chosen of what it holds."""
    damage: tuple[str, ...] = ()
    """Those of the notes that say what is wrong with its frames."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Decoded frames, and what was wrong with them."""

    pixels: Tensor
    """uint8 RGB of the shape of the numbers + (c, h, w)."""
    notes: tuple[str, ...]
    """What of these frames, or of the whole file, did not decode as it should; without the path. Empty where all is
    well."""


@dataclass(frozen=True)
class _Given:
    """What was given for a frame number; see :class:`Shot`."""

    source: int
    clean: bool
    size: tuple[int, int]


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
    """Decode frames by number: uint8 RGB of the shape of ``numbers`` + (c, h, w), with notes on what was wrong.

    Numbers may repeat and come in any order; the file is gone through once. With ``short_side``, frames with a longer
    short side are shrunk to it as they come, so that a long video is never held at full size: bilinear with
    antialiasing, the long side floor(long / short * short_side). Frames that do not decode are replaced by the nearest
    that does; where the picture's size changes on the way, it is put inside the first one's, on black; the notes name
    both. Safe in threads. Raises :class:`VideoError` where no frame decodes, or where the frames would take more than
    half of the memory, and IndexError for a number outside the video.
    """
    path, table = Path(path), index(Path(path))
    wanted = _checked(numbers, table)
    size = _fitted(table.size, short_side)
    _check_memory(path, wanted.size, size)
    flat = wanted.reshape(-1)
    unique = np.unique(flat).tolist()
    given: dict[int, _Given] = {}
    reformatter = VideoReformatter()
    try:
        frames = torch.empty((wanted.size, 3, *size), dtype=torch.uint8)
        for shot in shots(table, unique):
            places = torch.from_numpy(np.flatnonzero(flat == shot.number))
            try:
                frames[places] = _pixels(shot, reformatter, size=size, shape=table.size)
            except DecodeError as error:
                raise VideoError(path, f"has colours that can't be converted to RGB ({reason(error)})") from None
            given[shot.number] = _Given(shot.source, shot.clean, shot.size)
    except (MemoryError, RuntimeError) as error:
        if not lacking(error):
            raise
        raise VideoError(path, f"takes more memory than there is: {_amount(wanted.size, size)}") from None
    if len(given) < len(unique):
        raise VideoError(path, "holds no frame that decodes")
    notes = (*table.damage, *_damage(given), *_changes(given, table.size))
    return Frames(frames.reshape(*wanted.shape, 3, *size), notes)


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
            with opened(path) as video:
                for step in decoded(video.container.demux(video.stream), video):
                    frames += step.frame is not None and not step.trouble
                    error = error or (step.trouble and f"after {frames} frames: {step.trouble}")
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


def _check_memory(path: Path, frames: int, size: tuple[int, int]) -> None:
    """Raise :class:`VideoError` for a read that takes more than its share of the memory."""
    taken = frames * 3 * math.prod(size)
    if taken > _UNASKED and taken > machine.memory() * SHARE:
        limit = f"more than half of the {machine.memory() / 1e9:.1f} GB of memory"
        raise VideoError(path, f"takes too much memory at once: {_amount(frames, size)}, {limit}; take fewer frames")


def _amount(frames: int, size: tuple[int, int]) -> str:
    return f"{frames} frames of {size[1]}x{size[0]} pixels are {frames * 3 * math.prod(size) / 1e9:.1f} GB"


def _pixels(shot: Shot, reformatter: VideoReformatter, *, size: tuple[int, int], shape: tuple[int, int]) -> Tensor:
    """Upright RGB of a decoded frame at the wanted size, (c, h, w); one of another shape than ``shape`` is put inside.

    Colours are converted at full size first: one call that converts and shrinks at once is off by several grey levels.
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
    """The largest height and width of the shape of ``own`` that lie inside ``size``."""
    scale = min(size[0] / own[0], size[1] / own[1])
    height, width = (min(max(round(side * scale), 1), most) for side, most in zip(own, size, strict=True))
    return height, width


def _damage(given: Mapping[int, _Given]) -> Iterator[str]:
    """Name frames that others stand in for, and frames decoded between damage and the next key frame."""
    lost = [number for number, shot in given.items() if shot.source != number]
    marked = [number for number, shot in given.items() if shot.source == number and not shot.clean]
    if lost:
        instead = _ranges(sorted({given[number].source for number in lost}))
        yield f"frames {_ranges(lost)} do not decode and frames {instead} stand in for them"
    if marked:
        yield f"frames {_ranges(marked)} lie near damage and may show traces of it"


def _changes(given: Mapping[int, _Given], size: tuple[int, int]) -> Iterator[str]:
    """Name frames of another size than the first one of the video."""
    sizes: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, shot in given.items():
        if shot.size != size:
            sizes[shot.size].append(number)
    for (height, width), numbers in sizes.items():
        yield (
            f"frames {_ranges(numbers)} have {width}x{height} pixels where the video begins with {size[1]}x{size[0]}; "
            "they are put inside that size"
        )


def _ranges(numbers: Sequence[int]) -> str:
    """Write increasing numbers in short: 1, 4-7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)
