"""Interpolate position and time embeddings for another grid and number of frames."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from timesformer.config.model import ModelConfig
from timesformer.model.embeddings import resize_position, resize_time
from timesformer.weights.report import Resized

Resize = Literal["nearest", "smooth", "flat"]
"""Interpolation of embeddings. "nearest": in 2-D for positions and 1-D for time, as published models do at run time.
"smooth": bicubic and linear, for fine-tuning at another size. "flat": nearest along the flattened grid, as the official
loader does before fine-tuning."""


POSITION_RULES: dict[Resize, str] = {
    "nearest": "nearest in 2-D",
    "smooth": "bicubic in 2-D",
    "flat": "nearest along the flattened grid",
}


@dataclass(frozen=True)
class Fitted:
    """Partly fitted tensors, with the changes so far."""

    tensors: Mapping[str, Tensor]
    resized: tuple[Resized, ...] = ()
    copied: tuple[str, ...] = ()
    zero: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def fit_positions(
    fitted: Fitted, old: ModelConfig, new: ModelConfig, resize: Resize, *, antialias: bool = False
) -> Fitted:
    """Interpolate the position embedding for the wanted grid, or remove it.

    ``antialias`` is for "smooth" alone: the source's own code interpolates with antialiasing.
    """
    name = "embedding.position"
    before = fitted.tensors.get(name)
    if before is None:
        return fitted
    if new.position == "none":
        kept = {key: value for key, value in fitted.tensors.items() if key != name}
        return replace(fitted, tensors=kept, unused=(*fitted.unused, name))
    if old.grid == new.grid or tuple(before.shape) != (1, 1 + old.grid[0] * old.grid[1], old.width):
        return fitted
    value = before.float()
    if resize == "flat":
        flat = F.interpolate(value[:, 1:].transpose(1, 2), new.grid[0] * new.grid[1]).transpose(1, 2)
        after = torch.cat([value[:, :1], flat], dim=1)
    elif resize == "smooth" and antialias:
        plane = value[:, 1:].transpose(1, 2).unflatten(2, old.grid)
        resized = F.interpolate(plane, new.grid, mode="bicubic", align_corners=False, antialias=True)
        after = torch.cat([value[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)
    else:
        after = resize_position(value, old.grid, new.grid, smooth=resize == "smooth")
    rule = POSITION_RULES[resize] + (" with antialiasing" if resize == "smooth" and antialias else "")
    change = Resized(name, tuple(before.shape), tuple(after.shape), rule)
    return replace(fitted, tensors={**fitted.tensors, name: after}, resized=(*fitted.resized, change))


def fit_time(fitted: Fitted, old: ModelConfig, new: ModelConfig, resize: Resize) -> Fitted:
    """Interpolate the time embedding for the wanted frames, remove it, or add one of zeros."""
    name = "embedding.time"
    before = fitted.tensors.get(name)
    if before is None:
        if not new.has_time_embedding or old.has_time_embedding or new.weight_init == "scratch":
            return fitted
        started = {**fitted.tensors, name: torch.zeros(1, new.frames, new.width)}
        return replace(fitted, tensors=started, zero=(*fitted.zero, name))
    if not new.has_time_embedding:
        kept = {key: value for key, value in fitted.tensors.items() if key != name}
        return replace(fitted, tensors=kept, unused=(*fitted.unused, name))
    if before.ndim != 3 or before.shape[1] == new.frames:
        return fitted
    after = resize_time(before.float(), new.frames, smooth=resize == "smooth")
    rule = "linear" if resize == "smooth" else "nearest"
    change = Resized(name, tuple(before.shape), tuple(after.shape), rule)
    return replace(fitted, tensors={**fitted.tensors, name: after}, resized=(*fitted.resized, change))
