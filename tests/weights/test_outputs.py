"""A head's rows follow the names of what they are for, and the start of a training says so."""

import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import made_trainings
from tests.made_weights import SMALL, random_model, vit
from timesformer.config.checks import ConfigError
from timesformer.config.model import ClipConfig
from timesformer.data.manifest import Manifest
from timesformer.tasks import regression
from timesformer.training import overfit
from timesformer.training.loop import train
from timesformer.weights.checkpoint import Checkpoint, save
from timesformer.weights.fit.outputs import Outputs, rows
from timesformer.weights.loading import start

NAMES = ("walk", "Gähnen", "sit down", "run", "wave")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "w.safetensors"
    save(Checkpoint(random_model(), ClipConfig(frames=4, size=32), labels=NAMES), path)
    return path


def begun(path: Path, labels: tuple[str, ...], **other: Any) -> tuple[Checkpoint, torch.Tensor, torch.Tensor]:
    """What starts for labels, its head's rows, and those of the weights."""
    started = start(path, replace(SMALL, classes=len(labels)), outputs=Outputs(labels, **other))
    assert started.labels == labels
    old, new = random_model().head, started.model.head
    return started, torch.cat([new.weight, new.bias[:, None]], 1), torch.cat([old.weight, old.bias[:, None]], 1)


def test_names_are_the_same_in_any_unicode_form_and_in_any_case_that_leaves_no_doubt() -> None:
    composed, apart = (unicodedata.normalize(form, "Gähnen") for form in ("NFC", "NFD"))
    for have, want, expected in (
        (["a", composed], [apart, "a"], (1, 0)),
        (["Run", "WALK"], ["walk", "run"], (1, 0)),
        (["Run", "run"], ["RUN", "run"], (0, 1)),  # what is left after the exact ones
        (["Run", "RUN"], ["run"], (None,)),
        (["run"], ["Run", "RUN"], (None, None)),
        (["STRASSE"], ["straße"], (0,)),
        (["crane", "crane", "b"], ["b", "crane"], (2, None)),
        (["a", "b"], ["c", "d"], (None, None)),
        ([], ["c"], (None,)),
    ):
        assert rows(have, want) == expected, (have, want)


def test_the_same_names_in_the_same_order_keep_the_head(weights: Path) -> None:
    started, new, old = begun(weights, NAMES)
    assert torch.equal(new, old)
    assert started.report is not None and started.report.head == "kept: the same 5 names in the same order"
    assert started.report.new == ()


