"""The optimiser, its schedule, and the average of the weights."""

import math
import re
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from timesformer.config.checks import ConfigError, require
from timesformer.config.training import OptimConfig, TrainConfig

EMBEDDINGS = ("class_token", "registers", "position", "time")
BELOW = ("embedding.", "norm_pre.")
"""Parts of the model under the first block."""


def freeze(model: nn.Module, part: str, *, blocks: int = 0) -> None:
    """Stop gradients: of all but the head if ``part`` is "backbone", and of the embedding and the first ``blocks``."""
    for name, value in model.named_parameters():
        block = re.match(r"blocks\.(\d+)\.", name)
        below = blocks > 0 and (name.startswith(BELOW) or (block is not None and int(block[1]) < blocks))
        if below or (part == "backbone" and not name.startswith("head.")):
            value.requires_grad_(False)


def build(model: nn.Module, optim: OptimConfig, *, depth: int) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum, over the parameters that are not frozen.

    Norms, biases and embeddings have no weight decay unless ``decay_all``. With layer decay, block i of ``depth`` has
    layer_decay ** (depth - i) times the learning rate of the head, and the embedding one factor less than block 0.
    """
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, value in model.named_parameters():
        if value.requires_grad:
            small = value.ndim < 2 or name.rsplit(".", 1)[-1] in EMBEDDINGS
            decay = 0.0 if small and not optim.decay_all else optim.weight_decay
            groups.setdefault((decay, optim.layer_decay ** _distance(name, depth)), []).append(value)
    if not groups:
        raise ConfigError("every parameter is frozen; leave the head trainable.")
    parts = [{"params": values, "weight_decay": decay, "scale": scale} for (decay, scale), values in groups.items()]
    if optim.optimizer == "sgd":
        return torch.optim.SGD(parts, lr=optim.lr, momentum=optim.momentum, nesterov=optim.momentum > 0)
    return torch.optim.AdamW(parts, lr=optim.lr, betas=(optim.momentum, optim.beta2), fused=True)


def check_in_backward(config: TrainConfig, *, copies: bool) -> None:
    """Raise ConfigError for settings that :func:`in_backward` can't meet; ``copies`` are those of DDP."""
    if not config.engine.optimizer_in_backward:
        return
    for name, off in (("clip_grad", 0), ("accumulate", 1)):
        given = getattr(config.optim, name)
        require(
            given == off,
            f"{name} is {given}, which needs all gradients at once, and optimizer_in_backward keeps none: set "
            f"--optim.{name.replace('_', '-')} {off}, or leave it out.",
        )
    require(
        not copies,
        "with DDP, gradients are averaged after they are there: too late for optimizer_in_backward; leave it out, or "
        "use --engine.parallel fsdp.",
    )


def in_backward(optimizer: torch.optim.Optimizer) -> None:
    """Have the backward pass update each parameter once its gradient is complete, and drop the gradient.

    The results are those of a step at the end, but there is never more than one gradient. Nothing may use all gradients
    together (clipping), add to them (accumulation) or change them later (DDP).
    """

    def update(parameter: Tensor) -> None:
        optimizer.step()  # of all parameters this one alone has a gradient
        parameter.grad = None

    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.register_post_accumulate_grad_hook(update)


def _distance(name: str, depth: int) -> int:
    """Blocks between a parameter and the head."""
    block = re.search(r"blocks\.(\d+)\.", name)
    if block:
        return depth - int(block[1])
    return depth + 1 if any(part in name for part in BELOW) else 0


def rate(step: int, *, steps: int, per_epoch: int, optim: OptimConfig) -> float:
    """Learning rate of a step counted from 0, of ``steps`` in all."""
    warm = optim.warmup * per_epoch
    if step < warm:
        return optim.lr * (step + 1) / (warm + 1)
    if optim.schedule == "steps":
        return optim.lr * 0.1 ** sum(step >= epoch * per_epoch for epoch in optim.milestones)
    return optim.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group its share of a learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]


@torch.no_grad()
def average(mean: list[Tensor], parameters: Iterable[Tensor], *, decay: float, step: int) -> None:
    """Move an exponential average towards the parameters, faster at first: at most (step + 1) / (step + 10) is kept."""
    torch._foreach_lerp_(mean, [value.detach() for value in parameters], 1 - min(decay, (step + 1) / (step + 10)))
