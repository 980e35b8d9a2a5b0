"""From the labels that a list writes to names of classes, in the order of the model's outputs."""

import difflib
from collections.abc import Sequence
from dataclasses import replace

from timesformer.config import Task
from timesformer.data.items import DataError, Listing, Row, some


def _texts(row: Row, *, task: Task) -> tuple[str, ...]:
    """The names in a row's label: one, or any number separated by ";" where labels are many."""
    text = row.label if isinstance(row.label, str) else ""
    names = tuple(part.strip() for part in text.split(";")) if task == "multilabel" else (text.strip(),)
    names = tuple(dict.fromkeys(name for name in names if name))
    if task == "classes" and not names:
        raise DataError(f"{row.where}: the label is empty; name a class or remove the line.")
    return names


def _in_order(names: set[str]) -> tuple[str, ...]:
    """Names sorted, as numbers if all are: "10" comes after "9"."""
    if all(name.isdecimal() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def _at(index: int, names: Sequence[str], where: str) -> str:
    if index >= len(names):
        raise DataError(f"{where}: label {index} but there are {len(names)} class names; the first is number 0.")
    return names[index]


def _are_positions(rows: Sequence[Row], texts: Sequence[tuple[str, ...]]) -> bool:
    """Whether the labels are positions; raises where most are, as one slip would turn the others into names."""
    others = [(name, row) for row, names in zip(rows, texts, strict=True) for name in names if not name.isdecimal()]
    if 0 < 2 * len(others) < sum(map(len, texts)):
        name, row = others[0]
        raise DataError(
            f"{row.where}: label {name!r}, but most labels of the list are positions (0, 1, ...); write a position."
        )
    return not others


def _refuse_unknown(rows: Sequence[Row], texts: Sequence[tuple[str, ...]], known: tuple[str, ...]) -> None:
    names = set(known)
    unknown = [(name, row) for row, names_of in zip(rows, texts, strict=True) for name in names_of if name not in names]
    if unknown:
        first, row = unknown[0]
        near = difflib.get_close_matches(first, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {some(list(known), 10)}."
        count = f"{len(unknown)} such labels" if len(unknown) > 1 else "the only such label"
        raise DataError(f"{row.where}: label {first!r} is not among the {len(known)} class names ({count}); {hint}")


def name_labels(listing: Listing, *, task: Task, labels: tuple[str, ...] | None) -> Listing:
    """Return the listing with class names as labels and with the order of the classes.

    The order is that of ``labels`` (the names that weights know), or else the source's own, or else sorted.
    Integers of a list that numbers its classes become the names at these positions.
    Raises :class:`DataError` for an empty or unknown label, or a task that the source can't serve.
    """
    if task == "regression":
        if not all(isinstance(row.label, tuple) for row in listing.rows):
            raise DataError(f"{listing.rows[0].where}: a regression needs a table with columns of numbers beside path.")
        return listing
    texts = [_texts(row, task=task) for row in listing.rows]
    own = listing.labels or (labels if listing.indexed else None)
    used = {name for names in texts for name in names}
    if listing.indexed and used and not used <= set(own or ()) and _are_positions(listing.rows, texts):
        own = own or tuple(str(index) for index in range(max(map(int, used)) + 1))
        texts = [tuple(_at(int(n), own, row.where) for n in t) for t, row in zip(texts, listing.rows, strict=True)]
    for known in (own, labels):
        if known:
            _refuse_unknown(listing.rows, texts, known)
    rows = [
        replace(row, label=names if task == "multilabel" else names[0])
        for row, names in zip(listing.rows, texts, strict=True)
    ]
    return replace(listing, rows=tuple(rows), labels=labels or own or _in_order(used))
