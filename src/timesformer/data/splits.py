"""Choose training, validation and test videos: reproducible, stratified, and without splitting a group."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from timesformer.data.items import SPLITS, DataError, Item, some


def _strata(item: Item) -> tuple[str, ...]:
    """Return the strata of an item: its class, its labels, or one stratum for all in a regression."""
    if isinstance(item.label, str):
        return (item.label,)
    return tuple(label for label in item.label if isinstance(label, str)) or ("",)


def _rank(unit: str, seed: int) -> bytes:
    """Return a sort key for a random order that depends on the unit's name and the seed only."""
    return hashlib.sha256(f"{seed} {unit}".encode(errors="surrogateescape")).digest()


def _distance(held: Counter[str], goal: dict[str, float], unit: Counter[str], sign: int) -> float:
    """Return the relative distance of the held-out class counts from the goal after adding the unit ``sign`` times."""
    return sum(abs(held[name] + sign * unit[name] - goal[name]) / goal[name] for name in unit)


def _choose(units: dict[str, Counter[str]], *, share: float, seed: int) -> set[str]:
    """Choose the units to hold out: in random order, each one that brings the classes nearer to ``share``.

    A class without a unit then gets the one that fits best. A unit is never chosen if it is the last of a class.
    """
    total: Counter[str] = Counter()
    left: Counter[str] = Counter()
    having: defaultdict[str, list[str]] = defaultdict(list)
    for counts in units.values():
        total.update(counts)
        left.update(counts.keys())
    goal = {name: max(1.0, round(share * count)) for name, count in total.items()}
    order = sorted(units, key=lambda unit: _rank(unit, seed))
    for unit in order:
        for name in units[unit]:
            having[name].append(unit)
    held: Counter[str] = Counter()
    chosen: set[str] = set()

    def free(unit: str) -> bool:
        return unit not in chosen and all(left[name] > 1 for name in units[unit])

    def hold(unit: str) -> None:
        chosen.add(unit)
        held.update(units[unit])
        left.subtract(units[unit].keys())

    for unit in order:
        if free(unit) and _distance(held, goal, units[unit], 1) < _distance(held, goal, units[unit], 0):
            hold(unit)
    for name in sorted(total, key=lambda name: (total[name], name)):
        candidates = [] if held[name] else [unit for unit in having[name] if free(unit)]
        if candidates:
            hold(min(candidates, key=lambda unit: _distance(held, goal, units[unit], 1)))
    return chosen


def hold_out(items: Sequence[Item], *, share: float = 0.2, seed: int = 0) -> tuple[Item, ...]:
    """Return the items with split "val" for about ``share`` of every class and "train" for the rest.

    The choice depends on names, labels, groups, share and seed only, not on the order of the items or the path of the
    folder. Groups stay together, and so do the time ranges of a video without a group. Every class with two units or
    more gets a validation item, unless another class would have none left for training.
    Raises :class:`DataError` if nothing can be held out.
    """
    if not 0 < share < 1:
        raise DataError(f"the validation share is {share}; it must lie between 0 and 1.")
    units: dict[str, Counter[str]] = {}
    for item in items:
        units.setdefault(item.unit, Counter()).update(_strata(item))
    chosen = _choose(units, share=share, seed=seed)
    if not chosen:
        raise DataError(
            f"no validation videos can be set aside: among {len(items)} videos no class has two that aren't in one "
            "group; add videos, or write the splits into a table (path,label,split)."
        )
    return tuple(replace(item, split="val" if item.unit in chosen else "train") for item in items)


def complete(items: Sequence[Item], *, share: float = 0.2, seed: int = 0) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    """Give every item a split, and return notes about what was chosen.

    Given splits are kept. Without splits, or with training but no validation, validation items are taken from training.
    Where only "val" or only "test" is given, nothing changes. Raises :class:`DataError` if only some items have one.
    """
    present = {item.split for item in items}
    if "" in present and len(present) > 1:
        bare = [item.key for item in items if not item.split]
        raise DataError(
            f"{len(bare)} of {len(items)} videos have no split: {some(bare)}; give a split to all, or to none."
        )
    notes = []
    if not present & {"val", "test"} or present == {"train", "test"}:
        divided = hold_out([item for item in items if item.split != "test"], share=share, seed=seed)
        count = sum(item.split == "val" for item in divided)
        notes.append(f"no validation split: {count} of {len(divided)} training videos validate (seed {seed})")
        notes.extend(_unvalidated(divided))
        following = iter(divided)
        items = [item if item.split == "test" else next(following) for item in items]
    if not any(item.split == "test" for item in items):
        notes.append("no test split: test is the validation split")
    return tuple(items), tuple(notes)


def _unvalidated(items: Sequence[Item]) -> list[str]:
    names = {split: {s for i in items if i.split == split for s in _strata(i)} for split in SPLITS}
    missing = sorted(names["train"] - names["val"])
    return [f"too few videos or groups to validate {some(missing)}"] if missing else []


def shared(items: Sequence[Item]) -> tuple[str, ...]:
    """Return a note for every pair of splits that share groups, or time ranges of one video.

    Such scores are higher than on new people, places or recordings.
    """
    notes = []
    for index, first in enumerate(SPLITS):
        for second in SPLITS[index + 1 :]:
            for what, name in (("group", lambda item: item.group), ("video", lambda item: item.name)):
                sides = [{name(item) for item in items if item.split == split} for split in (first, second)]
                if common := sorted((sides[0] & sides[1]) - {""}):
                    count = f"{len(common)} {what}{'s' if len(common) > 1 else ''}"
                    notes.append(f"{first} and {second} share {what} {some(common)} ({count})")
    return tuple(notes)
