"""A small data set of grey videos, and features of made vectors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.made_scores import CLIP, write_grey
from timesformer.config.training import Task
from timesformer.features.kinds import Per
from timesformer.features.table import Features, Origin

GREYS = (20, 40, 60, 200, 220, 240)


def data(folder: Path) -> Path:
    """Six videos of four frames, dark and light, four of which train."""
    for number, grey in enumerate(GREYS):
        split, label = "val" if number in (2, 5) else "train", "dark" if grey < 128 else "light"
        write_grey(folder / split / label / f"{number}.mp4", grey, grey + 5, grey + 10, grey + 15)
    return folder


def features(
    vectors: Sequence[Sequence[float]],
    labels: Sequence[str],
    *,
    paths: Sequence[str] = (),
    splits: Sequence[str] = (),
    groups: Sequence[str] = (),
    sources: Sequence[str] = (),
    places: Sequence[int] = (),
    per: Per = "video",
    task: Task = "classes",
) -> Features:
    """Features of these vectors; what isn't given is empty."""
    count = len(labels)
    paths = tuple(paths) or tuple(f"{number}.mp4" for number in range(count))
    return Features(
        vectors=np.array(vectors, dtype=np.float32).reshape(count, -1),
        paths=paths,
        labels=tuple(labels),
        splits=tuple(splits) or ("",) * count,
        groups=tuple(groups) or ("",) * count,
        times=np.array([(0.0, 1.0)] * count),
        places=np.array(places or [0] * count, dtype=np.int64),
        sources=tuple(sources) or paths,
        sizes=np.zeros(count, dtype=np.int64),
        origin=Origin("made", "0", "divided", per, CLIP, task=task),
    )
