"""The scores of the validation videos by the weights that a run kept as the best, in a file of the run."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timesformer import atomic
from timesformer.data.items import Item
from timesformer.training.run.state import SaveError

NAME = "validation.npz"


@dataclass(frozen=True, eq=False)
class Validated:
    """What a model said of each video of a split, and what the data says."""

    keys: tuple[str, ...]
    """The videos' names, as in all lists of a run."""
    units: tuple[str, ...]
    """What each video belongs to: its group, or else itself."""
    scores: NDArray[np.floating]
    """(n, outputs)."""
    targets: NDArray[np.generic]
    """Class numbers (n,), or numbers (n, outputs)."""


def of(items: Sequence[Item], scores: NDArray[np.floating], targets: NDArray[np.generic]) -> Validated:
    """The scores of items and their targets, under the items' names."""
    return Validated(tuple(item.key for item in items), tuple(item.unit for item in items), scores, targets)


def write(found: Validated, folder: Path) -> None:
    """Write the file into a run's folder; raises :class:`SaveError`."""
    with atomic.replacing(folder / NAME, SaveError) as path, path.open("wb") as file:
        np.savez_compressed(
            file,
            keys=_packed(found.keys),
            units=_packed(found.units),
            scores=found.scores,
            targets=found.targets,
        )


def read(folder: Path) -> Validated | None:
    """What a run's folder holds; None where it has no such file, or one that can't be read."""
    try:
        with np.load(folder / NAME, allow_pickle=False) as file:
            keys, units = _unpacked(file["keys"]), _unpacked(file["units"])
            found = Validated(keys, units, file["scores"], file["targets"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    fits = found.scores.ndim == 2 and len(keys) == len(units) == len(found.scores) == len(found.targets) > 0
    return found if fits and bool(np.isfinite(found.scores).all()) else None


def _packed(texts: Sequence[str]) -> NDArray[np.uint8]:
    """Texts as bytes, each ended by a null character, which no name of a file holds."""
    joined = "".join(f"{text}\0" for text in texts)
    return np.frombuffer(joined.encode("utf-8", "surrogateescape"), dtype=np.uint8)


def _unpacked(data: NDArray[np.uint8]) -> tuple[str, ...]:
    return tuple(data.tobytes().decode("utf-8", "surrogateescape").split("\0")[:-1])
