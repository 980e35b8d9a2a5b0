"""The views of a video: what evaluation, prediction, explanation and features feed to the model.

They are planned whole and read in portions of bounded size, so that a video of any length and frame size takes the same
memory.
"""

import math
import warnings
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timesformer.config.model import ClipConfig
from timesformer.video import memory, reader, sampling, transforms
from timesformer.video.reader import DamagedVideoWarning, VideoError, VideoInfo
from timesformer.video.sampling import ROUNDING, Placement

PORTION = 2**27
"""Bytes of views, and of decoded frames, that a portion holds; more only where a single clip, or frame, takes more."""
_FRAMES = 16
"""Frames resized and cropped at once."""


@dataclass(frozen=True, eq=False)
class FrameRange:
    """The frames that clips are taken from: a video's, or those of a time range of it."""

    first: int
    """Number of the first frame in the video."""
    frames: int
    fps: float
    """Frames a second, on average where the rate varies."""
    times: NDArray[np.float64] | None
    """Seconds at which each frame begins to be shown where the rate varies, ``(frames,)``; None where it is constant"""


@dataclass(frozen=True, eq=False)
class Portion:
    """Some of a video's views, and what is to be said of their frames."""

    views: Tensor
    """Float ``(v, t, c, h, w)``."""
    left: int
    """Views of the video that are still to come."""
    notes: tuple[str, ...]
    """What does not decode as it should, as :func:`timesformer.video.reader.read_noted` says it."""


def read_views(
    path: Path | str,
    clip: ClipConfig,
    *,
    clips: int = 1,
    crops: int = 1,
    placement: Placement = "middle",
    start: float | None = None,
    end: float | None = None,
) -> Tensor:
    """Model input of a video, or of the time range from ``start`` to ``end`` seconds, at once.

    Float ``(clips * crops, t, c, h, w)``; view i is crop ``i % crops`` of clip ``i // crops``; with the placement
    "whole" there are as many clips as the video has room for, which :func:`portions` reads without holding all of
    them. What does not decode is a :class:`DamagedVideoWarning`. Raises :class:`timesformer.video.reader.VideoError`.
    """
    numbers = planned(reader.info(path), clip, clips=clips, placement=placement, start=start, end=end)
    parts = list(portions(path, numbers, clip, crops=crops))
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    if notes:
        warnings.warn(f"{path}: {'; '.join(notes)}", DamagedVideoWarning, stacklevel=2)
    with memory.named(path):
        return parts[0].views if len(parts) == 1 else torch.cat([part.views for part in parts])


def planned(
    info: VideoInfo,
    clip: ClipConfig,
    *,
    clips: int = 1,
    placement: Placement = "middle",
    start: float | None = None,
    end: float | None = None,
) -> Tensor:
    """Frame numbers of all clips that stand for a video, or a time range of it, in evaluation: ``(clips, t)``."""
    found = frame_range(info, start, end)
    return found.first + sampling.views(
        found.frames, found.fps, clip, clips=clips, placement=placement, times=found.times
    )


def portions(
    path: Path | str, numbers: Tensor, clip: ClipConfig, *, crops: int = 1, most: int = PORTION
) -> Iterator[Portion]:
    """Read planned clips, ``(clips, t)`` frame numbers, as model input in portions of about ``most`` bytes, in order.

    A portion has all crops of at least one clip. Frames are decoded at full size, because shrinking bytes twice would
    change the pixels; each becomes its crops before more than ``most`` bytes of them are held. Raises
    :class:`VideoError`, also where a portion takes more memory than there is.
    """
    view = 4 * 3 * clip.frames * math.prod(clip.frame_size)
    together = max(most // (view * crops), 1)
    left = len(numbers) * crops
    for part in numbers.split(together):
        with memory.named(path):
            views, notes = _views(path, part, clip, crops=crops, most=most)
        left -= len(views)
        yield Portion(views, left, notes)


def _views(
    path: Path | str, numbers: Tensor, clip: ClipConfig, *, crops: int, most: int
) -> tuple[Tensor, tuple[str, ...]]:
    """Views of clips, every frame read and resized once and in order, however many clips show it."""
    info = reader.info(path)
    unique, places = numbers.unique(return_inverse=True)
    tall, wide = clip.frame_size
    views = torch.empty(len(numbers), crops, clip.frames, 3, tall, wide)
    notes: dict[str, None] = {}
    done = 0
    for group in unique.split(max(most // (3 * info.height * info.width), 1)):
        read = reader.read_noted(path, group)
        notes |= dict.fromkeys(read.notes)
        for pixels in read.pixels.split(_FRAMES):
            seen = transforms.eval_frames(pixels, clip, crops=crops)
            clips, spots = torch.where((places >= done) & (places < done + len(pixels)))
            views[clips, :, spots] = seen[:, places[clips, spots] - done].transpose(0, 1)
            done += len(pixels)
    return views.flatten(0, 1), tuple(notes)


def frame_range(info: VideoInfo, start: float | None = None, end: float | None = None) -> FrameRange:
    """The whole video, or what lies between ``start`` and ``end`` seconds of it, as :func:`stretch` has it."""
    first, frames = stretch(info, start, end)
    if not info.variable_rate:
        return FrameRange(first, frames, info.fps, None)
    times = np.asarray(info.times[first : first + frames])
    over = info.times[first + frames] if first + frames < info.frames else info.duration
    return FrameRange(first, frames, frames / max(over - float(times[0]), ROUNDING), times)


def stretch(info: VideoInfo, start: float | None, end: float | None) -> tuple[int, int]:
    """First frame and number of frames of the stretch from ``start`` to ``end`` seconds; None is the video's own.

    Its frames are those whose time lies in the stretch, so stretches that touch share none; a stretch shorter than a
    frame has the one shown. What reaches beyond the video is cut off. Raises :class:`VideoError` where the video ends
    before the stretch begins.
    """
    begin, stop = start or 0.0, math.inf if end is None else end
    if not 0 <= begin < stop:
        raise ValueError(f"a stretch from {start} to {end} seconds; start must be at least 0 and below end.")
    if begin > info.duration - ROUNDING:
        raise VideoError(info.path, f"ends after {info.duration:.3f} s, before its stretch from {start} s begins")
    first = bisect_left(info.times, begin - ROUNDING)
    last = bisect_left(info.times, stop - ROUNDING)
    return (first, last - first) if last > first else (max(first - 1, 0), 1)
