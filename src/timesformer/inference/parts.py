"""Views of videos in bounded parts: what every reading hands to the model, one video after the other."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timesformer.config.model import ClipConfig
from timesformer.video import memory, reader, sampling, transforms
from timesformer.video.sampling import Placement
from timesformer.video.views import PORTION, planned, portions

Notes = Mapping[int, tuple[str, ...]]
"""Sentences about videos, by the number of the video."""


@dataclass(frozen=True)
class Seen:
    """Which views of a video are read, and how many are computed together."""

    clip: ClipConfig
    clips: int
    crops: int
    placement: Placement
    batch: int
    """Views of a forward pass."""


@dataclass(frozen=True)
class Part:
    """Views of some videos, one video after the other; a long video comes in several parts."""

    numbers: tuple[int, ...] = ()
    """Numbers of the videos in the list of items."""
    counts: tuple[int, ...] = ()
    """How many of the views belong to each of the ``numbers``."""
    ended: tuple[int, ...] = ()
    """Videos of which these are the last views."""
    views: Tensor = field(default_factory=lambda: torch.empty(0))
    """Float (v, t, c, h, w)."""
    failed: Mapping[int, str] = field(default_factory=dict)
    """Why a video has no views, or no more."""
    notes: Notes = field(default_factory=dict)
    """What does not decode of a video."""
    remarks: Notes = field(default_factory=dict)
    """What was chosen of a video's file, where nothing is wrong with it."""
    times: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)
    """Presentation times in seconds of the frames of all clips of a file, (clips, t); with its first views."""

    def pin_memory(self) -> "Part":
        """The same part in page-locked memory, for copies to a GPU that don't wait."""
        return replace(self, views=self.views.pin_memory())


def of_file(
    number: int, path: Path | str, seen: Seen, *, start: float | None, end: float | None, most: int = PORTION
) -> Iterator[Part]:
    """The views of a video file, or of a time range of it in seconds, in parts of about ``most`` bytes.

    Raises :class:`timesformer.video.reader.VideoError` where it can't be read, also after some parts.
    """
    with memory.error_for(path):
        info = reader.info(path)
        numbers = planned(info, seen.clip, clips=seen.clips, placement=seen.placement, start=start, end=end)
    remarks = tuple(note for note in info.notes if note not in info.damage)
    times = {number: np.asarray(info.times, dtype=np.float64)[numbers.numpy()]}
    for portion in portions(path, numbers, seen.clip, crops=seen.crops, most=most):
        yield Part(
            numbers=(number,),
            counts=(len(portion.views),),
            ended=() if portion.left else (number,),
            views=portion.views,
            notes={number: portion.notes} if portion.notes else {},
            remarks={number: remarks} if remarks else {},
            times=times,
        )
        times = {}


def of_frames(number: int, frames: Tensor, seen: Seen, *, fps: float | None) -> Iterator[Part]:
    """The views of frames in memory, uint8 (n, 3, h, w), in parts of about a forward pass.

    With ``fps`` clips are taken from them as from a file; without it they must be exactly one clip. Raises ValueError
    for another number of frames.
    """
    clip = seen.clip
    if fps is not None:
        chosen = sampling.views(len(frames), fps, clip, clips=seen.clips, placement=seen.placement)
    elif len(frames) == clip.frames:
        chosen = torch.arange(clip.frames)[None]
    else:
        raise ValueError(
            f"{len(frames)} frames for a model of {clip.frames}; give as many, or a whole video and its fps=."
        )
    several = chosen.split(max(seen.batch // seen.crops, 1))
    for place, some in enumerate(several, start=1):
        views = transforms.eval_views(frames[some], clip, crops=seen.crops)
        ended = (number,) if place == len(several) else ()
        yield Part(numbers=(number,), counts=(len(views),), ended=ended, views=views)


def filled(parts: Iterable[Part], batch: int) -> Iterator[Part]:
    """The parts, joined until they hold at least ``batch`` views, so that short videos share a forward pass."""
    waiting: list[Part] = []
    for part in parts:
        waiting.append(part)
        if sum(len(each.views) for each in waiting) >= batch:
            yield joined(waiting)
            waiting = []
    if waiting:
        yield joined(waiting)


def joined(parts: Sequence[Part]) -> Part:
    """Parts as one; at least one part is needed."""
    if len(parts) == 1:
        return parts[0]
    views = [part.views for part in parts if part.numbers]
    return Part(
        numbers=tuple(number for part in parts for number in part.numbers),
        counts=tuple(count for part in parts for count in part.counts),
        ended=tuple(number for part in parts for number in part.ended),
        views=torch.cat(views) if views else torch.empty(0),
        failed={number: reason for part in parts for number, reason in part.failed.items()},
        notes=_together([part.notes for part in parts]),
        remarks=_together([part.remarks for part in parts]),
        times={number: times for part in parts for number, times in part.times.items()},
    )


def _together(several: Sequence[Notes]) -> dict[int, tuple[str, ...]]:
    """All notes on each video, each once."""
    found: dict[int, dict[str, None]] = {}
    for notes in several:
        for number, said in notes.items():
            found.setdefault(number, {}).update(dict.fromkeys(said))
    return {number: tuple(said) for number, said in found.items()}
