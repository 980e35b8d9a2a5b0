"""Disjoint groups of numbers that can be joined (union-find)."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


class Groups:
    """Numbers from 0 up, each in a group of its own until two are joined; joining all takes n log n steps."""

    def __init__(self, count: int) -> None:
        self._group = np.arange(count)
        self._members: dict[int, list[int]] = {}

    def of(self, number: int) -> list[int]:
        """The group of a number, in no order."""
        return self._members.get(int(self._group[number]), [number])

    def join(self, first: int, second: int) -> None:
        """Make one group of two; nothing where they are one."""
        small, large = sorted((int(self._group[first]), int(self._group[second])), key=self._size)
        if small != large:
            moved = self._members.pop(small, [small])
            self._members.setdefault(large, [large]).extend(moved)
            self._group[moved] = large

    def _size(self, group: int) -> int:
        return len(self._members.get(group, [group]))

    def together(self, pairs: NDArray[np.int64], *, above: int) -> NDArray[np.bool_]:
        """Which of the pairs (n, 2) are in one group of more than ``above``."""
        first, second = self._group[pairs[:, 0]], self._group[pairs[:, 1]]
        same: NDArray[np.bool_] = first == second
        same[same] = [self._size(int(group)) > above for group in first[same]]
        return same

    def all(self) -> Iterator[list[int]]:
        """The groups of two and more, each in increasing order, in the order of their first numbers."""
        yield from sorted(sorted(members) for members in self._members.values())
