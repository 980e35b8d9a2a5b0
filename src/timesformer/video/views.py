"""The views of a video: what evaluation, prediction, explanation and features feed to the model, read in one go."""

import math
import warnings
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from timesformer.config import ClipConfig
from timesformer.video import reader, sampling, transforms
from timesformer.video.reader import DamagedVideoWarning, VideoError, VideoInfo
from timesformer.video.sampling import Placement

_ROUNDING = 0.001
"""Seconds by which a written time may miss the frame it means."""
_AT_ONCE = 2**30
"""Bytes of decoded frames held at once, unless a single clip takes more."""


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
    """Model input of a video, or of its stretch from ``start`` to ``end`` seconds.

    Float ``(clips * crops, t, c, s, s)``; view i is crop ``i % crops`` of clip ``i // crops``; with the placement
    "whole" there are as many clips as the video has room for. Frames are decoded at full size, because shrinking bytes
    twice would change the pixels. Raises
    :class:`timesformer.video.reader.VideoError`.
    """
    info = reader.info(path)
    first, frames = stretch(info, start, end)
    numbers = first + sampling.views(frames, info.fps, clip, clips=clips, placement=placement)
    # One pass over the file, but for many clips of large frames, which would take gigabytes.
    together = max(_AT_ONCE // (clip.frames * 3 * info.height * info.width), 1)
    parts = (transforms.eval_views(reader.read(path, part), clip, crops=crops) for part in numbers.split(together))
    return torch.cat(list(parts))


def stretch(info: VideoInfo, start: float | None, end: float | None) -> tuple[int, int]:
    """First frame and number of frames of the stretch from ``start`` to ``end`` seconds; None is the video's own.

    Its frames are those whose time lies in the stretch, so stretches that touch share none; a stretch shorter than a
    frame has the one shown. What reaches beyond the video is cut off. Raises :class:`VideoError` where the video ends
    before the stretch begins.
    """
    begin, stop = start or 0.0, math.inf if end is None else end
    if not 0 <= begin < stop:
        raise ValueError(f"a stretch from {start} to {end} seconds; start must be at least 0 and below end.")
    if begin > info.duration - _ROUNDING:
        raise VideoError(info.path, f"ends after {info.duration:.3f} s, before its stretch from {start} s begins")
    first = bisect_left(info.times, begin - _ROUNDING)
    last = bisect_left(info.times, stop - _ROUNDING)
    return (first, last - first) if last > first else (max(first - 1, 0), 1)


@contextmanager
def noting_damage() -> Iterator[list[str]]:
    """Collect what :class:`DamagedVideoWarning` says within the ``with`` instead of showing it; once for each text."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DamagedVideoWarning)
        yield notes
    for warning in caught:
        if not issubclass(warning.category, DamagedVideoWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        elif str(warning.message) not in notes:
            notes.append(str(warning.message))
