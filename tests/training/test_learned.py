"""A run remembers which videos taught it, and says so where it is measured on one of them."""

import shutil
from dataclasses import replace
from pathlib import Path

from tests import made_trainings
from timesformer.data import manifest
from timesformer.training.choose import plan
from timesformer.weights import runs


def test_videos_that_moved_from_training_into_validation_are_named(tmp_path: Path) -> None:
    data = made_trainings.table(tmp_path / "videos")
    outcome = made_trainings.run(data, made_trainings.config(optim={"epochs": 1}), tmp_path / "run")
    assert runs.learned(outcome.best) == {item.key for item in data.of("train")}
    assert runs.seen_before(outcome.best, data.of("val")) == ()
    moved = data.of("train")[0]
    mixed = replace(data, items=tuple(replace(i, split="val") if i == moved else i for i in data.items))
    (note,) = runs.seen_before(tmp_path / "run", mixed.of("val"))
    assert f"1 of {len(mixed.of('val'))} evaluation videos" in note and moved.key in note
    start = plan.base(out=tmp_path / "other")
    found = plan.plan(mixed, start, {"init": str(outcome.best)})
    assert any(moved.key in reason and "were used to train these weights" in reason for reason in found.reasons)


def test_what_was_learned_is_nothing_where_that_is_not_known(tmp_path: Path) -> None:
    assert runs.learned(tmp_path / "weights.safetensors") == frozenset()
    (tmp_path / runs.LEARNED).write_text('{"no": "list"}')
    assert runs.learned(tmp_path / "weights.safetensors") == frozenset()


def test_a_run_inside_the_data_does_not_become_a_class(tmp_path: Path) -> None:
    data = made_trainings.table(tmp_path / "videos")
    made_trainings.run(data, made_trainings.config(optim={"epochs": 1}), tmp_path / "videos" / "run")
    again = manifest.load(tmp_path / "videos")
    assert again.labels == data.labels
    assert any("run" in note for note in again.notes)
    shutil.rmtree(tmp_path / "videos" / "run")
    assert manifest.load(tmp_path / "videos").items == again.items
