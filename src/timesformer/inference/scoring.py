"""Scores: a model and videos in, one row for each video out, from any number of processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from timesformer.config.checks import check_fields, require
from timesformer.config.model import ClipConfig
from timesformer.config.training import Task
from timesformer.data.items import Item
from timesformer.inference.answers import forward
from timesformer.inference.parts import Seen
from timesformer.inference.viewstream import Crew
from timesformer.machine import Precision, autocast_type
from timesformer.tasks.table import Fusion, fuse
from timesformer.video.sampling import Placement
from timesformer.weights.metadata import TargetStats

NOTES = 8
"""Largest number of notes on one video that are listed."""


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
    """Temporal placement of clips: "middle" of equal parts, "official" as in the released code, "whole" covers all."""
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
    """The scores of every video that could be read, in the order of the items, and why others could not."""

    items: tuple[Item, ...]
    """The videos that were scored."""
    scores: Tensor
    """One row for each: (n, classes), float32 on the CPU, or float64 for the numbers of a regression."""
    failed: tuple[tuple[str, str], ...]
    """Key and reason of each video that could not be read."""
    damaged: tuple[tuple[str, str], ...]
    """Key and problem of each video that was scored although part of it does not decode."""
    remarks: tuple[tuple[str, str], ...] = ()
    """Key and remark of each video of which only a part was chosen, such as one of several streams."""
    notes: tuple[str, ...] = ()
    """Worker processes that the system ended."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the videos that were scored."""
        return tuple(item.key for item in self.items)


@dataclass
class _Found:
    """The results so far, by the number of the video in the list of items."""

    rows: dict[int, NDArray[np.floating]] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    damaged: dict[int, tuple[str, ...]] = field(default_factory=dict)
    remarks: dict[int, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    trouble: tuple[str, str] | None = None
    """The error that ended this process early: its message and its name."""


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
    system ends a worker process, fewer workers score the remaining videos, and ``notes`` say so.

    ``progress`` is called with the number of this process's videos that are done, whenever it grows; it must not
    communicate with other processes, which have other numbers of videos. Where ``torch.distributed`` is initialised,
    all processes must call this with the same items and a whole model each, no shards: each scores its part of the
    videos, and all return all scores. An error that ``progress`` raises ends the scoring in every process: here by that
    error, in the others by :class:`InterruptedScoringError`, once they have scored their own part.
    """
    rank, processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    found = _Found()
    seen = Seen(clip, scoring.clips, scoring.crops, scoring.placement, scoring.batch)
    to_scores = partial(fuse, task=task, fusion=scoring.fusion, target_stats=target_stats)
    training = model.training
    model.eval()
    try:
        _score(model, items, range(rank, len(items), processes), seen, scoring, found, progress, to_scores)
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
    seen: Seen,
    scoring: Scoring,
    found: _Found,
    progress: Callable[[int], None],
    to_scores: Callable[[Tensor], Tensor],
) -> None:
    """Score this process's share of the items."""

    def between() -> None:
        progress(len(found.rows) + len(found.failed))

    compute = partial(forward, model, batch=scoring.batch, precision=scoring.precision)
    crew = Crew(scoring.workers, len(share))
    pin = next(model.parameters()).is_cuda
    for answer in crew.answers(items, share, seen, compute, pin=pin, between=between):
        if answer.failed:
            found.failed[answer.number] = answer.failed
            continue
        found.rows[answer.number] = to_scores(answer.outputs[None])[0].numpy()
        found.damaged |= {answer.number: answer.notes} if answer.notes else {}
        found.remarks |= {answer.number: answer.remarks} if answer.remarks else {}
    found.notes = crew.notes()


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
    damaged = {number: _briefly(notes) for each in everything for number, notes in each.damaged.items()}
    remarks = {number: said for each in everything for number, said in each.remarks.items()}
    return Scores(
        items=tuple(items[number] for number in sorted(rows)),
        scores=torch.from_numpy(np.stack([rows[number] for number in sorted(rows)])) if rows else torch.empty(0, 0),
        failed=tuple((items[number].key, failed[number]) for number in sorted(failed)),
        damaged=tuple((items[number].key, damaged[number]) for number in sorted(damaged) if number in rows),
        remarks=tuple((items[number].key, said) for number in sorted(remarks) for said in remarks[number]),
        notes=tuple(dict.fromkeys(note for each in everything for note in each.notes)),
    )


def _briefly(notes: Sequence[str]) -> str:
    """The notes on a video in one text; a video read in many portions may have hundreds."""
    more = [f"and {len(notes) - NOTES} more notes"] if len(notes) > NOTES else []
    return "; ".join([*notes[:NOTES], *more])
