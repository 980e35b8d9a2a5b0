"""The report of a load: how every tensor of the file and of the model was handled."""

import re
from dataclasses import dataclass

from timesformer.errors import TimesformerError
from timesformer.plain import printable

FEW = 5
"""Largest number of names in a short report."""


class WeightsError(TimesformerError, ValueError):
    """Weights can't be read, recognised or written: the message gives the value, the rule and the remedy.

    Names in it come from untrusted files, so control characters are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


@dataclass(frozen=True)
class Resized:
    """A tensor that was interpolated for another clip or patch size."""

    name: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    rule: str
    """The interpolation."""

    @property
    def line(self) -> str:
        """The change as a line of text."""
        return f"resized: {self.name} {list(self.before)} -> {list(self.after)}, {self.rule}"


@dataclass(frozen=True)
class LoadReport:
    """The origin of weights, and every tensor that was not simply loaded; names are ours unless stated otherwise."""

    source: str
    """The file, folder or published name."""
    layout: str
    """The recognised format."""
    loaded: int = 0
    """Number of the model's tensors that were loaded from the file."""
    unused: tuple[str, ...] = ()
    """Tensors of the file, by their own names, that the model doesn't have."""
    resized: tuple[Resized, ...] = ()
    """Tensors interpolated for another grid, frame count or patch size."""
    copied: tuple[str, ...] = ()
    """Tensors missing in the file that start as a copy of another, as "name from name"."""
    zero: tuple[str, ...] = ()
    """Tensors missing in the file that start at zero."""
    new: tuple[str, ...] = ()
    """Tensors that are randomly initialised, such as the head for other classes."""
    head: str = ""
    """How the rows of the head were handled, where outputs were requested by name."""
    notes: tuple[str, ...] = ()
    """Other remarks, such as assumed settings."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Tensors that the file has no values for, so that they must be trained."""
        return (*self.new, *self.zero)

    def brief(self) -> list[str]:
        """The most important lines: the head, unused and resized tensors, and assumptions."""
        text = [f"head {self.head}"] if self.head else []
        if left := grouped(self.unused):
            text.append(f"unused: {', '.join(left[:FEW])}" + (f" and {len(left) - FEW} more" if left[FEW:] else ""))
        return list(map(printable, (*text, *(change.line for change in self.resized), *self.notes)))

    def lines(self) -> list[str]:
        """The report as lines of text; equal tensors of several blocks share a line."""
        text = [f"{self.source}: {self.layout}, {self.loaded} tensors loaded"]
        for title, names in (
            ("unused", self.unused),
            ("copied", self.copied),
            ("new, zero-initialised", self.zero),
            ("new, randomly initialised", self.new),
        ):
            text += [f"  {title}: {line}" for line in grouped(names)]
        if self.head:
            text.append(f"  head: {self.head}")
        for change in self.resized:
            text.append(f"  {change.line}")
        return list(map(printable, (*text, *(f"  note: {note}" for note in self.notes))))


def grouped(names: tuple[str, ...]) -> list[str]:
    """Group names that differ only in numbers (tensors of several blocks) into one pattern with their count."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(re.sub(r"(?<=\.)\d+(?=\.)", "*", name), []).append(name)
    return [f"{pattern} ({len(same)})" if len(same) > 1 else same[0] for pattern, same in groups.items()]
