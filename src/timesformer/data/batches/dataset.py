"""Training clips and their batches. Each clip is a pure function of the seed, the epoch and its position."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from timesformer.config.training import TrainConfig
from timesformer.data.batches import loaders
from timesformer.data.batches.batch import Batch, Broken, Sample
from timesformer.data.batches.cache import Video, short_side
from timesformer.data.batches.opposites import opposites
from timesformer.data.batches.order import Place, derived_seed, shards_of_items, version
from timesformer.data.batches.targets import target
from timesformer.data.items import Item
from timesformer.data.manifest import Manifest
from timesformer.video import augment, memory, reader, sampling
from timesformer.video.chance import uniform
from timesformer.video.views import frame_range


class TrainingClips(Dataset[Sample | Broken]):
    """Random clips of training items, each with its target, indexed by :data:`Place`.

    ``cache`` holds the decoded items (:func:`~timesformer.data.batches.cache.decode_all`); without it, each clip is
    read from its file. A clip that is mirrored or reversed in time has the label that the settings pair with its own.
    Raises :class:`ConfigError` for pairs that the data does not have.
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
        self.opposites = opposites(manifest, config.augment)
        self.config = config
        self.cache = cache
        self.given_up: dict[int, str] = {}
        """Indices of items that are not read again, and why."""

    def __getitem__(self, place: Place) -> Sample | Broken:
        position = place[2]
        generator = torch.Generator().manual_seed(derived_seed(self.config.engine.seed, *self._drawn_as(place)))
        key, label = self.items[position].key, self.targets[position]
        if position in self.given_up:
            return Broken(key, self.given_up[position])
        try:
            with memory.error_for(self.items[position].path):
                frames, damage = self._frames(position, generator)
                if self.opposites.reversible(label) and uniform(0, 1, generator) < 0.5:
                    frames, label = frames.flip(0), self.opposites.reversed(label)
                clip, mirrored = augment.training_clip(
                    frames, self.config.clip, self.config.augment, generator=generator
                )
        except reader.VideoError as error:
            return Broken(key, error.reason)
        return Sample(key, clip, self.opposites.mirrored(label) if mirrored else label, damage)

    def _drawn_as(self, place: Place) -> Place:
        """The place whose random numbers a place takes: its own, or where versions are fixed that of its version."""
        versions = self.config.augment.versions
        return (0, version(place, self.config.optim.repeats, versions), place[2]) if versions else place

    def batch(self, samples: Sequence[Sample | Broken]) -> Batch:
        """Collate samples into a batch; broken videos are listed beside."""
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
        """Return the frames of a random clip, uint8 (t, c, h, w), and a note on frames that could not be decoded."""
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
    """Yield batches of clips in the given order, decoded by worker processes or, with 0 workers, by this one."""
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
