"""Decode wanted frames of an indexed video: plan the stretches to go through, then go through them once, in order."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from timesformer.video.container import VideoError, decoded, opened, picture, shown_size
from timesformer.video.index import Index

WORTH_SEEKING = 6
"""Frames that a seek must save: it costs a search and the delay of the decoder."""


@dataclass(frozen=True, eq=False)
class Shot:
    """A decoded frame, given for a frame number."""

    number: int
    source: int
    """The number that the frame really has: another one where the wanted frame does not decode."""
    clean: bool
    """Whether everything decoded since the last key frame; otherwise the frame may show traces of the damage."""
    frame: av.VideoFrame


def shots(table: Index, wanted: Sequence[int]) -> Iterator[Shot]:
    """Yield a shot for every wanted number; ``wanted`` increases.

    A number can come again, for the better: where something is missing after a seek, decoding starts over at an earlier
    key and at last from the start of the file, so that damage is never blamed for a seek that went wrong.
    """
    if table.images:
        yield from _of_images(table, wanted)
        return
    with opened(table.path) as (container, stream):
        for key, numbers in stretches(table, wanted):
            if key == 0:  # the first stretch, and nothing has been read yet
                yield from _forward(decoded(container.demux(stream), stream), table, numbers)
                continue
            for start in range(key, max(key - 2, 0), -1):
                packets = _sought(container, stream, table, start, table.pts[numbers[0]])
                if (yield from _forward(decoded(packets, stream), table, numbers)):
                    break
            else:
                with opened(table.path) as (again, its_stream):
                    yield from _forward(decoded(again.demux(its_stream), its_stream), table, numbers)


def stretches(table: Index, wanted: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Group increasing frame numbers by the key that decoding starts at, seeking only where it pays."""
    result: list[tuple[int, list[int]]] = []
    for number in wanted:
        key = int(table.starts[number])
        if not result or _saved(table, key, last=result[-1][1][-1]) >= WORTH_SEEKING:
            result.append((key, []))
        result[-1][1].append(number)
    return result


def _saved(table: Index, key: int, *, last: int) -> int:
    """Frames that need not be decoded if decoding goes on at a key and not after the last frame."""
    if key <= table.starts[last]:
        return 0
    return int(np.searchsorted(table.pts, table.keys[key])) - last - 1


def _sought(container: InputContainer, stream: VideoStream, table: Index, key: int, latest: int) -> Iterator[av.Packet]:
    """Packets from the first key after a seek; none if that key is shown later than ``latest`` ticks, or is unknown."""
    container.seek(int(table.targets[key]), stream=stream)
    started = False
    for packet in container.demux(stream):
        if not started and packet.is_keyframe:
            if packet.pts is None or packet.pts > latest or not table.is_key(packet.pts, packet.pos):
                return
            started = True
        if started:
            yield packet


def _forward(
    frames: Iterator[tuple[av.VideoFrame | None, str]], table: Index, numbers: Sequence[int]
) -> Generator[Shot, None, bool]:
    """Yield a shot for each number from frames in order, the nearest where one is missing; return whether none was."""
    waiting, count, clean, complete = deque(numbers), -1, True, True
    last: tuple[int, bool, av.VideoFrame] | None = None
    for frame, trouble in frames:
        clean = clean and not trouble
        if frame is None:
            continue
        count += 1
        number = count if len(table.pts) == 0 else table.number(frame.pts)
        if number is None or trouble:
            continue
        clean = clean or frame.key_frame
        while waiting and waiting[0] <= number:
            wanted = waiting.popleft()
            before = last is not None and number > wanted and wanted - last[0] <= number - wanted
            source, unharmed, given = last if before and last is not None else (number, clean, frame)
            complete = complete and source == wanted and unharmed
            yield Shot(wanted, source, unharmed, given)
        if not waiting:
            return complete
        last = (number, clean, frame)
    if last is not None:
        for wanted in waiting:
            yield Shot(wanted, *last)
    return False


def _of_images(table: Index, wanted: Sequence[int]) -> Iterator[Shot]:
    for number in wanted:
        for source in sorted(range(table.frames), key=lambda other: abs(other - number)):
            with suppress(VideoError):
                frame = picture(table.images[source])
                break
        else:
            return
        if shown_size(frame) != table.size:
            size, first = (f"{width}x{height}" for height, width in (shown_size(frame), table.size))
            reason = f"is {size} but the folder's first image {first}; the frames of a video share one size"
            raise VideoError(table.images[source], reason)
        yield Shot(number, source, True, frame)
