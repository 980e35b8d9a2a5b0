"""What features are worth: how well the classes of videos are told from them by neighbours and by a linear layer."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from timesformer.data.items import counted
from timesformer.features.files import FeaturesError
from timesformer.features.nearest import nearest, vote
from timesformer.features.table import Features
from timesformer.training.linear import choice
from timesformer.training.linear.choice import FOLDS, Rows


@dataclass(frozen=True)
class Measured:
    """How many of some videos got their own class, and how that was found."""

    how: str
    right: int
    videos: int

    @property
    def accuracy(self) -> float:
        """Share of the videos."""
        return self.right / self.videos

    def __str__(self) -> str:
        return f"{self.accuracy:6.1%}  {self.how} ({self.right} of {self.videos})"


@dataclass(frozen=True)
class Worth:
    """What features say of the classes of their videos; every number is of videos that taught nothing."""

    majority: Measured
    """What is reached by naming the largest class for every video."""
    knn: Measured
    """A vote of the nearest other videos."""
    knn_groups: Measured | None
    """The same without the video's own group, where the data names groups."""
    linear: Measured
    """A linear layer: from training to validation videos where there are both, else by cross-validation."""

    def lines(self) -> tuple[str, ...]:
        """The numbers in words."""
        return tuple(map(str, filter(None, (self.majority, self.knn, self.knn_groups, self.linear))))


def worth(features: Features, *, count: int = 5) -> Worth:
    """Measure the features, one vector a video, by ``count`` nearest neighbours and by a linear layer.

    Raises FeaturesError where the videos have no classes, or only one.
    """
    videos = features.by_video()
    videos = videos.some(np.array([bool(label) for label in videos.labels]))
    _check(videos)
    grouped = len({group for group in videos.groups if group}) > 1
    return Worth(
        majority=_majority(videos),
        knn=_knn(videos, count, videos.paths, "one video left out"),
        knn_groups=_knn(videos, count, _units(videos), "its group left out") if grouped else None,
        linear=_linear(videos),
    )


def _check(videos: Features) -> None:
    if videos.origin.task != "classes":
        raise FeaturesError(f"the labels are for {videos.origin.task}; what is measured here needs one class a video.")
    names = set(videos.labels)
    if len(names) < 2:
        raise FeaturesError(
            f"the videos have {counted(len(names), 'class')}; at least two are needed: embed a data set with labels."
        )


def _majority(videos: Features) -> Measured:
    shown = _taught_and_judged(videos)
    (label, _), *_ = Counter(videos.labels).most_common(1)
    judged = [videos.labels[number] for number in shown[1]] if shown else videos.labels
    return Measured(f"the largest class, {label}", sum(each == label for each in judged), len(judged))


def _units(videos: Features) -> list[str]:
    """What each video belongs to: its group, or itself."""
    return [f"group {group}" if group else path for group, path in zip(videos.groups, videos.paths, strict=True)]


def _knn(videos: Features, count: int, units: Sequence[str], left_out: str) -> Measured:
    found = nearest(videos.vectors, videos.vectors, count, query_units=units, units=units)
    said = vote(found, videos.labels)
    right = sum(one == other for one, other in zip(said, videos.labels, strict=True))
    return Measured(f"{counted(count, 'nearest neighbour')}, {left_out}", right, len(videos))


def _taught_and_judged(videos: Features) -> tuple[list[int], list[int]] | None:
    """Numbers of the training videos and of those to judge by, or None where the data has not both."""
    numbers = {split: [n for n, own in enumerate(videos.splits) if own == split] for split in ("train", "val", "test")}
    judged = numbers["val"] or numbers["test"]
    classes = {videos.labels[number] for number in numbers["train"]}
    return (numbers["train"], judged) if len(classes) > 1 and judged else None


def _linear(videos: Features) -> Measured:
    names = sorted(set(videos.labels))
    vectors = torch.from_numpy(videos.vectors)
    classes = torch.tensor([names.index(label) for label in videos.labels])
    units = _units(videos)
    shown = _taught_and_judged(videos)
    if shown:
        taught, judged = shown
        apart = not {units[number] for number in taught} & {units[number] for number in judged}
        said = _fitted(vectors, classes, units if apart else videos.paths, taught, judged, len(names))
        split = videos.splits[judged[0]]
        how = f"linear layer, from {len(taught)} train to {len(judged)} {split} videos"
        return Measured(how, int((said == classes[judged]).sum()), len(judged))
    place = np.array(choice.folds(units, videos.labels, count=FOLDS))
    right = 0
    for fold in range(int(place.max()) + 1):
        taught, judged = (np.flatnonzero(mask).tolist() for mask in (place != fold, place == fold))
        said = _fitted(vectors, classes, units, taught, judged, len(names))
        right += int((said == classes[judged]).sum())
    return Measured(f"linear layer, {int(place.max()) + 1} parts held out in turn", right, len(videos))


def _fitted(
    vectors: Tensor, classes: Tensor, units: Sequence[str], taught: list[int], judged: list[int], count: int
) -> Tensor:
    """The classes (n,) that a layer says of some videos; its penalty is chosen among the others, which it learns."""
    targets = F.one_hot(classes[taught], count).float()
    rows = Rows(vectors[taught][:, None], targets[:, None], [units[number] for number in taught])
    chosen = choice.choose(rows, task="classes", balanced=False)
    return choice.fit(rows, chosen, task="classes")(vectors[judged]).argmax(dim=1)
