"""Training clips in batches, each a pure function of the seed, the epoch and its place: any run can be resumed."""

import hashlib
import math
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from timesformer import machine
from timesformer.config.checks import ConfigError
from timesformer.config.training import TrainConfig
from timesformer.data.batches import loaders
from timesformer.data.batches.targets import target
from timesformer.data.items import Item
from timesformer.data.manifest import Manifest
from timesformer.video import augment, memory, reader, sampling
from timesformer.video.decoder import tars
from timesformer.video.views import frame_range

Place = tuple[int, int, int]
"""Epoch, repeat within the epoch, and position in the list of items."""
FILLED = 0.9
"""Share of the memory that decoded frames may fill."""
WINDOW = 4
"""Shards whose items are mixed with one another: thousands of clips, yet few enough files for caches and read-ahead."""


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
    """A class number, floats (outputs,) for several labels, or doubles (outputs,) for numbers to predict."""
    damage: str = ""
    """What does not decode of the video, where others of its frames stand in."""


@dataclass(frozen=True)
class Batch:
    """Clips that decoded, and the videos that did not."""

    clips: Tensor
    """Normalised floats (b, t, c, h, w); b may be smaller than asked for, or 0."""
    targets: Tensor
    """Class numbers (b,), floats (b, outputs) for several labels, or doubles (b, outputs) for numbers to predict."""
    broken: tuple[Broken, ...]
    """Videos left out of the batch."""
    damaged: tuple[Broken, ...] = ()
    """Videos in the batch although part of them does not decode."""

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory, for copies to a GPU that don't wait."""
        return replace(self, clips=self.clips.pin_memory(), targets=self.targets.pin_memory())


@dataclass(frozen=True)
class Video:
    """One item's decoded frames, held in memory."""

    frames: Tensor
    """uint8 (n, c, h, w) of the item's whole stretch."""
    fps: float
    damage: str = ""
    """What of it does not decode."""
    times: NDArray[np.float64] | None = None
    """Seconds at which each frame begins to be shown, where the rate varies."""


