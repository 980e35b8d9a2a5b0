"""Random weights to start from: as the paper's code draws them, or so that a model learns from nothing."""

import math

import torch
from torch import Tensor, nn

from timesformer.model.attention import GroupAttention
from timesformer.model.embeddings import Embedding

WAVE = 0.5
"""Height of the sine waves that positions and times start as, where nothing was learned before."""


@torch.no_grad()
def like_image_model(model: nn.Module) -> None:
    """Draw every linear, class token and position at 0.02; time embedding and extra linears at zero (section 1.4).

    Right when weights of an image model follow: the model then starts as that image model on each frame.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, Embedding):
            nn.init.trunc_normal_(module.class_token, std=0.02)
            if module.position is not None:
                nn.init.trunc_normal_(module.position, std=0.02)
            if module.time is not None:
                nn.init.zeros_(module.time)
    for module in model.modules():
        if isinstance(module, GroupAttention) and module.extra is not None:
            nn.init.zeros_(module.extra.weight)


@torch.no_grad()
def from_scratch(model: nn.Module, head: nn.Linear) -> None:
    """Draw linears by Xavier's rule, and let places and times start as sine waves.

    At 0.02 a narrow model's attention is nearly uniform and its residuals are nearly nothing, so the order of frames
    reaches the class token only after thousands of steps, or never; Xavier's spread grows as the width shrinks. The
    waves tell neighbours from strangers at once and stand out against patches, which 0.02 does not.
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
    """Sines and cosines of ``length`` places at wavelengths from 2 pi to 8 pi times the length: (length, width)."""
    waves = math.ceil(width / 2)
    frequencies = torch.exp(torch.arange(waves) / waves * -math.log(4 * length))
    angles = torch.arange(length)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]
