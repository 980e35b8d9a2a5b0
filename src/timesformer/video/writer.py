"""From frames to a video file: H.264 in MP4, written atomically."""

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.video.stream import VideoStream
from torch import Tensor

from timesformer import atomic

TICKS = 90_000
"""Ticks in a second: the usual frame rates divide it, and any time is exact to 11 microseconds."""


def write(
    path: Path, parts: Iterable[Tensor], *, times: Sequence[float], fps: float, options: Mapping[str, str]
) -> None:
    """Write uint8 RGB frames as H.264, each shown at its time in seconds; an odd last row or column is cut off.

    ``parts`` are tensors ``(n, 3, h, w)``, one after another, so that a long video need not fit into memory. ``fps`` is
    the average rate, for the encoder's rate control, and ``options`` are libx264's own (``preset``, ``crf``, ``g``).
    Raises ``ValueError`` where frames and times don't match or a side is shorter than 2 pixels, and
    :class:`timesformer.atomic.WriteError` where the file can't be written to its end.
    """
    # FFmpeg can't open names that aren't UTF-8, and reports no error when it closes a file; Python's files do both.
    with atomic.replacing(path) as temporary, temporary.open("wb") as file:
        try:
            with av.open(file, "w", format="mp4") as container:
                stream = container.add_stream(
                    "libx264", rate=Fraction(fps).limit_denominator(1001), options=dict(options)
                )
                _encode(container, stream, parts, ticks=_ticks(times))
        except av.error.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise ValueError(f"can't be encoded as H.264 ({error.strerror})") from error


def _encode(container: OutputContainer, stream: VideoStream, parts: Iterable[Tensor], *, ticks: Sequence[int]) -> None:
    """Encode all frames into the container."""
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1  # files are written side by side
    stream.codec_context.time_base = Fraction(1, TICKS)
    count = 0
    for part in parts:
        height, width = (side // 2 * 2 for side in part.shape[-2:])
        if min(height, width) < 2:
            raise ValueError(f"frames of {part.shape[-2]}x{part.shape[-1]} can't be written; sides must be at least 2.")
        if count == 0:
            stream.height, stream.width = height, width
        for picture in part[..., :height, :width].permute(0, 2, 3, 1).contiguous().numpy():
            if count == len(ticks):
                raise ValueError(f"more frames than the {count} times; give each frame a time.")
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = ticks[count], Fraction(1, TICKS)
            container.mux(stream.encode(frame))
            count += 1
    if count == 0 or count < len(ticks):
        raise ValueError(f"{count} frames for {len(ticks)} times; give at least one frame, and each frame a time.")
    container.mux(stream.encode(None))


def _ticks(times: Sequence[float]) -> list[int]:
    """Times as increasing ticks; times closer than a tick are moved one tick apart."""
    ticks: list[int] = []
    for time in times:
        if not math.isfinite(time):
            raise ValueError(f"time {time} of a frame; it must be a number of seconds.")
        ticks.append(max(round(time * TICKS), ticks[-1] + 1 if ticks else 0))
    return ticks
