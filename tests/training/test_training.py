"""A training leaves a run folder and learns; every setting does what its sentence says."""

import csv
import io
import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch.nn import functional as F

from tests import made_trainings, made_videos
from tests.made_trainings import Watcher
from timesformer.config import configfile
from timesformer.config.checks import ConfigError
from timesformer.config.training import TrainConfig
from timesformer.data.batches import dataset
from timesformer.data.batches.order import epoch_order
from timesformer.data.items import DataError
from timesformer.data.manifest import Manifest
from timesformer.inference.scoring import Scoring
from timesformer.model.transformer import TimeSformer
from timesformer.tasks.regression import Regression
from timesformer.training.engine import optimiser
from timesformer.training.epoch import better
from timesformer.training.loop import train
from timesformer.training.outcome import Outcome
from timesformer.training.run.epochs import EpochRow
from timesformer.training.session import TrainingError
from timesformer.training.shown import display
from timesformer.training.shown.advice import advice
from timesformer.verbs.evaluate import evaluate
from timesformer.weights import checkpoint


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return made_trainings.table(tmp_path_factory.mktemp("trainings") / "data")


def trained(data: Manifest, settings: TrainConfig, out: Path) -> tuple[Outcome, Watcher]:
    watcher = Watcher()
    return train(data, settings, out, display=watcher), watcher


