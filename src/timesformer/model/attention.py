"""Attention over groups of tokens: fused for speed, with explicit weights where a picture needs them."""

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from timesformer.model import recompute, schemes
from timesformer.model.schemes import Grid, Step

# On CPU the fused kernel is made for long sequences: at 8 to 200 keys two batched products and a softmax took
# 0.2 to 0.6 of its time, forward and backward (bfloat16 without gradients: only below 32 keys).
EXPLICIT_KEYS = 256
EXPLICIT_KEYS_BF16 = 32
MOST_GROUPS = 2**16 - 1
"""Groups of one call of the fused kernel: no more fit into a dimension of a CUDA grid."""


def _explicit(query: Tensor, key: Tensor) -> bool:
    """Whether explicit attention is faster than the fused kernel on this device."""
    limit = EXPLICIT_KEYS if query.dtype is torch.float32 or query.requires_grad else EXPLICIT_KEYS_BF16
    return query.device.type == "cpu" and key.shape[-2] <= limit


def _weights(query: Tensor, key: Tensor) -> Tensor:
    """Attention weights: (..., queries, d), (..., keys, d) -> (..., queries, keys)."""
    return torch.softmax(query * query.shape[-1] ** -0.5 @ key.mT, dim=-1)


def _weighted(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Explicit attention, heads joined: three (b, groups, heads, n, d / heads) -> (b, groups, n, d)."""
    return (_weights(query, key) @ value).transpose(2, 3).flatten(3)


def _fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same by the fused kernel, which takes four dimensions and answers in the layout of its queries.

    Where groups of several clips need a copy, it is one with heads innermost, so that joining them needs no other.
    """
    q, k, v = (tensor.transpose(2, 3).flatten(0, 1).transpose(1, 2) for tensor in (query, key, value))
    # An exported program is for any batch: a bound on it would be written into the program.
    if not torch.compiler.is_exporting() and len(q) > MOST_GROUPS:
        parts = zip(*(tensor.split(MOST_GROUPS) for tensor in (q, k, v)), strict=True)
        attended = torch.cat([F.scaled_dot_product_attention(*part) for part in parts])
    else:
        attended = F.scaled_dot_product_attention(q, k, v)
    return attended.transpose(1, 2).flatten(2).unflatten(0, query.shape[:2])


class GroupAttention(nn.Module):
    """One step of a scheme: LayerNorm, attention within each group, output projection, and the extra linear.

    Class tokens come first in the sequence: one per clip, or one per frame where the step's groups have their own.
    Queries, keys and values are computed once per token and then regrouped, so a class token that takes part in
    many groups has them computed once. Equations 2 to 8 of the paper, with biases as in the published weights.
    """

    def __init__(self, step: Step, *, width: int, heads: int, extra: bool) -> None:
        super().__init__()
        self.step = step
        self.heads = heads
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.extra = nn.Linear(width, width) if extra else None

    def forward(self, tokens: Tensor, grid: Grid, keep: Tensor | None = None, *, class_only: bool = False) -> Tensor:
        """Residual of this step: (b, classes + t*h*w, d) -> the same shape; zero for a class token that is left out.

        ``keep`` is stochastic depth's factor for each group, (b, groups); None keeps all. ``class_only`` asks for the
        residuals of class tokens alone, (b, classes, d), in a step without extra linear that they take part in.
        """
        grouped = self._regroup(tokens, grid)
        # Two linears in a row are one linear: less work and memory once there are more tokens than outputs.
        queries = math.prod(grouped.shape[: 2 if class_only else 3])
        joined = self.training and queries > len(self.proj.weight) and recompute.known(self.proj, self.extra)
        residual = self._project(grouped, joined=joined, class_only=class_only)
        if keep is not None:  # a dropped group drops its bias, too
            residual = residual * keep[..., None, None]
        residual = self._gather(residual, grid)
        if self.extra is not None:
            residual = residual + self.extra.bias if joined else self.extra(residual)
        lead = tokens.shape[1] - grid.tokens
        return F.pad(residual, (0, 0, lead, 0)) if self.step.class_token in ("out", "key") else residual

    def weights(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Attention weights that :meth:`forward` uses without showing them: (b, groups, heads, queries, keys).

        Where the class token takes part it is the first key, and the first query unless the step only reads it.
        """
        query, key, _ = self._split(self._regroup(tokens, grid), class_only=False)
        return _weights(query, key)

    def _regroup(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Queries, keys and values of each group's tokens side by side: (b, groups, n, 3d)."""
        lead = tokens.shape[1] - grid.tokens
        role = self.step.class_token
        qkv = recompute.norm_linear(tokens[:, lead:] if role == "out" else tokens, self.norm, self.qkv)
        if role == "out":
            return schemes.group(qkv, self.step, grid)
        if lead == 1 and schemes.group_count(self.step, grid) == 1:
            return qkv[:, None]
        patches = schemes.group(qkv[:, lead:], self.step, grid)
        # (b, groups, 1, 3d): the one class token copied to each group, or each group's own
        first = qkv[:, :lead, None] if role == "own" else qkv[:, None, :1].expand(-1, patches.shape[1], -1, -1)
        return torch.cat([first, patches], dim=2)

    def _split(self, grouped: Tensor, *, class_only: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values by head: (b, groups, n, 3d) -> three (b, groups, heads, n, d / heads)."""
        query, key, value = grouped.unflatten(-1, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)
        if self.step.class_token == "key":
            return query[..., 1:, :], key, value
        return (query[..., :1, :] if class_only else query), key, value

    def _project(self, grouped: Tensor, *, joined: bool, class_only: bool) -> Tensor:
        """Attention and output projection, and the extra linear's weight if ``joined``.

        (b, groups, n, 3d) -> (b, groups, queries, d)
        """
        query, key, value = self._split(grouped, class_only=class_only)
        attend = _weighted if _explicit(query, key) else _fused
        if not recompute.known(self.proj):
            return self.proj(attend(query, key, value))
        weight: Tensor = self.proj.weight
        bias: Tensor = self.proj.bias
        if joined and self.extra is not None:
            weight, bias = self.extra.weight @ weight, self.extra.weight @ bias
        if attend is _weighted:
            room = 2 * self.heads * query.shape[-2] * key.shape[-2] + math.prod(grouped.shape[2:])
            again = partial(self._attended, class_only=class_only)
            return recompute.linear(again, grouped, weight=weight, bias=bias, room=room)
        return F.linear(attend(query, key, value), weight, bias)

    def _attended(self, grouped: Tensor, *, class_only: bool) -> Tensor:
        """Explicit attention: (b, groups, n, 3d) -> (b, groups, queries, d)."""
        return _weighted(*self._split(grouped, class_only=class_only))

    def _gather(self, grouped: Tensor, grid: Grid) -> Tensor:
        """Back to one sequence: (b, groups, n, d) -> (b, classes + t*h*w, d), shared class tokens averaged.

        Groups of class tokens alone, with n = 1, give class tokens alone.
        """
        role = self.step.class_token
        if role in ("out", "key"):
            return schemes.ungroup(grouped, self.step, grid)
        first = grouped[:, :, 0] if role == "own" else grouped[:, :, 0].mean(dim=1, keepdim=True)
        if grouped.shape[2] == 1:
            return first
        return torch.cat([first, schemes.ungroup(grouped[:, :, 1:], self.step, grid)], dim=1)
