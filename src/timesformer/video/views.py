"""The views of a video: the model's inputs in evaluation and prediction.

All views are planned first and then read in portions of bounded size, so that the memory needed does not depend on the
length and frame size of the video.
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
"""Bytes of views, and of decoded frames, in a portion; exceeded only where a single clip or frame takes more."""
_FRAMES = 16
"""Frames resized and cropped at once."""


@dataclass(frozen=True, eq=False)
class FrameRange:
    """The frames that clips are sampled from: all of a video, or those of a time range of it."""

    first: int
    """Number of the first frame in the video."""
    frames: int
    fps: float
    """Frames per second, on average where the rate varies."""
    times: NDArray[np.float64] | None
    """Presentation time of each frame in seconds, ``(frames,)``; None where the frame rate is constant."""


@dataclass(frozen=True, eq=False)
class Portion:
    """Some of a video's views, and notes on their frames."""

    views: Tensor
    """Float ``(v, t, c, h, w)``."""
    left: int
    """Number of views of the video that are still to be read."""
    notes: tuple[str, ...]
    """What could not be decoded correctly, as :func:`timesformer.video.reader.read_noted` reports it."""


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
    """Read the model input of a video, or of the time range from ``start`` to ``end`` seconds, at once.

    Float ``(clips * crops, t, c, h, w)``; view i is crop ``i % crops`` of clip ``i // crops``; with the placement
    "whole" there are as many clips as fit into the video, which :func:`portions` reads without holding all of them.
    Damage is reported by a :class:`DamagedVideoWarning`. Raises :class:`timesformer.video.reader.VideoError`.
    """
    numbers = planned(reader.info(path), clip, clips=clips, placement=placement, start=start, end=end)
    parts = list(portions(path, numbers, clip, crops=crops))
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    if notes:
        warnings.warn(f"{path}: {'; '.join(notes)}", DamagedVideoWarning, stacklevel=2)
    with memory.error_for(path):
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
    """Return the frame numbers of all evaluation clips of a video, or of a time range of it: ``(clips, t)``."""
    found = frame_range(info, start, end)
    return found.first + sampling.views(
        found.frames, found.fps, clip, clips=clips, placement=placement, times=found.times
    )


def portions(
    path: Path | str, numbers: Tensor, clip: ClipConfig, *, crops: int = 1, most: int = PORTION
) -> Iterator[Portion]:
    """Read clips, given as ``(clips, t)`` frame numbers, as model input in portions of about ``most`` bytes, in order.

    A portion has all crops of at least one clip. Frames are decoded at full size, because resizing twice would change
    the pixels, and are cropped before more than ``most`` bytes of them are held. Raises
    :class:`VideoError`, also where a portion does not fit into memory.
    """
    view = 4 * 3 * clip.frames * math.prod(clip.frame_size)
    together = max(most // (view * crops), 1)
    left = len(numbers) * crops
    for part in numbers.split(together):
        with memory.error_for(path):
            views, notes = _views(path, part, clip, crops=crops, most=most)
        left -= len(views)
        yield Portion(views, left, notes)


def _views(
    path: Path | str, numbers: Tensor, clip: ClipConfig, *, crops: int, most: int
) -> tuple[Tensor, tuple[str, ...]]:
    """Return the views of clips; each frame is read and resized once, however many clips contain it."""
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
    """Return the frames of the whole video, or of a time range of it in seconds (:func:`frames_between`)."""
    first, frames = frames_between(info, start, end)
    if not info.variable_rate:
        return FrameRange(first, frames, info.fps, None)
    times = np.asarray(info.times[first : first + frames])
    over = info.times[first + frames] if first + frames < info.frames else info.duration
    return FrameRange(first, frames, frames / max(over - float(times[0]), ROUNDING), times)


def frames_between(info: VideoInfo, start: float | None, end: float | None) -> tuple[int, int]:
    """Return the first frame and the number of frames of a time range; None is the start or end of the video.

    The frames are those whose presentation time lies in the range, so adjacent ranges share none; a range shorter than
    a frame has the one that is on the screen. A range is cut at the end of the video. Raises :class:`VideoError` where
    the video ends before the range begins.
    """
    begin, stop = start or 0.0, math.inf if end is None else end
    if not 0 <= begin < stop:
        raise ValueError(f"the time range is {start} to {end} seconds; start must be at least 0 and below end.")
    if begin > info.duration - ROUNDING:
        raise VideoError(info.path, f"ends after {info.duration:.3f} s, before its time range from {start} s begins")
    first = bisect_left(info.times, begin - ROUNDING)
    last = bisect_left(info.times, stop - ROUNDING)
    return (first, last - first) if last > first else (max(first - 1, 0), 1)
