"""What a report says of the data: classes, splits, durations, leaks, and frames of a few videos."""

import hashlib
import os
import statistics
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch

from timesformer.config.tasks import FACTS
from timesformer.data.items import SPLITS, Item, counted, some
from timesformer.data.manifest import Manifest
from timesformer.data.splits import shared
from timesformer.pictures.report.values import Frames
from timesformer.video import memory, reader
from timesformer.video.reader import VideoError
from timesformer.video.views import frame_range

LOOKED_AT = 48
"""Videos whose durations and sizes are read."""
SAMPLED = 12
"""Videos of which frames are shown, each of another class."""
STRIP, SIDE = 4, 112
"""Frames that are shown of each, and their short side in pixels."""
HASHED = 2**28
"""Bytes that are read at most to find files of the same bytes."""


@dataclass(frozen=True)
class Looked:
    """What a sample of the videos shows."""

    seconds: tuple[float, ...]
    sizes: tuple[str, ...]
    """Sizes of frames, the most common first."""
    rates: tuple[str, ...]
    """Frames per second, the most common first."""
    unreadable: int


def look(items: Sequence[Item]) -> Looked:
    """Durations and sizes of an evenly spaced sample of videos."""
    seconds, sizes, rates, unreadable = [], [], [], 0
    for item in items[:: -(-len(items) // LOOKED_AT)]:
        try:
            info = reader.info(item.path)
            found = frame_range(info, item.start, item.end)
        except (VideoError, OSError):
            unreadable += 1
            continue
        whole = found.frames == info.frames
        seconds.append(info.duration if whole else found.frames / found.fps)
        sizes.append(f"{info.width} x {info.height}")
        rates.append(f"{info.fps:.4g}")
    return Looked(tuple(seconds), _commonest(sizes), _commonest(rates), unreadable)


def sentences(table: Manifest, seen: Looked) -> tuple[str, ...]:
    """The data in sentences: how many videos, how long, and what leaks."""
    counts = ", ".join(f"{len(table.of(split))} {split}" for split in table.splits)
    groups = len({item.group for item in table.items if item.group})
    several = f", in {counted(groups, 'group')}" if groups else ", without groups"
    lines = [f"{counted(len(table.items), 'video')}: {counts}{several}."]
    if seen.seconds:
        low, middle, high = min(seen.seconds), statistics.median(seen.seconds), max(seen.seconds)
        lines.append(
            f"{low:.3g} to {high:.3g} seconds long, {middle:.3g} in the middle; {some(list(seen.sizes))} pixels; "
            f"{some(list(seen.rates))} frames per second (in the {counted(len(seen.seconds), 'video')} looked at)."
        )
    if seen.unreadable:
        lines.append(f"{seen.unreadable} of the videos that were looked at can't be read now.")
    return tuple(lines)


def leaks(table: Manifest) -> tuple[str, ...]:
    """What splits share: groups, time ranges of one video, and files of the same bytes."""
    return (*shared(table.items), *_same_bytes(table.items))


def rows(table: Manifest) -> tuple[tuple[str, ...], ...]:
    """Each class with its videos in every split that has any; empty for a regression."""
    if FACTS[table.task].numeric:
        return ()
    each = [table.class_counts(split) for split in table.splits]
    return tuple((name, *(str(counts[number]) for counts in each)) for number, name in enumerate(table.labels))


def samples(table: Manifest) -> tuple[tuple[str, Frames], ...]:
    """Frames of a training video of each class, of at most :data:`SAMPLED`."""
    chosen: dict[str, Item] = {}
    for item in table.of("train") if "train" in table.splits else table.items:
        chosen.setdefault(_name(item, table), item)
    found = []
    for name, item in list(chosen.items())[:SAMPLED]:
        if (strip := frames(item)) is not None:
            found.append((name, strip))
    return tuple(found)


def frames(item: Item, *, count: int = STRIP) -> Frames | None:
    """Evenly spaced frames of an item; None where it can't be read."""
    try:
        with memory.error_for(item.path):
            info = reader.info(item.path)
            found = frame_range(info, item.start, item.end)
            numbers = [found.first + (2 * part + 1) * found.frames // (2 * count) for part in range(count)]
            pixels = reader.read(item.path, numbers, short_side=SIDE)
    except (VideoError, OSError):
        return None
    times = tuple(f"{info.times[number]:.2f} s" for number in numbers)
    return Frames(list(pixels.permute(0, 2, 3, 1).numpy()), times)


def denormalised(clip: torch.Tensor, mean: Sequence[float], std: Sequence[float], *, bgr: bool) -> torch.Tensor:
    """Pixels of a normalised clip (t, 3, h, w): uint8 (t, h, w, 3)."""
    scale, shift = (torch.tensor(values)[:, None, None] for values in (std, mean))
    pixels = ((clip * scale + shift) * 255).round().clamp(0, 255).byte()
    return (pixels.flip(1) if bgr else pixels).permute(0, 2, 3, 1).contiguous()


def _name(item: Item, table: Manifest) -> str:
    if isinstance(item.label, str):
        return item.label
    if FACTS[table.task].numeric:
        return item.key
    return " + ".join(map(str, item.label)) or "no label"


def _same_bytes(items: Sequence[Item]) -> list[str]:
    """A note for each pair of splits with files of the same bytes under two names."""
    sizes: dict[int, dict[str, Item]] = defaultdict(dict)
    for item in items:
        with suppress(OSError):
            if item.path.is_file():
                sizes[item.path.stat().st_size].setdefault(os.fspath(item.path), item)
    alike: dict[str, list[Item]] = defaultdict(list)
    left = HASHED
    for size, files in sizes.items():
        if len({item.split for item in files.values()}) < 2 or size * len(files) > left:
            continue
        left -= size * len(files)
        for item in files.values():
            with suppress(OSError):
                alike[hashlib.blake2b(item.path.read_bytes()).hexdigest()].append(item)
    notes = []
    for place, first in enumerate(SPLITS):
        for second in SPLITS[place + 1 :]:
            both = [group for group in alike.values() if {first, second} <= {item.split for item in group}]
            if both:
                pairs = [" = ".join(item.key for item in group[:2]) for group in both]
                notes.append(
                    f"{first} and {second} share {counted(len(both), 'video')} of the same bytes: {some(pairs)}"
                )
    return notes


def _commonest(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values), key=lambda value: (-values.count(value), value)))
