"""Scores: a model and videos in, one row for each video out, from any number of processes."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from timesformer import machine, metrics
from timesformer.checks import check_fields
from timesformer.config import ClipConfig, Task, require
from timesformer.data.items import Item
from timesformer.metrics import Fusion
from timesformer.video.reader import VideoError
from timesformer.video.sampling import Placement
from timesformer.video.views import noting_damage, read_views
from timesformer.weights.metadata import Units


@dataclass(frozen=True)
class Scoring:
    """How videos are turned into scores: the views, how they are put together, and how the machine is used."""

    clips: int = 1
    """Temporal clips per video."""
    crops: int = 3
    """Spatial crops per clip: 1 or 3."""
    placement: Placement = "middle"
    """Where clips lie: spread over the video, where the released code puts them, or as many as cover all of it."""
    fusion: Fusion = "scores"
    """Average the views' scores, or their logits (ranks as the sum of logits in the released code)."""
    precision: torch.dtype | None = None
    """Type of autocast, such as torch.bfloat16; None computes in the model's own."""
    batch: int = 8
    """Views per forward pass."""
    workers: int = -1
    """Decoding processes; -1 takes one for each core, 0 decodes in between."""

    def __post_init__(self) -> None:
        check_fields(self)
        require(self.clips >= 1, f"clips is {self.clips}; it must be at least 1.")
        require(
            self.clips == 1 or self.placement != "whole",
            f"clips is {self.clips}, but the placement 'whole' takes as many as cover a video; leave one of them out.",
        )
        require(self.crops in (1, 3), f"crops is {self.crops}; it must be 1 or 3.")
        require(self.batch >= 1, f"batch is {self.batch}; it must be at least 1.")
        require(self.workers >= -1, f"workers is {self.workers}; it must be -1 (one for each core) or at least 0.")


@dataclass(frozen=True)
class Scores:
    """Scores of every video that could be read, in the order of the items, and what is to be said of the others."""

    items: tuple[Item, ...]
    """The videos that were scored."""
    scores: Tensor
    """One row for each: (n, classes), float32 on the CPU."""
    failed: tuple[tuple[str, str], ...]
    """Key and reason of each video that could not be read."""
    damaged: tuple[tuple[str, str], ...]
    """Key and trouble of each video that was scored although part of it does not decode."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the videos that were scored."""
        return tuple(item.key for item in self.items)


@dataclass
class _Found:
    """What came of videos so far, by their number in the list of items."""

    rows: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    damaged: dict[int, str] = field(default_factory=dict)


def score_videos(
    model: nn.Module,
    items: Sequence[Item],
    clip: ClipConfig,
    scoring: Scoring,
    *,
    task: Task = "classes",
    units: Units = (),
    progress: Callable[[int], None] = lambda done: None,
) -> Scores:
    """Score every video on the device of the model, which is in evaluation mode meanwhile.

    Classes get the softmax of the logits, several labels the sigmoid, numbers are put in their ``units``; each averaged
    over the views.
    ``progress`` is told how many videos of this process are done. Where ``torch.distributed`` is initialised, all
    processes must call this with the same items and a whole model each, no shards: each scores its part of the
    videos, and all return all scores.
    """
    rank, processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    videos = _Videos(items, clip, scoring, range(rank, len(items), processes))
    found = _Found()
    training = model.training
    model.eval()
    try:
        for part in _loader(videos, pin=next(model.parameters()).is_cuda):
            if part.numbers:
                logits = forward(model, part.clips, batch=scoring.batch, precision=scoring.precision)
                for number, views in zip(part.numbers, logits.split(part.views), strict=True):
                    fused = metrics.fuse(views[None], task, scoring.fusion, units)
                    found.rows[number] = fused[0].numpy()
            found.failed.update(part.failed)
            found.damaged.update(part.damaged)
            progress(len(found.rows) + len(found.failed))
    finally:
        model.train(training)
    return _gathered(items, found, processes)


