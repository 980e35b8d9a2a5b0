"""Rotary positions: queries and keys of patches are rotated by angles that their row and column give.

The dot product of two rotated vectors depends on the distance between their patches. The angles are those of DINOv3
(Siméoni et al., 2025): of each head's pairs of dimensions, one half follows the row and the other the column, at
frequencies from 1 down to 1 / :data:`BASE` of the frame, whatever its number of patches.
"""

import math

import torch
from torch import Tensor

from timesformer.model.schemes import Grid

BASE = 100.0


def rotate(mixed: Tensor, grid: Grid, *, heads: int) -> Tensor:
    """Rotate the queries and keys of patches; prefix tokens and values stay.

    ``mixed`` is queries, keys and values side by side: (b, prefix + t*h*w, 3d) -> the same shape.
    """
    parts = mixed.unflatten(-1, (3, heads, -1))
    first, patches = parts[:, : -grid.tokens], parts[:, -grid.tokens :]
    size, exact = parts.shape[-1], torch.promote_types(mixed.dtype, torch.float32)
    angles = _angles(grid, size, like=mixed.new_empty((), dtype=exact)).repeat(grid.time, 1)[:, None, None]
    left, right = patches[:, :, :2].chunk(2, dim=-1)  # (b, t*h*w, 2, heads, size / 2)
    cos, sin = angles.cos(), angles.sin()
    rotated = torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1).to(mixed.dtype)
    return torch.cat([first, torch.cat([rotated, patches[:, :, 2:]], dim=2)], dim=1).flatten(2)


def _angles(grid: Grid, size: int, *, like: Tensor) -> Tensor:
    """Angle of each place of a frame for each pair of a head's ``size`` dimensions: (h*w, size / 2)."""
    rows, columns = (
        (2 * torch.arange(length, dtype=like.dtype, device=like.device) + 1) / length - 1  # centres, from -1 to 1
        for length in (grid.rows, grid.columns)
    )
    exponents = torch.arange(size // 4, dtype=like.dtype, device=like.device) * (4 / size)
    frequencies = 2 * math.pi * BASE**-exponents
    down = (rows[:, None] * frequencies)[:, None].expand(-1, grid.columns, -1)
    across = (columns[:, None] * frequencies).expand(grid.rows, -1, -1)
    return torch.cat([down, across], dim=-1).flatten(0, 1)
