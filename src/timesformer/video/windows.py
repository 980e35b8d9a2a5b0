"""The windows of a timeline: stretches of a video at equal distances, and the frames that a model sees of each.

Windows that don't overlap are the clips of the placement "whole" (:mod:`timesformer.video.sampling`), spread evenly
from the video's start to its end. Windows that overlap follow each other at exactly the given distance, and the last
one ends with the video. By default the distance is half of a window's frames, so that each window takes half of its
frames from the one before; frame i of window k is floor(k * distance + i * gap), where gap is the clip's own distance
of frames, span - 1 frames over t - 1 (dense), or the length of a part (segments, whose middle is taken).
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from timesformer.config.checks import require
from timesformer.config.model import ClipConfig
from timesformer.video import sampling
from timesformer.video.views import FrameRange

UNKNOWN = 4.0
"""Seconds of a window for models that see whole videos, whose length nobody knows."""
MOST = 250_000
"""Most windows of a timeline."""
_EDGE = 1e-6
"""A window that ends so many frames after the video still lies in it: lengths are rounded."""


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of one video, in order."""

    numbers: Tensor
    """The frames of each window, ``(n, t)``."""
    spans: Tensor
    """Start and end of each in seconds from the first frame, float64 ``(n, 2)``; none goes beyond the video."""
    every: float
    """Seconds between the starts of two windows; 0 where there is only one."""


def usual_window(clip: ClipConfig) -> float:
    """Seconds of a window unless it is named: the span of a dense clip, or the length of the training videos."""
    return clip.frames * clip.rate / clip.fps if clip.sampling == "dense" else clip.seconds or UNKNOWN


def guessed(clip: ClipConfig) -> str:
    """A sentence that says that :func:`usual_window` is a guess; empty where the clips tell it."""
    if clip.sampling == "dense" or clip.seconds:
        return ""
    return (
        f"the model was trained on whole videos of a length that its weights don't tell; windows of {UNKNOWN:g} s "
        "are a guess: name the length of its training videos by --window"
    )


def plan(shown: FrameRange, clip: ClipConfig, *, window: float, every: float | None = None) -> Windows:
    """The windows of ``window`` seconds, one every ``every`` seconds, of the frames of a video.

    A video that is shorter than a window has one, which covers it. Where the frame rate varies, windows are placed by
    time. Raises :class:`timesformer.config.checks.ConfigError` for lengths that no window can have.
    """
    _check(window, every)
    if clip.sampling == "dense" and not math.isclose(window, usual_window(clip)):
        clip = replace(clip, fps=clip.rate * clip.frames / window)
    frames, fps = shown.frames, shown.fps
    if shown.times is not None:
        frames, fps = sampling.regular(shown.times, fps, clip)
    length = min(window * fps, frames)
    gap = _gap(length, clip)
    step = _step(gap, length, clip) if every is None else every * fps
    require(
        frames / max(step, _EDGE) < MOST,
        f"every is {every} seconds, which makes {frames / max(step, _EDGE):.0f} windows; {MOST} are the limit: raise "
        "every.",
    )
    if step > length - _EDGE or length >= frames:
        starts = _spread(frames, length, step)
        numbers = _apart(starts, frames, fps, clip, length)
    else:
        starts = _overlapping(frames, length, step)
        numbers = _on_a_line(starts, gap, clip)
    spans = torch.stack([starts, (starts + length).clamp(max=frames)], dim=1) / fps
    numbers = numbers.clamp(max=frames - 1)
    if shown.times is not None:
        numbers = sampling.shown_at(numbers, fps, shown.times - shown.times[0])
    return Windows(numbers, spans, float(spans[1, 0] - spans[0, 0]) if len(spans) > 1 else 0.0)


def _check(window: float, every: float | None) -> None:
    require(0.01 <= window <= 1e6, f"window is {window} seconds; it must be from 0.01 to 1000000.")
    require(every is None or every > 0, f"every is {every} seconds; it must be above 0.")


def _gap(length: float, clip: ClipConfig) -> float:
    """Frames of the video from one frame of a window to the next."""
    if clip.sampling == "segments":
        return (length - 1) / clip.frames
    return (length - 1) / (clip.frames - 1) if clip.frames > 1 else length


def _step(gap: float, length: float, clip: ClipConfig) -> float:
    """Frames between two windows by default: those of half a window, at least one."""
    return max(gap * (clip.frames // 2), 1.0) if clip.frames > 1 else length / 2


def _spread(frames: int, length: float, step: float) -> Tensor:
    """Starts of windows that don't overlap, in frames, from the start of the video to its end; one in its middle."""
    count = int((frames - length) / step + _EDGE) + 1
    slack = frames - length
    places = [slack * place / (count - 1) for place in range(count)] if count > 1 else [slack / 2]
    return torch.tensor(places, dtype=torch.float64)


def _overlapping(frames: int, length: float, step: float) -> Tensor:
    """Starts of windows that overlap, in frames; the last window ends with the video."""
    last = frames - length
    starts = torch.arange(int(last / step + _EDGE) + 1, dtype=torch.float64) * step
    return starts if last - float(starts[-1]) < 1 else torch.cat([starts, starts.new_tensor([last])])


def _apart(starts: Tensor, frames: int, fps: float, clip: ClipConfig, length: float) -> Tensor:
    """The frames of windows that don't overlap: dense clips of the whole video, or segments of each window."""
    if clip.sampling == "dense":
        return sampling.views(frames, fps, clip, clips=len(starts))
    own = sampling.views(max(round(length), 1), fps, clip)
    return starts.round().long()[:, None] + own


def _on_a_line(starts: Tensor, gap: float, clip: ClipConfig) -> Tensor:
    """The frames of windows that overlap: those at equal distances from each start."""
    first = gap / 2 if clip.sampling == "segments" else 0.0
    offsets = first + gap * torch.arange(clip.frames, dtype=torch.float64)
    return (starts[:, None] + offsets + _EDGE).floor().long()
