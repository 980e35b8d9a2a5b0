"""Intervals by the bootstrap: what they resample, and how often they hold the truth."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, recall_score

from timesformer.reporting import intervals


def singles(count: int) -> list[str]:
    return [f"video {number}" for number in range(count)]


def test_an_interval_of_a_share_holds_the_truth_in_about_95_of_100_samples() -> None:
    generator, truth, hits = np.random.default_rng(0), 0.7, 0
    for _ in range(200):
        found = intervals.share(generator.random(80) < truth, singles(80))
        hits += found.low <= truth <= found.high
    assert 0.89 <= hits / 200 <= 0.99


def test_an_interval_over_groups_of_equal_videos_is_as_wide_as_that_over_the_groups() -> None:
    right = np.random.default_rng(1).random(40) < 0.6
    once = intervals.share(right, singles(40))
    five_times = intervals.share(np.repeat(right, 5), list(np.repeat(singles(40), 5)))
    alone = intervals.share(np.repeat(right, 5), singles(200))
    assert five_times.high - five_times.low == pytest.approx(once.high - once.low, rel=0.1)
    assert alone.high - alone.low < 0.6 * (once.high - once.low)


@pytest.mark.parametrize(("hits", "low", "high"), [(24, 0.8575, 1.0), (0, 0.0, 0.1425), (18, 0.5329, 0.9023)])
def test_exact_intervals_are_those_of_clopper_and_pearson(hits: int, low: float, high: float) -> None:
    found = intervals.exact(hits, 24)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_where_all_videos_are_right_the_interval_still_says_how_few_they_are() -> None:
    few, many = (intervals.share(np.ones(count, dtype=bool), singles(count)) for count in (6, 600))
    assert few.low == pytest.approx(0.025 ** (1 / 6))
    assert many.low > 0.99
    two = intervals.share(np.ones(600, dtype=bool), ["group a", "group b"] * 300)
    assert two.low == pytest.approx(0.025**0.5)


def test_each_resample_is_measured_as_scikit_learn_measures_its_videos() -> None:
    generator = np.random.default_rng(2)
    classes, said = generator.integers(0, 3, 30), generator.integers(0, 3, 30)
    scores, targets = generator.integers(0, 9, (30, 2)) / 9, generator.integers(0, 2, (30, 2)).astype(float)
    drawn = generator.multinomial(30, np.full(30, 1 / 30), size=4)
    means = intervals.mean_of_classes(said == classes, classes)(drawn.astype(float))
    precisions = intervals.mean_precision(scores, targets)(drawn.astype(float))
    for row, mean, precision in zip(drawn, means, precisions, strict=True):
        rows = np.repeat(np.arange(30), row)
        assert mean == pytest.approx(recall_score(classes[rows], said[rows], average="macro"))
        assert precision == pytest.approx(average_precision_score(targets[rows], scores[rows], average="macro"))


def test_the_same_seed_gives_the_same_interval_in_portions_and_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = intervals.weighted_mean(np.random.default_rng(3).random(50))
    first = intervals.bootstrap(values, singles(50))
    monkeypatch.setattr(intervals, "AT_ONCE", 1000)
    assert intervals.bootstrap(values, singles(50)) == first
