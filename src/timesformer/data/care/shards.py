"""Data sets as tar files of videos, for many machines that read one after another instead of many small files.

The files are WebDataset shards: ``000000012.mp4`` beside ``000000012.json`` for each item, so other programs read them
too. An index beside them counts the items of each, which is what lets any number of processes share them out exactly.
"""

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import IO, TypeVar

import torch
from torch.utils.data import IterableDataset, get_worker_info

from timesformer.data.formats.shardlist import AGAIN, Shard, facts_of, members_of, pairs, shards_of
from timesformer.data.items import DataError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Sample:
    """One item with the bytes of its video."""

    key: str
    label: str | tuple[str, ...] | tuple[float, ...]
    target: int | tuple[float, ...]
    """What a model is to answer, as ``Manifest.target`` gives it."""
    group: str
    start: float | None
    end: float | None
    suffix: str
    """Of the video's name: ".mp4"."""
    video: bytes

    @contextmanager
    def file(self) -> Iterator[Path]:
        """The video as a file within the ``with``, for decoders that need to seek in one."""
        with tempfile.NamedTemporaryFile(suffix=self.suffix) as file:
            file.write(self.video)
            file.flush()
            yield Path(file.name)


def read(
    folder: Path,
    split: str,
    *,
    seed: int = 0,
    epoch: int = 0,
    shuffle: int = 0,
    rank: int = 0,
    ranks: int = 1,
) -> Iterator[Sample]:
    """Yield this process's share of a split: over all ranks and loader workers, each item comes exactly once.

    Shares differ by one item at most, whatever the sizes of the shards: each is one stretch of all shards in a row, so
    a process reads whole shards but for the ends. With ``shuffle`` above 0 the order of the shards and, among that
    many samples held in memory, the order of the items is drawn anew for each seed and epoch.
    """
    if not 0 <= rank < ranks:
        raise ValueError(f"rank {rank} of {ranks}; it must be at least 0 and below the number of ranks.")
    shards = list(shards_of(folder, split))
    worker = get_worker_info()
    slot, slots = (
        (rank, ranks) if worker is None else (rank * worker.num_workers + worker.id, ranks * worker.num_workers)
    )
    if shuffle > 0:
        random.Random(f"{seed} {epoch}").shuffle(shards)
    samples = _stretch(folder, shards, slot, slots)
    return _mixed(samples, shuffle, random.Random(f"{seed} {epoch} {slot} {slots}")) if shuffle > 0 else samples


class ShardDataset(IterableDataset[Result]):
    """The items of a split for a ``DataLoader``, which shares them out among its workers as well as the ranks.

    ``convert`` makes of a sample what the loader is to batch. Set ``epoch`` before each pass; workers that live on
    from pass to pass see it, too. The other arguments are those of :func:`read`.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        convert: Callable[[Sample], Result],
        *,
        seed: int = 0,
        shuffle: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.folder, self.split, self.convert = folder, split, convert
        self.seed, self.shuffle, self.rank, self.ranks = seed, shuffle, rank, ranks
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """The pass that the order of the items is drawn for."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, value: int) -> None:
        self._epoch.fill_(value)

    def __iter__(self) -> Iterator[Result]:
        samples = read(
            self.folder,
            self.split,
            seed=self.seed,
            epoch=self.epoch,
            shuffle=self.shuffle,
            rank=self.rank,
            ranks=self.ranks,
        )
        return map(self.convert, samples)


def webdataset_module() -> ModuleType:
    """The library; raises ImportError with what to install."""
    try:
        import webdataset
    except ImportError:
        raise ImportError("shards need webdataset; run: pip install 'timesformer[webdataset]'") from None
    return webdataset


def _stretch(folder: Path, shards: Sequence[Shard], slot: int, slots: int) -> Iterator[Sample]:
    """Samples of the slot's equal part of all shards, taken one after another in the given order."""
    total = sum(shard.count for shard in shards)
    low, high = total * slot // slots, total * (slot + 1) // slots
    passed = 0
    for shard in shards:
        first, last = max(low - passed, 0), min(high - passed, shard.count)
        if first < last:
            yield from _shard(folder / shard.file, shard.first + first, shard.first + last)
        passed += shard.count


def _shard(path: Path, first: int, last: int) -> Iterator[Sample]:
    """Samples ``first`` to ``last`` - 1 of a split from the tar file that has them."""
    members = members_of(path)
    items = [(facts, video) for stem, facts, video in pairs(members) if stem in range(first, last)]
    if len(items) != last - first:
        raise DataError(f"{path} holds {len(items)} of its items {first} to {last - 1}; write the shards again.")
    try:
        with path.open("rb") as file:
            for facts, video in items:
                yield _sample(f"{path}/{facts}", _bytes(file, members[facts]), video, _bytes(file, members[video]))
    except OSError as error:
        raise DataError(f"{path} can't be read ({error.strerror or error}); {AGAIN}.") from error


def _bytes(file: IO[bytes], where: tuple[int, int]) -> bytes:
    file.seek(where[0])
    return file.read(where[1])


def _sample(where: str, text: bytes, name: str, video: bytes) -> Sample:
    facts = facts_of(text, where=where)
    target = facts["target"]
    return Sample(
        facts["key"],
        tuple(facts["label"]) if isinstance(facts["label"], list) else facts["label"],
        tuple(target) if isinstance(target, list) else target,
        facts["group"],
        facts["start"],
        facts["end"],
        suffix=f".{name.rpartition('.')[2]}",
        video=video,
    )


def _mixed(samples: Iterator[Sample], size: int, draw: random.Random) -> Iterator[Sample]:
    """Samples in random order: each is drawn from the ``size`` that come next."""
    held = list(islice(samples, size))
    for sample in samples:
        place = draw.randrange(len(held))
        yield held[place]
        held[place] = sample
    draw.shuffle(held)
    yield from held
