"""Patches and positions: from pixels to tokens that know where and when they are."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from timesformer.config.checks import ConfigError, require
from timesformer.config.model import ModelConfig
from timesformer.model import schemes
from timesformer.model.schemes import Grid


def resize_position(position: Tensor, old: tuple[int, int], new: tuple[int, int], *, smooth: bool) -> Tensor:
    """Position embedding for another patch grid: (1, 1 + rows*columns, d) -> (1, 1 + new rows*columns, d).

    The class token's row stays. Nearest in 2-D, as published weights were run; bicubic if ``smooth``.
    """
    if not _any(*new) and old == new:
        return position
    first, rest = position[:, :1], position[:, 1:]
    plane = rest.transpose(1, 2).unflatten(2, old)
    resized = F.interpolate(plane, new, mode="bicubic", align_corners=False) if smooth else F.interpolate(plane, new)
    return torch.cat([first, resized.flatten(2).transpose(1, 2)], dim=1)


def _any(*lengths: int) -> bool:
    """Whether lengths stand for any in an exported program, which an answer to "is it the stored one" would narrow."""
    return any(isinstance(length, torch.SymInt) for length in lengths)


def resize_time(time: Tensor, frames: int, *, smooth: bool) -> Tensor:
    """Time embedding for another number of frames: (1, t, d) -> (1, frames, d). Nearest, or linear if ``smooth``."""
    if not _any(frames) and time.shape[1] == frames:
        return time
    line = time.transpose(1, 2)
    resized = F.interpolate(line, frames, mode="linear", align_corners=False) if smooth else F.interpolate(line, frames)
    return resized.transpose(1, 2)


class Embedding(nn.Module):
    """Patch embedding, class token, registers, and separable position embeddings (paper, equation 1).

    A patch carries the embedding of its place and of its frame; the class token that of place 0 and no time; registers
    carry none (Darcet et al., "Vision Transformers Need Registers").
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        rows, columns = config.grid
        self.config = config
        self.patch = nn.Conv2d(3, config.width, config.patch, config.patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.registers: nn.Parameter | None = None
        self.position: nn.Parameter | None = None
        self.time: nn.Parameter | None = None
        if config.registers:
            self.registers = nn.Parameter(torch.zeros(1, config.registers, config.width))
        if config.has_position_embedding:
            self.position = nn.Parameter(torch.zeros(1, 1 + rows * columns, config.width))
        if config.has_time_embedding:
            self.time = nn.Parameter(torch.zeros(1, config.frames, config.width))

    def forward(self, clips: Tensor) -> tuple[Tensor, Grid]:
        """(b, t, c, h, w) -> tokens (b, prefix + t*h*w, d), prefix tokens first and frames in order, and their grid."""
        grid = self.grid(clips)
        batch, frames = clips.shape[:2]
        patches = self.patch(clips.flatten(0, 1)).flatten(2).transpose(1, 2)  # (b*t, h*w, d)
        patches = patches.unflatten(0, (batch, frames))
        first: Tensor = self.class_token
        smooth = self.config.resize == "smooth"
        if self.position is not None:
            position = resize_position(self.position, self.config.grid, (grid.rows, grid.columns), smooth=smooth)
            first = first + position[:, :1]
            patches = patches + position[:, None, 1:]
        if self.time is not None:
            patches = patches + resize_time(self.time, frames, smooth=smooth)[:, :, None]
        if self.registers is not None:
            first = torch.cat([first, self.registers], dim=1)
        # Without an embedding, too, autocast's products add up in the precision of the weights, block after block
        patches = patches.to(torch.promote_types(patches.dtype, first.dtype))
        copies = schemes.prefix_count(self.config, grid) // first.shape[1]
        prefix = first[:, None].expand(batch, copies, -1, -1).flatten(1, 2)
        return torch.cat([prefix.to(patches.dtype), patches.flatten(1, 2)], dim=1), grid

    def grid(self, clips: Tensor) -> Grid:
        """The patch grid of clips; raises :class:`ConfigError` for a shape that the model can't take."""
        require(
            clips.ndim == 5 and clips.shape[2] == 3,
            f"clips have shape {tuple(clips.shape)}; they must be (batch, frames, 3, height, width).",
        )
        require(
            clips.is_floating_point(),
            f"clips are {clips.dtype}; they must be normalised floats, see timesformer.video.transforms.",
        )
        patch = self.config.patch
        _, frames, _, height, width = clips.shape
        if height % patch or width % patch or not (frames and height and width):
            raise ConfigError(
                f"clips are {frames} frames of {height} x {width} px; there must be a frame, and both sides must be "
                f"multiples of the patch size {patch}: crop or resize to "
                f"{max(height // patch, 1) * patch} x {max(width // patch, 1) * patch}."
            )
        return Grid(frames, height // patch, width // patch)
