"""Classes that a mirror or reversed time exchanges: a mirrored "swipe left" is a "swipe right"."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from timesformer.config.checks import ConfigError, nearest
from timesformer.config.training import AugmentConfig
from timesformer.data.batches.targets import target
from timesformer.data.manifest import Manifest


@dataclass(frozen=True)
class Opposites:
    """The class that each class becomes when its clips are changed, int64 ``(classes,)``; None where none changes."""

    mirror: Tensor | None
    """Classes that no pair names keep their label."""
    reverse: Tensor | None
    """Classes that no pair names are -1: their clips are never reversed."""

    def mirrored(self, target: Tensor) -> Tensor:
        """Return the target of a clip that was mirrored; a target is a class number (), or floats (classes,)."""
        return target if self.mirror is None else _exchanged(target, self.mirror)

    def reversible(self, target: Tensor) -> bool:
        """Whether a clip may be reversed in time: it has a label, and pairs name all of its labels."""
        if self.reverse is None:
            return False
        present = target.nonzero().flatten() if target.ndim else target[None]
        return bool(len(present)) and bool((self.reverse[present] >= 0).all())

    def reversed(self, target: Tensor) -> Tensor:
        """Return the target of a clip that was reversed in time; only for one that is reversible."""
        return target if self.reverse is None else _exchanged(target, self.reverse)


def opposites(manifest: Manifest, augment: AugmentConfig) -> Opposites:
    """The pairs of the settings among the classes of the data.

    Raises :class:`ConfigError` for a name that is no class, and for a class in two pairs.
    """
    found = []
    for setting, other in (("mirror_labels", None), ("reverse_labels", -1)):
        pairs = getattr(augment, setting)
        found.append(_table(partners(pairs, manifest.labels, setting), len(manifest.labels), other) if pairs else None)
    return Opposites(*found)


def partners(pairs: Sequence[str], labels: Sequence[str], setting: str) -> dict[int, int]:
    """The class that each named class becomes, by number, both ways; pairs are texts such as "left=right".

    Raises :class:`ConfigError`, with the name of the ``setting``, for a name that is no class and for a class in two
    pairs.
    """
    numbers = {name: number for number, name in enumerate(labels)}
    found: dict[int, int] = {}
    for pair in pairs:
        one, other = _names(pair, labels)
        for name in (one, other):
            if name not in numbers:
                near = nearest(name, labels)
                hint = f"did you mean {near!r}?" if near else f"classes are {', '.join(labels):.200}."
                raise ConfigError(f"{setting} names {name!r}, which is no class of the data; {hint}")
            if numbers[name] in found:
                raise ConfigError(f"{setting} names {name!r} in two pairs; a class has one opposite: name it once.")
        found[numbers[one]], found[numbers[other]] = numbers[other], numbers[one]
    return found


def expected_counts(manifest: Manifest, augment: AugmentConfig) -> tuple[float, ...]:
    """How many training clips of each class an epoch has on average, where half of them change their label.

    Raises :class:`DataError` for regression, which has no classes.
    """
    counts = manifest.class_counts("train")
    change = opposites(manifest, augment)
    if change.mirror is None and change.reverse is None:
        return counts
    total = torch.zeros(len(counts), dtype=torch.float64)
    alike = Counter(item.label for item in manifest.of("train"))
    for item in {item.label: item for item in manifest.of("train")}.values():
        given = target(manifest, item)
        forms = [given, change.reversed(given)] if change.reversible(given) else [given, given]
        for form in (*forms, *map(change.mirrored, forms)):
            total += alike[item.label] / 4 * (form if form.ndim else F.one_hot(form, len(counts)))
    return tuple(total.tolist())


def _names(pair: str, labels: Sequence[str]) -> tuple[str, str]:
    """The two names of a pair; a class name may itself hold the sign that joins them."""
    parts = pair.split("=")
    splits = [("=".join(parts[:at]).strip(), "=".join(parts[at:]).strip()) for at in range(1, len(parts))]
    return max(splits, key=lambda names: sum(name in labels for name in names))


def _table(partner: dict[int, int], count: int, other: int | None) -> Tensor:
    """The class that each of ``count`` classes becomes; one without a partner ``other``, or itself for None."""
    return torch.tensor([partner.get(number, number if other is None else other) for number in range(count)])


def _exchanged(target: Tensor, table: Tensor) -> Tensor:
    """The target with its classes exchanged; a class that is not in the table keeps its place."""
    if not target.ndim:
        return table[target]
    return target[torch.where(table < 0, torch.arange(len(table)), table)]
