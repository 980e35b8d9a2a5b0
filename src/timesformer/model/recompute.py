"""Less memory for a training step: parts of a block are computed again in the backward pass instead of being kept.

Nothing here changes what is computed.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from timesformer.model import economy

SMALL = 2**19
"""Numbers in the tokens below which all is kept. ViT-B with 8 frames of 224 px has 1.2 million for each clip: there the
peak of a step is 21 % smaller (0.7 GB) in the same time. With fewer than 2^18, a step would take 4 to 24 % longer."""


def how(block: nn.Module, tokens: Tensor, *, whole: bool) -> Callable[..., Tensor]:
    """How to call a block: as it is, or so that the backward pass computes again what it needs.

    ``whole`` keeps nothing but the tokens, and the backward pass runs the block again (gradient checkpointing).
    Otherwise, :mod:`timesformer.model.economy` computes a block in training on a CPU. A GPU keeps all: there, computing
    again takes a larger part of the step.
    """
    if not torch.is_grad_enabled():
        return block
    if whole:
        return partial(_checkpointed, block)
    if not block.training or tokens.device.type != "cpu" or tokens.numel() < SMALL or torch.compiler.is_compiling():
        return block
    return partial(economy.block, block) if economy.applies(block) else block


def _checkpointed(block: Callable[..., Tensor], *arguments: Any, **options: Any) -> Tensor:
    after: Tensor = checkpoint(block, *arguments, use_reentrant=False, **options)
    if not torch.compiler.is_compiling():
        torch.clear_autocast_cache()  # autocast would keep its copies of the weights until the end of the forward pass
    return after
