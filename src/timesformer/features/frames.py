"""A small picture of each video, to show beside what is known of it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from timesformer.features.table import Features
from timesformer.video import reader, transforms
from timesformer.video.reader import VideoError

Pixels = NDArray[np.uint8]


def frame_at(path: str, seconds: float, side: int) -> Pixels | None:
    """The frame of a video that is shown at a time, (h, w, 3), its longer side of ``side`` pixels; None without one."""
    try:
        times = reader.info(path).times
        number = max(int(np.searchsorted(times, seconds + 1e-6)) - 1, 0)
        pixels = reader.read_noted(path, [number]).pixels[0]
    except VideoError:
        return None
    scale = side / max(pixels.shape[-2:])
    shape = (max(round(pixels.shape[-2] * scale), 1), max(round(pixels.shape[-1] * scale), 1))
    small = transforms.resize(pixels[None], shape)[0]
    return small.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


def frames_of(
    features: Features, side: int, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[Pixels | None]:
    """The frame in the middle of what each vector is computed of; None where the video is gone or can't be read."""
    found: dict[tuple[str, float], Pixels | None] = {}
    middles = [(path, float(span.mean())) for path, span in zip(features.sources, features.times, strict=True)]
    for done, (path, seconds) in enumerate(middles, start=1):
        if (path, seconds) not in found:
            found[path, seconds] = frame_at(path, seconds, side)
        progress(done, len(middles))
    return [found[each] for each in middles]
