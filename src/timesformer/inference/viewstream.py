"""The views of many videos, one after the other, read by worker processes that the system may end at any time."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from timesformer import machine
from timesformer.config.model import ClipConfig
from timesformer.data.batches import loaders
from timesformer.data.items import Item, counted
from timesformer.video import memory, reader
from timesformer.video.reader import VideoError
from timesformer.video.sampling import Placement
from timesformer.video.views import PORTION, planned, portions

IDLE = -1
"""What a worker is at when it reads no video."""
ALONE = 2
"""Times that a video's worker may be lost while it is the only one, before the video is given up."""


@dataclass(frozen=True)
class Seen:
    """Which views of a video are read, and how many are held together."""

    clip: ClipConfig
    clips: int
    crops: int
    placement: Placement
    batch: int
    """Views of a forward pass."""


@dataclass(frozen=True)
class Part:
    """Views of some videos, one after the other, and what is to be said of videos; a long video comes in several."""

    numbers: tuple[int, ...] = ()
    """Numbers of the videos in the list of items."""
    counts: tuple[int, ...] = ()
    """How many of the views are of each of the ``numbers``."""
    ended: tuple[int, ...] = ()
    """Videos of which these are the last views."""
    views: Tensor = field(default_factory=lambda: torch.empty(0))
    """Float (v, t, c, h, w)."""
    failed: dict[int, str] = field(default_factory=dict)
    """Why a video has no views, or no more."""
    notes: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """What does not decode of a video."""

    def pin_memory(self) -> "Part":
        """The same part in page-locked memory, for copies to a GPU that don't wait."""
        return replace(self, views=self.views.pin_memory())


class Views(IterableDataset[Part]):
    """Views of the items of some numbers, shared among the workers by turns."""

    def __init__(self, items: Sequence[Item], numbers: Sequence[int], seen: Seen, *, workers: int) -> None:
        self.items, self.numbers, self.seen = items, numbers, seen
        self.most = max(PORTION // max(workers, 1), PORTION // 8)
        self.at = torch.full((max(workers, 1),), IDLE).share_memory_() if workers else torch.full((1,), IDLE)

    def __iter__(self) -> Iterator[Part]:
        here = get_worker_info()
        place, workers = (here.id, here.num_workers) if here else (0, 1)
        views = self.seen.clips * self.seen.crops
        # as many videos as fill a forward pass; with "whole" each has its own number of views
        together = 1 if self.seen.placement == "whole" else max(self.seen.batch // views, 1)
        groups = [self.numbers[start : start + together] for start in range(0, len(self.numbers), together)]
        for group in groups[place::workers]:
            waiting: list[Part] = []
            for number in group:
                self.at[place] = number
                for part in self._of(number):
                    if waiting and _bytes(waiting) + _bytes([part]) > self.most:
                        yield _handed_over(_joined(waiting))
                        waiting = []
                    waiting.append(part)
            yield _handed_over(_joined(waiting))
        self.at[place] = IDLE

    def _of(self, number: int) -> Iterator[Part]:
        """The views of one video in parts, or why there are none."""
        item, seen = self.items[number], self.seen
        try:
            with memory.named(item.path):
                info = reader.info(item.path)
                numbers = planned(
                    info, seen.clip, clips=seen.clips, placement=seen.placement, start=item.start, end=item.end
                )
            for portion in portions(item.path, numbers, seen.clip, crops=seen.crops, most=self.most):
                ended = () if portion.left else (number,)
                notes = {number: portion.notes} if portion.notes else {}
                yield Part((number,), (len(portion.views),), ended, portion.views, notes=notes)
        except VideoError as error:
            yield Part(failed={number: error.reason})


class Crew:
    """The worker processes of a reading, of which fewer go on when the system ends one."""

    def __init__(self, workers: int, videos: int) -> None:
        """Begin with ``workers``, or with one for each core where they are -1; never more than there are videos."""
        if workers < 0:
            workers = max(machine.cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)
        self.workers = min(workers, videos)
        self.lost: Counter[str] = Counter()
        """How often workers were lost, by the reason."""
        self._alone: Counter[int] = Counter()
        self._stream: Iterator[Part] = iter(())

    def read(self, views: Views, *, pin: bool) -> Iterator[Part]:
        """Read these views with the workers that are left; into page-locked memory for a GPU."""
        self._stream = loaders.started(
            DataLoader(views, batch_size=None, num_workers=self.workers, pin_memory=pin, worker_init_fn=loaders.begin)
        )
        return self._stream

    def fewer(self, error: Exception, at: Tensor) -> dict[int, str]:
        """Go on with fewer workers after one was lost at one of the videos ``at``; raises the error if none was.

        Returns the video that is given up, with the reason, where its worker was lost even when it was the only one.
        """
        ended = loaders.lost(error, self._stream)
        if ended is None or not self.workers:
            raise error
        reason = _ENDED[ended]
        self.lost[reason] += 1
        if self.workers > 1:
            self.workers //= 2
            return {}
        number = int(at[0])
        self._alone[number] += 1
        if ended == loaders.NO_SHARED_MEMORY or number == IDLE:
            self.workers = 0
        elif self._alone[number] >= ALONE:
            return {number: f"{reason} each time that it was decoded"}
        return {}

    def notes(self) -> tuple[str, ...]:
        """What is to be said of workers that were lost."""
        left = counted(self.workers, "worker") if self.workers else "the main process alone"
        lost = ((counted(times, "decoding worker"), reason) for reason, times in self.lost.items())
        return tuple(f"{workers} lost: {reason}; read on with {left}" for workers, reason in lost)


_ENDED: dict[int, str] = {
    loaders.KILLED: "the system ended the decoding process, most likely for lack of memory (fewer --workers take less)",
    loaders.NO_SHARED_MEMORY: "the memory that processes share (/dev/shm) is too small; a container's grows with "
    "--shm-size",
    **dict.fromkeys(loaders.CRASHED, "the decoder crashed"),
    loaders.GONE: "the decoding process went away, most likely ended by the system for lack of memory (fewer --workers "
    "take less)",
}


def _bytes(parts: list[Part]) -> int:
    return sum(part.views.nbytes for part in parts)


def _joined(parts: list[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    views = [part.views for part in parts if part.numbers]
    return Part(
        numbers=tuple(number for part in parts for number in part.numbers),
        counts=tuple(count for part in parts for count in part.counts),
        ended=tuple(number for part in parts for number in part.ended),
        views=torch.cat(views) if views else torch.empty(0),
        failed={number: reason for part in parts for number, reason in part.failed.items()},
        notes={number: notes for part in parts for number, notes in part.notes.items()},
    )


def _handed_over(part: Part) -> Part:
    """The part, in memory shared with the process that asked for it where that is another one."""
    loaders.handed_over(part.views)
    return part
