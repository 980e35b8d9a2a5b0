"""Large numbers to predict, such as times in seconds since 1970, are told apart from the data to the answer."""

from pathlib import Path

import pytest
import torch

from tests import made_trainings
from timesformer.data.batches.dataset import TrainingClips
from timesformer.inference.scoring import Scoring
from timesformer.tasks import table
from timesformer.tasks.regression import Regression
from timesformer.tasks.table import fuse
from timesformer.verbs.evaluate import evaluate

DAWN = 1.7e9
"""Seconds; float32 counts here in steps of 128."""


def test_targets_ten_seconds_apart_in_a_billion_stay_apart(tmp_path: Path) -> None:
    data = made_trainings.table(tmp_path / "videos")
    numbers = made_trainings.relabelled(data, {"dark": (DAWN,), "light": (DAWN + 10,)}, "regression")
    clips = TrainingClips(numbers, numbers.of("train"), made_trainings.config(task="regression"))
    targets = table.dense(torch.stack(clips.targets), 1, table.target_stats(numbers))
    torch.testing.assert_close(targets.unique(), torch.tensor([-1.0, 1.0]))


def test_answers_ten_seconds_apart_in_a_billion_stay_apart() -> None:
    answers = fuse(torch.tensor([[[-1.0]], [[1.0]]]), "regression", "scores", ((DAWN + 5, 5.0),))
    assert answers.flatten().tolist() == [DAWN, DAWN + 10]


def test_a_regression_of_times_is_learned_and_measured_to_the_second(tmp_path: Path) -> None:
    data = made_trainings.table(tmp_path / "videos")
    numbers = made_trainings.relabelled(data, {"dark": (DAWN, 0.0), "light": (DAWN + 10, 10.0)}, "regression")
    settings = made_trainings.config(task="regression", optim={"epochs": 8})
    outcome = made_trainings.run(numbers, settings, tmp_path / "run")
    assert outcome.rows[-1]["val_mae"] < 0.9 * outcome.rows[0]["val_mae"] < 4
    found = evaluate(outcome.checkpoint, numbers, Scoring(crops=1, workers=0), split="val")
    assert isinstance(found.numbers, Regression)
    assert found.numbers.mean_mae == pytest.approx(outcome.rows[-1]["val_mae"], abs=1e-3)
