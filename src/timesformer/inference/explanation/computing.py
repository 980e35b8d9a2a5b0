"""The parts of an explanation that need the model: scores, relevance, attention over time, and frames left out."""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from timesformer.config.training import Task
from timesformer.inference.answers import forward
from timesformer.inference.explanation.method import Method
from timesformer.model import relevance
from timesformer.model.transformer import TimeSformer
from timesformer.tasks.table import fuse
from timesformer.weights.checkpoint import Checkpoint

TOGETHER = 8
"""Views in a forward pass."""
LEAST = 1e-300
"""Stands for a probability of zero, whose logarithm is infinite."""


def maps(model: TimeSformer, views: Tensor, output: int, method: Method) -> tuple[Tensor, Tensor]:
    """Shares of the patches, and the rest, of views (v, t, c, h, w): (v, t, rows, columns) and (v,).

    One view at a time, since the attention of every step is held.
    """
    device = next(model.parameters()).device
    found = []
    for view in views.split(1):
        clip = view.to(device)
        if method == "rollout":
            found.append(relevance.rollout(model, clip))
        else:
            found.append(relevance.of_class(model, clip, torch.tensor([output], device=device)))
    patches = torch.cat([each.patches.detach().float().cpu() for each in found])
    return patches, torch.cat([each.rest.detach().float().cpu() for each in found])


def time_attention(model: TimeSformer, views: Tensor) -> Tensor | None:
    """Attention from frame to frame, the mean over views (v, t, c, h, w): (blocks, heads, t, t).

    None for the space scheme, which never looks across frames.
    """
    if model.config.scheme == "space":
        return None
    device = next(model.parameters()).device
    total = torch.zeros(())
    for view in views.split(1):
        total = total + relevance.time_attention(model, view.to(device)).detach().float().cpu().mean(dim=1)
    return total / len(views)


def runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last-but-one place of each run of the same frame number in a clip."""
    starts = [0, *(place for place in range(1, len(numbers)) if numbers[place] != numbers[place - 1])]
    return list(zip(starts, [*starts[1:], len(numbers)], strict=True))


def without(numbers: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """For each frame of a clip, which places to show so that a neighbour stands in for it: once for each neighbour.

    Yields the number of the frame's run, and a place for every place. A frame that the clip repeats is left out
    everywhere.
    """
    spans = runs(numbers)
    for run, (first, after) in enumerate(spans):
        for neighbour in (run - 1, run + 1):
            if 0 <= neighbour < len(spans):
                start, stop = spans[neighbour]
                stand_in = stop - 1 if neighbour < run else start
                yield run, [stand_in if first <= place < after else place for place in range(len(numbers))]


def left_out(
    checkpoint: Checkpoint, views: Tensor, logits: Tensor, numbers: Sequence[int], output: int
) -> tuple[list[float], list[float]]:
    """What each distinct frame of one clip contributes: its evidence, and the score without it.

    The frame is replaced by the one before and by the one after it, and the mean of the two is taken. ``views``
    (crops, t, c, h, w) are the clip's, ``logits`` (crops, outputs) what the model says of them. Evidence is by how
    much the log odds of the output fall (of a regression, its value). NaN for a clip of one frame.
    """
    spans = runs(numbers)
    if len(spans) == 1:
        return [math.nan], [math.nan]
    plan = list(without(numbers))
    found = []
    for some in batches(plan, max(TOGETHER // len(views), 1)):
        changed = torch.cat([views[:, places] for _, places in some])
        found.append(forward(checkpoint.model, changed, batch=TOGETHER))
    changed = torch.cat(found).unflatten(0, (len(plan), len(views)))
    whole = strength(logits[None], output, checkpoint)[0]
    evidence, score = whole - strength(changed, output, checkpoint), scores(changed, checkpoint)[:, output]
    of = torch.tensor([run for run, _ in plan])
    pairs = [(evidence[of == run].mean(), score[of == run].mean()) for run in range(len(spans))]
    return [float(each) for each, _ in pairs], [float(each) for _, each in pairs]


def batches(plan: list[tuple[int, list[int]]], size: int) -> Iterator[list[tuple[int, list[int]]]]:
    """The plan in parts."""
    yield from (plan[start : start + size] for start in range(0, len(plan), size))


def scores(logits: Tensor, checkpoint: Checkpoint) -> Tensor:
    """Scores from the logits of views, the mean over them: (n, v, outputs) -> (n, outputs)."""
    return fuse(logits, checkpoint.task, "scores", checkpoint.target_stats)


def strength(logits: Tensor, output: int, checkpoint: Checkpoint) -> Tensor:
    """Log odds of an output by the mean probability over views, (n, v, outputs) -> float64 (n,); a regression's value.

    Computed so that a probability of nearly one keeps its digits.
    """
    if checkpoint.task == "regression":
        return scores(logits, checkpoint)[:, output].double()
    yes, no = _odds(logits.double(), output, checkpoint.task)
    return yes.mean(dim=1).clamp(min=LEAST).log() - no.mean(dim=1).clamp(min=LEAST).log()


def _odds(logits: Tensor, output: int, task: Task) -> tuple[Tensor, Tensor]:
    """Probabilities for and against an output: (..., outputs) -> two of (...)."""
    if task == "multilabel":
        return logits[..., output].sigmoid(), (-logits[..., output]).sigmoid()
    shares = F.softmax(logits, dim=-1)
    others = [place for place in range(logits.shape[-1]) if place != output]
    return shares[..., output], shares[..., others].sum(dim=-1)
