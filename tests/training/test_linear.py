"""The head of a frozen backbone is fitted at once: the right minimum, a fair choice, an ordinary run."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests import made_trainings, made_weights
from timesformer.config.checks import ConfigError
from timesformer.config.training import Task, TrainConfig
from timesformer.data.manifest import Manifest
from timesformer.inference.scoring import Scores, Scoring
from timesformer.model.transformer import TimeSformer
from timesformer.training import baseline, head
from timesformer.training.choose import plan
from timesformer.training.linear import choice, features
from timesformer.training.linear.choice import Rows, folds
from timesformer.training.linear.solve import path
from timesformer.verbs.evaluate import evaluate
from timesformer.weights import checkpoint
from timesformer.weights.checkpoint import Checkpoint


@pytest.fixture
def data(tmp_path: Path) -> Manifest:
    return made_trainings.table(tmp_path / "data")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Weights to start from."""
    torch.manual_seed(0)
    settings = made_trainings.config()
    found = tmp_path / "start.safetensors"
    checkpoint.save(Checkpoint(TimeSformer(settings.model), settings.clip, ("a", "b")), found)
    return found


def at_once(init: Path, **changes: object) -> TrainConfig:
    optim = {"optimizer": "lbfgs", "epochs": 1, "lr": 1.0}
    return made_trainings.config(init=str(init), freeze="backbone", optim=optim, **changes)


def clusters(count: int, *, share: float = 0.5) -> tuple[Tensor, Tensor]:
    """Features (n, 6) around a centre for each of two classes, of very different scales, and one-hot targets."""
    torch.manual_seed(1)
    labels = (torch.arange(count) >= share * count).long()
    scale = torch.tensor([100.0, 1, 1e-3, 1, 1, 0])
    return (torch.randn(count, 6) + labels[:, None] * torch.tensor([1.0, 0, 0, 0, 0, 0])) * scale + 7, F.one_hot(labels)


@pytest.mark.parametrize("more", [0, 200], ids=["more rows than features", "more features than rows"])
@pytest.mark.parametrize("task", ["classes", "multilabel", "regression"])
def test_the_penalised_loss_of_standardised_features_has_no_slope_where_the_fit_ends(task: Task, more: int) -> None:
    seen, targets = clusters(60)
    seen = torch.cat([torch.randn(60, more) * 3 + 1, seen], dim=1)
    seen[-1] = seen[0]  # linearly dependent rows, too
    importance = torch.rand(60) + 0.1
    share = (importance / importance.sum()).double()[:, None]
    strong, weak = path(seen, targets.float(), importance, task=task, penalties=(10.0, 0.1))
    centre = (share * seen.double()).sum(dim=0)
    deviation = (share * (seen.double() - centre).square()).sum(dim=0).sqrt()[:-1]
    # of the layer as it is, back to standardised features: the last feature is constant, and has no weight
    weight = (weak.weight[:, :-1] * deviation).requires_grad_()
    bias = (weak.bias + weak.weight @ centre).requires_grad_()
    logits = (seen[:, :-1].double() - centre[:-1]) / deviation @ weight.T + bias
    losses = {
        "classes": -(targets * logits.log_softmax(dim=1)).sum(dim=1),
        "multilabel": F.binary_cross_entropy_with_logits(logits, targets.double(), reduction="none").sum(dim=1),
        "regression": (logits - targets).square().sum(dim=1) / 2,
    }
    ((share[:, 0] * losses[task]).sum() + 0.05 * weight.square().sum()).backward()
    assert weight.grad is not None and weight.grad.abs().max() < 2e-5
    assert bias.grad is not None and bias.grad.abs().max() < 2e-5
    assert weak.weight[:, -1].eq(0).all() and strong.weight.norm() < weak.weight.norm()


