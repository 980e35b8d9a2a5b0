"""The table of tasks: every task that a config can name has a row, and the parts of a row fit together."""

from typing import get_args

import pytest
import torch

from timesformer.config.tasks import FACTS
from timesformer.config.training import OptimConfig, Task
from timesformer.tasks import table
from timesformer.tasks.table import SHOWN, TABLE

TASKS = get_args(Task)
TARGETS = {
    "classes": torch.tensor([0, 1, 2, 1]),
    "multilabel": torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0]]),
    "regression": torch.tensor([[0.0, 5.0, 9.0], [1.0, 6.0, 8.0], [2.0, 7.0, 7.0], [3.0, 8.0, 5.0]]).double(),
}


def test_every_task_of_a_config_has_its_facts_and_its_row() -> None:
    assert set(TASKS) == set(FACTS) == set(TABLE) == set(TARGETS)


@pytest.mark.parametrize("task", TASKS)
def test_a_row_notes_the_measures_that_it_chooses_by_and_shows(task: Task) -> None:
    row, targets = TABLE[task], TARGETS[task]
    stats = ((1.5, 1.0), (6.5, 1.0), (7.25, 1.5)) if FACTS[task].numeric else ()
    noted = row.measure(row.scores(torch.randn(4, 3)), targets).validation(stats)
    assert {row.best, row.best_weighted, *row.shown, "val_loss"} <= noted.keys()
    assert row.shown.items() <= SHOWN.items()


@pytest.mark.parametrize("task", TASKS)
def test_right_answers_are_right_and_cost_less_than_wrong_ones(task: Task) -> None:
    row = TABLE[task]
    targets = table.dense(TARGETS[task], 3)
    good = targets if FACTS[task].numeric else 20 * targets - 10
    assert row.right(good, targets).all() and not row.right(-good - 1, targets).any()
    optim = OptimConfig()
    assert (row.losses(good, targets, optim) < row.losses(-good - 1, targets, optim)).all()


@pytest.mark.parametrize("task", TASKS)
def test_measures_become_words_and_json_with_the_names_of_the_outputs(task: Task) -> None:
    row, labels = TABLE[task], ("sit", "stand", "turn")
    found = row.measure(row.scores(torch.randn(4, 3)), TARGETS[task])
    assert found.lines(labels) and found.as_json(labels)["videos"] == 4
    assert "stand" in repr(found.as_json(labels))


def test_the_best_epoch_is_chosen_by_mean_class_accuracy_where_classes_are_weighed_alike() -> None:
    assert table.best_measure("classes", OptimConfig()) == "val_top1"
    assert table.best_measure("classes", OptimConfig(class_weights=True)) == "val_mean_class"
