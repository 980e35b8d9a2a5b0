"""The page of the demo shows what it is given, and says what was missed."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from timesformer.pictures import demo_page
from timesformer.pictures.demo_page import Example, Page, Result, Target
from timesformer.verbs import demo_results


def page(**changes: Any) -> Page:
    """A page of two classes and two models, one of which never errs."""
    rows = ({"epoch": 1.0, "train_loss": 2.0, "val_top1": 0.5}, {"epoch": 2.0, "train_loss": 1.0, "val_top1": 0.75})
    one = Result("divided", rows, 1.0, 8, ((4, 0), (0, 4)), (0.9, 0.1))
    example = Example("motions/test/a/a_00000.mp4", "a", np.zeros((2, 8, 8, 3), dtype=np.uint8), (0.0, 0.5))
    base = Page(
        labels=("a", "b"),
        results=(one, replace(one, scheme="space", top1=0.5, confusion=((3, 1), (3, 1)), scores=(0.3, 0.7))),
        targets=(Target("works", "at least 1", "2", True), Target("is quick", "at most 3 s", "4 s", False)),
        examples=(example, replace(example, label="b")),
        predicted=example,
        times=(("training", 1.25), ("predicting", 0.5)),
        settings=(("batch", "16"),),
        config="lr = 1",
    )
    return replace(base, **changes)


@pytest.mark.parametrize(
    ("divided", "space", "seconds", "met"),
    [(0.95, 0.4, 360.0, [True] * 3), (0.949, 0.401, 361.0, [False] * 3), (1.0, 0.125, 1.0, [True] * 3)],
)
def test_a_goal_that_was_missed_is_said_to_be_missed(
    divided: float, space: float, seconds: float, met: list[bool]
) -> None:
    runs = tuple(replace(page().results[0], top1=top1) for top1 in (divided, space))
    targets = demo_results._targets(runs, seconds)
    assert [target.met for target in targets] == met
    words = re.findall(r'class="(good|bad)">(\w+)<', demo_page.render(page(targets=targets)))
    assert words == [("good", "reached") if good else ("bad", "missed") for good in met]


def test_the_page_says_whether_each_model_predicts_the_class_of_the_example() -> None:
    text = demo_page.render(page())
    assert "divided: predicts “a” (correct)" in text
    assert "space: predicts “b” (wrong)" in text


def test_the_frames_of_the_predicted_video_have_their_times_below() -> None:
    assert re.findall(r"<span>([\d.]+ s)</span>", demo_page.render(page())) == ["0.00 s", "0.50 s"]


def test_a_training_of_a_single_epoch_is_drawn_too() -> None:
    runs = tuple(replace(run, rows=run.rows[:1]) for run in page().results)
    assert "nan" not in demo_page.render(page(results=runs))


def test_no_text_becomes_markup() -> None:
    strange = replace(page().predicted, label="<i>", path="<i>/\x1b.mp4")
    result = replace(page().results[0], scheme="<i>")
    target = Target("<i>", "<i>", "<i>", True)
    changes = {"labels": ("<i>", "b"), "results": (result, result), "targets": (target,), "settings": (("<i>", "<i>"),)}
    text = demo_page.render(
        page(**changes, examples=(strange, strange), predicted=strange, times=(("<i>", 1.0),), config="<i>\na < b")
    )
    assert "<i>" not in text and "\x1b" not in text
    assert "<code>&lt;i&gt;/\\x1b.mp4</code>" in text and "<pre>&lt;i&gt;\na &lt; b</pre>" in text


def test_times_are_added_up() -> None:
    assert "<td>total</td><td>1.8 s</td>" in demo_page.render(page())
