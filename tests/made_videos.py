"""Videos made for tests: every frame carries its own number as sixteen black or white cells, and the number reads back.

The cells survive any codec, chroma subsampling and moderate resizing, so a test can say which frame it was given.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.video.stream import VideoStream
from numpy.typing import NDArray

ROWS, COLUMNS = 2, 8
TICKS = 90_000
"""Time base of made videos, in ticks a second; most frame rates and any times divide it well."""
FRAME_CLOCKED = ("mpeg4", "mpeg2video", "mpeg1video")
"""Encoders that can't stamp finer than a frame."""


def numbered(number: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Picture (h, w, 3) of a frame number: its lowest bit is the cell at the top left. ``size`` is width and height."""
    width, height = size
    bits = (number >> np.arange(ROWS * COLUMNS)) & 1
    rows = np.arange(height) * ROWS // height
    columns = np.arange(width) * COLUMNS // width
    cells = bits.reshape(ROWS, COLUMNS)[rows[:, None], columns[None, :]]
    return np.repeat((cells * 215 + 20).astype(np.uint8)[..., None], 3, axis=2)


def number_of(frame: torch.Tensor) -> int:
    """Number that a decoded frame (c, h, w) carries."""
    grey = frame.float().mean(0)
    height, width = grey.shape
    total = 0
    for bit in range(ROWS * COLUMNS):
        row, column = divmod(bit, COLUMNS)
        cell = grey[
            height * (4 * row + 1) // (4 * ROWS) + 1 : height * (4 * row + 3) // (4 * ROWS),
            width * (4 * column + 1) // (4 * COLUMNS) + 1 : width * (4 * column + 3) // (4 * COLUMNS),
        ]
        total |= int(cell.mean() > 128) << bit
    return total


def numbers_of(frames: torch.Tensor) -> list[int]:
    """Numbers that decoded frames (..., c, h, w) carry, flattened."""
    return [number_of(frame) for frame in frames.flatten(0, -4)]


def write(
    path: Path,
    *,
    frames: int | Sequence[float] = 30,
    fps: float = 30,
    codec: str = "libx264",
    size: tuple[int, int] = (64, 48),
    gop: int = 12,
    bframes: int = 0,
    rotation: int = 0,
    aspect: Fraction | None = None,
) -> Path:
    """Write a numbered video and return its path; the container follows the suffix.

    ``frames`` is a count, or the time in seconds of every frame. ``size`` is the width and height as shown;
    ``rotation`` is the counter-clockwise turn that a player makes, so pixels are stored turned the other way;
    ``aspect`` is what the file says of the width of its pixels over their height.
    """
    times = [number / fps for number in range(frames)] if isinstance(frames, int) else list(frames)
    pictures = (np.rot90(numbered(number, size), -(rotation // 90)) for number in range(len(times)))
    options = {"bf": str(bframes), "g": str(gop)}
    if codec == "libx264":
        options |= {"preset": "veryfast", "sc_threshold": "0", "crf": "18"}
    if codec == "libx265":
        options |= {"x265-params": "log-level=none"}
    return encode(path, pictures, times, fps=fps, codec=codec, options=options, rotation=rotation, aspect=aspect)


def encode(
    path: Path,
    pictures: Iterable[NDArray[np.uint8]],
    times: Sequence[float],
    *,
    fps: float = 30,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    rotation: int = 0,
    aspect: Fraction | None = None,
    matrix: Sequence[int] | None = None,
) -> Path:
    """Write pictures (h, w, 3) to be shown at ``times``, in seconds, with the encoder's own options."""
    rate = Fraction(fps).limit_denominator(1001)
    base = 1 / rate if codec in FRAME_CLOCKED else Fraction(1, TICKS)
    with av.open(str(path), "w") as container:
        stream: VideoStream | None = None
        for picture, time in zip(pictures, times, strict=True):
            if stream is None:
                stream = container.add_stream(codec, rate=rate, options=options or {})
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv444p" if stream.width % 2 or stream.height % 2 else "yuv420p"
                stream.codec_context.thread_count = 1
                stream.codec_context.time_base = base
                if aspect is not None:
                    stream.codec_context.sample_aspect_ratio = aspect
                if rotation:
                    stream.set_display_rotation(rotation)
                if matrix is not None:
                    stream.set_display_matrix(matrix)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = round(Fraction(time).limit_denominator(TICKS) / base), base
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
    return path


def with_streams(path: Path, *videos: list[int], sizes: list[tuple[int, int]]) -> Path:
    """Write a file with several video streams, each a list of frame numbers, the first one in MJPEG."""
    with av.open(str(path), "w") as container:
        streams = []
        for place, size in enumerate(sizes):
            stream = container.add_stream("libx264" if place else "mjpeg", rate=25)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p" if place else "yuvj420p"
            streams.append(stream)
        for stream, numbers, size in zip(streams, videos, sizes, strict=True):
            for place, number in enumerate(numbers):
                frame = av.VideoFrame.from_ndarray(numbered(number, size), format="rgb24")
                frame.pts, frame.time_base = place, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def write_sound(path: Path, *, seconds: float = 0.5) -> Path:
    """Write a file that holds sound and no picture, and return its path."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, int(8000 * seconds)), dtype=np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_images(folder: Path, *, frames: int, size: tuple[int, int] = (64, 48), suffix: str = ".png") -> Path:
    """Write a folder of numbered pictures, named 1, 2, ... without leading zeros, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    codec, pixels = ("png", "rgb24") if suffix == ".png" else ("mjpeg", "yuvj420p")
    for number in range(frames):
        encoder = av.CodecContext.create(codec, "w")
        encoder.width, encoder.height = size
        encoder.pix_fmt, encoder.time_base = pixels, Fraction(1, 30)
        frame = av.VideoFrame.from_ndarray(numbered(number, size), format="rgb24").reformat(format=pixels)
        packets = [*encoder.encode(frame), *encoder.encode(None)]
        (folder / f"{number + 1}{suffix}").write_bytes(b"".join(bytes(packet) for packet in packets))
    return folder