def test_the_same_names_in_another_order_move_the_rows(weights: Path) -> None:
    order = [3, 1, 4, 0, 2]
    labels = tuple(unicodedata.normalize("NFD", NAMES[number]).upper() for number in order)
    started, new, old = begun(weights, labels)
    assert torch.equal(new, old[order])
    assert started.report is not None and started.report.head.startswith("rows moved: the same names in another order")
    assert "  head: rows moved" in "\n".join(started.report.lines())
    torch.manual_seed(1)
    clips = torch.randn(2, 4, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(started.model(clips), random_model()(clips)[:, order])


def test_names_in_common_keep_their_rows_and_the_others_begin_anew(weights: Path) -> None:
    started, new, old = begun(weights, ("jump", "run", "walk"))
    assert torch.equal(new[1], old[3]) and torch.equal(new[2], old[0])
    assert 0 < new[0].abs().max() < 0.2
    assert started.report is not None and started.report.new == ()
    assert started.report.head == "rows of 2 of 3 names kept; new: jump; 3 of the weights' names left out"
    started, new, old = begun(weights, ("wave", "walk"))
    assert torch.equal(new, old[[4, 0]])
    assert started.report is not None and started.report.head.startswith("rows of all 2 names kept; 3 of the weights'")


@pytest.mark.parametrize("labels", [("a", "b", "c", "d", "e"), ("a", "b")])
def test_other_names_begin_with_a_new_head_whatever_their_number(labels: tuple[str, ...], weights: Path) -> None:
    started, new, _ = begun(weights, labels)
    assert new.abs().max() < 0.2
    assert started.report is not None and started.report.new == ("head.weight", "head.bias")
    assert started.report.head.startswith(f"new: none of the {len(labels)} names is among the weights' (walk, Gähnen")


def test_names_that_one_side_does_not_know_begin_with_a_new_head(tmp_path: Path) -> None:
    save(Checkpoint(random_model(), ClipConfig(frames=4, size=32)), tmp_path / "w.safetensors")
    torch.save(vit(), tmp_path / "vit.pth")
    for name in ("w.safetensors", "vit.pth"):
        started, new, _ = begun(tmp_path / name, NAMES)
        assert new.abs().max() < 0.2
        assert started.report is not None
        assert started.report.head == "new, for 5 outputs: the weights have no class names"
    torch.save({name: value for name, value in vit().items() if "head" not in name}, tmp_path / "vit.pth")
    started, new, _ = begun(tmp_path / "vit.pth", NAMES)
    assert started.report is not None and started.report.head == "new: the weights have no head"


def test_a_head_for_another_task_is_new(weights: Path) -> None:
    started, new, _ = begun(weights, NAMES, task="multilabel")
    assert new.abs().max() < 0.2 and started.task == "multilabel"
    assert started.report is not None and "is for classes, this one for multilabel" in started.report.head


def test_rows_of_a_regression_take_their_units_with_them(tmp_path: Path) -> None:
    old = ((10.0, 2.0), (100.0, 20.0))
    model = random_model(replace(SMALL, classes=2))
    path = tmp_path / "w.safetensors"
    save(Checkpoint(model, ClipConfig(frames=4, size=32), ("x", "y"), "regression", target_stats=old), path)
    new = ((0.0, 1.0), (90.0, 10.0), (5.0, 3.0))
    started = start(path, replace(SMALL, classes=3), outputs=Outputs(("z", "y", "x"), "regression", new))
    assert started.target_stats == (new[0], old[1], old[0])
    regression.rescale_head(started.model.head, started.target_stats, new)
    clips = torch.randn(2, 4, 3, 32, 32)
    with torch.no_grad():
        before, after = model(clips).double(), started.model(clips).double()
    for place, (row, unit) in enumerate(((1, new[1]), (0, new[2])), start=1):
        assert torch.allclose(
            after[:, place] * unit[1] + unit[0], before[:, row] * old[row][1] + old[row][0], atol=1e-3
        )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return made_trainings.table(tmp_path_factory.mktemp("data") / "videos")


def test_a_training_starts_from_its_classes_rows_and_says_so(data: Manifest, tmp_path: Path) -> None:
    settings = made_trainings.config(optim={"lr": 1e-9, "epochs": 1}, augment={"flip": False, "jitter": (1.0, 1.0)})
    model = random_model(settings.model)
    for labels, said in (
        (("light", "dark"), "head rows moved: the same names in another order"),
        (("dark", "light"), "head kept: the same 2 names in the same order"),
        (("cat", "dog"), "head new: none of the 2 names is among the weights' (cat, dog)"),
    ):
        path = tmp_path / f"{labels[0]}.safetensors"
        save(Checkpoint(model, settings.clip, labels=labels), path)
        watcher = made_trainings.Watcher()
        outcome = train(data, replace(settings, init=str(path)), tmp_path / labels[0], display=watcher)
        assert any(said in text for text in watcher.said), watcher.said
        trained = start(outcome.run.final, settings.model).model.head.weight
        if labels[0] != "cat":
            order = [labels.index(name) for name in data.labels]
            assert torch.allclose(trained, model.head.weight[order], atol=1e-6)


def test_learning_by_heart_starts_from_the_same_rows(data: Manifest, tmp_path: Path) -> None:
    settings = made_trainings.config()
    path = tmp_path / "w.safetensors"
    save(Checkpoint(random_model(settings.model), settings.clip, labels=("light", "dark")), path)
    found = overfit.overfit(data, replace(settings, init=str(path)), clips=2, display=made_trainings.Watcher())
    assert found.reached == 1


def test_a_training_starts_from_the_model_that_its_key_names(data: Manifest, tmp_path: Path) -> None:
    settings = made_trainings.config(model={"weight_init": "image", "heads": 2}, optim={"epochs": 1})
    both = {name: vit(replace(settings.model, scheme="space")) for name in ("student", "teacher")}
    both["student"] = {name: value + 1 for name, value in both["student"].items()}
    torch.save(both, tmp_path / "dino.pth")
    for key, note in (("student", "student taken; the file also holds teacher"), ("", "teacher taken; the file also")):
        watcher = made_trainings.Watcher()
        train(
            data, replace(settings, init=str(tmp_path / "dino.pth"), key=key), tmp_path / f"run{key}", display=watcher
        )
        assert any(note in text for text in watcher.said), watcher.said
    with pytest.raises((ConfigError, ValueError), match="no model named 'pupil'"):
        train(data, replace(settings, init=str(tmp_path / "dino.pth"), key="pupil"), tmp_path / "no")
