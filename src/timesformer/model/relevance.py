"""Where and when a model looked: the share that each patch of a clip has in its answer.

Every attention step is an operator on all tokens (:mod:`timesformer.model.contributions`). A row vector starts at the
class token and goes down through steps and blocks; what arrives at the patches is their share. The definitions, as
mathematics, are in the documentation.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from timesformer.config.checks import ConfigError, require
from timesformer.model import contributions, schemes
from timesformer.model.attention import GroupAttention
from timesformer.model.attention import attend as attend_as_usual
from timesformer.model.contributions import Seen
from timesformer.model.schemes import Grid
from timesformer.model.transformer import Block, TimeSformer


@dataclass(frozen=True)
class Relevance:
    """The share of each token of each clip; the shares of a clip sum to one."""

    patches: Tensor
    """Shares of the patches, at least 0: (b, t, rows, columns)."""
    rest: Tensor
    """The share that stays at prefix tokens, class token and registers: (b,)."""


@torch.no_grad()
def rollout(model: TimeSformer, clips: Tensor) -> Relevance:
    """Attention rollout through space and time, weighed by norms: normalised clips (b, t, 3, h, w) -> shares.

    Each row of a step's operator shares itself among the token's own residual stream and what others contribute, by
    the norms of both. So a step that adds nothing changes nothing. Rollout is of Abnar and Zuidema 2020, norms of
    Kobayashi et al. 2020 and 2021. It doesn't depend on a class. Raises :class:`ConfigError` in training mode.
    """
    inputs, grid = _block_inputs(model, clips)
    row = _at_class_tokens(model, inputs[-1], grid)
    for block, tokens in _down(model, inputs):
        row = _through(row, block, _watch(block, tokens, grid)[1])
    return _relevance(row, grid)


def of_class(model: TimeSformer, clips: Tensor, classes: Tensor) -> Relevance:
    """The share of each patch in the answer that a clip shows one class: classes long (b,), one for each clip.

    The same operators as :func:`rollout`, but only half of what is new in a token is shared by the norms of what others
    contribute. The other half is shared by the positive part of each contribution's first-order effect on the log odds
    of the class (attention times gradient, as in Chefer et al. 2021). Raises :class:`ConfigError` in training mode.
    """
    inputs, grid = _block_inputs(model, clips)
    row = _at_class_tokens(model, inputs[-1], grid)
    with torch.enable_grad():
        top = inputs[-1].requires_grad_()
        odds = _log_odds(model.upper(top, grid, len(inputs) - 1), classes)
        (gradient,) = torch.autograd.grad(odds.sum(), top)
    for block, tokens in _down(model, inputs):
        gradient, seen = _watch_gradients(block, tokens, grid, gradient)
        row = _through(row, block, seen)
    return _relevance(row, grid)


@torch.no_grad()
def last_attention(model: TimeSformer, clips: Tensor) -> Relevance:
    """The class token's attention in the last step where it attends, mean over heads and groups: the usual picture.

    Raises :class:`ConfigError` in training mode.
    """
    inputs, grid = _block_inputs(model, clips)
    block, tokens = next(_down(model, inputs))
    last = [seen for seen in _watch(block, tokens, grid)[1] if seen.step.step.prefix_attends][-1]
    step, prefix = last.step.step, last.prefix
    row = _at_class_tokens(model, tokens, grid)
    copies = row / (1 if step.prefix == "per_group" else schemes.group_count(step, grid))
    each = contributions.to_groups(copies, step, grid, last.query.shape[-2])
    pulled = torch.stack([each[:, :, None, part] @ last.weights(part).mean(dim=2) for part in last.parts()]).sum(dim=0)
    return _relevance(contributions.from_groups(pulled[:, :, 0], step, grid, prefix), grid)


@torch.no_grad()
def time_attention(model: TimeSformer, clips: Tensor) -> Tensor:
    """How much the patches of each frame attend to each frame: (b, t, 3, h, w) -> (blocks, b, heads, t, t).

    The mean over the patches of a frame (row) of the attention weights that they give to patches of another (column),
    in the steps that cross frames: time, joint, or local and global, whose mean it is. Rows sum to one but for what
    goes to prefix tokens. Raises :class:`ConfigError` for the space scheme, which never looks across frames, and in
    training mode.
    """
    require(
        model.config.scheme != "space",
        "scheme 'space' has no attention between frames; use a model of another scheme, such as 'divided'.",
    )
    inputs, grid = _block_inputs(model, clips)
    found = []
    for block, tokens in _down(model, inputs):
        across = [seen for seen in _watch(block, tokens, grid)[1] if seen.step.step.time != "same"]
        found.append(torch.stack([_between_frames(seen) for seen in across]).mean(dim=0))
    return torch.stack(found[::-1])


def _between_frames(seen: Seen) -> Tensor:
    """Attention weights from frame to frame, mean over the queries of a frame: (b, heads, t, t)."""
    step, grid = seen.step.step, seen.grid
    frame = torch.arange(grid.time, device=seen.tokens.device).repeat_interleave(grid.rows * grid.columns)
    grouped = schemes.group(frame[None, :, None], step, grid)[0, ..., 0]  # (groups, patches)
    member = torch.nn.functional.one_hot(grouped, grid.time).to(seen.query.dtype)  # (groups, patches, t)
    queries = torch.nn.functional.pad(member, (0, 0, seen.query.shape[-2] - member.shape[1], 0))
    keys = torch.nn.functional.pad(member, (0, 0, seen.key.shape[-2] - member.shape[1], 0))
    total = sum(
        torch.einsum("gqt,bghqu->bhtu", queries[:, part], seen.weights(part) @ keys[:, None]) for part in seen.parts()
    )
    return torch.as_tensor(total) / (grid.rows * grid.columns)


def _log_odds(logits: Tensor, classes: Tensor) -> Tensor:
    """Logarithm of the odds of a class against all others, or the only output: (b, classes), (b,) -> (b,)."""
    own = logits.gather(1, classes[:, None])[:, 0]
    if logits.shape[1] == 1:
        return own
    return own - logits.scatter(1, classes[:, None], float("-inf")).logsumexp(dim=1)


def _block_inputs(model: TimeSformer, clips: Tensor) -> tuple[list[Tensor], Grid]:
    """The tokens that enter each block, those that leave the last, and their grid."""
    if model.training:
        raise ConfigError("the model is in training mode, where it drops parts at random; call model.eval() first.")
    if model.config.pool != "class_token":
        raise ConfigError(
            "pool is 'last_blocks': the head reads patches of four blocks, and relevance starts at the class token "
            "alone; train a head with pool 'class_token' (--model.pool class_token)."
        )
    with torch.no_grad():
        grid = Grid(clips.shape[1], *(side // model.config.patch for side in clips.shape[-2:]))
        inputs = [model.lower(clips, 0)]
        for block in model.blocks:
            inputs.append(block(inputs[-1], grid))
    return inputs, grid


def _down(model: TimeSformer, inputs: list[Tensor]) -> Iterator[tuple[Block, Tensor]]:
    """The blocks and their tokens, from the last to the first."""
    for number in reversed(range(len(model.blocks))):
        yield model.blocks[number], inputs[number]  # type: ignore[misc]


def _at_class_tokens(model: TimeSformer, tokens: Tensor, grid: Grid) -> Tensor:
    """The row that the head reads: one at the class token, in the space scheme shared by those of all frames."""
    prefix, each = schemes.prefix_count(model.config, grid), 1 + model.config.registers
    row = tokens.new_zeros(tokens.shape[:2])
    row[:, :prefix:each] = each / prefix
    return row


def _watch(block: Block, tokens: Tensor, grid: Grid) -> tuple[Tensor, list[Seen]]:
    """Run a block; what leaves it, and what its steps saw."""
    steps: list[tuple[GroupAttention, Tensor]] = []
    heads: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        heads.append((query, key, value, attend_as_usual(query, key, value)))
        return heads[-1][-1]

    after = block(tokens, grid, attend=attend, before_step=lambda step, seen, _: steps.append((step, seen)))
    return after, [Seen(step, grid, seen, *each) for (step, seen), each in zip(steps, heads, strict=True)]


def _watch_gradients(block: Block, tokens: Tensor, grid: Grid, gradient: Tensor) -> tuple[Tensor, list[Seen]]:
    """From the gradient of what leaves a block: that of what enters it, and what its steps saw, with gradients."""
    with torch.enable_grad():
        tokens = tokens.detach().requires_grad_()
        after, steps = _watch(block, tokens, grid)
        before, *gradients = torch.autograd.grad(after, [tokens, *(seen.attended for seen in steps)], gradient)
    return before, [seen.detached(gradient=of) for seen, of in zip(steps, gradients, strict=True)]


@torch.no_grad()
def _through(row: Tensor, block: Block, steps: list[Seen]) -> Tensor:
    """A row vector times the operator of a block; the MLP mixes no tokens, so its operator is the identity."""
    for together in [steps] if block.parallel else [[seen] for seen in reversed(steps)]:
        adds = [contributions.added(seen) for seen in together]
        whole = together[0].tokens.norm(dim=-1) + torch.stack(adds).sum(dim=0)
        after = row
        for seen, norm in zip(together, adds, strict=True):
            leaves = torch.where(whole > 0, row * norm / whole, 0)
            after = after - leaves + _spread(leaves, seen)
        row = after
    return row


def _spread(leaves: Tensor, seen: Seen) -> Tensor:
    """What leaves each token goes where its new part comes from; a token that nothing came to keeps it: (b, n)."""
    by_norm, helped = leaves, torch.zeros_like(leaves)
    if seen.gradient is not None:
        helped, any_helps = contributions.pull(leaves / 2, seen, contributions.helpful(seen))
        by_norm = leaves - leaves / 2 * any_helps
    given, any_gives = contributions.pull(by_norm, seen, contributions.norms(seen))
    return helped + given + by_norm * ~any_gives


def _relevance(row: Tensor, grid: Grid) -> Relevance:
    prefix = row.shape[1] - grid.tokens
    return Relevance(row[:, prefix:].unflatten(1, grid.lengths), row[:, :prefix].sum(dim=1))
