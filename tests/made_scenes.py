"""Scenes for tests of likeness: a textured background and blobs that wander over it, drawn at any moment and size."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tests.made_videos import encode
from timesformer.video import reader, transforms


def scene(
    background: int, motion: int, *, size: tuple[int, int] = (96, 72), cycles: float = 1.0
) -> Callable[[float], NDArray[np.uint8]]:
    """Picture (h, w, 3) at a time between 0 and 1; equal seeds mean equal backgrounds and equal motions."""
    width, height = size
    still, moving = np.random.default_rng(background), np.random.default_rng(motion + 1000)
    y, x = np.mgrid[:height, :width] / height
    waves, phases = still.uniform(3, 20, (8, 2)), still.uniform(0, 6, 8)
    texture = sum(np.sin(a * x + b * y + phase) for (a, b), phase in zip(waves, phases, strict=True)) * 12 + 120
    paths = moving.uniform(0, 6, (3, 2, 2))

    def draw(time: float) -> NDArray[np.uint8]:
        picture = np.array(texture)
        for number, ((a, b), (c, d)) in enumerate(paths):
            turn = 2 * np.pi * cycles * time
            at_x, at_y = 0.66 + 0.5 * np.sin(turn + a + c), 0.5 + 0.4 * np.cos(turn * (1 + number / 2) + b + d)
            picture[np.hypot(x - at_x, y - at_y) < 0.13] = 40 + 80 * number
        return np.repeat(picture.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)

    return draw


def film(path: Path, draw: Callable[[float], NDArray[np.uint8]], *, seconds: float = 2, fps: float = 20) -> Path:
    """Write a scene as H.264 and return the path."""
    count = round(seconds * fps)
    path.parent.mkdir(parents=True, exist_ok=True)
    times = [number / fps for number in range(count)]
    options = {"preset": "veryfast", "crf": "20"}
    return encode(path, (draw(number / count) for number in range(count)), times, fps=fps, options=options)


def reencode(source: Path, path: Path, *, crf: int = 23, scale: float = 1.0, fps: float | None = None) -> Path:
    """Write what a video shows at another quality, size or frame rate, and return the path."""
    info = reader.info(source)
    fps = fps or info.fps
    times = np.arange(round(info.duration * fps)) / fps
    numbers = (np.searchsorted(np.array(info.times), times + 1e-6, side="right") - 1).clip(0)
    shape = (round(info.height * scale / 2) * 2, round(info.width * scale / 2) * 2)
    frames = transforms.resize(reader.read(source, numbers), shape).round().clamp(0, 255).to(torch.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = frames.permute(0, 2, 3, 1).numpy()
    return encode(path, pictures, times.tolist(), fps=fps, options={"preset": "veryfast", "crf": str(crf)})
