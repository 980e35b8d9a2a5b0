"""The views of many videos, read by worker processes, of which the system may end any at any time."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from timesformer import machine
from timesformer.data.batches import loaders
from timesformer.data.items import Item, counted
from timesformer.inference.answers import Answer, answers
from timesformer.inference.parts import Part, Seen, joined, of_file
from timesformer.video.reader import VideoError
from timesformer.video.views import PORTION

IDLE = -1
"""The place of a worker that reads no video."""
ALONE = 2
"""Times that a video's worker may be lost while it is the only one, before the video is given up."""


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
                        yield _handed_over(joined(waiting))
                        waiting = []
                    waiting.append(part)
            yield _handed_over(joined(waiting))
        self.at[place] = IDLE

    def _of(self, number: int) -> Iterator[Part]:
        """The views of one video in parts, or why there are none."""
        item = self.items[number]
        try:
            yield from of_file(number, item.path, self.seen, start=item.start, end=item.end, most=self.most)
        except VideoError as error:
            yield Part(failed={number: error.reason})


class Crew:
    """Worker processes that read views; when the system ends one, the reading continues with fewer."""

    def __init__(self, workers: int, videos: int) -> None:
        """Start with ``workers``, or with one per core where that is -1; never with more than there are videos."""
        if workers < 0:
            workers = max(machine.cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)
        self.workers = min(workers, videos)
        self.lost: Counter[str] = Counter()
        """How often workers were lost, by the reason."""
        self._alone: Counter[int] = Counter()
        self._stream: Iterator[Part] = iter(())

    def answers(
        self,
        items: Sequence[Item],
        numbers: Sequence[int],
        seen: Seen,
        compute: Callable[[Tensor], Tensor],
        *,
        pin: bool,
        between: Callable[[], None] = lambda: None,
    ) -> Iterator[Answer]:
        """What ``compute`` makes of the views of each video, once for each, whichever workers are lost on the way.

        ``numbers`` are those of the items to read. ``between`` is called between parts, when all videos that ended are
        with the caller.
        """

        def told(parts: Iterator[Part]) -> Iterator[Part]:
            for part in parts:
                yield part
                between()

        done: set[int] = set()
        while left := [number for number in numbers if number not in done]:
            views = Views(items, left, seen, workers=self.workers)
            given_up: dict[int, str] = {}
            try:
                for answer in answers(told(self.read(views, pin=pin)), compute):
                    done.add(answer.number)
                    yield answer
            except Exception as error:
                given_up = self.fewer(error, views.at)
            for number, reason in given_up.items():
                done.add(number)
                yield Answer(number, torch.empty(0), reason)

    def read(self, views: Views, *, pin: bool) -> Iterator[Part]:
        """Read these views with the workers that are left; into page-locked memory for a GPU."""
        self._stream = loaders.started(
            DataLoader(views, batch_size=None, num_workers=self.workers, pin_memory=pin, worker_init_fn=loaders.begin)
        )
        return self._stream

    def fewer(self, error: Exception, at: Tensor) -> dict[int, str]:
        """Reduce the workers after one was lost at one of the videos ``at``; raises the error if none was lost.

        Returns the video that is given up, with the reason, if its worker was lost even when it was the only one.
        """
        ended = loaders.lost(error, self._stream)
        if ended is None or not self.workers:
            raise error
        reason = loaders.REASONS[ended]
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
        """Sentences about the workers that were lost."""
        left = counted(self.workers, "worker") if self.workers else "the main process alone"
        return tuple(
            f"{counted(times, 'decoding worker')} lost: {reason}; continued with {left}"
            + (" (fewer --workers take less memory)" if "memory" in reason else "")
            for reason, times in self.lost.items()
        )


def _bytes(parts: list[Part]) -> int:
    return sum(part.views.nbytes for part in parts)


def _handed_over(part: Part) -> Part:
    """The part, in memory shared with the process that asked for it where that is another one."""
    loaders.handed_over(part.views)
    return part
