"""Where every frame of a video lies: one pass over the packets, nearly nothing decoded.

Headers lie about frame counts and rates, so the index is built from the packets: the frames of a video are the packets
that are to be shown, numbered in order of their presentation times. Where packets can't be trusted to be frames
(missing or repeated times, fields, a start in the middle of a group of pictures, AVI with B-frames), the file is
decoded once and numbered by what comes out.
"""

import re
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from timesformer.video.decoder import indexstore, tars
from timesformer.video.decoder.container import (
    SQUARE,
    DecodeError,
    Video,
    VideoError,
    check_pixels,
    decoded,
    opened,
    perhaps_too_large,
    picture,
    picture_size,
    pixel_aspect,
    reason,
)
from timesformer.video.decoder.indexstore import NO_TIME, Index
from timesformer.video.decoder.orientation import orientation, shown_size

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
FOLDER_FPS = 30.0
"""Frame rate of a folder of images, which carry none."""
TIMELESS = ("avi", "h264", "hevc", "m4v", "mpegvideo")
"""Containers without presentation times: FFmpeg makes them up, wrongly where B-frames change the order."""
LEAP = 0.5
"""A step of the clock that differs by this part from the usual one says nothing of the frame rate."""
JITTER = 0.02
"""Part by which decoding times may miss the header's frame rate on average."""
SMALLEST_VOP = 16
"""Bytes; an MPEG-4 part 2 packet below this may say "not coded" and give no frame."""


@dataclass(frozen=True, eq=False)
class _Packets:
    """What one pass over the packets of a stream tells; arrays in decoding order."""

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


def index(path: Path) -> Index:
    """Index a video file or a folder of images.

    Indices are kept, in memory and on disk (:mod:`timesformer.video.decoder.indexstore`), so asking again about an
    unchanged file costs little. Raises :class:`VideoError` where there is nothing to read.
    """
    try:
        where = tars.extent(path)
    except (OSError, ValueError) as error:
        raise VideoError(path, f"can't be opened ({reason(error)})") from None
    place, stamp = path.absolute(), (where.modified, where.size, where.start)
    known = indexstore.find(place, stamp)
    if known is None:
        known = _made(place)
        indexstore.keep(known, stamp)
    return known


def _made(path: Path) -> Index:
    if path.is_dir():
        return _of_images(path)
    packets = _packets(path)
    return _by_decoding(path, packets) if packets.doubtful else _by_time(path, packets)


def _packets(path: Path) -> _Packets:
    """Read all packets, decoding only up to the first frame: it tells size and rotation, and that the file decodes."""
    pts, dts, places, flags = array("q"), array("q"), array("q"), bytearray()
    first: av.VideoFrame | None = None
    cause, tiny, aspect = "the stream is empty", False, SQUARE
    with opened(path) as video:
        container, stream = video.container, video.stream
        vp8 = stream.codec_context.name == "vp8"
        with suppress(*DecodeError, IndexError):  # as in `decoded`; a file that breaks off has the frames up to there
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
        while len(flags) > 1 and flags[-1] & 4:  # cut off in the middle of a packet
            del pts[-1], dts[-1], places[-1], flags[-1]
        flag, times = np.frombuffer(flags, dtype=np.uint8), np.array(pts, dtype=np.int64)
        context, name = stream.codec_context, container.format.name
        fields = first.interlaced_frame or context.field_order > 1
        reordered = name in TIMELESS and context.has_b_frames
        clock = np.array(dts, dtype=np.int64)
        return _Packets(
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
            damage=tuple(_tilted(first)),
        )


def _checked_size(path: Path, first: av.VideoFrame, aspect: Fraction) -> tuple[int, int]:
    """Height and width of the first frame as it is shown, or :class:`VideoError` where they are beyond all bounds."""
    size = shown_size(first, aspect)
    check_pixels(path, *size)
    return size


def _remarks(video: Video, packets: int) -> Iterator[str]:
    """What was chosen of a file that holds more than a video, or less."""
    if video.others:
        total = video.others + 1
        yield f"holds {total} video streams, of which stream {video.stream.index}, the main one, is read"
    if packets == 1:
        yield "is a single picture: every frame of its clips is that one"


def _tilted(frame: av.VideoFrame) -> Iterator[str]:
    if tilt := orientation(frame).tilt:
        yield f"is to be turned by {tilt:.0f} degrees beside its quarter turns, which is not done: encode it upright"


def _unordered(pts: NDArray[np.int64], dts: NDArray[np.int64], flag: NDArray[np.uint8]) -> bool:
    """Whether packets can't be put in order by time, or some come before anything can be decoded."""
    if (np.diff(dts[dts != NO_TIME]) < 0).any():  # recordings joined end to end, each with a clock of its own
        return True
    shown = pts[(flag & 2) == 0]
    if not flag[0] & 1 or (pts == NO_TIME).any():
        return True
    return len(np.unique(shown)) < len(shown) or bool((shown < pts[0]).any())


