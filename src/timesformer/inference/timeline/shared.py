"""What windows share: each frame is prepared once, and where attention stays within frames, its tokens as well."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from timesformer.config.model import ClipConfig
from timesformer.inference.answers import forward
from timesformer.inference.scoring import Scoring
from timesformer.model.schemes import Grid
from timesformer.model.transformer import TimeSformer
from timesformer.video import transforms


@dataclass(frozen=True)
class Sharing:
    """How frames are prepared, and how windows are computed from prepared frames."""

    prepare: Callable[[Tensor], Tensor]
    """Frames, uint8 (n, c, h, w) -> what is kept of them, (n, crops, ...)."""
    logits: Callable[[Tensor], Tensor]
    """Prepared frames of windows, (w, t, crops, ...) -> logits (w, crops, classes)."""


def sharing(model: TimeSformer, clip: ClipConfig, scoring: Scoring) -> Sharing:
    """How windows of a model share their frames.

    Kept of a frame are its normalised crops. In the space scheme nothing before the last LayerNorm depends on other
    frames, so its class token and registers after the last block are kept instead. In other schemes only the patch
    embedding could be shared, 0.5 % of the multiply-adds of ViT-B.
    """
    run = partial(forward, model, batch=scoring.batch, precision=scoring.precision)

    def crops(frames: Tensor) -> Tensor:
        return transforms.eval_frames(frames, clip, crops=scoring.crops).transpose(0, 1)

    def clips(kept: Tensor) -> Tensor:
        return run(kept.transpose(1, 2).flatten(0, 1)).unflatten(0, (len(kept), -1))

    if model.config.scheme != "space" or model.config.pool != "class_token":
        return Sharing(crops, clips)
    depth, each = model.config.depth, 1 + model.config.registers

    def tokens(frames: Tensor) -> Tensor:
        seen = crops(frames)
        single = run(
            seen.flatten(0, 1)[:, None],
            batch=scoring.batch * clip.frames,
            compute=lambda part: model.lower(part, depth)[:, :each],
        )
        return single.unflatten(0, seen.shape[:2])

    def pooled(kept: Tensor) -> Tensor:
        views = kept.transpose(1, 2).flatten(2, 3)  # (w, crops, t * each, d)
        grid = Grid(kept.shape[1], *model.config.grid)
        found = run(views.flatten(0, 1), compute=lambda part: model.upper(part, grid, depth))
        return found.unflatten(0, views.shape[:2])

    return Sharing(tokens, pooled)


def together(kept: dict[int, Tensor], numbers: Tensor) -> Tensor:
    """The prepared frames of windows, by frame number: (w, t) -> (w, t, crops, ...)."""
    return torch.stack([torch.stack([kept[number] for number in row]) for row in numbers.tolist()])
