"""Decode requested frames of an indexed video: plan where to seek, then decode once, in order."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import av
import numpy as np

from timesformer.video.decoder.container import (
    SQUARE,
    Decoded,
    Video,
    VideoError,
    decoded,
    opened,
    picture,
    picture_size,
)
from timesformer.video.decoder.index import Index
from timesformer.video.decoder.orientation import shown_size

WORTH_SEEKING = 6
"""Fewest frames that a seek must skip to be worth its cost."""


@dataclass(frozen=True, eq=False)
class Shot:
    """A decoded frame, returned for a frame number."""

    number: int
    source: int
    """The frame's own number; it differs from ``number`` where the requested frame can't be decoded."""
    clean: bool
    """Whether all frames since the last key frame were decoded; otherwise the frame may show artefacts."""
    frame: av.VideoFrame
    aspect: Fraction
    """Pixel aspect ratio (width / height)."""

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width after rotation, in square pixels."""
        return shown_size(self.frame, self.aspect)


def shots(table: Index, wanted: Sequence[int]) -> Iterator[Shot]:
    """Yield a shot for every wanted number; ``wanted`` is in increasing order.

    A number may be yielded again with a better frame: where frames are missing after a seek, decoding is repeated from
    earlier key frames and finally from the start of the file, so that a failed seek is never taken for damage.
    """
    if table.images:
        yield from _of_images(table, wanted)
        return
    with opened(table.path) as video:
        for key, numbers in seek_plan(table, wanted):
            if key == 0:  # the first group, and nothing has been read yet
                yield from _forward(decoded(video.container.demux(video.stream), video), table, numbers)
                continue
            for start in range(key, max(key - 2, 0), -1):
                packets = _sought(video, table, start, table.pts[numbers[0]])
                if (yield from _forward(decoded(packets, video), table, numbers)):
                    break
            else:
                with opened(table.path) as again:
                    yield from _forward(decoded(again.container.demux(again.stream), again), table, numbers)


def shots_in_order(table: Index, wanted: Sequence[int]) -> Iterator[Shot]:
    """Yield exactly one shot for every wanted number, in increasing order, in one pass over the file.

    Parts that nobody wants are skipped by seeking, as in :func:`shots`, but what doesn't decode is not tried again from
    earlier key frames. If a seek leads to another frame than it should, a second pass without seeking gives the rest.
    """
    if table.images:
        yield from _of_images(table, wanted)
        return
    plan = seek_plan(table, wanted)
    with opened(table.path) as video:
        for place, (key, numbers) in enumerate(plan):
            if key == 0:
                yield from _forward(decoded(video.container.demux(video.stream), video), table, numbers)
                continue
            found = _forward(decoded(_sought(video, table, key, table.pts[numbers[0]]), video), table, numbers)
            first = next(found, None)
            if first is None or first.source != first.number or not first.clean:
                rest = [number for _, left in plan[place:] for number in left]
                break
            yield first
            yield from found
        else:
            return
    with opened(table.path) as again:
        yield from _forward(decoded(again.container.demux(again.stream), again), table, rest)


def seek_plan(table: Index, wanted: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Group increasing frame numbers by the key frame at which decoding starts, with few seeks."""
    result: list[tuple[int, list[int]]] = []
    for number in wanted:
        key = table.start(number)
        if not result or _saved(table, key, last=result[-1][1][-1]) >= WORTH_SEEKING:
            result.append((key, []))
        result[-1][1].append(number)
    return result


def _saved(table: Index, key: int, *, last: int) -> int:
    """Return the number of frames that a seek to a key frame skips."""
    if key <= table.start(last):
        return 0
    return int(np.searchsorted(table.pts, table.keys[key])) - last - 1


def _sought(video: Video, table: Index, key: int, latest: int) -> Iterator[av.Packet]:
    """Yield packets from the first key frame after a seek; none if it comes after ``latest`` ticks or is unknown."""
    video.container.seek(int(table.targets[key]), stream=video.stream)
    started = False
    for packet in video.container.demux(video.stream):
        if not started and packet.is_keyframe:
            if packet.pts is None or packet.pts > latest or not table.is_key(packet.pts, packet.pos):
                return
            started = True
        if started:
            yield packet


def _forward(steps: Iterator[Decoded], table: Index, numbers: Sequence[int]) -> Generator[Shot, None, bool]:
    """Yield a shot for each number, the nearest frame where one is missing; return whether all were found."""
    waiting, count, clean, complete = deque(numbers), -1, True, True
    last: Shot | None = None
    for step in steps:
        clean = clean and not step.trouble
        if step.frame is None:
            continue
        count += 1
        number = count if len(table.pts) == 0 else table.number(step.frame.pts)
        if number is None or step.trouble:
            continue
        clean = clean or step.frame.key_frame
        this = Shot(number, number, clean, step.frame, step.aspect)
        while waiting and waiting[0] <= number:
            wanted = waiting.popleft()
            before = last is not None and number > wanted and wanted - last.number <= number - wanted
            given = last if before and last is not None else this
            complete = complete and given.source == wanted and given.clean
            yield replace(given, number=wanted)
        if not waiting:
            return complete
        last = this
    if last is not None:
        for wanted in waiting:
            yield replace(last, number=wanted)
    return False


def _of_images(table: Index, wanted: Sequence[int]) -> Iterator[Shot]:
    for number in wanted:
        for source in sorted(range(table.frames), key=lambda other: abs(other - number)):
            with suppress(VideoError):
                frame = picture(table.images[source])
                break
        else:
            return
        if picture_size(frame) != table.size:
            size, first = (f"{width}x{height}" for height, width in (picture_size(frame), table.size))
            reason = f"is {size} but the folder's first image {first}; the frames of a video share one size"
            raise VideoError(table.images[source], reason)
        yield Shot(number, source, True, frame, SQUARE)
