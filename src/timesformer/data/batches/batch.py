"""What a data set gives to a training: clips with their targets, and the videos that could not be read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Broken:
    """A video that could not be read, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class Sample:
    """A clip with its target."""

    key: str
    clip: Tensor
    """Normalised floats (t, c, h, w)."""
    target: Tensor
    """A class number; float32 (outputs,) for several labels; or float64 (outputs,) for numbers to predict."""
    damage: str = ""
    """The frames that could not be decoded and were replaced by others of the video; empty for none."""


@dataclass(frozen=True)
class Batch:
    """Clips that decoded, and the videos that did not."""

    clips: Tensor
    """Normalised floats (b, t, c, h, w); b is smaller, down to 0, where videos are broken."""
    targets: Tensor
    """Class numbers (b,); float32 (b, outputs) for several labels; or float64 (b, outputs) for numbers to predict."""
    broken: tuple[Broken, ...]
    """Videos left out of the batch."""
    damaged: tuple[Broken, ...] = ()
    """Videos in the batch although part of them does not decode."""

    def pin_memory(self) -> "Batch":
        """Copy the batch to page-locked memory, from which copies to a GPU are asynchronous."""
        return replace(self, clips=self.clips.pin_memory(), targets=self.targets.pin_memory())


def joined(parts: Sequence[Batch]) -> Batch:
    """Concatenate one or more batches."""
    return Batch(
        clips=torch.cat([part.clips for part in parts]),
        targets=torch.cat([part.targets for part in parts]),
        broken=tuple(video for part in parts for video in part.broken),
        damaged=tuple(video for part in parts for video in part.damaged),
    )
