"""Whether scores can be taken at their word: reliability, expected calibration error, temperature scaling.

Of all videos that a calibrated model gives 80 %, it gets 80 % right. All three are as in Guo et al. 2017, "On
Calibration of Modern Neural Networks".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timesformer.config.tasks import FACTS
from timesformer.config.training import Task

Floats = NDArray[np.float64]

BINS, FOLDS = 10, 5
FEWEST = 20
"""Units of videos from which a temperature is fitted: fewer say nothing of it."""
COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures that are tried; outside of them a model is not worth calibrating."""
TINY = 1e-12


@dataclass(frozen=True)
class Bin:
    """The answers whose confidence lies in a range."""

    low: float
    high: float
    count: int
    confidence: float
    """Mean confidence; 0 without answers."""
    accuracy: float
    """Share that is right; 0 without answers."""


@dataclass(frozen=True)
class Temperature:
    """What dividing the logits by one number does to the calibration of videos that it was not fitted on."""

    value: float
    """Fitted on all videos: above 1 the scores become less sure."""
    error: float
    """Expected calibration error of all videos, each with a temperature fitted on others."""
    loss: float
    """Mean negative log-likelihood, likewise."""
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Calibration:
    """How far confidences are those of the right answers."""

    bins: tuple[Bin, ...]
    error: float
    """Expected calibration error, 0 to 1."""
    loss: float
    """Mean negative log-likelihood."""
    confidence: float
    """Mean confidence."""
    accuracy: float
    """Share of right answers."""
    temperature: Temperature | None
    """None where there are too few videos to fit one."""


def calibration(scores: Floats, targets: NDArray[np.generic], units: Sequence[str], *, task: Task) -> Calibration:
    """How well calibrated scores (n, outputs) are for their targets, (n,) classes or (n, outputs) zeros and ones.

    A class counts with its highest score; of several labels each counts for itself. A temperature is fitted in
    five parts, each on the units of the other four, so that no video is judged by one that was fitted on it.
    Raises ValueError for regression, which has no confidences.
    """
    if FACTS[task].numeric:
        raise ValueError("a regression has no confidences; calibration is for classes and labels.")
    several = FACTS[task].several
    sure, right = _answers(scores, targets, several)
    found = reliability(sure, right)
    count = len(set(units))
    warm = _cross_fitted(scores, targets, units, several) if count >= FEWEST else None
    fitted = None
    if warm is not None:
        after = reliability(*_answers(warm, targets, several))
        value = fit(scores, targets, several=several)
        fitted = Temperature(value, expected_error(after), loss(warm, targets, several=several), after)
    return Calibration(
        bins=found,
        error=expected_error(found),
        loss=loss(scores, targets, several=several),
        confidence=float(sure.mean()),
        accuracy=float(right.mean()),
        temperature=fitted,
    )


def reliability(confidence: Floats, right: NDArray[np.bool_], *, bins: int = BINS) -> tuple[Bin, ...]:
    """Answers by their confidence, in equally wide bins; confidence (n,) from 0 to 1, right (n,)."""
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    found = []
    for number in range(bins):
        inside = place == number
        count = int(inside.sum())
        mean, share = (float(values[inside].mean()) if count else 0.0 for values in (confidence, right))
        found.append(Bin(number / bins, (number + 1) / bins, count, mean, share))
    return tuple(found)


def expected_error(bins: Sequence[Bin]) -> float:
    """Mean distance between confidence and accuracy of a bin, weighed by its answers (equation 3)."""
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.accuracy - each.confidence) for each in bins) / max(total, 1)


def fit(scores: Floats, targets: NDArray[np.generic], *, several: bool) -> float:
    """The temperature with the smallest loss; scores (n, outputs) are softmax or, of ``several`` labels, sigmoid.

    The loss is convex in the inverse temperature, so its slope is bisected.
    """
    logits = _logits(scores, several)
    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(50):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if _slope(logits, targets, middle, several) > 0 else (middle, high)
    return float(1 / (low * high) ** 0.5)


def scaled(scores: Floats, temperature: float, *, several: bool) -> Floats:
    """Scores of logits divided by the temperature."""
    logits = _logits(scores, several) / temperature
    if several:
        return np.asarray(1 / (1 + np.exp(-logits)))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def loss(scores: Floats, targets: NDArray[np.generic], *, several: bool) -> float:
    """Mean negative log-likelihood: of each video's class, or of each label of each video."""
    if several:
        hit = targets.astype(bool)
        return float(-np.log(np.where(hit, scores, 1 - scores).clip(TINY)).mean())
    return float(-np.log(_own(scores, targets).clip(TINY)).mean())


def _answers(scores: Floats, targets: NDArray[np.generic], several: bool) -> tuple[Floats, NDArray[np.bool_]]:
    """Confidence of each answer, and whether it is right."""
    if several:
        return scores.ravel(), targets.astype(bool).ravel()
    return scores.max(axis=1), scores.argmax(axis=1) == targets


def _cross_fitted(scores: Floats, targets: NDArray[np.generic], units: Sequence[str], several: bool) -> Floats:
    """Scores, each scaled by a temperature that was fitted on other units."""
    names = sorted(set(units))
    order = np.random.default_rng(0).permutation(len(names))
    part = {names[place]: number % FOLDS for number, place in enumerate(order)}
    folds = np.array([part[unit] for unit in units])
    found = np.empty_like(scores)
    for fold in range(FOLDS):
        held = folds == fold
        found[held] = scaled(scores[held], fit(scores[~held], targets[~held], several=several), several=several)
    return found


def _logits(scores: Floats, several: bool) -> Floats:
    clipped = scores.clip(TINY, 1 - TINY if several else 1)
    return np.asarray(np.log(clipped) - np.log1p(-clipped) if several else np.log(clipped))


def _slope(logits: Floats, targets: NDArray[np.generic], inverse: float, several: bool) -> float:
    """Derivative of the mean loss with respect to the inverse temperature."""
    if several:
        return float((logits * (1 / (1 + np.exp(-inverse * logits)) - targets.astype(np.float64))).mean())
    powers = np.exp(inverse * (logits - logits.max(axis=1, keepdims=True)))
    expected = (powers * logits).sum(axis=1) / powers.sum(axis=1)
    return float((expected - _own(logits, targets)).mean())


def _own(values: Floats, targets: NDArray[np.generic]) -> Floats:
    return np.asarray(np.take_along_axis(values, targets.astype(np.int64)[:, None], axis=1)[:, 0])
