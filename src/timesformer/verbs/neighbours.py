"""Neighbours: the videos whose features are most similar to those of a video."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from timesformer.config.checks import require
from timesformer.features.files import FeaturesError
from timesformer.features.frames import frames_of
from timesformer.features.nearest import nearest
from timesformer.features.table import Features
from timesformer.pictures import sheets
from timesformer.pictures.sheets import Cell
from timesformer.verbs.embed import embed

SIDE = 224
"""Longer side of a frame on a contact sheet in pixels."""
ROWS = 8
"""Most rows of a contact sheet of the whole data set."""


@dataclass(frozen=True)
class Neighbour:
    """A video, and how similar it is."""

    path: str
    label: str
    cosine: float
    """Cosine of the angle between the two vectors, from -1 to 1."""


def neighbours(
    features: Features | str | Path,
    video: str | Path,
    *,
    count: int = 5,
    out: str | Path | None = None,
    device: torch.device | str | None = None,
) -> tuple[Neighbour, ...]:
    """The ``count`` videos most similar to one, which is left out itself; the most similar first.

    ``features`` are those that :func:`timesformer.embed` gave, or their file. ``video`` is one of theirs, as they name
    it, by the end of its path or by its file; for any other file, its features are computed with the same weights.
    With ``out``, a PNG file, a contact sheet is drawn. Raises FeaturesError for a video that is neither.
    """
    require(count >= 1, f"count is {count}; it must be at least 1.")
    table = (features if isinstance(features, Features) else Features.load(features)).by_video()
    asked = _asked(table, str(video), device)
    found = nearest(asked.vectors, table.vectors, count, query_units=_which(asked), units=_which(table))
    numbers = [n for n, cosine in zip(found.numbers[0], found.cosines[0], strict=True) if np.isfinite(cosine)]
    if not numbers:
        raise FeaturesError(f"there is no other video than {asked.paths[0]}; embed more of them.")
    if out is not None:
        sheets.draw([_row(asked, table, numbers, found.cosines[0].tolist())], Path(out))
    return tuple(
        Neighbour(table.paths[n], table.labels[n], float(cosine))
        for n, cosine in zip(numbers, found.cosines[0], strict=False)
    )


def contact_sheet(
    features: Features,
    out: str | Path,
    *,
    count: int = 5,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Draw a video of each class, at most 8, beside its neighbours: a validation video where there is one."""
    table = features.by_video()
    judged = [n for n, split in enumerate(table.splits) if split in ("val", "test")] or range(len(table))
    first: dict[str, int] = {}
    for number in judged:
        first.setdefault(table.labels[number], number)
    chosen = [first[label] for label in sorted(first)][:ROWS]
    asked = table.some(np.array(chosen))
    found = nearest(asked.vectors, table.vectors, count, query_units=asked.paths, units=table.paths)
    rows = []
    for place, (numbers, cosines) in enumerate(zip(found.numbers, found.cosines, strict=True)):
        own = [int(n) for n, cosine in zip(numbers, cosines, strict=True) if np.isfinite(cosine)]
        rows.append(_row(asked.some(np.array([place])), table, own, cosines.tolist()))
        progress(place + 1, len(chosen))
    sheets.draw(rows, Path(out))


def _which(table: Features) -> list[tuple[str, str]]:
    """What tells videos apart: the file, and the time range in its path."""
    return list(zip(table.sources, table.paths, strict=True))


def _row(asked: Features, table: Features, numbers: Sequence[int], cosines: Sequence[float]) -> list[Cell]:
    """The cells of a query and of its neighbours."""
    beside = table.some(np.array(numbers))
    label = asked.labels[0]
    cells = [Cell(frames_of(asked, SIDE)[0], [label or "query", asked.paths[0]])]
    for frame, own, path, cosine in zip(frames_of(beside, SIDE), beside.labels, beside.paths, cosines, strict=False):
        agrees = own == label if own and label else None
        cells.append(Cell(frame, [f"{cosine:.3f}", own, path] if own else [f"{cosine:.3f}", path], agrees))
    return cells


def _asked(table: Features, video: str, device: torch.device | str | None) -> Features:
    """The features of the video that is asked for."""
    file = str(Path(video).absolute())
    ways = (
        [n for n, path in enumerate(table.paths) if path == video],
        [n for n, source in enumerate(table.sources) if source == file],
        [n for n, path in enumerate(table.paths) if path.endswith(f"/{video}")],
    )
    numbers = next(filter(None, ways), [])
    if len(numbers) > 1:
        raise FeaturesError(f"{video} may be {' or '.join(table.paths[n] for n in numbers[:3])}; give the whole path.")
    if numbers:
        return table.some(np.array(numbers))
    if Path(video).exists():
        return _new(table, video, device)
    near = difflib.get_close_matches(video, table.paths, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"it has {table.paths[0]} and others."
    raise FeaturesError(f"{video} is neither one of these features' videos nor a file; {hint}")


def _new(table: Features, video: str, device: torch.device | str | None) -> Features:
    """The features of another video, by the same weights and settings."""
    origin = table.origin
    remedy = "name one of its own videos, or embed it with the others."
    try:
        found = embed(
            origin.weights,
            [video],
            per=origin.per,
            device=device,
            frames=origin.clip.frames,
            size=origin.clip.size,
            clips=origin.clips,
            crops=origin.crops,
            placement=origin.placement,
            precision=origin.precision.replace("bfloat16", "bf16").replace("float16", "fp16"),
            workers=0,
        )
    except ValueError as error:
        raise FeaturesError(f"{video} is not among these features, and can't be added ({error}); {remedy}") from error
    if difference := origin.difference(found.origin):
        raise FeaturesError(f"{video} is not among these features, and {origin.weights} now has {difference}; {remedy}")
    return found.by_video()
