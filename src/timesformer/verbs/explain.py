"""Explanation: where and when a model looked in a video."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from timesformer.config.checks import ConfigError, choice, nearest, require
from timesformer.config.tasks import FACTS
from timesformer.data.items import some
from timesformer.inference.answers import forward
from timesformer.inference.explanation import computing
from timesformer.inference.explanation.clips import Clips
from timesformer.inference.explanation.computing import TOGETHER
from timesformer.inference.explanation.explanation import Explanation, SeenFrame
from timesformer.inference.explanation.method import Method
from timesformer.inference.prediction import Prediction
from timesformer.machine import pick_device
from timesformer.plain import printable
from timesformer.tasks.table import fuse
from timesformer.weights import loading
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.report import WeightsError

Progress = Callable[[int, int], None]


def explain(
    weights: Checkpoint | Path | str,
    video: Path | str,
    *,
    class_name: str | None = None,
    method: Method = "gradient",
    crops: int = 3,
    leave_one_out: bool = True,
    device: torch.device | str | None = None,
    progress: Progress = lambda done, total: None,
) -> Explanation:
    """Find out which places and frames of a video count for what a model says of it.

    The video is seen as by :class:`timesformer.Predictor` with the placement "whole": in as many clips as cover it, of
    1 or 3 ``crops`` each. ``class_name`` is the class to explain, or the number of a regression; by default the one
    with the highest score, or the first number.

    ``method`` "gradient" shows what speaks for the class, "rollout" what attention reads for any class; both are
    defined in :mod:`timesformer.model.relevance`. With ``leave_one_out`` each frame is also replaced by its neighbours,
    and the model asked again: about two forward passes for each frame of a clip. ``progress`` is called with the steps
    that are done and their number.

    Raises ConfigError for a class that the model doesn't have, :class:`timesformer.VideoError` for a video that can't
    be read, WeightsError for damaged weights, and for those without a head.
    """
    choice("method", method, get_args(Method))
    require(crops in (1, 3), f"crops is {crops}; a clip has 1 (centre) or 3 (along its longer axis).")
    where = pick_device(device)
    checkpoint = weights if isinstance(weights, Checkpoint) else loading.load(weights)
    checkpoint.needs_head()
    checkpoint.model.to(where).eval()
    labels = checkpoint.labels or tuple(f"class {index}" for index in range(checkpoint.model.config.classes))
    output = None if class_name is None else _output(class_name, labels)
    clips = Clips.of(video, checkpoint.clip, crops=crops)
    steps = _Steps(progress, len(clips.numbers) * (2 + leave_one_out))
    logits = torch.stack([steps.done(forward(checkpoint.model, views, batch=TOGETHER)) for views in clips.read()])
    scores = fuse(logits.flatten(0, 1)[None], checkpoint.task, "scores", checkpoint.target_stats)[0]
    if not bool(scores.isfinite().all()):
        raise WeightsError("the scores are not finite; the weights are damaged: get or train them again.")
    if output is None:
        output = 0 if FACTS[checkpoint.task].numeric else int(scores.argmax())
    found = _looked(checkpoint, clips, logits, output, method, leave_one_out=leave_one_out, steps=steps)
    prediction = Prediction(Path(video), labels, tuple(scores.tolist()), checkpoint.task, clips.notes())
    return Explanation(
        prediction=prediction,
        label=labels[output],
        method=method,
        frames=_frames(clips, found),
        clip_scores=tuple(fuse(logits, checkpoint.task, "scores", checkpoint.target_stats)[:, output].tolist()),
        numbers=clips.numbers,
        maps=torch.stack([each.maps for each in found]),
        rest=torch.stack([each.rest for each in found]),
        areas=clips.areas,
        size=(clips.info.height, clips.info.width),
        times=clips.info.times,
        duration=clips.info.duration,
        time_attention=_mean([each.time_attention for each in found]),
    )


@dataclass(frozen=True)
class _Looked:
    """What was found out about one clip."""

    maps: Tensor
    rest: Tensor
    time_attention: Tensor | None
    evidence: list[float] | None
    without: list[float] | None


class _Steps:
    """The steps that are done, which are reported."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.total, self.count = progress, total, 0

    def done(self, value: Tensor) -> Tensor:
        """Count one more step, and give back what came of it."""
        self.count += 1
        self.progress(self.count, self.total)
        return value


def _looked(
    checkpoint: Checkpoint,
    clips: Clips,
    logits: Tensor,
    output: int,
    method: Method,
    *,
    leave_one_out: bool,
    steps: _Steps,
) -> list[_Looked]:
    """Ask the model about every clip; ``logits`` (clips, crops, outputs) are its answers to the clips as they are."""
    found = []
    for clip, views in enumerate(clips.read()):
        maps, rest = computing.maps(checkpoint.model, views, output, method)
        attention = computing.time_attention(checkpoint.model, views)
        steps.done(rest)
        evidence = without = None
        if leave_one_out:
            numbers = clips.numbers[clip].tolist()
            evidence, without = computing.left_out(checkpoint, views, logits[clip], numbers, output)
            steps.done(rest)
        found.append(_Looked(maps, rest, attention, evidence, without))
    return found


def _frames(clips: Clips, found: list[_Looked]) -> tuple[SeenFrame, ...]:
    """The frames of all clips in order, each frame that a clip repeats once."""
    frames = []
    for clip, each in enumerate(found):
        shares = each.maps.sum(dim=(2, 3))  # (crops, t)
        shares = (shares / shares.sum(dim=1, keepdim=True).clamp(min=1e-12)).mean(dim=0)
        numbers = clips.numbers[clip].tolist()
        for run, (first, after) in enumerate(computing.runs(numbers)):
            frames.append(
                SeenFrame(
                    number=numbers[first],
                    time=float(clips.info.times[numbers[first]]),
                    clip=clip,
                    relevance=float(shares[first:after].sum()),
                    evidence=_known(each.evidence, run),
                    score_without=_known(each.without, run),
                )
            )
    return tuple(frames)


def _known(values: list[float] | None, place: int) -> float | None:
    return None if values is None or math.isnan(values[place]) else values[place]


def _mean(several: list[Tensor | None]) -> Tensor | None:
    known = [each for each in several if each is not None]
    return torch.stack(known).mean(dim=0) if known else None


def _output(name: str, labels: tuple[str, ...]) -> int:
    """The number of a class."""
    if name in labels:
        return labels.index(name)
    near = nearest(name, labels)
    meant = (
        f"did you mean {printable(near)!r}?" if near else f"its classes are {some(list(map(printable, labels)), 8)}."
    )
    raise ConfigError(f"class is {printable(name)!r}, which the model does not have; {meant}")
