"""Turn the labels of a list into class names, in the order of the model's outputs."""

import difflib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from timesformer.config.tasks import FACTS
from timesformer.config.training import Task
from timesformer.data.formats.tables import is_text
from timesformer.data.formats.tree import alike
from timesformer.data.items import DataError, Listing, Row, canonical, counted, shortened, some

_DIGITS = 18
"""Largest number of digits of a class index; longer numbers are names."""
_CLASSES = 1000
"""Indices above this must mostly be used if there are no class names: dates and identifiers are numbers, too."""


def _texts(row: Row, *, task: Task) -> tuple[str, ...]:
    """Return the names in a row's label: one, or several separated by ";" for a multi-label task."""
    text = row.label if isinstance(row.label, str) else ""
    names = tuple(map(canonical, text.split(";") if FACTS[task].several else (text,)))
    names = tuple(dict.fromkeys(name for name in names if name))
    if FACTS[task].exclusive and not names:
        raise DataError(f"{row.where}: the label is empty; name a class or remove the line.")
    if not all(map(is_text, names)):
        raise DataError(f"{row.where}: the label {text!a} is not UTF-8; rename the class or its folder.")
    return names


def _in_order(names: set[str]) -> tuple[str, ...]:
    """Return names in order, numerically if all are numbers: "10" after "9", and "01" before "1"."""
    if all(_is_position(name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _is_position(name: str) -> bool:
    return name.isdecimal() and len(name) <= _DIGITS


def _at(index: int, names: Sequence[str], where: str) -> str:
    if index >= len(names):
        raise DataError(f"{where}: label {index} but there are {len(names)} class names; the first is number 0.")
    return names[index]


def _are_positions(rows: Sequence[Row], texts: Sequence[tuple[str, ...]]) -> bool:
    """Whether the labels are class indices; raises where only some are, which is likely a mistake."""
    others = [(name, row) for row, names in zip(rows, texts, strict=True) for name in names if not _is_position(name)]
    if 0 < 2 * len(others) < sum(map(len, texts)):
        name, row = others[0]
        raise DataError(
            f"{row.where}: label {name!r}, but most labels of the list are class indices (0, 1, ...); write an index."
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
        raise DataError(
            f"{row.where}: label {shortened(first)!r} is not among the {len(known)} class names ({count}); {hint}"
        )


def _spelled(used: set[str], known: tuple[str, ...]) -> dict[str, str]:
    """Map unknown names to the known name from which they differ only by case or Unicode form."""
    like: defaultdict[str, set[str]] = defaultdict(set)
    for name in known:
        like[alike(name)].add(name)
    strange = sorted(used - set(known))
    return {name: next(iter(like[alike(name)])) for name in strange if len(like[alike(name)]) == 1}


def _respelled(
    texts: list[tuple[str, ...]], known: tuple[str, ...] | None
) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """Return the labels in the spelling of the known names, with a note on changes."""
    used = {name for names in texts for name in names}
    spelling = _spelled(used, known) if known else {}
    if not spelling:
        return texts, ()
    shown = some([f"{name!a} is {there!a}" for name, there in spelling.items()])
    note = f"{counted(len(spelling), 'label')} in another case or Unicode form than the class names: {shown}"
    return [tuple(dict.fromkeys(spelling.get(name, name) for name in names)) for names in texts], (note,)


def _positions(
    rows: Sequence[Row], texts: list[tuple[str, ...]], own: tuple[str, ...] | None
) -> tuple[list[tuple[str, ...]], tuple[str, ...], tuple[str, ...]]:
    """Return names instead of indices, all names in order, and notes; the first index is 0, or 1 if 0 is unused."""
    used = {int(name) for names in texts for name in names}
    last, notes = max(used), tuple[str, ...]()
    if own is None and last >= _CLASSES and 2 * len(used) < last:
        row = next(row for row, names in zip(rows, texts, strict=True) if str(last) in {str(int(n)) for n in names})
        raise DataError(
            f"{row.where}: label {last} is a class index, which makes {last + 1:,} classes of which {len(used):,} are "
            "used; if labels are indices, put the class names in order into classes.txt beside the list; if they are "
            "names, use a table with the header path,label."
        )
    from_one = 0 not in used and (last == len(own) if own else used == set(range(1, last + 1)))
    if from_one:
        notes = (f"labels are 1 to {last}: label 1 is taken as class 0",)
        own = own or tuple(str(number) for number in range(1, last + 1))
    own = own or tuple(str(index) for index in range(last + 1))
    named = [
        tuple(dict.fromkeys(_at(int(name) - from_one, own, row.where) for name in names))
        for names, row in zip(texts, rows, strict=True)
    ]
    return named, own, notes


def _lookalikes(names: Sequence[str]) -> tuple[str, ...]:
    """Return a note on classes that differ only by case or Unicode form."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[alike(name)].append(name)
    pairs = [" and ".join(map(ascii, group)) for group in groups.values() if len(group) > 1]
    return (f"classes that differ only by case or Unicode form: {some(pairs)}",) if pairs else ()


def _several_forms(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return a note on labels that occur in several Unicode forms, which are one class."""
    forms: defaultdict[str, set[str]] = defaultdict(set)
    for label in {row.label for row in rows if isinstance(row.label, str) and not row.label.isascii()}:
        forms[canonical(label)].add(label.strip())
    several = sorted(name for name, written in forms.items() if len(written) > 1)
    return (f"labels in several Unicode forms are one class: {some(several)}",) if several else ()


def name_labels(listing: Listing, *, task: Task, labels: tuple[str, ...] | None) -> Listing:
    """Return the listing with class names as labels and with the order of the classes.

    The order is that of ``labels`` (the class names of weights), or else the source's, or else sorted. Class indices
    are replaced by names. Names are in Unicode form NFC, or in the spelling of ``labels`` or the source's own names.
    Raises :class:`DataError` for an empty or unknown label, or a task for which the source has no labels.
    """
    if FACTS[task].numeric:
        if not all(isinstance(row.label, tuple) for row in listing.rows):
            raise DataError(f"{listing.rows[0].where}: a regression needs a table with columns of numbers beside path.")
        return listing
    texts, notes = [_texts(row, task=task) for row in listing.rows], (*listing.notes, *_several_forms(listing.rows))
    own = tuple(map(canonical, listing.labels)) if listing.labels else labels if listing.indexed else None
    texts, said = _respelled(texts, own)
    notes += said
    used = {name for names in texts for name in names}
    if listing.indexed and used and not used <= set(own or ()) and _are_positions(listing.rows, texts):
        texts, own, said = _positions(listing.rows, texts, own)
        notes += said
    if own:
        _refuse_unknown(listing.rows, texts, own)
    if labels and labels != own:
        texts, said = _respelled(texts, labels)
        notes += said
        _refuse_unknown(listing.rows, texts, labels)
    rows = [
        replace(row, label=names if FACTS[task].several else names[0])
        for row, names in zip(listing.rows, texts, strict=True)
    ]
    order = labels or own or _in_order({name for names in texts for name in names})
    return replace(listing, rows=tuple(rows), labels=order, notes=(*notes, *_lookalikes(order)))
