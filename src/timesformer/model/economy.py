"""A second way to compute a block in training: the same numbers, with fewer of them kept for the backward pass.

LayerNorm, attention over a few keys and the activation take little time beside the linear layer behind them, but that
layer keeps their results for its backward pass. Here a linear layer keeps the inputs of the operation before it, which
that operation keeps anyway, and its backward pass computes the operation again, in pieces, so that little of its result
exists at once. Two linear layers in a row are computed as one where that is less work. First derivatives only.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from timesformer.model import attention, schemes
from timesformer.model.attention import Attend, GroupAttention
from timesformer.model.schemes import Grid

PIECE = 2**22
"""Numbers that the operation before a linear layer makes in one piece."""
FEWEST_PIECES = 4
"""Pieces below which there is only one: few pieces save little memory, and cost a few percent of the time."""


def applies(block: nn.Module) -> bool:
    """Whether :func:`block` computes what the block does: its layers are plain, and nobody watches or compiles them.

    Layers may be replaced by others that add to their results (LoRA), and a hook would not be called.
    """
    for module in block.modules():
        watched = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks
        if watched or module._backward_pre_hooks or module._compiled_call_impl is not None:
            return False
        if type(module) in (nn.Linear, nn.LayerNorm):
            if module.bias is None:
                return False
        elif next(module.parameters(recurse=False), None) is not None:
            return False
    layers = [type(layer) for layer in block.mlp]  # type: ignore[union-attr]
    return len(layers) == 3 and layers[0] is layers[2] is nn.Linear


def block(
    block: Any, tokens: Tensor, grid: Grid, *, prefix_only: bool = False, attend: Attend, before_step: Any
) -> Tensor:
    """``block(tokens, grid, ...)``, keeping less: (b, prefix + t*h*w, d) -> the same shape or (b, prefix, d).

    A caller that gives its own attention or watches the steps gets the plain computation.
    """
    if attend is not attention.attend or before_step is not None:
        return block(tokens, grid, prefix_only=prefix_only, attend=attend, before_step=before_step)
    before = tokens
    for step in block.steps.values():
        keep = block._keep(tokens, schemes.group_count(step.step, grid))
        tokens = tokens + _residual(step, before if block.parallel else tokens, grid, keep)
    if prefix_only:
        tokens = tokens[:, : -grid.tokens]
    widen, activation, narrow = block.mlp
    hidden = _norm_linear(tokens, block.norm, widen)
    residual = _linear(activation, hidden, layer=(narrow.weight, narrow.bias), made=hidden.numel())
    keep = block._keep(tokens, 1)
    return tokens + (residual if keep is None else residual * keep[..., None])


def _residual(step: GroupAttention, tokens: Tensor, grid: Grid, keep: Tensor | None) -> Tensor:
    """The residual of a step, as :meth:`GroupAttention.forward` gives it."""
    prefix = tokens.shape[1] - grid.tokens
    seen = tokens[:, prefix:] if step.step.prefix == "excluded" else tokens
    grouped = step._group(_norm_linear(seen, step.norm, step.qkv), grid, prefix)  # (b, groups, n, 3d)
    weight, bias = step.proj.weight, step.proj.bias
    joined = step.extra is not None and grouped.shape[:3].numel() > len(weight)
    if joined:
        weight, bias = step.extra.weight @ weight, step.extra.weight @ bias
    residual = _attention_linear(step, grouped, prefix, layer=(weight, bias))
    if keep is not None:
        residual = residual * keep[..., None, None]
    residual = step._ungroup(residual, grid, prefix)
    if step.extra is not None:
        residual = residual + step.extra.bias if joined else step.extra(residual)
    return residual if step.step.prefix_attends else F.pad(residual, (0, 0, prefix, 0))


def _norm_linear(tokens: Tensor, norm: nn.LayerNorm, layer: nn.Linear) -> Tensor:
    """``layer(norm(tokens))``, keeping the tokens: (b, n, d) -> (b, n, outputs)."""
    normalise = partial(_normalise, eps=norm.eps)
    return _linear(
        normalise, tokens, norm.weight, norm.bias, layer=(layer.weight, layer.bias), shared=2, made=tokens.numel()
    )


def _normalise(tokens: Tensor, weight: Tensor, bias: Tensor, *, eps: float) -> Tensor:
    return F.layer_norm(tokens, weight.shape, weight, bias, eps)


def _attention_linear(step: GroupAttention, grouped: Tensor, prefix: int, *, layer: tuple[Tensor, Tensor]) -> Tensor:
    """Attention and a linear layer, keeping queries, keys and values: (b, groups, n, 3d) -> (b, groups, queries, d).

    The fused kernel keeps little by itself, and takes too long to run twice.
    """
    query, key, _ = _heads(step, grouped, prefix)
    if not attention._explicit_is_faster(query, key):
        return F.linear(_attended(step, prefix, attention.fused, grouped), *layer)
    made = grouped.numel() + 2 * query.shape[:-1].numel() * key.shape[-2]
    return _linear(partial(_attended, step, prefix, attention.explicit), grouped, layer=layer, made=made)


def _attended(step: GroupAttention, prefix: int, attend: Attend, grouped: Tensor) -> Tensor:
    """Attention with joined heads: (b, groups, n, 3d) -> (b, groups, queries, d)."""
    return attend(*_heads(step, grouped, prefix)).transpose(2, 3).flatten(3)


def _heads(step: GroupAttention, grouped: Tensor, prefix: int) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = grouped.unflatten(-1, (3, step.heads, -1)).permute(3, 0, 1, 4, 2, 5)
    return (query[..., prefix:, :] if step.step.prefix == "keys_only" else query), key, value


def _linear(
    operation: Callable[..., Tensor], *sources: Tensor, layer: tuple[Tensor, Tensor], shared: int = 0, made: int
) -> Tensor:
    """``F.linear(operation(*sources), *layer)``, keeping the sources: operation(...) is (b, n, ..., d).

    The last ``shared`` sources are parameters of the operation. The others are (b, n, ...), and what it makes of a
    place along n depends on that place alone; ``made`` is how many numbers it makes of all places.
    """
    return _Linear.apply(operation, len(sources) - shared, made, *layer, *sources)


class _Linear(torch.autograd.Function):
    """The operation and the linear layer; dimension 1 of the sources, but for the shared ones, is cut into pieces."""

    @staticmethod
    def forward(
        ctx: Any,
        operation: Callable[..., Tensor],
        cut: int,
        made: int,
        weight: Tensor,
        bias: Tensor,
        *sources: Tensor,
    ) -> Tensor:
        pieces = math.ceil(made / PIECE)
        ctx.pieces = min(pieces, sources[0].shape[1]) if pieces >= FEWEST_PIECES else 1
        ctx.operation, ctx.cut, ctx.autocast = operation, cut, _autocast()
        ctx.save_for_backward(weight, *sources)
        weight, bias = (_cast(value, ctx.autocast) for value in (weight, bias))
        result, stop = torch.empty(0), 0
        for piece in _pieces(ctx, sources):
            part = F.linear(operation(*piece).to(weight.dtype), weight, bias)
            if ctx.pieces == 1:
                return part
            if stop == 0:
                result = part.new_empty(part.shape[0], sources[0].shape[1], *part.shape[2:])
            start, stop = stop, stop + part.shape[1]
            result[:, start:stop] = part
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, *sources = ctx.saved_tensors
        needs_weight, needs_bias, *needed = ctx.needs_input_grad[3:]
        cast = _cast(weight, ctx.autocast)
        for_weight: Tensor | None = None
        for_sources: list[Tensor | None] = [None] * len(sources)
        stop = 0
        for piece in _pieces(ctx, sources):
            start, stop = stop, stop + piece[0].shape[1]
            part = gradient[:, start:stop]
            result, leaves = _again(ctx, piece, needed)
            if needs_weight:
                product = part.flatten(0, -2).t() @ result.detach().to(cast.dtype).flatten(0, -2)
                for_weight = product.to(weight.dtype) if for_weight is None else for_weight.add_(product)
                del product
            wanted = [number for number, need in enumerate(needed) if need]
            found = torch.autograd.grad(result, [leaves[number] for number in wanted], (part @ cast).to(result.dtype))
            for number, new in zip(wanted, found, strict=True):
                place = slice(start, stop) if number < ctx.cut else None
                for_sources[number] = _gathered(for_sources[number], new, like=sources[number], place=place)
            del result, leaves, found, new
        for_bias = gradient.flatten(0, -2).sum(0) if needs_bias else None
        return None, None, None, for_weight, for_bias, *for_sources


def _pieces(ctx: Any, sources: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    cut = zip(*(source.tensor_split(ctx.pieces, dim=1) for source in sources[: ctx.cut]), strict=True)
    return [(*piece, *sources[ctx.cut :]) for piece in cut]


def _again(ctx: Any, sources: Sequence[Tensor], needed: Sequence[bool]) -> tuple[Tensor, list[Tensor]]:
    """The operation computed again, with a graph of its own from new leaves, which are returned, too."""
    leaves = [source.detach().requires_grad_(wanted) for source, wanted in zip(sources, needed, strict=True)]
    dtype, enabled = ctx.autocast
    with torch.enable_grad(), torch.autocast("cpu", dtype=dtype, enabled=enabled):
        return ctx.operation(*leaves), leaves


def _gathered(so_far: Tensor | None, part: Tensor, *, like: Tensor, place: slice | None) -> Tensor:
    """A source's gradient with that of one more piece: in its place along dimension 1, or added without a place."""
    if so_far is None and part.shape == like.shape:
        return part
    if so_far is not None and place is None:
        return so_far.add_(part)
    so_far = torch.empty_like(like) if so_far is None else so_far
    so_far[:, place] = part
    return so_far


def _autocast() -> tuple[torch.dtype, bool]:
    return torch.get_autocast_dtype("cpu"), torch.is_autocast_enabled("cpu")


def _cast(parameter: Tensor, autocast: tuple[torch.dtype, bool]) -> Tensor:
    """The parameter as autocast would use it, without autocast's cache."""
    dtype, enabled = autocast
    return parameter.to(dtype) if enabled else parameter
