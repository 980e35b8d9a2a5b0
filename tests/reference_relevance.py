"""Relevance once more, from its definition: dense matrices over all tokens of one clip, written out.

As in :mod:`tests.reference`, every token attends to every other under a mask, one clip at a time. Each step becomes one
matrix (tokens x tokens), and relevance is the product of them all. It shares no code with the package.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tests.reference import STEPS, Place, activation, embed, groups, linear, mask, norm, rotated
from timesformer.config.model import ModelConfig

State = dict[str, Tensor]


@dataclass
class DenseStep:
    """One step: copies are of prefix tokens, one for each group."""

    tokens: Tensor
    """What the step gets: (n, d)."""
    copy: Tensor
    """Which token (column) each row with its copies is: (n', n), ones and zeros."""
    weights: Tensor
    """Attention of all copies: (heads, n', n'), part of the graph of the logits."""
    given: Tensor
    """What each copy contributes for each head, by way of the projections: (heads, n', d)."""
    residual: Tensor
    """What the step adds, constants aside: (n, d)."""


def step(
    tokens: Tensor, lead: int, name: str, at: str, *, config: ModelConfig, state: State, grid: Place
) -> tuple[Tensor, DenseStep]:
    """The residual of one step and what it is made of; the first ``lead`` tokens are prefix tokens."""
    each, count = 1 + config.registers, len(groups(name, grid))
    identity = torch.eye(len(tokens), dtype=tokens.dtype)
    shared = config.scheme != "space" and name != "time"
    one_way = name == "time" and config.class_in_time
    if name == "time" and not config.class_in_time:
        copy, first = identity[lead:], 0
    elif shared:
        copy, first = torch.cat([identity[:lead].repeat(count, 1), identity[lead:]]), count * each
    else:
        copy, first = identity, lead
    allowed = mask(name, grid, prefix=first, each=each if first else 0, one_way=one_way)
    normed = norm(copy @ tokens, state, f"{at}.norm", config.norm_eps)
    query, key, value = linear(normed, state, f"{at}.qkv").chunk(3, -1)
    bias = state[f"{at}.qkv.bias"].chunk(3)[2]
    size = config.width // config.heads
    matrix = state[f"{at}.proj.weight"]
    offset = state[f"{at}.proj.bias"] + matrix @ bias
    if f"{at}.extra.weight" in state:
        matrix, extra = state[f"{at}.extra.weight"] @ matrix, state[f"{at}.extra.weight"]
        offset = extra @ offset + state[f"{at}.extra.bias"]
    weights, given = [], []
    for head in range(config.heads):
        part = slice(head * size, (head + 1) * size)
        q, k = query[:, part], key[:, part]
        if config.rotary and name != "time":
            q, k = rotated(q, grid), rotated(k, grid)
        weights.append((q @ k.T / size**0.5).masked_fill(~allowed, float("-inf")).softmax(dim=-1))
        given.append((value - bias)[:, part] @ matrix[:, part].T)
    attention = torch.stack(weights)
    if one_way:  # prefix tokens are keys only
        attention = attention * (torch.arange(len(copy)) >= first)[:, None]
    of_copies = torch.einsum("hij,hjd->id", attention, torch.stack(given))
    mean = copy.T / copy.sum(dim=0)[:, None].clamp(min=1)
    residual = mean @ of_copies
    gets = (mean @ attention.sum(dim=(0, 2))[:, None]) > 0
    return residual + gets * offset, DenseStep(tokens, copy, attention, torch.stack(given), residual)


def run(clip: Tensor, *, config: ModelConfig, state: State) -> tuple[Tensor, list[list[DenseStep]], list[int]]:
    """Logits of one clip, (classes,), the steps of each block, and the numbers of its class tokens."""
    first, patches, grid = embed(clip, config=config, state=state)
    tokens, lead, found = torch.cat([first, patches]), len(first), []
    names = STEPS[config.scheme][::-1] if config.order == "space_first" else STEPS[config.scheme]
    for block in range(config.depth):
        before, done = tokens, []
        for name in names:
            source = before if config.order == "parallel" else tokens
            residual, one = step(
                source, lead, name, f"blocks.{block}.steps.{name}", config=config, state=state, grid=grid
            )
            tokens = tokens + residual
            done.append(one)
        hidden = linear(norm(tokens, state, f"blocks.{block}.norm", config.norm_eps), state, f"blocks.{block}.mlp.0")
        tokens = tokens + linear(activation(hidden, config.activation), state, f"blocks.{block}.mlp.2")
        found.append(done)
    heads = list(range(0, lead, 1 + config.registers))
    features = norm(tokens[heads].mean(0), state, "norm", config.norm_eps)
    return linear(features, state, "head"), found, heads


def contributed(one: DenseStep) -> Tensor:
    """Norm of what each copy (column) contributes to each copy (row): (n', n')."""
    return torch.einsum("hij,hjd->ijd", one.weights, one.given).norm(dim=-1)


def shared(strength: Tensor, one: DenseStep) -> Tensor:
    """The matrix (n, n) of strengths between copies, its rows divided by their sums; empty rows stay empty."""
    dense = one.copy.T @ strength @ one.copy
    total = dense.sum(dim=1, keepdim=True)
    return torch.where(total > 0, dense / total, 0)


def by_norm(one: DenseStep) -> Tensor:
    """Where the new part of each token comes from, by norms: (n, n)."""
    return shared(contributed(one), one)


def for_class(one: DenseStep, gradient: Tensor) -> Tensor:
    """The same, half of it by weights times their gradient (heads, n', n'), where any is positive: (n, n)."""
    positive = shared((one.weights * gradient).clamp(min=0).sum(dim=0), one)
    helps = positive.sum(dim=1, keepdim=True) > 0
    return torch.where(helps, (positive + by_norm(one)) / 2, by_norm(one))


def product(blocks: list[list[DenseStep]], sources: list[list[Tensor]], read: list[int], *, parallel: bool) -> Tensor:
    """The operators of all blocks, multiplied, at the tokens that the head reads: a share for each token, (n,)."""
    whole = torch.eye(len(blocks[0][0].tokens), dtype=blocks[0][0].tokens.dtype)
    for steps, of in zip(blocks, sources, strict=True):
        pairs = list(zip(steps, of, strict=True))
        for lot in [pairs] if parallel else [[pair] for pair in pairs]:
            stream = lot[0][0].tokens.norm(dim=-1)
            adds = [one.residual.norm(dim=-1) for one, _ in lot]
            matrix = torch.diag(stream / (stream + sum(adds)))
            for (_, strength), add in zip(lot, adds, strict=True):
                empty = torch.diag((strength.sum(dim=1) == 0).to(strength.dtype))
                matrix = matrix + (add / (stream + sum(adds)))[:, None] * (strength + empty)
            whole = matrix @ whole
    return whole[read].mean(dim=0)
