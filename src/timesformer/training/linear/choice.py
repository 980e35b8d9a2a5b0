"""The strength of the penalty and the balance of the classes, chosen by cross-validation on the training videos."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from timesformer.config.tasks import FACTS
from timesformer.config.training import Task
from timesformer.training.linear.solve import COARSE, FINE, Linear, path

PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""From strong to weak, so that each fit starts near its solution."""
BALANCES = (0.0, 0.5, 1.0)
"""Videos weigh (share of their class) ** -balance: 0 weighs videos alike, 1 classes."""
FOLDS = 5
LARGE = 10**9
"""Features x outputs x rows from which one fold alone is held out, so that the choice takes minutes at most."""


@dataclass(frozen=True)
class Rows:
    """Features of videos to learn from; each may have several views."""

    features: Tensor
    """(n, v, d)"""
    targets: Tensor
    """Float (n, v, outputs): one-hot rows, zeros and ones, or normalised numbers. A mirrored view may have its own."""
    units: Sequence[Hashable]
    """What each video belongs to: videos of one unit, such as a person, are held out together."""

    def some(self, chosen: Tensor) -> "Rows":
        """The rows where ``chosen`` (n,) is true."""
        units = [unit for unit, kept in zip(self.units, chosen.tolist(), strict=True) if kept]
        return Rows(self.features[chosen], self.targets[chosen], units)


@dataclass(frozen=True)
class Choice:
    """What fitted best to videos that were held out."""

    penalty: float
    balance: float
    score: float
    """Accuracy (with balanced classes, the mean over them), or for other tasks the negative loss."""


def fit(rows: Rows, choice: Choice, *, task: Task) -> Linear:
    """The linear layer for all rows."""
    (*_, last) = _path(rows, choice.balance, task=task, penalties=PENALTIES[: PENALTIES.index(choice.penalty) + 1])
    return last


def choose(rows: Rows, *, task: Task, balanced: bool) -> Choice:
    """Choose penalty and balance by held-out videos; ``balanced`` counts classes alike, and tries to weigh them so.

    Several choices are often as good: of those the one with the lowest loss is taken.
    """
    balances = BALANCES if balanced else BALANCES[:1]
    first = rows.targets[:, 0]
    place = folds(rows.units, _strata(first, task), count=FOLDS)
    held = range(max(place) + 1 if rows.features.numel() * first.shape[1] < LARGE else 1)
    where = torch.tensor(place)
    answers: dict[tuple[float, float], list[Tensor]] = {}
    for fold in held:
        unseen = rows.features[where == fold, 0]
        for balance in balances:
            layers = _path(rows.some(where != fold), balance, task=task, penalties=PENALTIES, tolerance=COARSE)
            for penalty, layer in zip(PENALTIES, layers, strict=True):
                answers.setdefault((penalty, balance), []).append(layer(unseen))
    truth = torch.cat([first[where == fold] for fold in held])
    judged = {key: _judge(torch.cat(parts), truth, task=task, balanced=balanced) for key, parts in answers.items()}
    best = max(product(PENALTIES, balances), key=judged.__getitem__)
    return Choice(*best, score=judged[best][0])


def _path(
    rows: Rows, balance: float, *, task: Task, penalties: Sequence[float], tolerance: float = FINE
) -> Iterator[Linear]:
    """The layers for all penalties; every view of a video is a row."""
    importance = _importance(rows.targets[:, 0], balance)
    views = rows.features.shape[1]
    return path(
        rows.features.flatten(0, 1),
        rows.targets.flatten(0, 1),
        importance.repeat_interleave(views),
        task=task,
        penalties=penalties,
        tolerance=tolerance,
    )


def _importance(targets: Tensor, balance: float) -> Tensor:
    """How much each video weighs, (n,), from one-hot targets (n, outputs); without ``balance`` all weigh 1."""
    if not balance:
        return torch.ones(len(targets))
    return (targets @ targets.mean(dim=0)) ** -balance


def _judge(logits: Tensor, targets: Tensor, *, task: Task, balanced: bool) -> tuple[float, float]:
    """What counts first, and what counts among equals; both are better the higher they are."""
    wanted = targets.double()
    if FACTS[task].several:
        return -float(F.binary_cross_entropy_with_logits(logits, wanted)), 0.0
    if FACTS[task].numeric:
        return -float(F.l1_loss(logits, wanted)), 0.0
    importance = _importance(targets, float(balanced)).double()
    importance = importance / importance.sum()
    right = (logits.argmax(dim=1) == wanted.argmax(dim=1)).double()
    losses = F.cross_entropy(logits, wanted, reduction="none")
    return float((importance * right).sum()), -float((importance * losses).sum())


def _strata(targets: Tensor, task: Task) -> list[int]:
    """The class of each video, which every fold should have; one for all where videos have no single class."""
    return targets.argmax(dim=1).tolist() if FACTS[task].exclusive else [0] * len(targets)


def folds(units: Sequence[Hashable], strata: Sequence[Hashable], *, count: int) -> list[int]:
    """The fold of each video, from 0: whole units, and of every stratum about as many videos in each fold.

    The largest units are placed first, each where its strata are rarest. Where all videos are of one unit, or of fewer
    units than two folds need, each video is placed by itself.
    """
    if len(set(units)) < 2:
        units = range(len(units))
    members: dict[Hashable, Counter[Hashable]] = {}
    for unit, stratum in zip(units, strata, strict=True):
        members.setdefault(unit, Counter())[stratum] += 1
    total = Counter(strata)
    held: list[Counter[Hashable]] = [Counter() for _ in range(min(count, len(members)))]
    sizes = [0] * len(held)
    place: dict[Hashable, int] = {}
    for unit, inside in sorted(members.items(), key=lambda pair: -pair[1].total()):
        cost = [sum(number * fold[name] / total[name] for name, number in inside.items()) for fold in held]
        place[unit] = min(range(len(held)), key=lambda fold: (cost[fold], sizes[fold]))
        held[place[unit]] += inside
        sizes[place[unit]] += inside.total()
    return [place[unit] for unit in units]
