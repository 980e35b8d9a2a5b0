"""What each token gives to each other token in one attention step, as an operator on all tokens of a clip.

A step adds to token i the residual sum_j c_ij + constant, where c_ij is what token j contributes: the sum over heads of
attention weight, value (without its bias) and the output projections. The sum of c_ij over j and the constant are the
step's residual exactly. A matrix of all tokens is never made: a step works group by group, and in a long group some
queries at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from timesformer.model import schemes
from timesformer.model.attention import GroupAttention, attention_weights
from timesformer.model.schemes import Grid, Step

MOST_WEIGHTS = 2**24
"""Attention weights of all heads and groups that are computed at a time."""


@dataclass(frozen=True)
class Seen:
    """One step as a forward pass ran it."""

    step: GroupAttention
    grid: Grid
    tokens: Tensor
    """The tokens that the step gets: (b, n, d)."""
    query: Tensor
    """(b, groups, heads, queries, d / heads)."""
    key: Tensor
    """(b, groups, heads, keys, d / heads)."""
    value: Tensor
    """(b, groups, heads, keys, d / heads)."""
    attended: Tensor
    """Weights times values: the shape of the queries."""
    gradient: Tensor | None = None
    """Of the log odds of a class with respect to ``attended``, if there is one."""

    def detached(self, *, gradient: Tensor) -> "Seen":
        """The same without autograd's graph, and with the gradient."""
        query, key, value, attended = (each.detach() for each in (self.query, self.key, self.value, self.attended))
        return Seen(self.step, self.grid, self.tokens.detach(), query, key, value, attended, gradient)

    @property
    def prefix(self) -> int:
        """Prefix tokens of the clip."""
        return self.tokens.shape[1] - self.grid.tokens

    @property
    def own_value(self) -> Tensor:
        """Values without their bias, which says nothing about a token."""
        bias = self.step.qkv.bias[2 * self.tokens.shape[-1] :]
        return self.value - bias.unflatten(0, (self.step.heads, 1, -1))

    def weights(self, queries: slice) -> Tensor:
        """Attention weights of some queries of every group: (b, groups, heads, queries, keys)."""
        return attention_weights(self.query[..., queries, :], self.key)

    def parts(self) -> list[slice]:
        """All queries of a group in portions that bound the weights computed at a time."""
        count = self.query.shape[-2]
        each = max(1, MOST_WEIGHTS // max(1, self.query[..., 0, 0].numel() * self.key.shape[-2]))
        return [slice(start, min(start + each, count)) for start in range(0, count, each)]


Strength = Callable[[slice], Tensor]
"""How strongly each key acts on some queries of every group, at least zero: (b, groups, queries, keys)."""


def added(seen: Seen) -> Tensor:
    """Norm of what the step adds to each token by way of other tokens, constants aside: (b, n)."""
    residual = seen.step(seen.tokens, seen.grid, attend=lambda *_: seen.attended)
    constant = seen.step.proj(seen.step.qkv.bias[2 * residual.shape[-1] :])
    if seen.step.extra is not None:
        constant = seen.step.extra(constant)
    norms = (residual - constant).norm(dim=-1)
    if not seen.step.step.prefix_attends:
        norms[:, : seen.prefix] = 0
    return norms


def norms(seen: Seen) -> Strength:
    """The norms of all contributions ||c_ij|| (Kobayashi et al. 2020, equation 3, through all projections of a step).

    For all heads together, ||c_ij||^2 is a quadratic form of the heads' weights: its matrix belongs to token j.
    """
    products = _products(seen)

    def strength(queries: slice) -> Tensor:
        weights = seen.weights(queries).permute(0, 1, 4, 3, 2)  # (b, groups, keys, queries, heads)
        squares = (weights @ products * weights).sum(dim=-1)
        return squares.clamp(min=0).sqrt().mT

    return strength


def helpful(seen: Seen) -> Strength:
    """The positive part, in each head, of a contribution's first-order effect on what the gradient is of.

    That is the attention weight times its gradient; the sum over heads of the positive ones.
    """
    value = seen.own_value
    assert seen.gradient is not None
    gradient = seen.gradient

    def strength(queries: slice) -> Tensor:
        effects = seen.weights(queries) * (gradient[..., queries, :] @ value.mT)
        return effects.clamp(min=0).sum(dim=2)

    return strength


def _products(seen: Seen) -> Tensor:
    """Inner products of each token's projected values of two heads: (b, groups, keys, heads, heads)."""
    matrix = seen.step.proj.weight
    if seen.step.extra is not None:
        matrix = seen.step.extra.weight @ matrix
    form = (matrix.T @ matrix).unflatten(0, (seen.step.heads, -1))  # (heads, d / heads, d)
    value = seen.own_value
    others = value.transpose(2, 3)  # (b, groups, keys, heads, d / heads)
    rows = [
        ((value[:, :, head] @ form[head]).unflatten(-1, others.shape[3:]) * others).sum(dim=-1)
        for head in range(seen.step.heads)
    ]
    return torch.stack(rows, dim=-2)


def pull(row: Tensor, seen: Seen, strength: Strength) -> tuple[Tensor, Tensor]:
    """A row vector times the step's matrix, whose rows are strengths divided by their sum: (b, n) -> (b, n).

    Also says which rows are not empty (b, n); an empty one gives nothing. All copies of a prefix token are one row.
    """
    step, grid, prefix = seen.step.step, seen.grid, seen.prefix
    parts = seen.parts()
    first = strength(parts[0])
    sums = [first.sum(dim=-1), *(strength(part).sum(dim=-1) for part in parts[1:])]
    total = from_groups(torch.cat(sums, dim=-1), step, grid, prefix)
    rates = to_groups(torch.where(total > 0, row / total, 0), step, grid, seen.query.shape[-2])
    pulled = rates[:, :, None, parts[0]] @ first
    for part in parts[1:]:
        pulled = pulled + rates[:, :, None, part] @ strength(part)
    return from_groups(pulled[:, :, 0], step, grid, prefix), total > 0


def to_groups(values: Tensor, step: Step, grid: Grid, members: int) -> Tensor:
    """Copy a number of each token to the groups that it is in: (b, n) -> (b, groups, members)."""
    groups, prefix = schemes.group_count(step, grid), values.shape[1] - grid.tokens
    patches = schemes.group(values[:, prefix:, None], step, grid)[..., 0]
    if members == patches.shape[2]:
        return patches
    first = values[:, :prefix]
    first = first.unflatten(1, (groups, -1)) if step.prefix == "per_group" else first[:, None].expand(-1, groups, -1)
    return torch.cat([first, patches], dim=2)


def from_groups(grouped: Tensor, step: Step, grid: Grid, prefix: int) -> Tensor:
    """Add up the numbers of all copies of each token, the transpose of :func:`to_groups`: -> (b, n)."""
    count = grouped.shape[2] - grid.tokens // grouped.shape[1]
    patches = schemes.ungroup(grouped[:, :, count:, None], step, grid)[..., 0]
    if not count:
        first = patches.new_zeros(len(patches), prefix)
    else:
        first = grouped[:, :, :count]
        first = first.flatten(1, 2) if step.prefix == "per_group" else first.sum(dim=1)
    return torch.cat([first, patches], dim=1)
