"""A survey of the training videos, from a sample: duration, size, and mean and standard deviation of the pixels."""

import heapq
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from timesformer.data.items import Item
from timesformer.data.manifest import Manifest
from timesformer.video import memory, reader, transforms
from timesformer.video.reader import VideoError
from timesformer.video.views import frame_range

SAMPLE = 64
"""Largest number of videos that are sampled."""
LARGEST = 8
"""Number of the largest files that are read as well, before all frames are kept in memory."""


@dataclass(frozen=True)
class Survey:
    """What a sample of the training videos shows."""

    seconds: float
    """Median duration of what the items show: whole videos, or time ranges of them."""
    frames: float
    """Mean number of frames of an item."""
    aspect: float
    """Mean of long side / short side."""
    short_side: float
    """Median short side in pixels."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    remarks: tuple[tuple[str, str], ...] = ()
    """Key and remark of each sampled video of which only a part is read, such as one of several streams."""


Look = Callable[[], Survey | None]
"""Gives the survey of the training videos, made once however often it is asked for."""


@dataclass(frozen=True)
class _Seen:
    """What one item shows."""

    seconds: float
    frames: int
    size: tuple[int, int]
    """Height and width in pixels."""
    pixels: torch.Tensor
    """Three of its frames, shrunk: uint8 (3, c, 32, 32)."""
    remarks: tuple[tuple[str, str], ...]
    """Its key with each remark on its file."""


def survey(manifest: Manifest) -> Survey | None:
    """Survey an evenly spaced sample of the training videos; None if none of them can be read."""
    items = manifest.of("train")
    seen = [found for item in items[:: math.ceil(len(items) / SAMPLE)] if (found := _look(item)) is not None]
    if not seen:
        return None
    pixels = torch.cat([each.pixels.transpose(0, 1).flatten(1) for each in seen], dim=1).double() / 255
    mean, std = pixels.mean(dim=1).tolist(), pixels.std(dim=1).clamp(min=0.02).tolist()
    return Survey(
        seconds=statistics.median(each.seconds for each in seen),
        frames=statistics.mean(each.frames for each in seen),
        aspect=statistics.mean(max(each.size) / min(each.size) for each in seen),
        short_side=statistics.median(min(each.size) for each in seen),
        mean=(round(mean[0], 4), round(mean[1], 4), round(mean[2], 4)),
        std=(round(std[0], 4), round(std[1], 4), round(std[2], 4)),
        remarks=tuple(remark for each in seen for remark in each.remarks),
    )


def frames_beyond(items: Sequence[Item], usual: float) -> list[float]:
    """How many more frames than usual items that end with the largest files have, which a sample may have missed."""
    whole = {item.path: item for item in items if item.end is None}.values()
    found = [_look(item) for item in heapq.nlargest(LARGEST, whole, key=_bytes)]
    return [max(seen.frames - usual, 0.0) for seen in found if seen is not None]


def _bytes(item: Item) -> int:
    """Size of the item's file; 0 if it is unknown."""
    try:
        return item.path.stat().st_size
    except OSError:
        return 0


def _look(item: Item) -> _Seen | None:
    """Look at the item, which may be a second of a file of hours; None where it can't be read."""
    try:
        with memory.error_for(item.path):
            info = reader.info(item.path)
            found = frame_range(info, item.start, item.end)
            frames = reader.read(item.path, [found.first + part * found.frames // 4 for part in (1, 2, 3)])
            pixels = transforms.resize(frames, (32, 32)).round().byte()
    except VideoError:
        return None
    seconds = info.duration if found.frames == info.frames else found.frames / found.fps
    remarks = tuple((item.key, note) for note in info.notes if note not in info.damage)
    return _Seen(seconds, found.frames, (info.height, info.width), pixels, remarks)
