"""Calibration: reliability, expected calibration error and temperatures against what is known of made scores."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from timesformer.reporting import calibration
from timesformer.reporting.calibration import reliability, scaled


def overconfident(count: int, sharpened: float, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores whose logits are too large by a factor, and classes drawn from the true probabilities."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(count, 4)) * 1.5
    true = scaled(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), 1.0, several=False)
    classes = np.array([generator.choice(4, p=row) for row in true])
    return scaled(true, 1 / sharpened, several=False), classes


def units(count: int) -> list[str]:
    return [f"video {number}" for number in range(count)]


def test_confidence_and_accuracy_are_those_of_the_answers_in_a_bin() -> None:
    bins = reliability(np.array([0.05, 0.31, 0.39, 1.0]), np.array([False, True, False, True]))
    assert [each.count for each in bins] == [1, 0, 0, 2, 0, 0, 0, 0, 0, 1]
    assert (bins[3].confidence, bins[3].accuracy) == (pytest.approx(0.35), 0.5)
    assert calibration.expected_error(bins) == pytest.approx((0.05 + 2 * 0.15) / 4)


def test_a_temperature_undoes_the_factor_that_made_scores_too_sure() -> None:
    scores, classes = overconfident(4000, 3.0)
    found = calibration.calibration(scores, classes, units(4000), task="classes")
    assert found.confidence > found.accuracy + 0.1
    assert found.temperature is not None
    assert found.temperature.value == pytest.approx(3.0, rel=0.06)
    assert found.error > 0.1 > 0.03 > found.temperature.error
    assert found.loss == pytest.approx(log_loss(classes, scores))
    assert found.temperature.loss < found.loss


def test_the_temperature_is_the_minimum_that_another_optimiser_finds() -> None:
    scores, classes = overconfident(300, 2.0, seed=1)
    inverse = torch.ones((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([inverse], max_iter=100, tolerance_grad=1e-10)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(torch.from_numpy(scores).log() * inverse, torch.from_numpy(classes))
        loss.backward()
        return loss

    optimizer.step(closure)
    assert calibration.fit(scores, classes, several=False) == pytest.approx(1 / inverse.item(), rel=1e-4)


def test_scores_of_labels_are_calibrated_each_for_itself() -> None:
    generator = np.random.default_rng(4)
    true = generator.random((500, 3))
    targets = (generator.random((500, 3)) < true).astype(np.float64)
    found = calibration.calibration(scaled(true, 0.5, several=True), targets, units(500), task="multilabel")
    assert sum(each.count for each in found.bins) == 1500
    assert found.temperature is not None
    assert found.temperature.value == pytest.approx(2.0, rel=0.12)
    assert found.temperature.error < 0.5 * found.error


def test_no_video_is_judged_by_a_temperature_that_was_fitted_on_its_group() -> None:
    """Were each group in several parts, its label, which only it has, would tell the temperature how sure to be."""
    scores, classes = overconfident(60, 2.0, seed=5)
    groups = [f"group {number // 3}" for number in range(60)]
    whole = calibration._cross_fitted(scores, classes, groups, several=False)
    changed = classes.copy()
    changed[:3] = (classes[:3] + 1) % 4  # the first group's labels
    again = calibration._cross_fitted(scores, changed, groups, several=False)
    assert np.array_equal(whole[:3], again[:3])
    assert not np.array_equal(whole[3:], again[3:])


def test_a_few_videos_give_no_temperature_and_a_regression_no_calibration() -> None:
    scores, classes = overconfident(19, 2.0)
    assert calibration.calibration(scores, classes, units(19), task="classes").temperature is None
    with pytest.raises(ValueError, match="a regression has no confidences"):
        calibration.calibration(scores, classes, units(19), task="regression")
