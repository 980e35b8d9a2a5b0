"""Any number of labels per video: sigmoid scores, binary cross-entropy, average precision."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from timesformer.config.training import OptimConfig
from timesformer.data.items import counted
from timesformer.tasks.scores import check
from timesformer.weights.metadata import TargetStats


@dataclass(frozen=True)
class Multilabel:
    """The measures of any number of labels per video."""

    videos: int
    mean_ap: float | None
    """Mean average precision over the labels that apply to any video; None where there are none."""
    loss: float
    """Mean binary cross-entropy."""
    counts: tuple[int, ...]
    """Videos that each label applies to."""
    ap: tuple[float | None, ...]
    """Average precision of each label; None for one that applies to no video."""

    def lines(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The measures in words."""
        return (f"{counted(self.videos, 'video')}: mAP {'-' if self.mean_ap is None else f'{self.mean_ap:.1%}'}",)

    def as_json(self, labels: Sequence[str]) -> dict[str, Any]:
        """The measures as JSON values, with the labels."""
        each = [
            {"label": label, "count": count, "ap": ap}
            for label, count, ap in zip(labels, self.counts, self.ap, strict=True)
        ]
        return {"videos": self.videos, "mean_ap": self.mean_ap, "loss": self.loss, "classes": each}

    def validation(self, target_stats: TargetStats) -> dict[str, float]:
        """The measures that a training notes after each epoch, by name."""
        return {"val_loss": self.loss, "val_map": self.mean_ap or 0.0}


def scores(logits: Tensor) -> Tensor:
    """A probability for each label on its own, (..., labels)."""
    return logits.float().sigmoid()


def losses(logits: Tensor, targets: Tensor, optim: OptimConfig, weights: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy of each clip, (b,); ``weights`` (labels,) weigh each label."""
    each = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
    return (each if weights is None else each * weights).mean(dim=1)


def right(logits: Tensor, targets: Tensor) -> Tensor:
    """Whether exactly the labels that apply to a clip have positive logits, (b,)."""
    return ((logits > 0) == (targets > 0.5)).all(dim=1)


def measure(scores: Tensor, targets: Tensor) -> Multilabel:
    """Average precision from scores (n, c) between 0 and 1, and targets (n, c) of zeros and ones."""
    check(scores, targets, columns=True)
    ap = tuple(average_precision(scores[:, label], targets[:, label]) for label in range(scores.shape[1]))
    known = [value for value in ap if value is not None]
    return Multilabel(
        videos=len(scores),
        mean_ap=sum(known) / len(known) if known else None,
        loss=float(F.binary_cross_entropy(scores, targets.to(scores.dtype))),
        counts=tuple(int(value) for value in targets.sum(dim=0)),
        ap=ap,
    )


def average_precision(scores: Tensor, targets: Tensor) -> float | None:
    """Area under precision over recall as a step function, of scores (n,) and zeros or ones (n,); None without ones.

    The sum over thresholds of (recall - the recall before) * precision. Videos of equal score lie on the same side of
    every threshold, so their order doesn't matter.
    """
    order = scores.argsort(descending=True)
    ranked, hits = scores[order], targets[order].double().cumsum(dim=0)
    if not len(hits) or hits[-1] == 0:
        return None
    last = torch.cat([ranked[1:] != ranked[:-1], torch.ones(1, dtype=torch.bool)])
    hits = hits[last]
    precision = hits / (last.nonzero().squeeze(1) + 1)
    return float((hits.diff(prepend=hits.new_zeros(1)) * precision).sum() / hits[-1])