def weights(path: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read(path).model.state_dict()


def start(settings: TrainConfig) -> TimeSformer:
    torch.manual_seed(settings.engine.seed)
    return TimeSformer(settings.model)


def test_a_run_leaves_its_settings_measures_and_usable_checkpoints(data: Manifest, tmp_path: Path) -> None:
    settings = made_trainings.config()
    outcome, watcher = trained(data, settings, tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    written = {"config.toml", "metrics.jsonl", "curves.png", "trained_on.json", "validation.npz"}
    assert names == written | {"best.safetensors", "final.safetensors", "last.pt"}
    assert configfile.from_toml(outcome.run.config.read_text()) == settings
    rows = [json.loads(line) for line in outcome.run.metrics.read_text().splitlines()]
    assert tuple(rows) == outcome.rows and [row["step"] for row in rows] == [3, 6, 9]
    assert rows[-1]["train_loss"] == pytest.approx(sum(watcher.losses[6:]) / 3)
    assert outcome.stopped == 0 and outcome.broken == ()
    best = checkpoint.read(outcome.run.best)
    assert (
        best.labels == ("dark", "light")
        and best.clip == settings.clip
        and best.about == "trained by timesformer on data"
    )
    result = evaluate(best, data, Scoring(crops=1, workers=0), split="val").numbers
    assert {"val_top1": result.top1, "val_loss": pytest.approx(result.loss)}.items() <= rows[-1].items()
    assert rows[-1]["val_top1"] == 1 and rows[-1]["best"] == 1


@pytest.mark.parametrize("clip_grad", [0.0, 0.01])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_step_is_the_textbook_step(data: Manifest, tmp_path: Path, clip_grad: float, smoothing: float) -> None:
    optim = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "lr": 0.1, "batch": 12, "epochs": 1}
    settings = made_trainings.config(optim=optim | {"clip_grad": clip_grad, "label_smoothing": smoothing})
    trained(data, settings, tmp_path / "run")
    places = epoch_order(12, epoch=0, repeats=1, batch=12, seed=0)
    (batch,) = dataset.batches(dataset.TrainingClips(data, data.of("train"), settings), places, workers=0)
    model = start(settings).train()
    F.cross_entropy(model(batch.clips), batch.targets, label_smoothing=smoothing).backward()
    if clip_grad:
        assert torch.nn.utils.clip_grad_norm_(model.parameters(), clip_grad) > clip_grad
    for name, found in weights(tmp_path / "run" / "final.safetensors").items():
        value = model.get_parameter(name)
        assert value.grad is not None
        torch.testing.assert_close(found, value.detach() - 0.1 * value.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("changed", "tolerance"),
    [
        ({"optim": {"accumulate": 2}}, 1e-5),
        ({"engine": {"checkpointing": 1}}, 1e-6),
        ({"engine": {"workers": 2}}, 0.0),
        ({"engine": {"cache": "on"}}, 0.0),
        ({"engine": {"save_minutes": 1e-9}}, 0.0),
        ({"engine": {"parallel": "fsdp"}}, 0.0),
        ({"engine": {"optimizer_in_backward": True}}, 0.0),
        ({"engine": {"optimizer_in_backward": True, "checkpointing": -1}}, 1e-6),
        ({"engine": {"precision": "bf16"}}, 0.05),
    ],
)
def test_how_the_machine_is_used_changes_nothing_but_rounding(
    data: Manifest, tmp_path: Path, changed: dict[str, Any], tolerance: float
) -> None:
    _, plain = trained(data, made_trainings.config(), tmp_path / "plain")
    _, other = trained(data, made_trainings.config(**changed), tmp_path / "other")
    assert len(other.losses) == 9 and other.losses == pytest.approx(plain.losses, abs=tolerance)
    if "precision" in changed.get("engine", {}):
        assert other.losses != plain.losses


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_an_update_in_the_backward_pass_is_the_same_and_there_is_one_gradient_at_a_time(
    data: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    counts: list[int] = []
    build = optimiser.build

    def watched(*arguments: Any, **settings: Any) -> torch.optim.Optimizer:
        found = build(*arguments, **settings)
        values = [value for group in found.param_groups for value in group["params"]]
        found.register_step_pre_hook(lambda *_: counts.append(sum(value.grad is not None for value in values)))
        return found

    monkeypatch.setattr(optimiser, "build", watched)
    given: dict[str, Any] = {"optim": {"optimizer": optimizer, "layer_decay": 0.8, "ema": 0.5, "warmup": 0.5}}
    trained(data, made_trainings.config(**given), tmp_path / "plain")
    assert min(counts) > 1
    counts.clear()
    settings = made_trainings.config(**given, engine={"optimizer_in_backward": True, "save_minutes": 1e-9})
    watcher = Watcher({("step", 4): made_trainings.signalled(signal.SIGTERM)})
    assert train(data, settings, tmp_path / "run", display=watcher).stopped
    assert set(counts) == {1}  # to put a saved state in place, torch makes a step of zeros first
    train(data, settings, tmp_path / "run", resume=True, display=Watcher())
    assert made_trainings.results(tmp_path / "run") == made_trainings.results(tmp_path / "plain")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler imports torch.jit
def test_a_compiled_model_learns_the_same(data: Manifest, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"optim": {"epochs": 1}, "model": {"depth": 1}}
    _, plain = trained(data, made_trainings.config(**settings), tmp_path / "plain")
    _, other = trained(data, made_trainings.config(**settings, engine={"compile": True}), tmp_path / "compiled")
    assert other.losses == pytest.approx(plain.losses, abs=1e-4)


def test_drop_path_and_mixing_draw_anew_at_each_step_from_the_seed(data: Manifest, tmp_path: Path) -> None:
    runs = [
        trained(data, made_trainings.everything(engine={"seed": seed}), tmp_path / f"{index}")[1].losses
        for index, seed in enumerate((0, 0, 1))
    ]
    assert runs[0] == runs[1] != runs[2]


def test_a_frozen_backbone_stays_as_it_was(data: Manifest, tmp_path: Path) -> None:
    settings = made_trainings.config(freeze="backbone")
    trained(data, settings, tmp_path / "run")
    before, after = start(settings).state_dict(), weights(tmp_path / "run" / "final.safetensors")
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"head.weight", "head.bias"}
    trained(data, made_trainings.config(frozen_blocks=1), tmp_path / "half")
    after = weights(tmp_path / "half" / "final.safetensors")
    learned = {name.partition(".steps")[0] for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[0] for name in learned} == {"blocks", "norm", "head"}
    assert not any(name.startswith("blocks.0") for name in learned)


def test_a_training_starts_from_the_weights_that_it_is_given(data: Manifest, tmp_path: Path) -> None:
    trained(data, made_trainings.config(), tmp_path / "first")
    best = tmp_path / "first" / "best.safetensors"
    settings = made_trainings.config(init=str(best), freeze="backbone", optim={"epochs": 1, "lr": 1e-9})
    outcome, _ = trained(data, settings, tmp_path / "second")
    for name, value in weights(best).items():
        torch.testing.assert_close(weights(outcome.run.final)[name], value, rtol=0, atol=1e-7)
    assert checkpoint.read(outcome.run.final).about.endswith(f"started from {best}")


def test_averaged_weights_are_what_is_validated_and_saved(data: Manifest, tmp_path: Path) -> None:
    settings = made_trainings.config(optim={"ema": 0.9, "batch": 12, "epochs": 1})
    outcome, _ = trained(data, settings, tmp_path / "run")
    learned = torch.load(outcome.run.last, weights_only=True)["weights"]
    before, kept = start(settings).state_dict(), checkpoint.read(outcome.run.final)
    for name, value in kept.model.state_dict().items():
        torch.testing.assert_close(value, 0.1 * before[name] + 0.9 * learned[name], rtol=1e-5, atol=1e-6)
    result = evaluate(kept, data, Scoring(crops=1, workers=0), split="val").numbers
    assert result.loss == pytest.approx(outcome.rows[-1]["val_loss"], abs=1e-6)


@pytest.mark.parametrize(
    "changed", [{"schedule": "steps", "milestones": (1, 2)}, {"warmup": 1.5}, {"layer_decay": 0.5}]
)
def test_each_step_is_made_at_the_rate_of_the_schedule(data: Manifest, tmp_path: Path, changed: dict[str, Any]) -> None:
    settings = made_trainings.config(optim=changed | {"optimizer": "sgd"})
    outcome, watcher = trained(data, settings, tmp_path / "run")
    expected = [optimiser.rate(step, steps=9, per_epoch=3, optim=settings.optim) for step in range(9)]
    assert watcher.rates == expected and [row["lr"] for row in outcome.rows] == expected[2::3]
    groups = torch.load(outcome.run.last, weights_only=True)["optimizer"]["param_groups"]
    assert {group["lr"] for group in groups} == {expected[-1] * group["scale"] for group in groups}


def test_repeats_lengthen_an_epoch_and_few_clips_make_one_small_batch(data: Manifest, tmp_path: Path) -> None:
    outcome, _ = trained(data, made_trainings.config(optim={"repeats": 3, "epochs": 1}), tmp_path / "repeats")
    assert outcome.rows[-1]["step"] == 9
    outcome, watcher = trained(data, made_trainings.config(optim={"batch": 64, "epochs": 2}), tmp_path / "few")
    assert outcome.rows[-1]["step"] == 2 and outcome.rows[0]["train_loss"] == pytest.approx(watcher.losses[0])


def test_class_weights_weigh_the_loss_and_choose_by_mean_recall(data: Manifest, tmp_path: Path) -> None:
    items = tuple(item for item in data.items if item.split == "val" or item.label == "dark" or "01" in item.name)
    unequal = Manifest(data.source, items, data.labels)
    assert unequal.class_counts("train") == (6, 1)
    optim = {"batch": 7, "epochs": 1, "weight_decay": 0.0}
    _, plain = trained(unequal, made_trainings.config(optim=optim), tmp_path / "plain")
    _, weighed = trained(unequal, made_trainings.config(optim=optim | {"class_weights": True}), tmp_path / "weighed")
    assert weighed.losses[0] != pytest.approx(plain.losses[0], rel=1e-3)
    paired = {"flip": True, "mirror_labels": ("dark=light",)}  # half of the clips of each class are then the other's
    _, plain = trained(unequal, made_trainings.config(optim=optim, augment=paired), tmp_path / "paired")
    weights = made_trainings.config(optim=optim | {"class_weights": True}, augment=paired)
    _, weighed = trained(unequal, weights, tmp_path / "paired_and_weighed")
    assert weighed.losses[0] == pytest.approx(plain.losses[0])
    pairs = ((0.5, 0.6), (0.9, 0.5))
    rows = [made_trainings.row(best=True, val_top1=top1, val_mean_class=mean) for top1, mean in pairs]
    assert better(made_trainings.config(), rows)
    assert not better(made_trainings.config(optim={"class_weights": True}), rows)


def test_the_best_is_the_latest_of_equals_and_what_could_not_be_kept_does_not_count() -> None:
    settings = made_trainings.config()

    def latest_is_best(*epochs: tuple[float, bool]) -> bool:
        return better(settings, [made_trainings.row(best=best, val_top1=top1) for top1, best in epochs])

    assert latest_is_best((0.3, False)) and latest_is_best((0.5, True), (0.5, False))
    assert not latest_is_best((0.5, True), (0.4, False))
    assert latest_is_best((0.3, True), (0.5, False), (0.4, False))
    numbers = made_trainings.config(task="regression")
    assert better(numbers, [made_trainings.row(best=True, val_loss=0.5), made_trainings.row(val_loss=0.4)])
    assert not better(numbers, [made_trainings.row(best=True, val_loss=0.5), made_trainings.row(val_loss=0.6)])


def test_several_labels_and_numbers_are_learned(data: Manifest, tmp_path: Path) -> None:
    several = made_trainings.relabelled(data, {"dark": ("dark",), "light": ("dark", "light")}, "multilabel")
    settings = made_trainings.config(task="multilabel", optim={"epochs": 8, "lr": 1e-2})
    outcome, _ = trained(several, settings, tmp_path / "several")
    assert outcome.rows[-1]["val_map"] == 1 and outcome.rows[-1]["val_loss"] < 0.4
    assert checkpoint.read(outcome.run.best).task == "multilabel"
    numbers = made_trainings.relabelled(data, {"dark": (90.0, 2020.0), "light": (270.0, 2024.0)}, "regression")
    outcome, _ = trained(numbers, made_trainings.config(task="regression", optim={"epochs": 8}), tmp_path / "numbers")
    assert outcome.rows[-1]["val_loss"] < 0.35 < outcome.rows[0]["val_loss"]
    kept, again = checkpoint.read(outcome.run.final), tmp_path / "again"
    found = evaluate(kept, numbers, Scoring(crops=1, workers=0), split="val")
    measured = found.numbers
    assert isinstance(measured, Regression) and measured.mae[0] < 0.35 * 90 and measured.mae[1] < 0.35 * 2
    assert outcome.rows[-1]["val_mae"] == pytest.approx(measured.mean_mae, abs=1e-3)
    # Other numbers to learn: weights to start from answer at first as they did
    other = made_trainings.relabelled(data, {"dark": (90.0, 2000.0), "light": (290.0, 2030.0)}, "regression")
    settings = made_trainings.config(task="regression", optim={"epochs": 1, "lr": 1e-12}, init=str(outcome.run.final))
    trained(other, settings, again)
    unmoved = evaluate(checkpoint.read(again / "final.safetensors"), numbers, Scoring(crops=1, workers=0), split="val")
    torch.testing.assert_close(unmoved.scores.scores, found.scores.scores, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("cache", ["on", "off"])
def test_broken_videos_are_named_counted_and_left_out(tmp_path: Path, cache: str) -> None:
    data = made_trainings.table(tmp_path / "data")
    lost = [data.of("train")[2], data.of("train")[9], data.of("val")[1]]
    for item in lost:
        made_trainings.break_video(item)
    settings = made_trainings.config(engine={"cache": cache, "broken_share": 0.4})
    outcome, watcher = trained(data, settings, tmp_path / "run")
    assert {video.key for video in outcome.broken} == {item.key for item in lost}
    assert [row["broken"] for row in outcome.rows] == [3, 3, 3] and outcome.rows[-1]["val_top1"] == 1
    assert all(0 < row["train_loss"] < 1 for row in outcome.rows)
    with outcome.run.broken.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == sorted(item.key for item in lost) and {row["used"] for row in rows} == {
        "no"
    }
    said = [text for text in watcher.said if "left out: 3 broken videos" in text]
    assert len(said) == 1 and all(item.key in said[0] for item in lost)


@pytest.mark.parametrize("cache", ["on", "off"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_too_many_broken_videos_stop_the_run(tmp_path: Path, cache: str, split: str) -> None:
    data = made_trainings.table(tmp_path / "data")
    settings = made_trainings.config(engine={"cache": cache, "broken_share": 0.1})
    mended = {item.path: item.path.read_bytes() for item in data.of(split)[:2]}
    for item in data.of(split)[:2]:
        made_trainings.break_video(item)
    with pytest.raises(DataError, match=rf"2 of \d+ {split} videos are broken, more than the allowed share of 0.1"):
        trained(data, settings, tmp_path / "run")
    assert (tmp_path / "run" / "broken.csv").read_text().count("not a video") == 2
    for path, content in mended.items():
        path.write_bytes(content)
    assert made_trainings.run(data, settings, tmp_path / "run", resume=True).rows[-1]["epoch"] == 3
    for item in data.of(split):
        made_trainings.break_video(item)
    every = made_trainings.config(engine={"cache": cache, "broken_share": 1})
    with pytest.raises(DataError, match=r"all 12 train videos are broken|none of the 3 videos can be read"):
        trained(data, every, tmp_path / "other")


def test_a_loss_that_goes_astray_stops_the_run_with_a_remedy(data: Manifest, tmp_path: Path) -> None:
    settings = made_trainings.config(optim={"optimizer": "sgd", "lr": 1e20})
    with pytest.raises(TrainingError, match=r"not a number any more; lower --optim.lr"):
        trained(data, settings, tmp_path / "run")
    settings = made_trainings.config(optim={"optimizer": "sgd", "lr": 1e30, "epochs": 1, "batch": 12})
    with pytest.raises(TrainingError, match="the model's answer is not a number"):
        trained(data, settings, tmp_path / "last")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (made_trainings.config(engine={"cache": "auto"}), "settings left to choose"),
        (made_trainings.config(engine={"workers": -1}), "settings left to choose"),
        (made_trainings.config(model={"classes": 3}), "3 outputs, but .* has 2"),
        (
            made_trainings.config(optim={"clip_grad": 1.0}, engine={"optimizer_in_backward": True}),
            "clip_grad is 1.0, which needs all gradients at once.*set --optim.clip-grad 0",
        ),
        (
            made_trainings.config(optim={"accumulate": 2}, engine={"optimizer_in_backward": True}),
            "accumulate is 2, .*set --optim.accumulate 1",
        ),
        (made_trainings.config(task="multilabel"), "multilabel with 2 outputs, but .* was read for classes"),
    ],
)
def test_pieces_that_do_not_fit_are_refused_before_anything_is_written(
    data: Manifest, tmp_path: Path, settings: TrainConfig, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        trained(data, settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def epochs(losses: Sequence[float], *, waited: Sequence[float] = (), mean_class: float = 0.5) -> list[EpochRow]:
    waits = waited or [0.0] * len(losses)
    return [
        made_trainings.row(epoch=number, train_loss=loss, waited=wait, val_mean_class=mean_class)
        for number, (loss, wait) in enumerate(zip(losses, waits, strict=True), start=1)
    ]


def said(rows: list[EpochRow], counts: tuple[int, ...] = (50, 50), **optim: Any) -> list[list[str]]:
    """What is said after each of eight epochs, by the first words."""
    settings = made_trainings.config(optim={"epochs": 8} | optim)
    texts = [advice(rows[:end], settings, counts) for end in range(1, len(rows) + 1)]
    return [[text.split(":")[0] for text in after] for after in texts]


CHANCE, LOADER = "the training loss is still at chance level (0.69 for these classes)", "the loader is the bottleneck"


def test_lines_tell_how_far_it_is_where_no_terminal_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "QUIET", 0.0)
    shown = display.Display(Console(file=io.StringIO(), width=200))
    shown.begin("training", 100, 4)
    for done, now in ((5, 60.0), (6, 120.0)):
        monkeypatch.setattr(display.time, "monotonic", lambda now=now: now + 1e9)
        shown.step(done=done, loss=0.5, lr=1e-3, clips_per_second=7.98)
    assert shown.console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "step 5/100  loss 0.500  lr 1.0e-03  7.98 clips/s",
        "step 6/100  loss 0.500  lr 1.0e-03  7.98 clips/s  1 h 34 min left",
    ]


def test_a_loss_that_stays_at_chance_is_said_once_after_a_quarter_of_the_training() -> None:
    assert said(epochs([0.70, 0.69, 0.69, 0.69])) == [[], [CHANCE], [], []]
    assert said(epochs([0.70, 0.60, 0.55])) == [[], [], []]
    assert said(epochs([0.69, 0.69], mean_class=0.9)) == [[], []]


def test_the_advice_leaves_out_what_is_so_already() -> None:
    small = made_trainings.config(optim={"epochs": 1})
    large = made_trainings.config(model={"patch": 16, "weight_init": "image"}, optim={"epochs": 1})
    first, second = (advice(epochs([0.7]), settings, (50, 50))[0] for settings in (small, large))
    assert first.endswith(
        ": --overfit 8 on this data, another --optim.lr (0.0017 or 0.015), --init with pretrained weights."
    )
    assert "a --model.patch below 16, --model.weight-init scratch, --init" in second


def test_chance_follows_the_shares_of_the_classes_unless_they_are_weighed_alike() -> None:
    # Always answering with the shares 90 % and 10 % costs 0.33
    assert said(epochs([0.5, 0.33]), (90, 10))[1] and not said(epochs([0.5, 0.31]), (90, 10))[1]
    assert said(epochs([0.8, 0.69]), (90, 10), class_weights=True)[1] == [CHANCE]
    assert not said(epochs([0.8, 0.6]), (90, 10), class_weights=True)[1]


def test_a_slow_loader_is_said_once_and_never_for_the_first_epoch() -> None:
    assert said(epochs([0.1] * 4, waited=[0.9, 0.3, 0.5, 0.6])) == [[], [], [LOADER], []]


def test_a_single_picture_among_the_validation_videos_is_told_once(tmp_path: Path) -> None:
    data = made_trainings.table(tmp_path / "videos")
    item = data.of("val")[0]
    made_videos.write(item.path, frames=1)
    _, watcher = trained(data, made_trainings.config(optim={"epochs": 2}), tmp_path / "run")
    assert [text for text in watcher.said if "single picture" in text] == [
        f"! {item.key}: is a single picture: every frame of its clips is that one"
    ]
