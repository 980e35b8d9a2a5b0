"""Which frames make a clip: pure arithmetic on frame numbers, before any file is read.

Frames are numbered from 0 at the start of the video, or of a time range of it. A clip never leaves that range and
never goes back in time; where the video is too short for a clip, frames are repeated.

Dense clips follow the official input pipeline number for number. A clip spans ``rate * frames / clip.fps * fps``
frames of the video, not rounded. Its start is a real number, rounded down to a whole tick of the container's clock;
the first frame is the first whose time stamp is not before it. We use 512 ticks per frame, as FFmpeg writes into mp4
files of 30 and 25 frames per second. The frames are ``linspace`` over span - 1 frames from there, rounded down:
8 frames at rate 32 are 0, 36, 72, 109, 145, 182, 218, 255, not multiples of 32.

Segments (as for Something-Something-V2) divide the whole video into equal parts; borders are rounded half to even.

All this counts frames, which assumes a constant frame rate. Where the rate varies (``times``), clips are planned for
the same video at a constant rate, and each number becomes the frame that is on the screen at that time. The result is
that of converting videos to a constant frame rate first.
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from timesformer.config.checks import choice
from timesformer.config.model import ClipConfig

Placement = Literal["middle", "official", "whole"]

TICKS = 512
"""Ticks of the container's clock per frame: the start of a dense clip is rounded down to 1 / TICKS frames."""
ROUNDING = 0.001
"""Rounding error of a stored time in seconds: containers such as Matroska store milliseconds."""


def training(
    frames: int, fps: float, clip: ClipConfig, *, generator: torch.Generator, times: ArrayLike | None = None
) -> Tensor:
    """Return the frame numbers of one random clip, ``(t,)``.

    Dense: a start drawn uniformly from all with which the clip lies inside the video. Segments: one frame drawn from
    each part, borders included, so neighbouring parts may both draw the border that they share. ``times`` as in
    :func:`views`.
    """
    _check(frames, fps)
    if times is not None:
        shown = _increasing(times, frames)
        count, rate = regular(shown, fps, clip)
        return shown_at(training(count, rate, clip, generator=generator), rate, shown)
    if clip.sampling == "segments":
        first, last = _segments(frames, clip.frames)
        draw = torch.rand(clip.frames, generator=generator, dtype=torch.float64)
        return first + (draw * (last - first + 1)).long()
    draw = torch.rand((), generator=generator, dtype=torch.float64)
    return _dense([float(draw) * _slack(frames, fps, clip)], frames, fps, clip)[0]


def views(
    frames: int,
    fps: float,
    clip: ClipConfig,
    *,
    clips: int = 1,
    placement: Placement = "middle",
    times: ArrayLike | None = None,
) -> Tensor:
    """Return the frame numbers of a video's clips in evaluation, ``(clips, t)``.

    ``"middle"``: one dense clip lies in the middle of the video, as in the paper; several are evenly spaced, from the
    first frame of the video to its last. ``"official"``: as in the released code, clip i of K starts at i / K of the
    latest possible start, so a single clip starts at frame 0 and no clip reaches the end of the video.
    ``"whole"``: as many clips as fit (:func:`whole`); ``clips`` is ignored.

    With segments, one clip takes the middle frame of each part. K clips take the middles of K equal pieces of each
    part, so they differ where a part has at least K frames; with ``"official"`` all K clips are the same, as in the
    released code.

    ``times``, for a variable frame rate, are the presentation times of the frames in seconds, ``(n,)``, increasing
    from any origin; the last frame is shown for 1 / ``fps`` seconds. Clips and segments are then placed by time: a clip
    lasts as long as in a video of constant frame rate, and segments are equally long.
    """
    _check(frames, fps)
    choice("placement", placement, get_args(Placement))
    if clips < 1:
        raise ValueError(f"clips is {clips}; a video needs at least 1.")
    if times is not None:
        shown = _increasing(times, frames)
        count, rate = regular(shown, fps, clip)
        return shown_at(views(count, rate, clip, clips=clips, placement=placement), rate, shown)
    if placement == "whole":
        return whole(frames, fps, clip)
    if clip.sampling == "segments":
        first, last = _segments(frames, clip.frames)
        count, index = (clips, torch.arange(clips)) if placement == "middle" else (1, torch.zeros(clips).long())
        return first + (2 * index[:, None] + 1) * (last - first) // (2 * count)
    slack = _slack(frames, fps, clip)
    if placement == "official":
        starts = [slack * index / clips for index in range(clips)]
    elif clips == 1:
        starts = [slack / 2]
    else:
        starts = [slack * index / (clips - 1) for index in range(clips)]
    return _dense(starts, frames, fps, clip)


