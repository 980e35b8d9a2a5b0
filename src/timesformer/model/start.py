"""Initial weights: as the paper's code draws them, or for learning from scratch."""

import math

import torch
from torch import Tensor, nn

from timesformer.model.attention import GroupAttention
from timesformer.model.embeddings import Embedding

WAVE = 0.5
"""Amplitude of the sine waves that position and time embeddings start as when a model learns from scratch."""


@torch.no_grad()
def like_image_model(model: nn.Module) -> None:
    """Draw linear layers, class token and positions with std 0.02; zero time embedding and second projections.

    Use it when weights of an image model follow: the model then starts as that image model on each frame.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, Embedding):
            nn.init.trunc_normal_(module.class_token, std=0.02)
            if module.registers is not None:
                nn.init.normal_(module.registers, std=1e-6)  # as DINOv2's code does
            if module.position is not None:
                nn.init.trunc_normal_(module.position, std=0.02)
            if module.time is not None:
                nn.init.zeros_(module.time)
    for module in model.modules():
        if isinstance(module, GroupAttention) and module.extra is not None:
            nn.init.zeros_(module.extra.weight)


@torch.no_grad()
def from_scratch(model: nn.Module, head: nn.Linear) -> None:
    """Draw linear layers by Xavier's rule, and let position and time embeddings start as sine waves.

    With std 0.02 the attention of a narrow model is nearly uniform and its residuals are nearly zero, so the order of
    frames reaches the class token only after thousands of steps, or never; Xavier's std grows as the width shrinks.
    Sine waves are similar for neighbouring positions from the start, and large enough beside the patches.
    """
    like_image_model(model)
    for module in model.modules():
        if isinstance(module, GroupAttention):
            for third in module.qkv.weight.chunk(3):
                nn.init.xavier_uniform_(third)
        elif isinstance(module, Embedding):
            _waves(module)
    drawn = {id(module.qkv) for module in model.modules() if isinstance(module, GroupAttention)} | {id(head)}
    for module in model.modules():
        if isinstance(module, nn.Linear) and id(module) not in drawn:
            nn.init.xavier_uniform_(module.weight)


def _waves(embedding: Embedding) -> None:
    config = embedding.config
    rows, columns = config.grid
    if embedding.position is not None:
        half = config.width // 2
        down = sine_waves(rows, half).repeat_interleave(columns, dim=0)
        across = sine_waves(columns, config.width - half).repeat(rows, 1)
        embedding.position[0, 1:] = WAVE * torch.cat([down, across], dim=1)
    if embedding.time is not None:
        embedding.time[0] = WAVE * sine_waves(config.frames, config.width)


def sine_waves(length: int, width: int) -> Tensor:
    """Sines and cosines of ``length`` positions at wavelengths from 2 pi to 8 pi times the length: (length, width)."""
    waves = math.ceil(width / 2)
    frequencies = torch.exp(torch.arange(waves) / waves * -math.log(4 * length))
    angles = torch.arange(length)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]
