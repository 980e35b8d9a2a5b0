"""Explanations as files: a film of the whole video, an animation, and a picture with the frames of one clip."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from timesformer import atomic
from timesformer.config.checks import require
from timesformer.pictures.heat import animation as animations
from timesformer.pictures.heat import sheet as sheets
from timesformer.pictures.heat.film import Film, resized
from timesformer.pictures.heat.sheet import Sheet
from timesformer.pictures.strips import Pixels
from timesformer.video import memory, reader, writer

SUFFIXES = (".mp4", ".gif", ".png")
QUALITY = {"preset": "veryfast", "crf": "20"}
"""Options of the encoder; the film has the video's own frame rate."""
STEPS = ((480, 24), (400, 20), (320, 16), (320, 10), (320, 5))
"""Greatest width and number of frames of an animation, until one is small enough."""
MEGABYTES = 1.5
"""Largest size of an animation."""
SLOWEST, FASTEST = 0.25, 0.05
"""Seconds that a frame of an animation is shown."""

Report = Callable[[int, int], None]


def check(path: Path, source: Path) -> None:
    """Raise ConfigError for a file that is the video itself, or has an ending that is none of the :data:`SUFFIXES`.

    Raises WriteError for a place that can't be written to.
    """
    require(
        path.suffix.lower() in SUFFIXES,
        f"out is {str(path)!r}; its ending says what is written: .mp4 (a film of the whole video), .gif or .png (one "
        "clip).",
    )
    require(
        not (path.exists() and source.exists() and path.samefile(source)),
        f"out is {str(path)!r}, which is the video itself; name another file.",
    )
    atomic.check(path)


def film(shown: Film, source: Path, out: Path, progress: Report) -> None:
    """Write a film of the whole video at its own size and frame rate; each frame is decoded once, and one is held."""
    info = reader.info(source)

    def parts() -> Iterator[Tensor]:
        for frame in reader.stream(source, range(info.frames)):
            pixels = np.ascontiguousarray(frame.pixels.permute(1, 2, 0).numpy())
            yield torch.from_numpy(shown.frame(pixels, float(info.times[frame.number]))).permute(2, 0, 1)[None]
            progress(frame.number + 1, info.frames)

    with memory.error_for(source):
        writer.write(out, parts(), times=info.times.tolist(), fps=info.fps, options=QUALITY)


def animation(shown: Film, source: Path, out: Path, span: tuple[int, int]) -> None:
    """Write the frames from the first to the last number of the span as a GIF of at most :data:`MEGABYTES`."""
    info = reader.info(source)
    first, last = span
    for width, count in STEPS:
        numbers = np.unique(np.linspace(first, last, min(count, last - first + 1)).round().astype(int))
        scale = min(width / shown.heat.size[1], 1.0)
        smaller = replace(shown, scale=scale)
        pictures = [smaller.frame(pixels, float(info.times[number])) for number, pixels in _read(source, numbers)]
        seconds = float(info.times[last] - info.times[first]) / max(len(numbers) - 1, 1)
        data = animations.gif(pictures, seconds=min(max(seconds, FASTEST), SLOWEST))
        if len(data) <= MEGABYTES * 1e6:
            break
    animations.save(data, out)


def sheet(page: Sheet, shown: Film, source: Path, out: Path, numbers: Sequence[int]) -> None:
    """Write a picture whose frames are those of the numbers."""
    info = reader.info(source)
    heat = shown.heat
    painted = [
        heat.paint(_reduced(pixels), heat.canvas(float(info.times[number])))
        for number, pixels in _read(source, numbers)
    ]
    sheets.draw(replace(page, frames=painted), out)


def _reduced(pixels: Pixels) -> Pixels:
    """A frame that is no larger than a picture shows it."""
    share = sheets.LARGEST / max(pixels.shape[:2])
    if share >= 1:
        return pixels
    return resized(pixels, (max(round(pixels.shape[0] * share), 1), max(round(pixels.shape[1] * share), 1)))


def _read(source: Path, numbers: Sequence[int] | np.ndarray) -> Iterator[tuple[int, Pixels]]:
    """The frames of increasing numbers as pixels (h, w, 3), a few at a time."""
    several = [int(number) for number in numbers]
    for start in range(0, len(several), 4):
        some = several[start : start + 4]
        frames = reader.read_noted(source, some).pixels.permute(0, 2, 3, 1).numpy()
        yield from zip(some, map(np.ascontiguousarray, frames), strict=True)
