"""All videos decoded once and held in memory, for a data set that fits."""

import math
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from timesformer import machine
from timesformer.config.checks import ConfigError
from timesformer.config.training import TrainConfig
from timesformer.data.batches.batch import Broken
from timesformer.data.items import Item
from timesformer.video import memory, reader
from timesformer.video.views import frame_range

FILLED = 0.9
"""Fraction of the memory that decoded frames may take."""


@dataclass(frozen=True)
class Video:
    """One item's decoded frames."""

    frames: Tensor
    """uint8 (n, c, h, w), all frames of the item's time range."""
    fps: float
    damage: str = ""
    """The frames that could not be decoded and were replaced by others; empty for none."""
    times: NDArray[np.float64] | None = None
    """Presentation time of each frame in seconds, where the frame rate varies."""


def short_side(config: TrainConfig, size: tuple[int, int]) -> int | None:
    """Return the largest short side in pixels that a training crop of frames of this height and width can need.

    None where the crop may be any part of a frame (``augment.crop`` is "resized").
    """
    if config.augment.crop == "resized":
        return None
    needed = max(side * min(size) / length for side, length in zip(config.clip.frame_size, size, strict=True))
    return round(needed * config.augment.jitter[1])


def decode_all(
    items: Sequence[Item], config: TrainConfig, *, progress: Callable[[], None] = lambda: None
) -> list[Video | Broken]:
    """Decode all frames of every item at the training size, in order.

    ``progress`` is called in this thread after each item; an exception from it ends the decoding. Raises
    :class:`ConfigError` as soon as the frames take more than this process's share of the memory.
    """
    available = machine.memory() * FILLED // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    taken, counting = 0, threading.Lock()

    def take(count: float) -> None:
        nonlocal taken
        with counting:
            taken += int(count)
            if taken > available:
                raise ConfigError(
                    f"cache is on, but the frames of the {len(items)} videos take more than the "
                    f"{available / 2**30:.1f} GiB of memory available for them; use --engine.cache off, or shorter and "
                    "smaller videos (timesformer prepare DATA OUT)."
                )

    def one(item: Item) -> Video | Broken:
        try:
            info = reader.info(item.path)
            found = frame_range(info, item.start, item.end)
            side = short_side(config, (info.height, info.width))
            scale = min((side or math.inf) / min(info.height, info.width), 1)
            take(found.frames * 3 * info.height * info.width * scale**2)
            with memory.error_for(item.path):
                read = reader.read_noted(item.path, range(found.first, found.first + found.frames), short_side=side)
            return Video(read.pixels, found.fps, "; ".join(read.notes), found.times)
        except reader.VideoError as error:
            return Broken(item.key, error.reason)

    decoded: list[Video | Broken] = []
    with ThreadPoolExecutor(machine.cores()) as threads:
        try:
            for video in threads.map(one, items):
                decoded.append(video)
                progress()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
    return decoded