def _by_time(path: Path, packets: _Packets) -> Index:
    """Index packets that are frames, each with a time of its own."""
    shown = np.flatnonzero(packets.shown)
    if len(shown) == 0:
        raise VideoError(path, "holds no frame that is to be shown")
    shown = shown[np.argsort(packets.pts[shown], kind="stable")]
    keys = packets.pts[packets.key]
    key_of = np.maximum(np.cumsum(packets.key) - 1, 0)
    # pictures that come after a key in the file and before it on the screen may need the group before
    key_of = np.maximum(key_of - (keys[key_of] > packets.pts), 0)
    pts = packets.pts[shown]
    targets = packets.dts[packets.key] if packets.by_dts else keys
    return Index(
        path=path,
        codec=packets.codec,
        fps=_rate((pts - pts[0]) * packets.tick, packets),
        size=packets.size,
        frames=len(pts),
        tick=packets.tick,
        pts=pts,
        starts=key_of[shown],
        keys=keys,
        places=packets.place[packets.key],
        targets=np.where(targets == NO_TIME, keys, targets),
        remarks=packets.remarks,
        damage=packets.damage,
    )


def _by_decoding(path: Path, packets: _Packets) -> Index:
    """Index the frames that come out of the decoder; seeking stays possible where their times are those of packets."""
    ticks: list[int] = []
    causes: list[str] = []
    with opened(path) as video:
        for step in decoded(video.container.demux(video.stream), video):
            if step.frame is None:
                causes.append(step.trouble)
            else:
                ticks.append(NO_TIME if step.frame.pts is None else step.frame.pts)
    if not ticks:
        raise VideoError(path, f"holds no frame that decodes ({(causes or ['the stream is empty'])[0]})")
    if causes:
        lost = f"{len(causes)} parts do not decode ({causes[0]}); frames are numbered without them"
        packets = replace(packets, damage=(*packets.damage, lost))
    pts = np.array(ticks, dtype=np.int64)
    shown = np.isin(packets.pts, pts)
    if shown.sum() == len(pts) and (np.diff(pts) > 0).all() and packets.key.any() and (packets.pts != NO_TIME).all():
        return _by_time(path, replace(packets, shown=shown))
    return _by_counting(path, packets, len(pts))


def _by_counting(path: Path, packets: _Packets, frames: int) -> Index:
    """Index a file whose frames have no usable times: they come out in order, and decoding times tell their rate.

    The header's rate counts where these agree with it but for jitter, else their own; where a clock starts again or
    leaps, its step says nothing.
    """
    clock = np.where(packets.dts == NO_TIME, packets.pts, packets.dts)
    steps = np.diff(clock[clock != NO_TIME])
    steps = steps[steps > 0]
    usual = float(np.mean(steps[np.abs(steps / np.median(steps) - 1) < LEAP])) * packets.tick if len(steps) else 0.0
    usual *= max(round(len(clock) / frames), 1)  # a packet may hold one of the two fields of a frame
    fps = 1 / usual if usual and abs(packets.rate * usual - 1) > JITTER else packets.rate or FOLDER_FPS
    return Index(
        path=path,
        codec=packets.codec,
        fps=fps,
        size=packets.size,
        frames=frames,
        remarks=packets.remarks,
        damage=packets.damage,
    )


def _rate(times: NDArray[np.float64], packets: _Packets) -> float:
    """Frames a second: the header's where the times differ from it by their rounding only, else by the times."""
    span = float(times[-1] - times[0])
    if span <= 0:
        return packets.rate or FOLDER_FPS
    steps = len(times) - 1
    return packets.rate if packets.rate and abs(steps / packets.rate - span) <= 2 * packets.tick else steps / span


def _of_images(folder: Path) -> Index:
    """Index a folder of images, sorted as people number files: 2 before 10."""
    files = [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()]
    files.sort(key=lambda file: [(int(part), "") if part.isdigit() else (-1, part) for part in _parts(file.name)])
    if not files:
        raise VideoError(folder, f"is a folder without images ({', '.join(IMAGE_SUFFIXES)})")
    first, cause = None, ""
    for file in files:
        try:
            first = picture(file)
            break
        except VideoError as error:
            cause = cause or f"{file.name} {error.reason}"
    if first is None:
        raise VideoError(folder, f"holds {len(files)} images, none of which decodes ({cause})")
    return Index(
        path=folder,
        codec=files[0].suffix[1:].lower(),
        fps=FOLDER_FPS,
        size=picture_size(first),
        frames=len(files),
        images=tuple(files),
        damage=tuple(_tilted(first)),
    )


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"([0-9]+)", name) if part]
