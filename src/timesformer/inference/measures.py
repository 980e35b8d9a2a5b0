"""From the scores of a table's videos to the numbers of its task."""

import torch
from torch import Tensor

from timesformer.data.items import DataError, some
from timesformer.data.manifest import Manifest
from timesformer.inference.scoring import Scores
from timesformer.tasks import metrics
from timesformer.tasks.metrics import Classification, Multilabel, Regression


def targets(scores: Scores, manifest: Manifest) -> Tensor:
    """The targets of the videos that have scores, in their order: (videos,) or (videos, outputs)."""
    kind = torch.float64 if manifest.task == "regression" else None
    return torch.tensor([manifest.target(item) for item in scores.items], dtype=kind)


def measure(scores: Scores, manifest: Manifest) -> Classification | Multilabel | Regression:
    """The numbers that follow from the scores of a table's videos; raises :class:`DataError` where there are none."""
    if not scores.items:
        reasons = some([f"{key} ({reason})" for key, reason in scores.failed])
        raise DataError(f"none of the {len(scores.failed)} videos can be read: {reasons}; check the files.")
    wanted = targets(scores, manifest)
    if manifest.task == "regression":
        return metrics.regression(scores.scores, wanted)
    if manifest.task == "multilabel":
        return metrics.multilabel(scores.scores, wanted)
    return metrics.classification(scores.scores, wanted)