def whole(frames: int, fps: float, clip: ClipConfig) -> Tensor:
    """Return the frame numbers of as many dense clips as fit into the video without overlap, ``(clips, t)``.

    This is the paper's evaluation of long videos (table 8: 48 clips of 8.5 s for 410 s). The first clip starts with the
    video and the last ends with it; the remainder, less than one clip, is divided into equal gaps between them. There
    is at least one clip; with segments, a single clip covers the video.
    """
    _check(frames, fps)
    fitting = int(frames / _span(fps, clip) + 1e-6)  # the span may lie a rounding error above a whole number
    return views(frames, fps, clip, clips=1 if clip.sampling == "segments" else max(fitting, 1))


def _check(frames: int, fps: float) -> None:
    if frames < 1:
        raise ValueError(f"frames is {frames}; a clip needs a video of at least 1 frame.")
    if not (fps > 0 and math.isfinite(fps)):
        raise ValueError(f"fps is {fps}; it must be above 0 and finite: give the frame rate if the file has none.")


def _increasing(times: ArrayLike, frames: int) -> NDArray[np.float64]:
    """Return the times in seconds relative to the first; raises ValueError unless there is one for each frame."""
    shown = np.asarray(times, dtype=np.float64)
    if shown.shape != (frames,):
        raise ValueError(f"times have the shape {shown.shape}; a video of {frames} frames needs one for each.")
    if not np.isfinite(shown).all() or (np.diff(shown) < 0).any():
        raise ValueError("times go back or are not finite; give them in the order in which the frames are shown.")
    return shown - shown[0]


def regular(times: NDArray[np.float64], fps: float, clip: ClipConfig) -> tuple[int, float]:
    """Return the number of frames and the frame rate of the same video at a constant rate.

    Dense clips are planned at the clip's own rate. With segments, every frame of the video must be reachable, so they
    are planned at the highest rate at which frames follow one another.
    """
    rate = clip.fps
    if clip.sampling == "segments":
        steps = np.diff(times)
        rate = max(fps, 1 / max(float(steps[steps > 0].min()), ROUNDING) if (steps > 0).any() else fps)
    return max(round((float(times[-1]) + 1 / fps) * rate), 1), rate


def shown_at(numbers: Tensor, rate: float, times: NDArray[np.float64]) -> Tensor:
    """Return the frame that is on the screen at the time of each frame of the video at a constant rate."""
    after = np.searchsorted(times, numbers.numpy() / rate + ROUNDING, side="right")
    return torch.from_numpy(np.maximum(after - 1, 0))


def _span(fps: float, clip: ClipConfig) -> float:
    """Return the length of a dense clip in frames of the video."""
    return clip.rate * clip.frames / clip.fps * fps


def _slack(frames: int, fps: float, clip: ClipConfig) -> float:
    """Return the latest start of a dense clip that lies inside the video."""
    return max(frames - _span(fps, clip), 0.0)


def _dense(starts: Sequence[float], frames: int, fps: float, clip: ClipConfig) -> Tensor:
    """Dense clips from real-valued starts, ``(clips, t)``; see the module's docstring for the rounding."""
    first = torch.tensor([math.ceil(int(start * TICKS) / TICKS) for start in starts])
    offset = torch.linspace(0, _span(fps, clip) - 1, clip.frames).clamp(0, frames - 1).long()
    return (first[:, None] + offset).clamp(max=frames - 1)


def _segments(frames: int, parts: int) -> tuple[Tensor, Tensor]:
    """Return the first and last frame of each part, both ``(t,)``; the last frame of one is the first of the next."""
    part = (frames - 1) / parts
    borders = torch.tensor([round(part * index) for index in range(parts + 1)])
    return borders[:-1], borders[1:]
