"""One step of a scheme: attention within groups of tokens (paper, equations 2 to 8)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from timesformer.model import schemes
from timesformer.model.rotary import rotate
from timesformer.model.schemes import Grid, Step

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Attention of queries (b, groups, heads, queries, d / heads) to keys and values (b, groups, heads, keys, d / heads).

The result has the shape of the queries."""

# On a CPU the fused kernel is made for long sequences: at 8 to 200 keys two batched products and a softmax took
# 0.2 to 0.6 of its time, forward and backward (bfloat16 without gradients: only below 32 keys).
EXPLICIT_KEYS = 256
EXPLICIT_KEYS_BF16 = 32
MOST_GROUPS = 2**16 - 1
"""Groups of one call of the fused kernel: the largest size of a dimension in a CUDA grid."""


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention by the implementation that is faster for these tensors: an :data:`Attend`."""
    return (explicit if _explicit_is_faster(query, key) else fused)(query, key, value)


def explicit(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention by way of its weights: an :data:`Attend`."""
    return attention_weights(query, key) @ value


def attention_weights(query: Tensor, key: Tensor) -> Tensor:
    """The weight of each key for each query: (..., queries, d), (..., keys, d) -> (..., queries, keys)."""
    return torch.softmax(query * query.shape[-1] ** -0.5 @ key.mT, dim=-1)


def fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention by torch's fused kernel: an :data:`Attend`.

    The kernel takes four dimensions and returns the memory layout of its queries. If groups of several clips have to
    be copied, the copy has its heads innermost, so that joining the heads later copies nothing.
    """
    q, k, v = (tensor.transpose(2, 3).flatten(0, 1).transpose(1, 2) for tensor in (query, key, value))
    # An exported program takes any batch, and this comparison would fix a bound on it.
    if not torch.compiler.is_exporting() and len(q) > MOST_GROUPS:
        parts = zip(*(tensor.split(MOST_GROUPS) for tensor in (q, k, v)), strict=True)
        attended = torch.cat([F.scaled_dot_product_attention(*part) for part in parts])
    else:
        attended = F.scaled_dot_product_attention(q, k, v)
    return attended.unflatten(0, query.shape[:2])


def _explicit_is_faster(query: Tensor, key: Tensor) -> bool:
    limit = EXPLICIT_KEYS if query.dtype is torch.float32 or query.requires_grad else EXPLICIT_KEYS_BF16
    return query.device.type == "cpu" and key.shape[-2] <= limit


class GroupAttention(nn.Module):
    """LayerNorm, attention within each group, output projection, and perhaps a zero-initialised projection.

    A sequence is prefix tokens, then patch tokens. Each token's query, key and value are computed once and then
    copied to every group that the token is in. Biases are those of the published weights.

    ``zero_projection`` says whether the step has the second projection, saved as ``extra``, that starts at zero.
    ``eps`` is the epsilon of the LayerNorm. ``rotary`` rotates queries and keys by row and column, in steps whose
    groups hold patches of more than one place.
    """

    def __init__(
        self, step: Step, *, width: int, heads: int, zero_projection: bool, eps: float = 1e-6, rotary: bool = False
    ) -> None:
        super().__init__()
        self.step = step
        self.heads = heads
        self.rotary = rotary and (step.rows, step.columns) != ("same", "same")
        self.norm = nn.LayerNorm(width, eps=eps)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.extra = nn.Linear(width, width) if zero_projection else None
        self.idle = False
        """Whether the block leaves the step out, since it adds nothing."""

    @property
    def adds_nothing(self) -> bool:
        """Whether the step adds exactly zero to every token, as time steps do until they are trained."""
        return self.extra is not None and not (self.extra.weight.any() or self.extra.bias.any())

    def forward(self, tokens: Tensor, grid: Grid, keep: Tensor | None = None, *, attend: Attend = attend) -> Tensor:
        """The step's residual: (b, prefix + t*h*w, d) -> the same shape; zero for prefix tokens without queries.

        ``keep`` is the factor of each group under stochastic depth, (b, groups); None keeps all groups.
        """
        query, key, value = self._heads(tokens, grid)
        attended = attend(query, key, value).transpose(2, 3).flatten(3)  # (b, groups, queries, d)
        residual = self.proj(attended)
        if keep is not None:  # a dropped group drops its bias, too
            residual = residual * keep[..., None, None]
        residual = self._ungroup(residual, grid, tokens.shape[1] - grid.tokens)
        if self.extra is not None:
            residual = self.extra(residual)
        if self.step.prefix_attends:
            return residual
        return F.pad(residual, (0, 0, tokens.shape[1] - grid.tokens, 0))

    def weights(self, tokens: Tensor, grid: Grid) -> Tensor:
        """The attention weights of :meth:`forward` for the same tokens: (b, groups, heads, queries, keys).

        Prefix tokens that take part are the first keys, and the first queries if they have queries.
        """
        query, key, _ = self._heads(tokens, grid)
        return attention_weights(query, key)

    def _heads(self, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values: (b, prefix + t*h*w, d) -> three of (b, groups, heads, n, d / heads)."""
        prefix = tokens.shape[1] - grid.tokens
        if self.step.prefix == "excluded":
            tokens = tokens[:, prefix:]
        mixed = self.qkv(self.norm(tokens))
        if self.rotary:
            mixed = rotate(mixed, grid, heads=self.heads)
        return self._split(self._group(mixed, grid, prefix), prefix)

    def _split(self, grouped: Tensor, prefix: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values by head: (b, groups, n, 3d) -> three of (b, groups, heads, n, d / heads)."""
        query, key, value = grouped.unflatten(-1, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)
        return (query[..., prefix:, :] if self.step.prefix == "keys_only" else query), key, value

    def _group(self, sequence: Tensor, grid: Grid, prefix: int) -> Tensor:
        """Put tokens that attend together side by side: (b, prefix + t*h*w, d) -> (b, groups, n, d)."""
        if self.step.prefix == "excluded":
            return schemes.group(sequence, self.step, grid)
        patches = schemes.group(sequence[:, prefix:], self.step, grid)
        if self.step.prefix == "per_group":
            first = sequence[:, :prefix].unflatten(1, (patches.shape[1], -1))
        else:
            first = sequence[:, None, :prefix].expand(-1, patches.shape[1], -1, -1)
        return torch.cat([first, patches], dim=2)

    def _ungroup(self, grouped: Tensor, grid: Grid, prefix: int) -> Tensor:
        """Back to one sequence, copies of a prefix token averaged: (b, groups, n, d) -> (b, prefix + t*h*w, d).

        Without queries of prefix tokens, (b, t*h*w, d).
        """
        if not self.step.prefix_attends:
            return schemes.ungroup(grouped, self.step, grid)
        if self.step.prefix == "per_group":
            prefix = prefix // grouped.shape[1]
            first = grouped[:, :, :prefix].flatten(1, 2)
        else:
            first = grouped[:, :, :prefix].mean(dim=1)
        return torch.cat([first, schemes.ungroup(grouped[:, :, prefix:], self.step, grid)], dim=1)
