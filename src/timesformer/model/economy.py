"""A second way to compute a block in training: the same results, with less memory kept for the backward pass.

LayerNorm, attention over a few keys and the activation take little time beside the linear layer that follows, but that
layer keeps their results for its backward pass. Here it keeps their inputs, which are kept anyway, and its backward
pass computes the results again. And two linear layers in a row are one matrix product where tokens are many. Only
first derivatives exist.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from timesformer.model import attention, schemes
from timesformer.model.attention import Attend, GroupAttention
from timesformer.model.rotary import rotate
from timesformer.model.schemes import Grid


def applies(block: nn.Module) -> bool:
    """Whether :func:`block` computes what this :class:`Block` does: its layers are plain, without hooks or a compiler.

    Layers may have been replaced by others that add to their results (LoRA) or have no bias, and FSDP uses hooks.
    """
    kinds = [type(layer) for layer in block.mlp]  # type: ignore[union-attr]
    return kinds[0] is nn.Linear and kinds[2:] == [nn.Linear] and all(map(_is_plain, block.modules()))


def _is_plain(module: nn.Module) -> bool:
    hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    if hooks or module._compiled_call_impl is not None:
        return False
    if type(module) in (nn.Linear, nn.LayerNorm):
        return module.bias is not None
    return not module._parameters


def block(
    block: Any, tokens: Tensor, grid: Grid, *, prefix_only: bool = False, attend: Attend, before_step: Any
) -> Tensor:
    """``block(tokens, grid, ...)``, keeping less: (b, prefix + t*h*w, d) -> the same shape or (b, prefix, d).

    A caller that gives its own attention or looks at the steps gets the block's own computation.
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
    residual = _Linear.apply(activation, narrow.weight, narrow.bias, hidden)
    keep = block._keep(tokens, 1)
    return tokens + (residual if keep is None else residual * keep[..., None])


def _residual(step: GroupAttention, tokens: Tensor, grid: Grid, keep: Tensor | None) -> Tensor:
    """The residual of a step, as :meth:`GroupAttention.forward` gives it."""
    prefix = tokens.shape[1] - grid.tokens
    seen = tokens[:, prefix:] if step.step.prefix == "excluded" else tokens
    mixed = _norm_linear(seen, step.norm, step.qkv)
    if step.rotary:
        mixed = rotate(mixed, grid, heads=step.heads)
    grouped = step._group(mixed, grid, prefix)  # (b, groups, n, 3d)
    weight, bias = step.proj.weight, step.proj.bias
    joined = step.extra is not None and grouped.shape[:3].numel() > len(weight)
    if step.extra is not None and joined:
        weight, bias = step.extra.weight @ weight, step.extra.weight @ bias  # type: ignore[assignment]
    residual = _attention_linear(step, grouped, prefix, weight, bias)
    if keep is not None:
        residual = residual * keep[..., None, None]
    residual = step._ungroup(residual, grid, prefix)
    if step.extra is not None:
        residual = residual + step.extra.bias if joined else step.extra(residual)
    return residual if step.step.prefix_attends else F.pad(residual, (0, 0, prefix, 0))


def _norm_linear(tokens: Tensor, norm: nn.LayerNorm, layer: nn.Linear) -> Tensor:
    """``layer(norm(tokens))``, keeping the tokens: (b, n, d) -> (b, n, outputs)."""
    normalise = partial(_normalise, eps=norm.eps)
    return _Linear.apply(normalise, layer.weight, layer.bias, tokens, norm.weight, norm.bias)


def _normalise(tokens: Tensor, weight: Tensor, bias: Tensor, *, eps: float) -> Tensor:
    return F.layer_norm(tokens, weight.shape, weight, bias, eps)


def _attention_linear(step: GroupAttention, grouped: Tensor, prefix: int, weight: Tensor, bias: Tensor) -> Tensor:
    """Attention and a linear layer, keeping queries, keys and values: (b, groups, n, 3d) -> (b, groups, queries, d).

    The fused kernel keeps little by itself, and takes too long to run twice.
    """
    query, key, _ = step._split(grouped, prefix)
    if attention._explicit_is_faster(query, key):
        return _Linear.apply(partial(_attended, step, prefix, attention.explicit), weight, bias, grouped)
    return F.linear(_attended(step, prefix, attention.fused, grouped), weight, bias)


def _attended(step: GroupAttention, prefix: int, attend: Attend, grouped: Tensor) -> Tensor:
    """Attention with its heads side by side: (b, groups, n, 3d) -> (b, groups, queries, d)."""
    return attend(*step._split(grouped, prefix)).transpose(2, 3).flatten(3)


class _Linear(torch.autograd.Function):
    """``F.linear(operation(*sources), weight, bias)``, keeping the sources: (..., d) -> (..., outputs)."""

    @staticmethod
    def forward(ctx: Any, operation: Callable[..., Tensor], weight: Tensor, bias: Tensor, *sources: Tensor) -> Tensor:
        ctx.operation, ctx.autocast = operation, (torch.get_autocast_dtype("cpu"), torch.is_autocast_enabled("cpu"))
        ctx.save_for_backward(weight, *sources)
        weight, bias = (_cast(value, *ctx.autocast) for value in (weight, bias))
        return F.linear(operation(*sources).to(weight.dtype), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, *sources = ctx.saved_tensors
        needs_weight, needs_bias, *needed = ctx.needs_input_grad[1:]
        cast = _cast(weight, *ctx.autocast)
        result, leaves = _again(ctx, sources, needed)
        for_weight = for_bias = None
        if needs_weight:
            product = gradient.flatten(0, -2).t() @ result.detach().to(cast.dtype).flatten(0, -2)
            for_weight = product.to(weight.dtype)
        if needs_bias:
            for_bias = gradient.flatten(0, -2).sum(0)
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        found = iter(torch.autograd.grad(result, wanted, (gradient @ cast).to(result.dtype)) if wanted else ())
        return None, for_weight, for_bias, *(next(found) if leaf.requires_grad else None for leaf in leaves)


def _again(ctx: Any, sources: Sequence[Tensor], needed: Sequence[bool]) -> tuple[Tensor, list[Tensor]]:
    """The operation's result computed again, and the new leaves of its graph."""
    leaves = [source.detach().requires_grad_(need) for source, need in zip(sources, needed, strict=True)]
    dtype, enabled = ctx.autocast
    with torch.enable_grad(), torch.autocast("cpu", dtype=dtype, enabled=enabled):
        return ctx.operation(*leaves), leaves


def _cast(parameter: Tensor, dtype: torch.dtype, enabled: bool) -> Tensor:
    """The parameter as autocast uses it, made again rather than kept in autocast's cache."""
    return parameter.to(dtype) if enabled else parameter
