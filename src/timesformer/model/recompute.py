"""Linears of something cheap that is computed again in the backward pass instead of being kept.

A LayerNorm, an activation or attention over a few keys takes little time beside the linear behind it, but for the
backward pass the linear keeps all that comes out of it. Here a linear keeps what went into the cheap part, which is
kept for that part anyway, and works in pieces, so that little of what comes out is there at once. Results and
gradients are those of the plain expressions; first derivatives only.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

Cheap = Callable[..., Tensor]
SMALL = 2**15
PIECE = {"cpu": 2**22, "cuda": 2**25}
"""Numbers that a cheap part makes in one piece, by device: few take little memory, many keep a GPU busy."""
WORTH = 4
"""Pieces from which on it is worth while to work in pieces: few of them save little, and cost a few percent of time."""
_again_only: ContextVar[bool] = ContextVar("_again_only", default=False)
"""Whether a checkpointed part runs again, which is for what it keeps: nobody sees its result."""


def linear(cheap: Cheap, *sources: Tensor, weight: Tensor, bias: Tensor, shared: int = 0, room: int = 0) -> Tensor:
    """``F.linear(cheap(*sources), weight, bias)``, keeping the sources: cheap(...) is (b, n, ..., d).

    The last ``shared`` sources are parameters of the cheap part. The others are (b, n, ...), and what it makes of a
    place along n depends on that place alone; ``room`` is how many numbers it makes for a place on the way.
    """
    if _plain(sources[0]):
        return F.linear(cheap(*sources), weight, bias)
    return _Linear.apply(cheap, len(sources) - shared, room, False, weight, bias, *sources)


def norm_linear(tokens: Tensor, norm: nn.LayerNorm, layer: nn.Linear) -> Tensor:
    """``layer(norm(tokens))``, keeping the tokens: (b, n, d) -> (b, n, outputs)."""
    if not known(norm, layer):
        return layer(norm(tokens))
    normalised, parameters = partial(_normalised, eps=norm.eps), (norm.weight, norm.bias)
    room = tokens.shape[-1]
    return linear(normalised, tokens, *parameters, weight=layer.weight, bias=layer.bias, shared=2, room=room)


def activation_linear(hidden: Tensor, activation: nn.Module, layer: nn.Linear) -> Tensor:
    """``layer(activation(hidden))``, keeping the hidden values: (b, n, d) -> (b, n, outputs).

    The activation has no parameters.
    """
    if not known(layer):
        return layer(activation(hidden))
    return linear(activation, hidden, weight=layer.weight, bias=layer.bias, room=hidden.shape[-1])


def mlp(tokens: Tensor, norm: nn.LayerNorm, layers: nn.Sequential, *, ends_part: bool = False) -> Tensor:
    """``layers(norm(tokens))`` of two linears with an activation between them: (b, n, d) -> (b, n, outputs).

    Hidden values are kept, unless this ends a :func:`checkpointed` part, which would compute them again anyway.
    """
    widen: nn.Linear
    narrow: nn.Linear
    widen, activation, narrow = layers  # type: ignore[assignment]
    if not ends_part or _plain(tokens) or not known(norm, widen, narrow):
        return activation_linear(norm_linear(tokens, norm, widen), activation, narrow)
    hidden = partial(_hidden, activation, eps=norm.eps)
    parameters = (norm.weight, norm.bias, widen.weight, widen.bias)
    return _Linear.apply(
        hidden, 1, 2 * widen.out_features, _again_only.get(), narrow.weight, narrow.bias, tokens, *parameters
    )


def checkpointed(part: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """``part(*arguments)``, of which nothing but the arguments is kept until the backward pass."""
    if torch.compiler.is_compiling() or not _stops_early():
        return checkpoint(part, *arguments, use_reentrant=False)
    return checkpoint(part, *arguments, use_reentrant=False, context_fn=_contexts)


def known(*layers: nn.Module | None) -> bool:
    """Whether layers are what their weights say, not replaced by others that add to them (LoRA) or pack them."""
    return all(type(layer) in (nn.LayerNorm, nn.Linear) for layer in layers)


def _stops_early() -> bool:
    """Whether the second run ends where all that is kept is there again, so that no hook ever sees its result.

    That is torch's way unless ``torch.utils.checkpoint.set_checkpoint_early_stop(False)`` was asked for.
    """
    return getattr(torch.utils.checkpoint, "_enable_checkpoint_early_stop", None) is not False


def _contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _running_again()


@contextmanager
def _running_again() -> Iterator[None]:
    token = _again_only.set(True)
    try:
        yield
    finally:
        _again_only.reset(token)


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


def _hidden(
    activation: nn.Module, tokens: Tensor, scale: Tensor, shift: Tensor, weight: Tensor, bias: Tensor, *, eps: float
) -> Tensor:
    return activation(F.linear(_normalised(tokens, scale, shift, eps=eps), weight, bias))


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, cheap: Cheap, split: int, room: int, unseen: bool, weight: Tensor, bias: Tensor, *sources: Tensor
    ) -> Tensor:
        ctx.cheap, ctx.split, ctx.room, ctx.arithmetic = cheap, split, room, _arithmetic(weight)
        ctx.save_for_backward(weight, *sources)
        weight, bias = (_cast(value, ctx.arithmetic) for value in (weight, bias))
        if unseen:
            return weight.new_zeros(()).expand(*sources[0].shape[:-1], len(weight))
        pieces, made, start = _pieces(sources, split=split, room=room), torch.empty(0), 0
        for some in pieces:
            part = F.linear(cheap(*some).to(weight.dtype), weight, bias)
            if len(pieces) == 1:
                return part
            if start == 0:
                made = part.new_empty(part.shape[0], sources[0].shape[1], *part.shape[2:])
            made[:, start : start + part.shape[1]] = part
            start += part.shape[1]
        return made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, *sources = ctx.saved_tensors
        needs_weight, needs_bias, *needed = ctx.needs_input_grad[4:]
        half = _cast(weight, ctx.arithmetic)
        pieces = _pieces(sources, split=ctx.split, room=ctx.room)
        into_weight: Tensor | None = None
        into_sources: list[Tensor | None] = [None] * len(sources)
        start = 0
        for some in pieces:
            found, leaves = _again(ctx, some, needed)
            stop = start + some[0].shape[1]
            part = gradient[:, start:stop]
            if needs_weight:
                product = part.flatten(0, -2).t() @ found.detach().to(half.dtype).flatten(0, -2)
                into_weight = product.to(weight.dtype) if into_weight is None else into_weight.add_(product)
                del product
            wanted = [leaf for leaf in leaves if leaf.requires_grad]
            got = iter(torch.autograd.grad(found, wanted, (part @ half).to(found.dtype)) if wanted else ())
            del found
            for number, leaf in enumerate(leaves):
                if leaf.requires_grad:
                    into_sources[number] = _joined(
                        into_sources[number], next(got), sources[number], None if number >= ctx.split else (start, stop)
                    )
            start = stop
        into_bias = gradient.flatten(0, -2).sum(0) if needs_bias else None
        return None, None, None, None, into_weight, into_bias, *into_sources


def _pieces(sources: Sequence[Tensor], *, split: int, room: int) -> list[list[Tensor]]:
    """The sources in pieces: the first ``split`` of them cut along dimension 1, the others whole in each."""
    first = sources[0]
    made = first.shape[0] * first.shape[1] * room
    count = min(math.ceil(made / PIECE.get(first.device.type, PIECE["cuda"])), first.shape[1])
    if count < WORTH:
        return [list(sources)]
    cut = [source.tensor_split(count, dim=1) for source in sources[:split]]
    return [[*some, *sources[split:]] for some in zip(*cut, strict=True)]


def _joined(so_far: Tensor | None, part: Tensor, source: Tensor, place: tuple[int, int] | None) -> Tensor:
    """A source's gradient with that of one more piece: in its place along dimension 1, or added where it has none."""
    if place is None:
        return part if so_far is None else so_far.add_(part)
    if part.shape == source.shape:
        return part
    if so_far is None:
        so_far = torch.empty_like(source)
    so_far[:, slice(*place)] = part
    return so_far


def _cast(parameter: Tensor, arithmetic: tuple[str, torch.dtype, bool]) -> Tensor:
    """What autocast makes of a parameter, which is not kept: making it again takes less than its half of the memory."""
    _, half, enabled = arithmetic
    return parameter.to(half) if enabled else parameter


def _arithmetic(tensor: Tensor) -> tuple[str, torch.dtype, bool]:
    """The autocast of now, so that the second computation runs under the same."""
    kind = tensor.device.type
    return kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)


def _again(ctx: Any, sources: list[Tensor], needed: Sequence[bool]) -> tuple[Tensor, list[Tensor]]:
    """The cheap part computed again, with a graph of its own from fresh leaves."""
    leaves = [source.detach().requires_grad_(wanted) for source, wanted in zip(sources, needed, strict=True)]
    kind, half, enabled = ctx.arithmetic
    with torch.enable_grad(), torch.autocast(kind, dtype=half, enabled=enabled):
        return ctx.cheap(*leaves), leaves
