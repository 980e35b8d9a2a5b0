"""One TimeSformer of two libraries, ours and transformers', for the benchmarks that compare their training steps.

Both have the same parameters and do the same work: divided attention, no stochastic depth, AdamW in one fused kernel.
transformers has one implementation of its attention, which keeps the weights of all queries and keys (5.23 refuses
``attn_implementation="sdpa"`` for this model).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from timesformer.config.model import ModelConfig
from timesformer.model.transformer import TimeSformer
from timesformer.training.engine import optimiser

Library = Literal["ours", "transformers"]
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Contestant:
    """A model in training mode with its optimiser."""

    model: nn.Module
    logits: Callable[[Tensor], Tensor]
    """(b, t, 3, h, w) -> (b, classes)."""
    optimizer: torch.optim.Optimizer

    def step(self, clips: Tensor, targets: Tensor, *, precision: Precision) -> None:
        """One training step: forward, backward, AdamW."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(clips.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = F.cross_entropy(self.logits(clips), targets)
        loss.backward()
        self.optimizer.step()


def build(
    library: Library,
    config: ModelConfig,
    *,
    device: torch.device,
    checkpointing: bool = False,
    in_backward: bool = False,
) -> Contestant:
    """A library's model of this shape on a device, with random weights; ours may update in the backward pass."""
    torch.manual_seed(0)
    if library == "ours":
        model: nn.Module = TimeSformer(config, checkpointing=-1 if checkpointing else 0)
        model.to(device).train()
        ours = Contestant(model, model, _adamw(model))
        if in_backward:
            optimiser.in_backward(ours.optimizer)
        return ours
    model = _theirs(config)
    if checkpointing:
        model.gradient_checkpointing_enable()
    model.to(device).train()
    return Contestant(model, lambda clips: model(clips).logits, _adamw(model))


def _theirs(config: ModelConfig) -> nn.Module:
    from transformers import TimesformerConfig, TimesformerForVideoClassification

    return TimesformerForVideoClassification(
        TimesformerConfig(
            image_size=config.size,
            patch_size=config.patch,
            num_frames=config.frames,
            hidden_size=config.width,
            num_hidden_layers=config.depth,
            num_attention_heads=config.heads,
            intermediate_size=int(config.width * config.mlp_ratio),
            num_labels=config.classes,
        )
    )


def _adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)


def clips_for(config: ModelConfig, *, batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Random clips (b, t, 3, h, w) and classes (b,)."""
    generator = torch.Generator().manual_seed(1)
    clips = torch.randn(batch, config.frames, 3, *config.frame_size, generator=generator)
    return clips.to(device), torch.zeros(batch, dtype=torch.long, device=device)
