"""The vectors that a model gives of a clip: one for the clip, one for each frame, or one for each block."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn, stack

from timesformer.model.transformer import TimeSformer

Per = Literal["video", "clip", "frame", "block"]
"""What has a vector: a video, each of its clips, each frame of its clips, or a video after each block of the model."""
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Rows:
    """The vectors of one video."""

    vectors: Floats
    """(n, d)"""
    places: NDArray[np.int64]
    """Number of each clip, frame or block from 0, (n,)."""
    times: NDArray[np.float64]
    """Seconds of the first and the last frame that each vector is computed of, (n, 2)."""


def compute(model: TimeSformer, per: Per) -> Callable[[Tensor], Tensor]:
    """The function of clips (b, t, 3, h, w) whose results :func:`rows` turns into the vectors of a video."""
    if per == "frame":
        return lambda clips: of_frames(model, clips)
    if per == "block":
        return lambda clips: of_blocks(model, clips)
    return model.features


def of_frames(model: TimeSformer, clips: Tensor) -> Tensor:
    """A vector for each frame, for a model in evaluation mode: (b, t, 3, h, w) -> (b, t, width).

    In the space scheme it is the frame's own class token after the last LayerNorm: of an image model, its features of
    the frame. All other schemes have one class token for all frames; there it is the mean of the frame's patch tokens
    after the last block, with the last LayerNorm applied to the mean, as the model does with class tokens.
    """
    tokens, frames = model.lower(clips, len(model.blocks)), clips.shape[1]
    if model.config.scheme == "space":
        return model.norm(_class_tokens(model, tokens, frames))
    patches = tokens[:, 1 + model.config.registers :].unflatten(1, (frames, -1))
    return model.norm(patches.mean(dim=2))


def of_blocks(model: TimeSformer, clips: Tensor) -> Tensor:
    """The class token after each block, for a model in evaluation mode: (b, t, 3, h, w) -> (b, depth, width).

    Each goes through the last LayerNorm, so that the last of them is ``model.features(clips)``. In the space scheme it
    is the mean of the frames' class tokens.
    """
    found: list[Tensor] = []

    def note(block: nn.Module, given: tuple[Tensor, ...], tokens: Tensor) -> None:
        found.append(_class_tokens(model, tokens, clips.shape[1]).mean(dim=1))

    handles = [block.register_forward_hook(note) for block in model.blocks]
    try:
        model.lower(clips, len(model.blocks))
    finally:
        for handle in handles:
            handle.remove()
    return model.norm(stack(found, dim=1))


def rows(outputs: Tensor, times: NDArray[np.float64], per: Per, *, crops: int) -> Rows:
    """The vectors of a video from what was computed of its views, (clips * crops, ...), averaged over the crops.

    ``times`` are the seconds of the frames of each clip, (clips, t).
    """
    clips = outputs.float().unflatten(0, (-1, crops)).mean(dim=1)  # (clips, ...)
    ends = np.stack([times.min(axis=1), times.max(axis=1)], axis=1)
    whole = np.array([[times.min(), times.max()]])
    if per == "frame":
        vectors, spans = clips.flatten(0, 1), np.stack([times.ravel(), times.ravel()], axis=1)
    elif per == "clip":
        vectors, spans = clips, ends
    elif per == "block":
        vectors = clips.mean(dim=0)
        spans = whole.repeat(len(vectors), axis=0)
    else:
        vectors, spans = clips.mean(dim=0, keepdim=True), whole
    return Rows(vectors.numpy(), np.arange(len(vectors)), spans)


def _class_tokens(model: TimeSformer, tokens: Tensor, frames: int) -> Tensor:
    """The class tokens among all tokens: (b, n, d) -> (b, t, d) in the space scheme, (b, 1, d) in all others."""
    each = 1 + model.config.registers
    count = frames if model.config.scheme == "space" else 1
    return tokens[:, : count * each : each]
