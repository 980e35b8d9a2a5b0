"""Attention over groups of tokens: fused for speed, with explicit weights where a picture needs them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from timesformer.model import schemes
from timesformer.model.schemes import Grid, Step

# On CPU the fused kernel is made for long sequences: at 8 to 200 keys two batched products and a softmax took
# 0.2 to 0.6 of its time, forward and backward (bfloat16 without gradients: only below 32 keys).
EXPLICIT_KEYS = 256
EXPLICIT_KEYS_BF16 = 32


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention in the last two dimensions, by whichever exact path is faster on this device."""
    limit = EXPLICIT_KEYS if query.dtype is torch.float32 or query.requires_grad else EXPLICIT_KEYS_BF16
    if query.device.type == "cpu" and key.shape[-2] <= limit:
        return torch.softmax(query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2), dim=-1) @ value
    return F.scaled_dot_product_attention(query, key, value)


class GroupAttention(nn.Module):
    """One step of a scheme: LayerNorm, attention within each group, output projection, and the extra linear.

    Class tokens come first in the sequence: one per clip, or one per frame where the step's groups have their own.
    Queries, keys and values are computed once per token and then regrouped, so a class token that takes part in
    many groups is projected once; since the projection is linear, its outputs are averaged before it.
    Equations 2 to 8 of the paper, with biases as in the published weights.
    """

    def __init__(self, step: Step, *, width: int, heads: int, extra: bool) -> None:
        super().__init__()
        self.step = step
        self.heads = heads
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.extra = nn.Linear(width, width) if extra else None

    def forward(self, tokens: Tensor, grid: Grid, keep: Tensor | None = None) -> Tensor:
        """Residual of this step: (b, classes + t*h*w, d) -> the same shape; zero for a class token that is left out.

        ``keep`` is stochastic depth's factor for each group, (b, groups); None keeps all.
        """
        lead = tokens.shape[1] - grid.tokens
        query, key, value = self._regroup(tokens, grid)
        batch, groups = query.shape[:2]
        attended = _attend(query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1))
        attended = attended.transpose(1, 2).flatten(2).unflatten(0, (batch, groups))  # (b, g, n, d)
        if keep is not None:
            attended = attended * keep[..., None, None]
        residual = F.linear(self._gather(attended, grid), self.proj.weight)
        if keep is None:
            residual = residual + self.proj.bias
        else:  # a dropped group drops its bias too
            shares = keep[..., None, None].expand(*attended.shape[:3], 1)
            residual = residual + self._gather(shares, grid) * self.proj.bias
        if self.extra is not None:
            residual = self.extra(residual)
        return F.pad(residual, (0, 0, lead, 0)) if self.step.class_token in ("out", "key") else residual

    def weights(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Attention weights that :meth:`forward` uses without showing them: (b, groups, heads, queries, keys).

        Where the class token takes part it is the first key, and the first query unless the step only reads it.
        """
        query, key, _ = self._regroup(tokens, grid)
        return torch.softmax(query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5, dim=-1)

    def _regroup(self, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values by group: each (b, groups, heads, n, d / heads)."""
        lead = tokens.shape[1] - grid.tokens
        role = self.step.class_token
        qkv = self.qkv(self.norm(tokens[:, lead:] if role == "out" else tokens))
        if role == "out":
            grouped = schemes.group(qkv, self.step, grid)
        elif lead == 1 and schemes.group_count(self.step, grid) == 1:
            grouped = qkv[:, None]
        else:
            patches = schemes.group(qkv[:, lead:], self.step, grid)
            # (b, groups, 1, 3d): the one class token copied to each group, or each group's own
            first = qkv[:, :lead, None] if role == "own" else qkv[:, None, :1].expand(-1, patches.shape[1], -1, -1)
            grouped = torch.cat([first, patches], dim=2)
        query, key, value = grouped.unflatten(-1, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)
        return (query[..., 1:, :] if role == "key" else query), key, value

    def _gather(self, grouped: Tensor, grid: Grid) -> Tensor:
        """Back to one sequence: (b, groups, n, d) -> (b, classes + t*h*w, d), shared class tokens averaged."""
        role = self.step.class_token
        if role in ("out", "key"):
            return schemes.ungroup(grouped, self.step, grid)
        patches = schemes.ungroup(grouped[:, :, 1:], self.step, grid)
        first = grouped[:, :, 0] if role == "own" else grouped[:, :, 0].mean(dim=1, keepdim=True)
        return torch.cat([first, patches], dim=1)