def order(
    count: int, *, epoch: int, repeats: int, batch: int, seed: int, shards: Sequence[int] = ()
) -> list[list[Place]]:
    """Batches of one epoch, over all processes: every item ``repeats`` times in random order, the last part dropped.

    ``shards`` are the tar files that the items lie in, as :func:`shards_of_items` numbers them: what is read in turn
    then lies together. With fewer places than a batch holds there is one smaller batch.
    """
    generator = torch.Generator().manual_seed(mixed(seed, epoch))
    drawn = (
        _by_shards(shards, repeats, generator)
        if shards
        else torch.randperm(count * repeats, generator=generator).tolist()
    )
    places = [(epoch, number // count, number % count) for number in drawn]
    full = max(len(places) // batch, 1)
    return [places[start * batch : (start + 1) * batch] for start in range(full)]


def shards_of_items(items: Sequence[Item]) -> tuple[int, ...]:
    """Number the tar file of each item, in order of name; empty where not all items lie in tar files."""
    folders = {item.path.parent: item.path for item in items}
    files = {folder: tars.containing(path) for folder, path in folders.items()}
    known = {file for file in files.values() if file is not None}
    if None in files.values():
        return ()
    numbers = {file: number for number, file in enumerate(sorted(known))}
    return tuple(numbers[file] for item in items if (file := files[item.path.parent]) is not None)


def _by_shards(shards: Sequence[int], repeats: int, generator: torch.Generator) -> list[int]:
    """Positions plus the count for each repeat: all shards in random order, and :data:`WINDOW` of them mixed at a time.

    Each repeat is a pass of its own, so that an item comes again only after all others.
    """
    lying: dict[int, list[int]] = defaultdict(list)
    for position, shard in enumerate(shards):
        lying[shard].append(position)
    drawn: list[int] = []
    for repeat in range(repeats):
        turn = torch.randperm(len(lying), generator=generator).tolist()
        for start in range(0, len(turn), WINDOW):
            window = [position for shard in turn[start : start + WINDOW] for position in lying[shard]]
            mix = torch.randperm(len(window), generator=generator).tolist()
            drawn += [repeat * len(shards) + window[place] for place in mix]
    return drawn


class TrainingClips(Dataset[Sample | Broken]):
    """Random clips of training items, each with its target, indexed by :data:`Place`.

    ``cache`` holds what :func:`decode_all` made of the items; without it their files are read each time.
    """

    def __init__(
        self,
        manifest: Manifest,
        items: Sequence[Item],
        config: TrainConfig,
        *,
        cache: Sequence[Video | Broken] | None = None,
    ) -> None:
        self.items = items
        self.shards = shards_of_items(items)
        self.targets = [target(manifest, item) for item in items]
        self.config = config
        self.cache = cache
        self.given_up: dict[int, str] = {}
        """Positions of items that are not tried again, and why."""

    def __getitem__(self, place: Place) -> Sample | Broken:
        epoch, repeat, position = place
        generator = torch.Generator().manual_seed(mixed(self.config.engine.seed, epoch, repeat, position))
        key = self.items[position].key
        if position in self.given_up:
            return Broken(key, self.given_up[position])
        try:
            with memory.named(self.items[position].path):
                frames, damage = self._frames(position, generator)
                clip = augment.training_clip(frames, self.config.clip, self.config.augment, generator=generator)
        except reader.VideoError as error:
            return Broken(key, error.reason)
        return Sample(key, clip, self.targets[position], damage)

    def batch(self, samples: Sequence[Sample | Broken]) -> Batch:
        """What came of the places of a batch, put together."""
        good = [sample for sample in samples if isinstance(sample, Sample)]
        clip = self.config.clip
        blank = torch.empty(0, clip.frames, 3, *clip.frame_size), self.targets[0][None][:0]
        return Batch(
            clips=loaders.handed_over(torch.stack([sample.clip for sample in good]) if good else blank[0]),
            targets=torch.stack([sample.target for sample in good]) if good else blank[1],
            broken=tuple(sample for sample in samples if isinstance(sample, Broken)),
            damaged=tuple(Broken(sample.key, sample.damage) for sample in good if sample.damage),
        )

    def _frames(self, position: int, generator: torch.Generator) -> tuple[Tensor, str]:
        """Frames of a random clip, uint8 (t, c, h, w), and what of them or of the file does not decode."""
        clip = self.config.clip
        item = self.items[position]
        if self.cache is not None:
            video = self.cache[position]
            if isinstance(video, Broken):
                raise reader.VideoError(item.path, video.reason)
            numbers = sampling.training(len(video.frames), video.fps, clip, generator=generator, times=video.times)
            return video.frames[numbers], video.damage
        info = reader.info(item.path)
        found = frame_range(info, item.start, item.end)
        numbers = found.first + sampling.training(found.frames, found.fps, clip, generator=generator, times=found.times)
        side = short_side(self.config, (info.height, info.width))
        if side is None:
            memory.check_frames(item.path, len(numbers), (info.height, info.width))
        read = reader.read_noted(item.path, numbers, short_side=side)
        return read.pixels, "; ".join(read.notes)


def batches(
    clips: TrainingClips, places: Iterable[Sequence[Place]], *, workers: int, pin: bool = False
) -> Iterator[Batch]:
    """Batches of clips in the given order, decoded by worker processes or, with 0 workers, here."""
    return loaders.started(
        DataLoader(
            clips,
            batch_sampler=places,  # type: ignore[arg-type]
            num_workers=workers,
            collate_fn=clips.batch,
            pin_memory=pin,
            worker_init_fn=loaders.begin,
        )
    )


def joined(parts: Sequence[Batch]) -> Batch:
    """Batches as one; of at least one."""
    return Batch(
        clips=torch.cat([part.clips for part in parts]),
        targets=torch.cat([part.targets for part in parts]),
        broken=tuple(video for part in parts for video in part.broken),
        damaged=tuple(video for part in parts for video in part.damaged),
    )


def short_side(config: TrainConfig, size: tuple[int, int]) -> int | None:
    """Short side in pixels that no training crop needs more of, of frames with a height and width.

    None where a crop may be any part of a frame.
    """
    if config.augment.crop == "resized":
        return None
    needed = max(side * min(size) / length for side, length in zip(config.clip.frame_size, size, strict=True))
    return round(needed * config.augment.jitter[1])


def decode_all(
    items: Sequence[Item], config: TrainConfig, *, progress: Callable[[], None] = lambda: None
) -> list[Video | Broken]:
    """Every item's frames at the training size, in order, for a data set that fits into memory.

    ``progress`` is called in this thread after each item; what it raises ends the decoding. Raises ConfigError once the
    items decoded and at hand take more than the memory of this process.
    """
    room = machine.memory() * FILLED // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    taken, counting = 0, threading.Lock()

    def take(count: float) -> None:
        nonlocal taken
        with counting:
            taken += int(count)
            if taken > room:
                raise ConfigError(
                    f"cache is on, but the frames of the {len(items)} videos take more than the {room / 2**30:.1f} GiB "
                    "of memory that there is for them; use --engine.cache off, or shorter and smaller videos "
                    "(timesformer prepare DATA OUT)."
                )

    def one(item: Item) -> Video | Broken:
        try:
            info = reader.info(item.path)
            found = frame_range(info, item.start, item.end)
            side = short_side(config, (info.height, info.width))
            scale = min((side or math.inf) / min(info.height, info.width), 1)
            take(found.frames * 3 * info.height * info.width * scale**2)
            with memory.named(item.path):
                read = reader.read_noted(item.path, range(found.first, found.first + found.frames), short_side=side)
            return Video(read.pixels, found.fps, "; ".join(read.notes), found.times)
        except reader.VideoError as error:
            return Broken(item.key, error.reason)

    decoded: list[Video | Broken] = []
    with ThreadPoolExecutor(machine.cores()) as threads:
        try:
            for video in threads.map(one, items):
                decoded.append(video)
                progress()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
    return decoded


def fingerprint(manifest: Manifest, items: Sequence[Item]) -> str:
    """A short text that another list of items, other targets of them, or another order to read them in would change."""
    text = repr([(item.key, manifest.target(item)) for item in items])
    if shards := shards_of_items(items):
        text += repr(shards)
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def mixed(*numbers: int) -> int:
    """One seed from several numbers, so that neighbouring places get unrelated draws."""
    digest = hashlib.blake2b("/".join(map(str, numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1
