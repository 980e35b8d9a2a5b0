"""One pass over the packets of a video stream: times, key frames, and whether each packet is a frame."""

from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from timesformer.video.decoder.container import (
    SQUARE,
    DecodeError,
    Video,
    VideoError,
    check_pixels,
    opened,
    perhaps_too_large,
    pixel_aspect,
    reason,
)
from timesformer.video.decoder.frameindex import NO_TIME
from timesformer.video.decoder.orientation import orientation, shown_size

TIMELESS = ("avi", "h264", "hevc", "m4v", "mpegvideo")
"""Containers without presentation times: FFmpeg guesses them, wrongly where B-frames change the order."""


SMALLEST_VOP = 16
"""An MPEG-4 part 2 packet of fewer bytes may be marked "not coded" and yield no frame."""


@dataclass(frozen=True, eq=False)
class Packets:
    """Facts from one pass over the packets of a stream; arrays are in decoding order."""

    pts: NDArray[np.int64]
    dts: NDArray[np.int64]
    place: NDArray[np.int64]
    key: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    doubtful: bool
    codec: str
    rate: float
    tick: float
    by_dts: bool
    size: tuple[int, int]
    remarks: tuple[str, ...]
    damage: tuple[str, ...]


def read_packets(path: Path) -> Packets:
    """Read all packets, decoding only the first frame, which gives the size and rotation."""
    pts, dts, places, flags = array("q"), array("q"), array("q"), bytearray()
    first: av.VideoFrame | None = None
    cause, tiny, aspect = "the stream is empty", False, SQUARE
    with opened(path) as video:
        container, stream = video.container, video.stream
        vp8 = stream.codec_context.name == "vp8"
        with suppress(*DecodeError, IndexError):  # a truncated file has the frames up to there
            for packet in container.demux(stream):
                if first is None:
                    try:
                        first = next(iter(packet.decode()), None)
                    except DecodeError as error:
                        cause = reason(error)
                    else:
                        aspect = pixel_aspect(video)
                if packet.size == 0:
                    continue
                hidden = vp8 and not bytes(packet)[0] & 0x10  # alternate reference frames are never shown
                tiny |= packet.size < SMALLEST_VOP
                pts.append(NO_TIME if packet.pts is None else packet.pts)
                dts.append(NO_TIME if packet.dts is None else packet.dts)
                places.append(NO_TIME if packet.pos is None else packet.pos)
                flags.append(packet.is_keyframe | (packet.is_discard or hidden) << 1 | packet.is_corrupt << 2)
        if first is None:
            raise VideoError(path, f"holds no frame that decodes ({cause}){perhaps_too_large(stream)}")
        while len(flags) > 1 and flags[-1] & 4:  # truncated within a packet
            del pts[-1], dts[-1], places[-1], flags[-1]
        flag, times = np.frombuffer(flags, dtype=np.uint8), np.array(pts, dtype=np.int64)
        context, name = stream.codec_context, container.format.name
        fields = first.interlaced_frame or context.field_order > 1
        reordered = name in TIMELESS and context.has_b_frames
        clock = np.array(dts, dtype=np.int64)
        return Packets(
            pts=times,
            dts=clock,
            place=np.array(places, dtype=np.int64),
            key=(flag & 1) > 0,
            shown=(flag & 2) == 0,
            doubtful=_unordered(times, clock, flag) or fields or reordered or (context.name == "mpeg4" and tiny),
            codec=context.name,
            rate=float(stream.average_rate or 0),
            tick=float(stream.time_base or 1),
            by_dts=name in ("mpegts", "mpeg"),
            size=_checked_size(path, first, aspect),
            remarks=tuple(_remarks(video, len(flags))),
            damage=tuple(tilted(first)),
        )


def _checked_size(path: Path, first: av.VideoFrame, aspect: Fraction) -> tuple[int, int]:
    """Return height and width of the first frame as displayed; raises :class:`VideoError` where it is too large."""
    size = shown_size(first, aspect)
    check_pixels(path, *size)
    return size


def _remarks(video: Video, packets: int) -> Iterator[str]:
    """Yield remarks on files with several video streams, or with a single picture."""
    if video.others:
        total = video.others + 1
        yield f"holds {total} video streams, of which stream {video.stream.index}, the main one, is read"
    if packets == 1:
        yield "is a single picture: every frame of its clips is that one"


def tilted(frame: av.VideoFrame) -> Iterator[str]:
    if tilt := orientation(frame).tilt:
        yield f"is to be turned by {tilt:.0f} degrees beside its quarter turns, which is not done: encode it upright"


def _unordered(pts: NDArray[np.int64], dts: NDArray[np.int64], flag: NDArray[np.uint8]) -> bool:
    """Whether packets can't be sorted by time, or some come before the first key frame."""
    if (np.diff(dts[dts != NO_TIME]) < 0).any():  # concatenated recordings whose clocks restart
        return True
    shown = pts[(flag & 2) == 0]
    if not flag[0] & 1 or (pts == NO_TIME).any():
        return True
    return len(np.unique(shown)) < len(shown) or bool((shown < pts[0]).any())
