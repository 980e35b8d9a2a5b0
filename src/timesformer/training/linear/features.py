"""What a frozen backbone makes of training videos, computed once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from timesformer.config.training import TrainConfig
from timesformer.data.items import Item
from timesformer.inference.scoring import Scores, Scoring, score_videos
from timesformer.model.transformer import TimeSformer


@dataclass(frozen=True)
class Seen:
    """The features of the videos that could be read."""

    items: tuple[Item, ...]
    features: Tensor
    """Float32 (n, v, d); the first of a video's views is the one of evaluation, a second is that one mirrored."""
    scores: Scores
    """The same as one row for each video, with what was noticed on the way."""


class _Features(nn.Module):
    """A model's features of clips, and beside them those of the mirrored clips."""

    def __init__(self, model: TimeSformer, *, mirror: bool) -> None:
        super().__init__()
        self.model, self.mirror = model, mirror

    def forward(self, clips: Tensor) -> Tensor:
        """(b, t, c, h, w) -> (b, d), or (b, 2 * d) with the mirrored clips."""
        views = (clips, clips.flip(-1)) if self.mirror else (clips,)
        return torch.cat([self.model.features(view) for view in views], dim=1)


def of_videos(
    model: TimeSformer, items: Sequence[Item], config: TrainConfig, *, mirror: bool, progress: Callable[[int], None]
) -> Seen:
    """Compute the features of every video, which is seen as in validation; ``progress`` gets the number that is done.

    Several processes share the videos, and each returns all of them.
    """
    engine = config.engine
    scoring = Scoring(clips=engine.clips, crops=engine.crops, precision=engine.precision, workers=engine.workers)
    # The scores of a regression are the model's own numbers, averaged over the views: for features the mean is wanted
    scores = score_videos(
        _Features(model, mirror=mirror), items, config.clip, scoring, task="regression", progress=progress
    )
    views = 2 if mirror else 1
    return Seen(scores.items, scores.scores.unflatten(1, (views, -1)), scores)