def test_a_fit_costs_few_steps_however_unequal_the_features_are(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, targets = clusters(60)
    seen = torch.cat([seen[:, :5], seen[:, :1] + torch.randn(60, 300) * 0.01 * seen[:, :1].std()], dim=1)
    count, smooth = [0], torch.Tensor.log_softmax

    def counted(logits: Tensor, dim: int) -> Tensor:
        count[0] += 1
        return smooth(logits, dim)

    monkeypatch.setattr(torch.Tensor, "log_softmax", counted)
    list(path(seen, targets.float(), torch.ones(60), task="classes", penalties=choice.PENALTIES))
    assert 0 < count[0] < 30 * len(choice.PENALTIES)


def test_folds_hold_out_whole_units_and_some_of_every_class() -> None:
    units = [f"person {number % 7}" for number in range(70)]
    strata = [number % 2 for number in range(70)]
    place = folds(units, strata, count=5)
    assert len({(unit, fold) for unit, fold in zip(units, place, strict=True)}) == 7
    assert {(fold, stratum) for fold, stratum in zip(place, strata, strict=True)} == {
        (fold, stratum) for fold in range(5) for stratum in (0, 1)
    }
    assert len(set(folds(["one"] * 4, [0, 0, 1, 1], count=5))) == 4  # a single unit can't be divided, its videos can


def test_groups_are_held_out_unless_validation_videos_share_them(
    data: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[list[str]] = []
    monkeypatch.setattr(
        head.choice, "choose", lambda rows, **_: held.append(list(rows.units)) or choice.Choice(1.0, 0.0, 1.0)
    )
    train = data.of("train")
    seen = features.Seen(train, torch.randn(len(train), 1, 4), Scores(train, torch.empty(0), (), ()))
    for group in ("one", "other"):
        items = [replace(item, group="one" if item.split == "train" else group) for item in data.items]
        table = replace(data, items=tuple(items))
        settings = made_trainings.config()
        head.fit(replace(seen, items=table.of("train")), table, settings, ())
    shared, apart = held
    assert len(set(shared)) == len(train) and set(apart) == {"group one"}


def test_rare_classes_weigh_more_where_classes_count_alike() -> None:
    seen, targets = clusters(200, share=0.93)
    rows = Rows(seen[:, None], targets[:, None].float(), range(200))
    recalls = {}
    for balanced in (False, True):
        found = choice.choose(rows, task="classes", balanced=balanced)
        answers = choice.fit(rows, found, task="classes")(seen).argmax(dim=1)
        recalls[balanced] = float((answers[targets[:, 1] == 1] == 1).double().mean())
        assert (found.balance > 0) == balanced and 0 < found.score <= 1
    assert recalls[True] > recalls[False]


def test_a_fitted_head_leaves_an_ordinary_run_whose_checkpoint_measures_the_same(
    data: Manifest, image: Path, tmp_path: Path
) -> None:
    settings, out = at_once(image), tmp_path / "run"
    outcome = made_trainings.run(data, settings, out)
    assert len(outcome.rows) == 1 and outcome.best_score == outcome.rows[0]["val_top1"] == 1.0
    names = {file.name for file in out.iterdir()}
    assert {"config.toml", "metrics.jsonl", "best.safetensors", "final.safetensors", "trained_on.json"} <= names
    before, kept = checkpoint.read(image).model.state_dict(), outcome.checkpoint
    changed = {name for name, value in kept.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.weight", "head.bias"} and kept.labels == ("dark", "light")
    result = evaluate(kept, data, Scoring(crops=1, workers=0), split="val").numbers
    assert result.loss == pytest.approx(outcome.rows[0]["val_loss"], abs=1e-6)
    again = made_trainings.run(data, settings, out, resume=True)
    assert again.rows == outcome.rows


def test_mirrored_clips_are_a_second_view_of_each_video(data: Manifest, image: Path) -> None:
    settings = at_once(image)
    model = checkpoint.read(image).model
    items = data.of("train")[:3]
    seen = features.of_videos(model, items, settings, mirror=True, progress=lambda done: None)
    alone = features.of_videos(model, items, settings, mirror=False, progress=lambda done: None)
    assert seen.features.shape == (3, 2, 16) and torch.equal(seen.features[:, :1], alone.features)
    assert not torch.equal(seen.features[:, 0], seen.features[:, 1])


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_other_tasks_get_a_head_too(task: Task, data: Manifest, image: Path, tmp_path: Path) -> None:
    labels = {"multilabel": {"dark": ("dark",), "light": ()}, "regression": {"dark": (5.0, 1e6), "light": (9.0, 2e6)}}
    table = made_trainings.relabelled(data, labels[task], task)
    outcome = made_trainings.run(table, at_once(image, task=task), tmp_path / "run")
    row = outcome.rows[0]
    assert row["val_map"] == 1 if task == "multilabel" else row["val_loss"] < 0.2


def test_a_frozen_backbone_is_fitted_at_once_unless_steps_are_asked_for(data: Manifest, image: Path) -> None:
    chosen = plan.plan(data, plan.Base(), {"init": str(image), "freeze": "backbone"})
    assert chosen.config.optim.optimizer == "lbfgs" and chosen.config.engine.cache == "off"
    assert "head fitted by L-BFGS" in plan.summary(chosen.config)
    assert any("by L-BFGS, to features computed once" in line for line in chosen.reasons)
    for setting in ({"optim.lr": 1e-3}, {"optim.optimizer": "adamw"}, {"engine.parallel": "fsdp"}):
        steps = plan.plan(data, plan.Base(), {"init": str(image), "freeze": "backbone", **setting})
        assert steps.config.optim.optimizer == "adamw" and steps.config.optim.epochs > 1


def test_lbfgs_without_a_frozen_backbone_is_refused(image: Path) -> None:
    with pytest.raises(ConfigError, match=r"optimizer lbfgs fits the head alone.* set freeze 'backbone'"):
        replace(at_once(image), freeze="none")
    with pytest.raises(ConfigError, match="optimizer lbfgs needs the whole model"):
        made_trainings.config(freeze="backbone", optim={"optimizer": "lbfgs", "epochs": 1}, engine={"parallel": "fsdp"})


def test_a_training_from_an_image_model_first_says_what_a_linear_fit_reaches(
    data: Manifest, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image.pth"
    torch.save(made_weights.vit(replace(made_weights.SMALL, scheme="space")), path)
    given = {"init": str(path), "engine.workers": 0, "engine.precision": "fp32"}
    said = baseline.sentence(data, given)
    assert said.startswith("a linear fit on frozen features reaches top-1 100.0% on 3 validation videos (")
    assert said.endswith("s; --freeze backbone makes one)")
    assert baseline.sentence(data, {**given, "freeze": "backbone"}) == ""
    assert baseline.sentence(data, {"init": str(image)}) == baseline.sentence(data, {}) == ""
    monkeypatch.setattr(baseline, "MOST_SECONDS", 0.0)
    assert "it would take about" in baseline.sentence(data, given)
    monkeypatch.setattr(baseline, "MOST_VIDEOS", 3)
    assert "15 videos take too long (--freeze backbone makes one)" in baseline.sentence(data, given)
