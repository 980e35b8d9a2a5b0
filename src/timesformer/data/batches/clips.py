"""A map-style dataset of clips, for a DataLoader and a training loop of your own."""

import math
import operator
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.training import AugmentConfig, EngineConfig, Task, TrainConfig
from timesformer.data import manifest
from timesformer.data.batches.batch import Broken
from timesformer.data.batches.dataset import TrainingClips
from timesformer.data.manifest import Manifest
from timesformer.video import views
from timesformer.video.reader import VideoError


class ClipDataset(Dataset[tuple[Tensor, Tensor]]):
    """A map-style dataset: ``dataset[i]`` is a clip, float ``(t, c, h, w)`` and normalised, and its target.

    ``data`` is a folder or list of videos, or a :class:`Manifest`; ``split`` is "train", "val", "test" or "all". With
    ``augment`` clips are random, as in training: a pure function of ``seed``, the epoch (:meth:`set_epoch`) and the
    index, for any number of workers and start method. Without it each video has its one middle clip,
    as in evaluation. Targets are class numbers (int64), or floats ``(outputs,)`` for several labels and numbers to
    predict; ``labels`` gives a model's class names where the data is to follow them.

    ``dataset.labels`` are the class names, ``dataset.items`` the videos. Raises :class:`DataError` for a data set that
    can't be used, and from ``dataset[i]`` :class:`VideoError` for a video that can't be read.
    """

    def __init__(
        self,
        data: str | Path | Manifest,
        *,
        split: str = "train",
        clip: ClipConfig | None = None,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        task: Task = "classes",
        labels: tuple[str, ...] | None = None,
    ) -> None:
        table = data if isinstance(data, Manifest) else manifest.load(data, task=task, labels=labels)
        clip = clip or ClipConfig()
        # of the model, the clips depend only on its input size
        seen = ModelConfig(frames=clip.frames, size=clip.size, patch=math.gcd(*clip.frame_size))
        config = TrainConfig(
            model=seen, clip=clip, augment=augment or AugmentConfig(), engine=EngineConfig(seed=seed), task=table.task
        )
        self.labels = table.labels
        self.items = table.of(split)
        self.clip = clip
        self.augment = augment
        self._clips = TrainingClips(table, self.items, config)
        # in shared memory, so that persistent workers see it too, also spawned ones
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"index {position} of a dataset of {len(self)} clips; it must lie within it.")
        position %= len(self)
        item = self.items[position]
        if self.augment is None:
            seen = views.read_views(item.path, self.clip, start=item.start, end=item.end)
            return seen[0], self._clips.targets[position]
        sample = self._clips[int(self._epoch), 0, position]
        if isinstance(sample, Broken):
            raise VideoError(item.path, sample.reason)
        return sample.clip, sample.target

    def set_epoch(self, epoch: int) -> None:
        """Draw new random clips; call it before each pass over the data."""
        self._epoch.fill_(epoch)
