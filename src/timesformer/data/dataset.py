"""Training clips in batches, each a pure function of the seed, the epoch and its place: any run can be resumed."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from timesformer.config import TrainConfig
from timesformer.data.items import Item
from timesformer.data.manifest import Manifest
from timesformer.video import augment, reader, sampling
from timesformer.video.reader import VideoError
from timesformer.video.views import stretch

Place = tuple[int, int, int]
"""Epoch, repeat within the epoch, and position in the list of items."""


@dataclass(frozen=True)
class Broken:
    """A video that could not be read, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """Clips that decoded, and the videos that did not."""

    clips: Tensor
    """Normalised floats (b, t, c, h, w); b may be smaller than asked for, or 0."""
    targets: Tensor
    """Class numbers (b,), or floats (b, outputs) for several labels and numbers to predict."""
    broken: tuple[Broken, ...]

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory, for copies to a GPU that don't wait."""
        return Batch(self.clips.pin_memory(), self.targets.pin_memory(), self.broken)


@dataclass(frozen=True)
class Video:
    """One item's decoded frames, held in memory."""

    frames: Tensor
    """uint8 (n, c, h, w) of the item's whole stretch."""
    fps: float


def order(count: int, *, epoch: int, repeats: int, batch: int, seed: int) -> list[list[Place]]:
    """Batches of one epoch, over all processes: every item ``repeats`` times in random order, the last part dropped.

    With fewer places than a batch holds there is one smaller batch.
    """
    generator = torch.Generator().manual_seed(mixed(seed, epoch))
    drawn = torch.randperm(count * repeats, generator=generator).tolist()
    places = [(epoch, number // count, number % count) for number in drawn]
    full = max(len(places) // batch, 1)
    return [places[start * batch : (start + 1) * batch] for start in range(full)]


class TrainingClips(Dataset[tuple[Tensor, Tensor] | Broken]):
    """Random clips of training items: indexed by :data:`Place`, normalised float (t, c, s, s) with its target."""

    def __init__(
        self, manifest: Manifest, items: Sequence[Item], config: TrainConfig, *, cache: Sequence[Video] | None = None
    ) -> None:
        self.items = items
        self.targets = [torch.tensor(manifest.target(item)) for item in items]
        self.config = config
        self.cache = cache

    def __getitem__(self, place: Place) -> tuple[Tensor, Tensor] | Broken:
        epoch, repeat, position = place
        generator = torch.Generator().manual_seed(mixed(self.config.engine.seed, epoch, repeat, position))
        try:
            frames = self._frames(position, generator)
        except VideoError as error:
            return Broken(self.items[position].key, error.reason)
        clip = augment.training_clip(frames, self.config.clip, self.config.augment, generator=generator)
        return clip, self.targets[position]

    def _frames(self, position: int, generator: torch.Generator) -> Tensor:
        clip = self.config.clip
        if self.cache is not None:
            video = self.cache[position]
            return video.frames[sampling.training(len(video.frames), video.fps, clip, generator=generator)]
        item = self.items[position]
        info = reader.info(item.path)
        first, count = stretch(info, item.start, item.end)
        numbers = first + sampling.training(count, info.fps, clip, generator=generator)
        return reader.read(item.path, numbers, short_side=short_side(self.config))


def batches(
    clips: TrainingClips, places: Sequence[Sequence[Place]], *, workers: int, pin: bool = False
) -> Iterator[Batch]:
    """Batches of clips in the given order, decoded by worker processes or, with 0 workers, here."""
    return iter(
        DataLoader(
            clips,
            batch_sampler=places,  # type: ignore[arg-type]
            num_workers=workers,
            collate_fn=_collate,
            pin_memory=pin,
            worker_init_fn=_one_thread,
        )
    )


def short_side(config: TrainConfig) -> int | None:
    """Short side in pixels that no training crop needs more of; None where a crop may be any part of a frame."""
    if config.augment.crop == "resized":
        return None
    return round(config.clip.size * config.augment.jitter[1])


def decode_all(
    items: Sequence[Item], config: TrainConfig, *, progress: Callable[[], None] = lambda: None
) -> list[Video | Broken]:
    """Every item's frames at the training size, in order, for a data set that fits into memory."""

    def one(item: Item) -> Video | Broken:
        try:
            info = reader.info(item.path)
            first, count = stretch(info, item.start, item.end)
            frames = reader.read(item.path, range(first, first + count), short_side=short_side(config))
            return Video(frames, info.fps)
        except VideoError as error:
            return Broken(item.key, error.reason)
        finally:
            progress()

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        return list(threads.map(one, items))


def _collate(samples: list[tuple[Tensor, Tensor] | Broken]) -> Batch:
    good = [sample for sample in samples if not isinstance(sample, Broken)]
    broken = tuple(sample for sample in samples if isinstance(sample, Broken))
    if not good:
        return Batch(torch.empty(0), torch.empty(0, dtype=torch.long), broken)
    return Batch(torch.stack([clip for clip, _ in good]), torch.stack([target for _, target in good]), broken)


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)


def mixed(*numbers: int) -> int:
    """One seed from several numbers, so that neighbouring places get unrelated draws."""
    digest = hashlib.blake2b("/".join(map(str, numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1
