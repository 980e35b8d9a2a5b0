"""What became of every tensor of a weights file: the report that a load hands back."""

import re
from dataclasses import dataclass

from timesformer.errors import TimesformerError
from timesformer.plain import printable

FEW = 5
"""Names that a short account lists."""


class WeightsError(TimesformerError, ValueError):
    """Weights that can't be read, understood or written: the message says the value, the rule and the remedy.

    Names in it come from files of strangers; what a terminal would obey is shown instead.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


@dataclass(frozen=True)
class Resized:
    """A tensor that was fitted to another clip or patch size."""

    name: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    rule: str
    """How the values were chosen."""

    @property
    def line(self) -> str:
        """The change as text."""
        return f"resized: {self.name} {list(self.before)} -> {list(self.after)}, {self.rule}"


@dataclass(frozen=True)
class LoadReport:
    """Where weights came from and every tensor that wasn't simply taken over; names are ours unless said otherwise."""

    source: str
    """The file, folder or published name."""
    layout: str
    """The format that was recognised."""
    loaded: int = 0
    """Tensors of the model that were filled from the file."""
    unused: tuple[str, ...] = ()
    """Tensors of the file, by its own names, that the model has no place for."""
    resized: tuple[Resized, ...] = ()
    """Tensors fitted to another grid, frame count or patch."""
    copied: tuple[str, ...] = ()
    """Tensors that the file doesn't have and that start as a copy of another, as "name from name"."""
    zero: tuple[str, ...] = ()
    """Tensors that the file doesn't have and that start at zero."""
    new: tuple[str, ...] = ()
    """Tensors that start from random values: the head, when the classes differ."""
    head: str = ""
    """What became of the head's rows, where it was asked for outputs by name."""
    notes: tuple[str, ...] = ()
    """Whatever else the user should know, such as settings that the file doesn't state."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Tensors that came from nowhere, so that they have everything to learn."""
        return (*self.new, *self.zero)

    def brief(self) -> list[str]:
        """What whoever uses the weights should see: the head's fate, what was left out or resized, what was assumed."""
        text = [f"head {self.head}"] if self.head else []
        if left := grouped(self.unused):
            text.append(f"left out: {', '.join(left[:FEW])}" + (f" and {len(left) - FEW} more" if left[FEW:] else ""))
        return list(map(printable, (*text, *(change.line for change in self.resized), *self.notes)))

    def lines(self) -> list[str]:
        """The report as text, one statement a line; long lists of block tensors are folded."""
        text = [f"{self.source}: {self.layout}, {self.loaded} tensors taken over"]
        for title, names in (
            ("in the file but not in the model", self.unused),
            ("copied", self.copied),
            ("started at zero", self.zero),
            ("started from random values", self.new),
        ):
            text += [f"  {title}: {line}" for line in grouped(names)]
        if self.head:
            text.append(f"  head: {self.head}")
        for change in self.resized:
            text.append(f"  {change.line}")
        return list(map(printable, (*text, *(f"  note: {note}" for note in self.notes))))


def grouped(names: tuple[str, ...]) -> list[str]:
    """Names that differ only in numbers (alike tensors of twelve blocks) as one pattern with their count."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(re.sub(r"(?<=\.)\d+(?=\.)", "*", name), []).append(name)
    return [f"{pattern} ({len(same)})" if len(same) > 1 else same[0] for pattern, same in groups.items()]
