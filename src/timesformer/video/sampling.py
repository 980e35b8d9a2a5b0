"""Which frames make a clip: pure arithmetic on frame numbers, before any file is read.

Numbers count from 0 at the start of the video, or of the stretch of it that ``frames`` describes. A clip never leaves
that range and never goes back in time; a video too short for its clip repeats frames instead.

Dense clips follow the official input pipeline number for number. A clip spans ``rate * frames / clip.fps * fps``
frames of the video, not rounded. Its start is a real number; the decoder then takes the first frame whose time stamp
is not before the start, the start itself being cut down to a whole tick of the container's clock. We take 512 ticks
a frame, what FFmpeg writes into mp4 files of 30 and 25 frames a second. From there ``linspace`` over span - 1
frames, cut down to whole numbers: 8 frames at rate 32 are 0, 36, 72, 109, 145, 182, 218, 255, not multiples of 32.

Segments (Something-Something-V2) cut the whole video into equal parts whose borders are rounded half to even.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from timesformer.config import ClipConfig

Placement = Literal["middle", "official", "whole"]

TICKS = 512
"""Ticks of the container's clock in one frame: a dense start is cut down to a multiple of 1 / TICKS frames."""


def training(frames: int, fps: float, clip: ClipConfig, *, generator: torch.Generator) -> Tensor:
    """Frame numbers of one random clip, ``(t,)``.

    Dense: a start drawn uniformly from all that leave the clip inside the video. Segments: one frame drawn from each
    part, both borders included, so neighbouring parts may draw the border they share.
    """
    _check(frames, fps)
    if clip.sampling == "segments":
        first, last = _segments(frames, clip.frames)
        draw = torch.rand(clip.frames, generator=generator, dtype=torch.float64)
        return first + (draw * (last - first + 1)).long()
    draw = torch.rand((), generator=generator, dtype=torch.float64)
    return _dense([float(draw) * _slack(frames, fps, clip)], frames, fps, clip)[0]


def views(frames: int, fps: float, clip: ClipConfig, *, clips: int = 1, placement: Placement = "middle") -> Tensor:
    """Frame numbers of the clips that stand for a video in evaluation, ``(clips, t)``.

    ``"middle"``: one dense clip lies in the middle of the video, as the paper says; several are evenly spread, the
    first from frame 0, the last up to the end. ``"official"``: where the released code puts them, clip i of K starting
    at i / K of the room there is, so a single clip starts at frame 0 and the end of the video is never reached.
    ``"whole"``: as many as :func:`whole` finds room for, whatever ``clips`` is.

    With segments, one clip takes the middle of each part under either placement. K clips take from each part the
    middles of its K equal pieces, so they differ wherever a part is at least K frames long; the released code repeats
    the same clip, and so does ``"official"``.
    """
    _check(frames, fps)
    if clips < 1:
        raise ValueError(f"clips is {clips}; a video needs at least 1.")
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
    """Frame numbers of as many dense clips as fit into the video without overlapping, ``(clips, t)``, at least one.

    The long-video test of the paper (table 8: 48 clips of 8.5 s for 410 s). The first clip starts with the video
    and the last ends with it; what is left over, less than one clip, lies in equal gaps between them. A single
    segments clip already covers the video.
    """
    _check(frames, fps)
    fitting = int(frames / _span(fps, clip) + 1e-6)  # the span may lie a rounding error above a whole number
    return views(frames, fps, clip, clips=1 if clip.sampling == "segments" else max(fitting, 1))


def _check(frames: int, fps: float) -> None:
    if frames < 1:
        raise ValueError(f"frames is {frames}; a clip needs a video of at least 1 frame.")
    if not (fps > 0 and math.isfinite(fps)):
        raise ValueError(f"fps is {fps}; it must be above 0 and finite: give the frame rate if the file has none.")


def _span(fps: float, clip: ClipConfig) -> float:
    """Length of a dense clip in frames of the video."""
    return clip.rate * clip.frames / clip.fps * fps


def _slack(frames: int, fps: float, clip: ClipConfig) -> float:
    """Latest start of a dense clip."""
    return max(frames - _span(fps, clip), 0.0)


def _dense(starts: Sequence[float], frames: int, fps: float, clip: ClipConfig) -> Tensor:
    """Dense clips from real-valued starts, ``(clips, t)``; see the module's docstring for the rounding."""
    first = torch.tensor([math.ceil(int(start * TICKS) / TICKS) for start in starts])
    offset = torch.linspace(0, _span(fps, clip) - 1, clip.frames).clamp(0, frames - 1).long()
    return (first[:, None] + offset).clamp(max=frames - 1)


def _segments(frames: int, parts: int) -> tuple[Tensor, Tensor]:
    """First and last frame of each of the equal parts, ``(t,)`` both; a part's last frame is the next one's first."""
    part = (frames - 1) / parts
    borders = torch.tensor([round(part * index) for index in range(parts + 1)])
    return borders[:-1], borders[1:]
