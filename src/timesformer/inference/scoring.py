"""Scores: a model and videos in, one row for each video out, from any number of processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from timesformer.config.checks import check_fields, require
from timesformer.config.model import ClipConfig
from timesformer.config.training import Task
from timesformer.data.items import Item
from timesformer.inference.viewstream import Crew, Part, Seen, Views
from timesformer.machine import Precision, autocast_type, pick_device
from timesformer.tasks.table import Fusion, fuse
from timesformer.video.sampling import Placement
from timesformer.weights.metadata import TargetStats

__all__ = ["InterruptedScoringError", "Scores", "Scoring", "forward", "pick_device", "score_videos"]

NOTES = 8
"""Notes on one video that are written out."""


class InterruptedScoringError(RuntimeError):
    """Another of the processes that score videos together came to an end early; ``kind`` is the name of its error."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


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
    precision: Precision = None
    """Type of autocast: torch.bfloat16, or "bf16"; None and "fp32" compute in the model's own."""
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
        autocast_type(self.precision)


@dataclass(frozen=True)
class Scores:
    """Scores of every video that could be read, in the order of the items, and what is to be said of the others."""

    items: tuple[Item, ...]
    """The videos that were scored."""
    scores: Tensor
    """One row for each: (n, classes), float32 on the CPU, or float64 for the numbers of a regression."""
    failed: tuple[tuple[str, str], ...]
    """Key and reason of each video that could not be read."""
    damaged: tuple[tuple[str, str], ...]
    """Key and trouble of each video that was scored although part of it does not decode."""
    notes: tuple[str, ...] = ()
    """What happened on the way: worker processes that the system ended."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the videos that were scored."""
        return tuple(item.key for item in self.items)


@dataclass
class _Found:
    """What came of videos so far, by their number in the list of items."""

    rows: dict[int, NDArray[np.floating]] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    damaged: dict[int, dict[str, None]] = field(default_factory=dict)
    """Every note on a video, once."""
    notes: tuple[str, ...] = ()
    trouble: tuple[str, str] | None = None
    """Why this process did not come to the end: what the error says, and its name."""


def score_videos(
    model: nn.Module,
    items: Sequence[Item],
    clip: ClipConfig,
    scoring: Scoring,
    *,
    task: Task = "classes",
    target_stats: TargetStats = (),
    progress: Callable[[int], None] = lambda done: None,
) -> Scores:
    """Score every video on the device of the model, which is in evaluation mode meanwhile.

    Classes get the softmax of the logits, several labels the sigmoid; numbers are scaled back by ``target_stats``. Each
    is averaged over the views. A video is read and scored in portions, so that its length takes no memory. Where the
    system ends a worker process, fewer go on with the videos that are left, and ``notes`` say so.

    ``progress`` is told, in this process and whenever some of its videos are done, how many are; it must not talk to
    other processes, which have other numbers of videos. Where ``torch.distributed`` is initialised, all processes must
    call this with the same items and a whole model each, no shards: each scores its part of the videos, and all return
    all scores. What ``progress`` raises ends the scoring in every process: by that error here, by
    :class:`InterruptedScoringError` in the others, once they have scored their own part.
    """
    rank, processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    found = _Found()
    training = model.training
    model.eval()
    try:
        _score(model, items, range(rank, len(items), processes), clip, scoring, found, progress, (task, target_stats))
    except Exception as error:
        if processes == 1:
            raise
        found.trouble = str(error) or type(error).__name__, type(error).__name__
        _exchanged(found, processes)
        raise
    finally:
        model.train(training)
    return _gathered(items, _exchanged(found, processes))


def _score(
    model: nn.Module,
    items: Sequence[Item],
    share: Sequence[int],
    clip: ClipConfig,
    scoring: Scoring,
    found: _Found,
    progress: Callable[[int], None],
    meaning: tuple[Task, TargetStats],
) -> None:
    """Score this process's share of the items."""
    seen = Seen(clip, scoring.clips, scoring.crops, scoring.placement, scoring.batch)
    crew = Crew(scoring.workers, len(share))
    while left := [number for number in share if number not in found.rows and number not in found.failed]:
        views = Views(items, left, seen, workers=crew.workers)
        logits: dict[int, list[Tensor]] = {}
        try:
            for part in crew.read(views, pin=next(model.parameters()).is_cuda):
                _take(model, part, scoring, found, logits, meaning)
                progress(len(found.rows) + len(found.failed))
        except Exception as error:
            found.failed.update(crew.fewer(error, views.at))
    found.notes = crew.notes()


def _take(
    model: nn.Module,
    part: Part,
    scoring: Scoring,
    found: _Found,
    logits: dict[int, list[Tensor]],
    meaning: tuple[Task, TargetStats],
) -> None:
    """Add what a part holds to what was found; ``logits`` are those of videos that have not ended."""
    task, target_stats = meaning
    if part.numbers:
        new = forward(model, part.views, batch=scoring.batch, precision=scoring.precision)
        for number, some in zip(part.numbers, new.split(list(part.counts)), strict=True):
            logits.setdefault(number, []).append(some)
    for number in part.ended:
        fused = fuse(torch.cat(logits.pop(number))[None], task, scoring.fusion, target_stats)
        found.rows[number] = fused[0].numpy()
    for number, reason in part.failed.items():
        logits.pop(number, None)
        found.failed[number] = reason
    for number, notes in part.notes.items():
        found.damaged.setdefault(number, {}).update(dict.fromkeys(notes))


def forward(
    model: nn.Module,
    clips: Tensor,
    *,
    batch: int,
    precision: Precision = None,
    compute: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Logits of normalised clips, ``batch`` at a time on the device of the model: (v, t, c, h, w) -> (v, classes).

    ``compute`` is another function of the model, such as its ``features``. Nothing is kept for gradients; the result
    is float32 on the CPU.
    """
    device, kind = next(model.parameters()).device, autocast_type(precision)
    compute = compute or model
    with torch.no_grad(), torch.autocast(device.type, dtype=kind, enabled=kind is not None):
        parts = [compute(part.to(device, non_blocking=True)).float() for part in clips.split(batch)]
    return torch.cat(parts).cpu()


def _exchanged(found: _Found, processes: int) -> list[_Found]:
    """What every process found."""
    everything = [found]
    if processes > 1:
        everything = [found] * processes
        dist.all_gather_object(everything, found)
    return everything


def _gathered(items: Sequence[Item], everything: Sequence[_Found]) -> Scores:
    """Everything that all processes found, in the order of the items."""
    for rank, each in enumerate(everything):
        if each.trouble:
            said, kind = each.trouble
            raise InterruptedScoringError(f"process {rank} ended the scoring: {said}", kind)
    rows = {number: row for each in everything for number, row in each.rows.items()}
    failed = {number: reason for each in everything for number, reason in each.failed.items()}
    damaged = {number: _briefly(list(notes)) for each in everything for number, notes in each.damaged.items()}
    return Scores(
        items=tuple(items[number] for number in sorted(rows)),
        scores=torch.from_numpy(np.stack([rows[number] for number in sorted(rows)])) if rows else torch.empty(0, 0),
        failed=tuple((items[number].key, failed[number]) for number in sorted(failed)),
        damaged=tuple((items[number].key, damaged[number]) for number in sorted(damaged) if number in rows),
        notes=tuple(dict.fromkeys(note for each in everything for note in each.notes)),
    )


def _briefly(notes: Sequence[str]) -> str:
    """The notes on a video in one text; one read in many portions may have hundreds."""
    more = [f"and {len(notes) - NOTES} more notes"] if len(notes) > NOTES else []
    return "; ".join([*notes[:NOTES], *more])
