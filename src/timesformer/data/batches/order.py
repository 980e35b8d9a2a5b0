"""The order of an epoch's clips: a pure function of the seed and the epoch, so that any run can be resumed."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import torch

from timesformer.data.items import Item
from timesformer.data.manifest import Manifest
from timesformer.video.decoder import tars

Place = tuple[int, int, int]
"""Epoch, repeat within the epoch, and index in the list of items."""


WINDOW = 4
"""Shards that are shuffled together: thousands of clips, yet few enough files for the system's read-ahead and cache."""


def epoch_order(
    count: int, *, epoch: int, repeats: int, batch: int, seed: int, shards: Sequence[int] = ()
) -> list[list[Place]]:
    """Return the batches of one epoch, over all processes: every item ``repeats`` times, in random order.

    An incomplete last batch is dropped, unless it is the only one. ``shards`` are the numbers of the tar files that
    the items lie in (:func:`shards_of_items`); items of the same few shards are then read one after another.
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, epoch))
    drawn = (
        _by_shards(shards, repeats, generator)
        if shards
        else torch.randperm(count * repeats, generator=generator).tolist()
    )
    places = [(epoch, number // count, number % count) for number in drawn]
    full = max(len(places) // batch, 1)
    return [places[start * batch : (start + 1) * batch] for start in range(full)]


def version(place: Place, repeats: int, versions: int) -> int:
    """Which of a video's fixed random versions a place takes: all in turn, from epoch to epoch and repeat to repeat."""
    epoch, repeat, _ = place
    return (epoch * repeats + repeat) % versions


def shards_of_items(items: Sequence[Item]) -> tuple[int, ...]:
    """Return the number of each item's tar file, in order of their names; empty unless all items lie in tar files."""
    folders = {item.path.parent: item.path for item in items}
    files = {folder: tars.containing(path) for folder, path in folders.items()}
    known = {file for file in files.values() if file is not None}
    if None in files.values():
        return ()
    numbers = {file: number for number, file in enumerate(sorted(known))}
    return tuple(numbers[file] for item in items if (file := files[item.path.parent]) is not None)


def _by_shards(shards: Sequence[int], repeats: int, generator: torch.Generator) -> list[int]:
    """Return indices below ``repeats`` times the count: shards in random order, :data:`WINDOW` shuffled together.

    Each repeat is a full pass, so an item comes again only after all others.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for position, shard in enumerate(shards):
        members[shard].append(position)
    drawn: list[int] = []
    for repeat in range(repeats):
        turn = torch.randperm(len(members), generator=generator).tolist()
        for start in range(0, len(turn), WINDOW):
            window = [position for shard in turn[start : start + WINDOW] for position in members[shard]]
            mix = torch.randperm(len(window), generator=generator).tolist()
            drawn += [repeat * len(shards) + window[place] for place in mix]
    return drawn


def fingerprint(manifest: Manifest, items: Sequence[Item]) -> str:
    """Return a short hash of the items, their targets and their shards: a resumed run must have the same."""
    text = repr([(item.key, manifest.target(item)) for item in items])
    if shards := shards_of_items(items):
        text += repr(shards)
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def derived_seed(*numbers: int) -> int:
    """Hash several numbers into one seed, so that neighbouring clips get independent random numbers."""
    digest = hashlib.blake2b("/".join(map(str, numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1
