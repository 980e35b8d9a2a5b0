"""Linears of something cheap that is computed again in the backward pass instead of being kept.

A LayerNorm, an activation or attention over a few keys takes little time beside the linear behind it, but for the
backward pass the linear keeps all that comes out of it. Here a linear keeps what went into the cheap part, which is
kept for that part anyway. Results and gradients are those of the plain expressions; first derivatives only.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

Cheap = Callable[..., Tensor]
SMALL = 2**15


def linear(cheap: Cheap, *sources: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``F.linear(cheap(*sources), weight, bias)``, keeping the sources: cheap(...) is (..., d), the result (..., n)."""
    if _plain(sources[0]):
        return F.linear(cheap(*sources), weight, bias)
    return _Linear.apply(cheap, weight, bias, *sources)


def norm_linear(tokens: Tensor, norm: nn.LayerNorm, layer: nn.Linear) -> Tensor:
    """``layer(norm(tokens))``, keeping the tokens: (..., d) -> (..., n)."""
    if not known(norm, layer):
        return layer(norm(tokens))
    normalised = partial(_normalised, eps=norm.eps)
    return linear(normalised, tokens, norm.weight, norm.bias, weight=layer.weight, bias=layer.bias)


def activation_linear(hidden: Tensor, activation: nn.Module, layer: nn.Linear) -> Tensor:
    """``layer(activation(hidden))``, keeping the hidden values, for an activation without parameters."""
    if not known(layer):
        return layer(activation(hidden))
    return linear(activation, hidden, weight=layer.weight, bias=layer.bias)


def known(*layers: nn.Module | None) -> bool:
    """Whether layers are what their weights say, not replaced by others that add to them (LoRA) or pack them."""
    return all(type(layer) in (nn.LayerNorm, nn.Linear) for layer in layers)


def _plain(source: Tensor) -> bool:
    """Whether to leave it to torch.

    Nothing is kept without gradients, a compiler plans by itself what to keep, and small tensors aren't worth the
    Python: below a hundred kilobytes a step took a quarter longer.
    """
    if not torch.is_grad_enabled() or torch.compiler.is_compiling() or source.is_meta:
        return True
    return source.numel() < SMALL


def _normalised(tokens: Tensor, weight: Tensor, bias: Tensor, *, eps: float) -> Tensor:
    return F.layer_norm(tokens, weight.shape, weight, bias, eps)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cheap: Cheap, weight: Tensor, bias: Tensor, *sources: Tensor) -> Tensor:
        ctx.cheap, ctx.arithmetic = cheap, _arithmetic(weight)
        ctx.save_for_backward(weight, *sources)
        weight, bias = (_cast(value, ctx.arithmetic) for value in (weight, bias))
        return F.linear(cheap(*sources).to(weight.dtype), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, *sources = ctx.saved_tensors
        weight = _cast(weight, ctx.arithmetic)
        found, leaves = _again(ctx, sources)
        rows = gradient.flatten(0, -2)  # (tokens, outputs)
        into_weight = rows.t() @ found.detach().to(weight.dtype).flatten(0, -2) if ctx.needs_input_grad[1] else None
        into_bias = rows.sum(0) if ctx.needs_input_grad[2] else None
        return None, into_weight, into_bias, *_into_sources(found, leaves, lambda: gradient @ weight)


def _cast(parameter: Tensor, arithmetic: tuple[str, torch.dtype, bool]) -> Tensor:
    """What autocast makes of a parameter, which is not kept: making it again takes less than its half of the memory."""
    _, half, enabled = arithmetic
    return parameter.to(half) if enabled else parameter


def _arithmetic(tensor: Tensor) -> tuple[str, torch.dtype, bool]:
    """The autocast of now, so that the second computation runs under the same."""
    kind = tensor.device.type
    return kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)


def _again(ctx: Any, sources: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The cheap part computed again, with a graph of its own from fresh leaves."""
    needed = ctx.needs_input_grad[-len(sources) :]
    leaves = [source.detach().requires_grad_(wanted) for source, wanted in zip(sources, needed, strict=True)]
    kind, half, enabled = ctx.arithmetic
    with torch.enable_grad(), torch.autocast(kind, dtype=half, enabled=enabled):
        return ctx.cheap(*leaves), leaves


def _into_sources(found: Tensor, leaves: list[Tensor], gradient: Callable[[], Tensor]) -> list[Tensor | None]:
    """Gradients of the sources, None for those that want none; ``gradient`` makes that of the cheap part."""
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    got = iter(torch.autograd.grad(found, wanted, gradient().to(found.dtype)) if wanted else ())
    return [next(got) if leaf.requires_grad else None for leaf in leaves]
