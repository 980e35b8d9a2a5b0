"""What frozen blocks compute for fixed versions of the training clips: whether it is kept, where, and how it is used.

It is kept for each clip, not for each frame: in every scheme but "space" the class token belongs to the whole clip, so
from the second block on a frame's tokens depend on the other frames, even where the time steps add nothing.
"""

import hashlib
import os
import tempfile
from contextlib import suppress
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from timesformer import machine
from timesformer.config.checks import ConfigError
from timesformer.config.training import TrainConfig
from timesformer.model.schemes import Grid
from timesformer.model.transformer import TimeSformer

TOKENS = 3
"""Dimensions of a batch of tokens; one of clips has five."""
SHARE = 0.25
"""Fraction of the memory that is filled at most; what needs more goes to a file."""


def is_kept(config: TrainConfig, *, processes: int) -> bool:
    """Whether a training computes its frozen blocks once for each version of a video, and reads the results after."""
    return _is_wanted(config) and not obstacle(config, processes=processes)


def obstacle(config: TrainConfig, *, processes: int) -> str:
    """Why frozen blocks must be computed in every step although the versions are fixed; empty if they need not be."""
    if not _is_wanted(config):
        return ""
    if config.augment.mixup or config.augment.cutmix:
        return "mixup and CutMix blend the pixels of other clips in every step"
    return (
        f"{processes} processes train together, and a clip goes to another one in each epoch" if processes > 1 else ""
    )


def _is_wanted(config: TrainConfig) -> bool:
    return bool(config.kept_depth and config.augment.versions and config.engine.frozen_cache)


def hold_still(model: TimeSformer, config: TrainConfig) -> None:
    """Take the stochastic depth from frozen blocks, in place, where the versions of the videos are fixed.

    What the blocks compute for a version is then always the same.
    """
    if config.augment.versions:
        for block in model.blocks[: config.frozen_depth]:
            block.drop_path = 0.0  # type: ignore[assignment]


def is_parted(config: TrainConfig, *, processes: int) -> bool:
    """Whether a training calls its model in two parts, :class:`Parted`; shards of FSDP come together for one alone."""
    sharded = processes > 1 and config.engine.parallel == "fsdp"
    return bool(config.kept_depth and config.augment.versions) and not sharded


@torch.no_grad()
def lower(model: TimeSformer, clips: Tensor, blocks: int) -> Tensor:
    """What the first ``blocks`` blocks compute: (b, t, c, h, w) -> tokens (b, n, d).

    Each clip is computed by itself: in batches, the last bits would depend on the clips around it.
    """
    return torch.cat([model.lower(clip[None], blocks) for clip in clips])


class Memory:
    """What frozen blocks computed for clips, found by the clips' pixels, as far as there is room; none by default."""

    def __init__(self, room: float = 0) -> None:
        self.room = room
        self._known: dict[bytes, Tensor] = {}

    def lower(self, model: TimeSformer, clips: Tensor, blocks: int) -> Tensor:
        """As :func:`lower`, but clips that were seen before are remembered."""
        if not (self.room or self._known):
            return lower(model, clips, blocks)
        return torch.cat([self._of(model, clip[None], blocks) for clip in clips])

    def _of(self, model: TimeSformer, clip: Tensor, blocks: int) -> Tensor:
        key = hashlib.blake2b(clip.cpu().numpy().tobytes(), digest_size=16).digest()
        if key in self._known:
            return self._known[key].to(clip.device)
        tokens = lower(model, clip, blocks)
        if self.room >= tokens.nbytes:
            self.room -= tokens.nbytes
            self._known[key] = tokens.cpu()
        return tokens


def memory(config: TrainConfig) -> Memory:
    """For the validation videos, which every epoch sees alike."""
    again = config.kept_depth and config.engine.frozen_cache and config.optim.epochs > 1
    return Memory(SHARE * machine.memory() if again else 0)


class Parted(nn.Module):
    """A model whose frozen blocks always compute the same for a clip, called with clips or with what they computed."""

    def __init__(self, model: TimeSformer, config: TrainConfig, memory: Memory | None = None) -> None:
        super().__init__()
        self.model = model
        self.blocks = config.kept_depth
        self.grid = Grid(config.clip.frames, *config.model.grid)
        self.memory = memory or Memory()

    def forward(self, batch: Tensor, *, places: Tensor | None = None) -> Tensor:
        """Logits, from clips (b, t, c, h, w) or from their tokens after the frozen blocks (b, n, d).

        ``places`` are the patch positions that the other blocks see.
        """
        tokens = (
            batch if batch.ndim == TOKENS else torch.compiler.disable(self.memory.lower)(self.model, batch, self.blocks)
        )
        return self.model.upper(tokens.float(), self.grid, self.blocks, places=places)


class Store:
    """Rows of numbers, all of one shape, in memory or in a file that disappears with the process.

    They are kept in float32, or in bfloat16 where the training computes in half precision. Raises
    :class:`ConfigError` if neither memory nor the disk has room.
    """

    def __init__(self, rows: int, shape: tuple[int, ...], precision: str, folder: Path) -> None:
        kind = torch.bfloat16 if precision in ("bf16", "fp16") else torch.float32
        whole = (rows, *shape)
        self.bytes = prod(whole) * kind.itemsize
        fits = self.bytes <= SHARE * machine.memory()
        self.where = "in memory" if fits else "on disk"
        self.values = torch.empty(whole, dtype=kind) if fits else _mapped(self.bytes, folder).view(kind).view(whole)

    def write(self, rows: list[int], values: Tensor) -> None:
        """Set rows, (n, *shape)."""
        self.values[torch.tensor(rows, dtype=torch.int64)] = values.to("cpu", self.values.dtype)

    def read(self, rows: list[int]) -> Tensor:
        """A copy of rows, (n, *shape)."""
        return self.values[torch.tensor(rows, dtype=torch.int64)]


def _mapped(count: int, folder: Path) -> Tensor:
    """So many bytes of a new file in a folder, as a uint8 tensor; the system removes the file with the process."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            with suppress(AttributeError):  # a system that can't reserve space ends a write beyond the disk's
                os.posix_fallocate(file.fileno(), 0, count)
            return torch.from_numpy(np.memmap(file, np.uint8, mode="r+", shape=count))
    except OSError as error:
        taken = f"{count / 1e9:.1f} GB, more than a quarter of the memory"
        raise ConfigError(
            f"what the frozen blocks compute takes {taken}, and {folder} has no room for it ({error.strerror}); use "
            "fewer --augment.versions, or --engine.no-frozen-cache."
        ) from error
