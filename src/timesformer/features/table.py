"""The features of videos as one value: vectors with path, label, split and times, and what made them."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timesformer.config.checks import ConfigError
from timesformer.config.decode import decode
from timesformer.config.encode import encode
from timesformer.config.model import ClipConfig, Scheme
from timesformer.config.training import Task
from timesformer.features import files
from timesformer.features.files import FeaturesError
from timesformer.features.kinds import Floats, Per
from timesformer.video.sampling import Placement

VERSION = 1
"""Version of the files; a number that this release doesn't know is an error."""


@dataclass(frozen=True)
class Origin:
    """What made the features: features of equal origins can be compared, and more of them can be made."""

    weights: str
    """The weights as they were named, or the absolute path of a file."""
    digest: str
    """A hash of the model's tensors."""
    scheme: Scheme
    per: Per
    clip: ClipConfig
    """How a clip is cut and normalised."""
    clips: int = 1
    crops: int = 1
    placement: Placement = "middle"
    precision: str = "fp32"
    task: Task = "classes"
    """What the labels are."""
    about: str = ""
    """Where the weights come from and their licence."""

    def difference(self, other: "Origin") -> str:
        """The first setting in which another origin differs, in words; empty where the features are the same."""
        for each in fields(self):
            mine, its = getattr(self, each.name), getattr(other, each.name)
            if mine != its and each.name not in ("weights", "about", "task"):
                name = "weights" if each.name == "digest" else each.name
                return f"other {name}" if name in ("weights", "clip") else f"{name} {mine} instead of {its}"
        return ""


@dataclass(frozen=True, eq=False)
class Features:
    """The features of videos; row i of everything belongs together.

    >>> features = timesformer.embed("run", "clips")
    >>> features.vectors.shape, features.labels[0]
    ((240, 768), 'wave')
    """

    vectors: Floats
    """(n, d), float32."""
    paths: tuple[str, ...]
    """The video of each row as results name it: "wave/001.mp4", or "wave/001.mp4@1.5-4" for a time range."""
    labels: tuple[str, ...]
    """Class of each video, several as "a;b", or empty where the data has none."""
    splits: tuple[str, ...]
    """Split of each video: "train", "val", "test", or empty."""
    groups: tuple[str, ...]
    """The person, camera or recording that the data names, or empty."""
    times: NDArray[np.float64]
    """Seconds of the first and last frame that each vector is computed of, (n, 2)."""
    places: NDArray[np.int64]
    """Number of the clip, frame or block within its video from 0, (n,); all 0 for one vector a video."""
    sources: tuple[str, ...]
    """Where each video was read from."""
    sizes: NDArray[np.int64]
    """Bytes of each video file, 0 where unknown."""
    origin: Origin
    failed: tuple[tuple[str, str], ...] = field(default=())
    """Path and reason of each video that could not be read."""

    def __post_init__(self) -> None:
        lengths = {len(getattr(self, name)) for name in (*_TEXTS, *_NUMBERS)}
        if len(lengths) != 1 or self.vectors.ndim != 2 or self.times.shape != (len(self.vectors), 2):
            raise FeaturesError(f"features have columns of {sorted(lengths)} rows; every row needs a value in each.")

    def __len__(self) -> int:
        return len(self.vectors)

    def __repr__(self) -> str:
        rows, width = self.vectors.shape
        return f"<Features: {rows} vectors of {width} numbers, one per {self.origin.per}, by {self.origin.weights}>"

    def save(self, path: str | Path) -> None:
        """Write them to a file of .npz or .parquet that describes itself, whole or not at all."""
        columns: dict[str, NDArray[Any]] = {
            _SINGULAR[name]: np.array(getattr(self, name), dtype=np.str_) for name in _TEXTS
        }
        columns |= {_SINGULAR[name]: getattr(self, name) for name in _NUMBERS}
        about = {"version": VERSION, "origin": encode(self.origin), "failed": self.failed}
        files.write(Path(path), columns, about)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that :meth:`save` wrote; raises FeaturesError for any other."""
        columns, about = files.read(Path(path))
        if about.get("version") != VERSION:
            raise FeaturesError(
                f"{path} has version {about.get('version')!r:.40}; this release reads {VERSION}: update timesformer."
            )
        try:
            origin = decode(Origin, about["origin"])
            texts: dict[str, Any] = {name: tuple(map(str, columns[_SINGULAR[name]].tolist())) for name in _TEXTS}
            numbers: dict[str, Any] = {name: columns[_SINGULAR[name]].astype(kind) for name, kind in _NUMBERS.items()}
            failed = tuple((str(key), str(reason)) for key, reason in about["failed"])
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise FeaturesError(f"{path} lacks what features have ({error!s:.120}); make it again.") from error
        return cls(**texts, **numbers, origin=origin, failed=failed)

    def some(self, chosen: ArrayLike) -> "Features":
        """The rows of these numbers, or those where a mask is true, in that order."""
        chosen = np.asarray(chosen)
        numbers = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        rows: dict[str, Any] = {name: tuple(getattr(self, name)[number] for number in numbers) for name in _TEXTS}
        return replace(self, **rows | {name: getattr(self, name)[numbers] for name in _NUMBERS})

    @property
    def blocks(self) -> tuple[int, ...]:
        """The numbers of the blocks of which they are, from 0; empty for features of the whole model."""
        return tuple(sorted(set(self.places.tolist()))) if self.origin.per == "block" else ()

    def of_block(self, number: int) -> "Features":
        """One vector a video, after the block of this number from 0; -1 is the last."""
        return self.some(self.places == self.blocks[number])

    def by_video(self) -> "Features":
        """One vector a video: the mean over its clips or frames, or the one after the last block."""
        if self.blocks:
            return self.of_block(-1)
        if len(set(self.paths)) == len(self):
            return self
        _, first, back = np.unique(np.array(self.paths), return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")
        total = np.zeros((len(first), self.vectors.shape[1]))
        np.add.at(total, back, self.vectors)
        times = np.full((len(first), 2), (np.inf, -np.inf))
        np.minimum.at(times[:, 0], back, self.times[:, 0])
        np.maximum.at(times[:, 1], back, self.times[:, 1])
        mean = (total / np.bincount(back)[:, None])[order].astype(np.float32)
        found = self.some(first[order])
        return replace(found, vectors=mean, times=times[order], places=np.zeros(len(first), dtype=np.int64))


_TEXTS = ("paths", "labels", "splits", "groups", "sources")
_NUMBERS = {"vectors": np.float32, "times": np.float64, "places": np.int64, "sizes": np.int64}
_SINGULAR = {name: name.removesuffix("s") for name in (*_TEXTS, *_NUMBERS)}
"""What the columns of a file are called."""
