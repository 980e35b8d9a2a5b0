"""Numbers from scores, against values worked out by hand and against their definitions."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from timesformer.tasks import classes, multilabel, regression
from timesformer.tasks.classes import ClassResult
from timesformer.tasks.multilabel import average_precision
from timesformer.tasks.table import fuse
from timesformer.weights.report import WeightsError

# Five videos of classes 0, 0, 1, 1, 2 among four, taken for 0, 1, 1, 0, 1. Class 3 has no video.
SCORES = torch.tensor(
    [[0.7, 0.1, 0.1, 0.1], [0.2, 0.6, 0.1, 0.1], [0.1, 0.5, 0.3, 0.1], [0.4, 0.3, 0.2, 0.1], [0.3, 0.4, 0.2, 0.1]]
)
TARGETS = torch.tensor([0, 0, 1, 1, 2])


def test_accuracy_and_confusion_are_those_counted_by_hand() -> None:
    result = classes.measure(SCORES, TARGETS)
    assert (result.videos, result.top1, result.top5) == (5, 0.4, 1.0)
    assert result.mean_class == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert result.loss == pytest.approx(-math.log(0.7 * 0.2 * 0.5 * 0.3 * 0.2) / 5)
    assert result.confusion.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert result.classes == (
        ClassResult(0, count=2, recall=0.5, precision=0.5, confused_with=1, confused=1),
        ClassResult(1, count=2, recall=0.5, precision=pytest.approx(1 / 3), confused_with=0, confused=1),
        ClassResult(2, count=1, recall=0.0, precision=None, confused_with=1, confused=1),
        ClassResult(3, count=0, recall=None, precision=None, confused_with=None, confused=0),
    )


def test_top_five_looks_at_five_scores() -> None:
    scores = torch.arange(7.0).flip(0).expand(7, 7)
    result = classes.measure(scores, torch.arange(7))
    assert (result.top1, result.top5) == (pytest.approx(1 / 7), pytest.approx(5 / 7))


def test_a_model_that_can_not_decide_is_right_about_the_first_class_only() -> None:
    result = classes.measure(torch.full((8, 8), 0.125), torch.arange(8))
    assert (result.top1, result.top5) == (1 / 8, 5 / 8)
    assert result.confusion[:, 0].tolist() == [1] * 8


@given(st.lists(st.tuples(st.integers(0, 4), st.lists(st.integers(0, 3), min_size=5, max_size=5)), min_size=1))
def test_accuracy_recalls_and_confusion_agree_with_each_other(videos: list[tuple[int, list[int]]]) -> None:
    targets = torch.tensor([target for target, _ in videos])
    result = classes.measure(torch.tensor([scores for _, scores in videos]).float() / 3, targets)
    assert int(result.confusion.sum()) == len(videos)
    assert result.top1 == pytest.approx(int(result.confusion.diagonal().sum()) / len(videos))
    weighted = sum(each.count * each.recall for each in result.classes if each.recall is not None)
    assert weighted / len(videos) == pytest.approx(result.top1)
    assert all(each.confused <= each.count for each in result.classes)


def test_a_wrong_class_of_score_zero_costs_much_but_not_infinitely_much() -> None:
    assert 80 < classes.measure(torch.tensor([[1.0, 0.0]]), torch.tensor([1])).loss < 90


def test_average_precision_is_that_worked_out_by_hand() -> None:
    # hits at ranks 1, 3 and 6: (1/1 + 2/3 + 3/6) / 3
    scores = torch.tensor([0.2, 0.9, 0.1, 0.6, 0.3, 0.7])
    targets = torch.tensor([0.0, 1, 1, 1, 0, 0])
    assert average_precision(scores, targets) == pytest.approx((1 + 2 / 3 + 3 / 6) / 3)
    assert average_precision(torch.full((6,), 0.5), targets) == 0.5
    assert average_precision(scores, torch.zeros(6)) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_average_precision_is_the_sum_over_all_thresholds(videos: list[tuple[int, bool]]) -> None:
    ones = sum(applies for _, applies in videos)
    expected, before = 0.0, 0.0
    for threshold in sorted({score for score, _ in videos}, reverse=True):
        taken = [applies for score, applies in videos if score >= threshold]
        recall = sum(taken) / max(ones, 1)
        expected += (recall - before) * sum(taken) / len(taken)
        before = recall
    found = average_precision(
        torch.tensor([score / 5 for score, _ in videos]), torch.tensor([float(applies) for _, applies in videos])
    )
    assert found is None if ones == 0 else found == pytest.approx(expected)


def test_labels_that_apply_to_no_video_are_left_out_of_the_mean() -> None:
    scores = torch.tensor([[0.9, 0.2, 0.5], [0.8, 0.6, 0.5], [0.1, 0.4, 0.5]])
    result = multilabel.measure(scores, torch.tensor([[1.0, 0, 0], [0, 0, 0], [1, 1, 0]]))
    assert result.counts == (2, 1, 0)
    assert result.ap == (pytest.approx((1 + 2 / 3) / 2), pytest.approx(0.5), None)
    assert result.mean_ap == pytest.approx((5 / 6 + 0.5) / 2)
    likely = 0.9 * 0.8 * 0.5 * 0.2 * 0.4 * 0.5 * 0.1 * 0.4 * 0.5
    assert result.loss == pytest.approx(-math.log(likely) / 9)
    assert multilabel.measure(scores, torch.zeros(3, 3)).mean_ap is None


def test_errors_of_numbers_are_absolute_and_kept_apart_by_column() -> None:
    result = regression.measure(torch.tensor([[1.0, 100.0], [3.0, 90.0]]), torch.tensor([[2.0, 100.0], [1.0, 120.0]]))
    assert (result.mae, result.mean_mae) == ((1.5, 15.0), 8.25)


def test_views_are_put_together_by_scores_or_by_logits() -> None:
    logits = torch.tensor([[[0.0, math.log(3)], [math.log(7), 0.0]]])  # scores 1/4, 3/4 and 7/8, 1/8
    torch.testing.assert_close(fuse(logits, "classes", "scores"), torch.tensor([[9 / 16, 7 / 16]]))
    # mean logits: ln 7 / 2 and ln 3 / 2
    expected = torch.tensor([[math.sqrt(7), math.sqrt(3)]]) / (math.sqrt(7) + math.sqrt(3))
    torch.testing.assert_close(fuse(logits, "classes", "logits"), expected)
    torch.testing.assert_close(fuse(logits, "multilabel", "scores"), torch.tensor([[11 / 16, 10 / 16]]))
    torch.testing.assert_close(fuse(logits, "regression", "scores"), logits.mean(dim=1))
    shifted = fuse(logits, "regression", "scores", ((10.0, 2.0), (-1.0, 3.0)))
    expected = logits.double().mean(dim=1) * torch.tensor([2.0, 3.0]) + torch.tensor([10.0, -1.0])
    torch.testing.assert_close(shifted, expected, rtol=1e-6, atol=1e-6)  # float64, for numbers of any size
    assert fuse(logits.bfloat16(), "classes", "scores").dtype == torch.float32


def test_scores_that_can_not_be_measured_are_refused() -> None:
    with pytest.raises(WeightsError, match="scores of 1 of 2 videos are not finite"):
        classes.measure(torch.tensor([[0.5, 0.5], [math.nan, 0.5]]), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="a row for each of 1 or more videos"):
        regression.measure(torch.zeros(0, 2), torch.zeros(0, 2))
    with pytest.raises(ValueError, match=r"scores \(2, 2\) for targets \(3,\)"):
        classes.measure(torch.zeros(2, 2), torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="classes 0 to 2 for 2 scores"):
        classes.measure(torch.zeros(2, 2), torch.tensor([0, 2]))
    assert classes.scores(torch.zeros(1, 2)).tolist() == [[0.5, 0.5]]
