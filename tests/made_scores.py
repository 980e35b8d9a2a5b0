"""Videos of one grey and a model that answers with it: scores that a test can work out by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tests.made_videos import encode
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.training import Task
from timesformer.data.items import Item
from timesformer.model.transformer import TimeSformer
from timesformer.weights.checkpoint import Checkpoint

CLIP = ClipConfig(frames=2, sampling="segments", size=16, mean=(0, 0, 0), std=(1, 1, 1))


class Grey(nn.Module):
    """Logits (b, 3) of a clip: 4 times its mean grey between 0 and 1, 1, and the grey of its first frame."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(4.0))
        self.sizes: list[int] = []

    def forward(self, clips: Tensor) -> Tensor:
        self.sizes.append(len(clips))
        mean = clips.mean(dim=(1, 2, 3, 4))
        return torch.stack([self.factor * mean, torch.ones_like(mean), clips[:, 0].mean(dim=(1, 2, 3))], dim=1)


def write_grey(path: Path, *greys: int, size: tuple[int, int] = (16, 16)) -> Path:
    """Write a video with a frame of each grey, 0 to 255, and return its path; ``size`` is width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = (np.full((size[1], size[0], 3), grey, dtype=np.uint8) for grey in greys)
    options = {"preset": "veryfast", "crf": "1", "g": "1"}
    return encode(path, pictures, [number / 10 for number in range(len(greys))], fps=10, options=options)


def grey_items(folder: Path, greys: Sequence[int]) -> list[Item]:
    """Items of videos of two frames of each grey; the label says the grey."""
    return [
        Item(write_grey(folder / f"{number}.mp4", grey, grey), f"grey {grey}", "test", name=f"{number}.mp4")
        for number, grey in enumerate(greys)
    ]


def tiny(labels: tuple[str, ...] = (), *, classes: int = 3, task: Task = "classes") -> Checkpoint:
    """A checkpoint of a tiny transformer for CLIP, with random values in every tensor."""
    torch.manual_seed(0)
    model = TimeSformer(ModelConfig(frames=2, size=16, patch=8, width=8, depth=1, heads=2, classes=classes))
    for value in model.parameters():
        nn.init.normal_(value)
    return Checkpoint(model, CLIP, labels=labels, task=task, about="made for a test")
