"""Timelines: when what happens in a long video, with one call."""

from collections.abc import Callable
from pathlib import Path

import torch

from timesformer.inference.timeline.timeline import Timeline
from timesformer.machine import Precision
from timesformer.verbs.predict import Predictor
from timesformer.weights.checkpoint import Checkpoint


def timeline(
    weights: Checkpoint | Path | str,
    video: Path | str,
    *,
    window: float | None = None,
    every: float | None = None,
    crops: int = 3,
    device: torch.device | str | None = None,
    precision: Precision = None,
    progress: Callable[[float, float], None] = lambda seconds, duration: None,
) -> Timeline:
    """Scores of a video over time, and the segments that they make.

    The model sees windows of ``window`` seconds, one every ``every`` seconds. A window is one clip of the model; by
    default it is as long as the model's own clips, and takes half of its frames from the window before. The file is
    read once and memory does not grow with its length. The mean over windows that don't overlap is the score of a
    prediction with the placement "whole" (paper, section 4.5: long videos).

    ``progress`` is called with the seconds of the video that were seen, and with those of the whole. Everything else is
    as in :class:`timesformer.Predictor`. For several videos, make a predictor and call its ``timeline``.

    >>> found = timeline("model.safetensors", "long.mp4")
    >>> found.segments[0]
    Segment(start=0.0, end=12.5, label='swipe left', score=0.93)
    >>> found.write("long.srt")
    """
    predictor = Predictor(weights, device=device, precision=precision, crops=crops)
    return predictor.timeline(video, window=window, every=every, progress=progress)