def pick_device(device: torch.device | str | None = None) -> torch.device:
    """The device that is asked for, or else a GPU where there is one, or else the CPU."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def forward(model: nn.Module, clips: Tensor, *, batch: int, precision: torch.dtype | None = None) -> Tensor:
    """Logits of normalised clips, ``batch`` at a time on the device of the model: (v, t, c, h, w) -> (v, classes).

    Nothing is kept for gradients; the result is float32 on the CPU.
    """
    device = next(model.parameters()).device
    with torch.no_grad(), torch.autocast(device.type, dtype=precision, enabled=precision is not None):
        parts = [model(part.to(device, non_blocking=True)).float() for part in clips.split(batch)]
    return torch.cat(parts).cpu()


@dataclass(frozen=True)
class _Views:
    """The views of some videos, one after the other, and what is to be said of the others."""

    numbers: tuple[int, ...]
    views: list[int]
    """How many each of the ``numbers`` has."""
    clips: Tensor
    failed: dict[int, str]
    damaged: dict[int, str]

    def pin_memory(self) -> "_Views":
        return _Views(self.numbers, self.views, self.clips.pin_memory(), self.failed, self.damaged)


class _Videos(Dataset[_Views]):
    """Views of this process's share of the items, or the reason why there are none."""

    def __init__(self, items: Sequence[Item], clip: ClipConfig, scoring: Scoring, share: Sequence[int]) -> None:
        self.items, self.clip, self.scoring, self.share = items, clip, scoring, share

    def __len__(self) -> int:
        return len(self.share)

    def __getitem__(self, place: int) -> _Views:
        number, scoring = self.share[place], self.scoring
        item = self.items[number]
        try:
            with noting_damage() as notes:
                clips = read_views(
                    item.path,
                    self.clip,
                    clips=scoring.clips,
                    crops=scoring.crops,
                    placement=scoring.placement,
                    start=item.start,
                    end=item.end,
                )
        except VideoError as error:
            blank = torch.empty(0, self.clip.frames, 3, *self.clip.frame_size)
            return _Views((), [], blank, {number: error.reason}, {})
        return _Views((number,), [len(clips)], clips, {}, {number: "; ".join(notes)} if notes else {})


def _loader(videos: _Videos, *, pin: bool) -> DataLoader[_Views]:
    scoring, workers = videos.scoring, videos.scoring.workers
    # All views of a whole video may be many: one video at a time then
    together = 1 if scoring.placement == "whole" else max(scoring.batch // (scoring.clips * scoring.crops), 1)
    if workers < 0:
        cores = machine.cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        workers = min(max(cores, 1), math.ceil(len(videos) / together))
    return DataLoader(
        videos,
        batch_size=together,
        num_workers=workers,
        collate_fn=_together,
        pin_memory=pin,
        worker_init_fn=_one_thread,
    )


def _together(parts: list[_Views]) -> _Views:
    return _Views(
        numbers=tuple(number for part in parts for number in part.numbers),
        views=[count for part in parts for count in part.views],
        clips=torch.cat([part.clips for part in parts]),
        failed={number: reason for part in parts for number, reason in part.failed.items()},
        damaged={number: note for part in parts for number, note in part.damaged.items()},
    )


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)


def _gathered(items: Sequence[Item], found: _Found, processes: int) -> Scores:
    """Everything that all processes found, in the order of the items."""
    everything = [found]
    if processes > 1:
        everything = [found] * processes
        dist.all_gather_object(everything, found)
    rows = {number: row for each in everything for number, row in each.rows.items()}
    failed = {number: reason for each in everything for number, reason in each.failed.items()}
    damaged = {number: note for each in everything for number, note in each.damaged.items()}
    return Scores(
        items=tuple(items[number] for number in sorted(rows)),
        scores=torch.from_numpy(np.stack([rows[number] for number in sorted(rows)])) if rows else torch.empty(0, 0),
        failed=tuple((items[number].key, failed[number]) for number in sorted(failed)),
        damaged=tuple((items[number].key, damaged[number]) for number in sorted(damaged)),
    )
