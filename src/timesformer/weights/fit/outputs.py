"""A head for other outputs: rows are kept by the names of the outputs, and other rows are new."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from timesformer.config.training import Task
from timesformer.weights.metadata import TargetStats

Rows = tuple[int | None, ...]
"""For each wanted output, the row of the old head for the same name, or None."""
FEW = 5
"""Largest number of names in a sentence."""


@dataclass(frozen=True)
class Outputs:
    """The outputs of a model, such as the classes of a data set in their order."""

    labels: tuple[str, ...] = ()
    task: Task = "classes"
    target_stats: TargetStats = ()
    """Mean and standard deviation of each number of a regression."""


def rows(have: Sequence[str], want: Sequence[str]) -> Rows:
    """Match wanted names to existing names.

    Names match in any Unicode form and, where that is unambiguous, in any case. A name that occurs twice matches
    nothing.
    """
    found = _exact([_form(name) for name in have], [_form(name) for name in want])
    taken = set(found)
    left = [_form(name).casefold() if number not in taken else None for number, name in enumerate(have)]
    open_ = [_form(name).casefold() if row is None else None for name, row in zip(want, found, strict=True)]
    other = _exact(left, open_)
    return tuple(row if row is not None else second for row, second in zip(found, other, strict=True))


def _form(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _exact(have: Sequence[str | None], want: Sequence[str | None]) -> Rows:
    """Return the row of each name that exists once and is wanted once."""
    theirs, ours = Counter(have), Counter(want)
    places = {name: number for number, name in enumerate(have) if name is not None and theirs[name] == 1}
    return tuple(places.get(name) if name is not None and ours[name] == 1 else None for name in want)


def plan(have: Outputs, want: Outputs) -> tuple[Rows, str]:
    """Return the rows to keep for wanted outputs, and a note on them."""
    count = len(want.labels)
    nothing: Rows = (None,) * count
    if have.task != want.task:
        return nothing, f"new: the weights' head is for {have.task}, this one for {want.task}"
    if not have.labels:
        return nothing, f"new, for {count} outputs: the weights have no class names"
    if have.labels == want.labels:
        return tuple(range(count)), f"kept: the same {count} names in the same order"
    found = rows(have.labels, want.labels)
    kept = [row for row in found if row is not None]
    if not kept:
        return nothing, f"new: none of the {count} names is among the weights' ({_some(have.labels)})"
    dropped = len(have.labels) - len(kept)
    others = f"; {dropped} of the weights' names left out" if dropped else ""
    if len(kept) == count:
        moved = "rows moved: the same names in another order" if not dropped and kept != sorted(kept) else "rows kept"
        if moved == "rows kept":
            moved = f"kept: the same {count} names" if not dropped else f"rows of all {count} names kept"
        return found, moved + others
    missing = [name for name, row in zip(want.labels, found, strict=True) if row is None]
    return found, f"rows of {len(kept)} of {count} names kept; new: {_some(missing)}{others}"


def taken(old: Tensor, drawn: Tensor, found: Rows) -> Tensor:
    """Return the rows (outputs, ...) of an old head where they are found, and new ones elsewhere."""
    pairs = zip(drawn, found, strict=True)
    return torch.stack([new if row is None else old[row].to(new.dtype) for new, row in pairs])


def target_stats(have: TargetStats, want: TargetStats, found: Rows) -> TargetStats:
    """Statistics by which each row of the changed head is normalised: a kept row keeps its own."""
    if not have or not want:
        return want
    return tuple(new if row is None else have[row] for new, row in zip(want, found, strict=True))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")
