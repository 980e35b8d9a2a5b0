"""The index of a video's frames, built by one pass over its packets with almost no decoding.

Headers are unreliable about frame counts and rates, so the index is built from the packets: the frames of a video are
the packets that are shown, numbered by presentation time. Where packets don't reliably correspond to frames (missing or
repeated times, interlaced fields, a start within a group of pictures, AVI with B-frames), the file is decoded once and
its decoded frames are numbered.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timesformer.video.decoder import indexstore, tars
from timesformer.video.decoder.container import (
    VideoError,
    decoded,
    opened,
    picture,
    picture_size,
    reason,
)
from timesformer.video.decoder.frameindex import NO_TIME, Index
from timesformer.video.decoder.packets import Packets, read_packets, tilted

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
FOLDER_FPS = 30.0
"""Frame rate of a folder of images."""
LEAP = 0.5
"""Time steps that differ from the median by this fraction are ignored for the frame rate."""
JITTER = 0.02
"""Largest relative deviation of decoding times from the header's frame rate."""


def index(path: Path) -> Index:
    """Index a video file or a folder of images.

    Indices are kept, in memory and on disk (:mod:`timesformer.video.decoder.indexstore`), so indexing
    an unchanged file again is cheap. Raises :class:`VideoError` for a file without readable frames.
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
    packets = read_packets(path)
    return _by_decoding(path, packets) if packets.doubtful else _by_time(path, packets)


def _by_time(path: Path, packets: Packets) -> Index:
    """Build the index from packets that are frames with distinct times."""
    shown = np.flatnonzero(packets.shown)
    if len(shown) == 0:
        raise VideoError(path, "holds no frame that is to be shown")
    shown = shown[np.argsort(packets.pts[shown], kind="stable")]
    keys = packets.pts[packets.key]
    key_of = np.maximum(np.cumsum(packets.key) - 1, 0)
    # frames stored after a key frame but shown before it may depend on the previous group
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


def _by_decoding(path: Path, packets: Packets) -> Index:
    """Build the index by decoding the file; seeking is possible where frame times match packet times."""
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


def _by_counting(path: Path, packets: Packets, frames: int) -> Index:
    """Build the index of a file without usable frame times: frames are numbered in order of decoding.

    The frame rate is the header's where decoding times agree with it, else that of the decoding times; steps where the
    clock restarts or jumps are ignored.
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


def _rate(times: NDArray[np.float64], packets: Packets) -> float:
    """Return frames per second: the header's where the times agree with it within rounding, else by the times."""
    span = float(times[-1] - times[0])
    if span <= 0:
        return packets.rate or FOLDER_FPS
    steps = len(times) - 1
    return packets.rate if packets.rate and abs(steps / packets.rate - span) <= 2 * packets.tick else steps / span


def _of_images(folder: Path) -> Index:
    """Index a folder of images in natural order of their names: 2 before 10."""
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
        damage=tuple(tilted(first)),
    )


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"([0-9]+)", name) if part]
