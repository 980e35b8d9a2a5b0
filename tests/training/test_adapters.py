"""Adapters learn beside weights that stay as they were, and end as an ordinary checkpoint."""

import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import made_trainings
from tests.made_trainings import together, train_as_rank
from tests.made_weights import random_clips, random_model, vit
from timesformer.config.checks import ConfigError
from timesformer.config.model import ModelConfig
from timesformer.config.training import TrainConfig
from timesformer.data.manifest import Manifest
from timesformer.model.transformer import TimeSformer
from timesformer.training.engine import adapters
from timesformer.training.overfit import overfit
from timesformer.weights import checkpoint, loading
from timesformer.weights.checkpoint import Checkpoint

LEARNED = ("steps.time.qkv.weight", "steps.time.proj.weight", "steps.space.qkv.weight", "steps.space.proj.weight")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return made_trainings.table(tmp_path_factory.mktemp("adapters") / "data")


@pytest.fixture(scope="module")
def init(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of three classes, which fit the two of the data but for the head."""
    path = tmp_path_factory.mktemp("init") / "init.safetensors"
    settings = made_trainings.config(model={"classes": 3})
    checkpoint.save(Checkpoint(random_model(settings.model), settings.clip), path)
    return path


def lora(init: Path, **changes: Any) -> TrainConfig:
    return made_trainings.config(init=str(init), lora=2, **changes)


def adapted(scheme: Any = "divided") -> TimeSformer:
    """A model with adapters of rank 4 that say something."""
    model = random_model(ModelConfig(scheme=scheme, frames=4, size=32, patch=8, width=64, depth=2, heads=1, classes=5))
    adapters.add(model, 4)
    for name, value in model.named_parameters():
        if "lora_" in name:
            value.data = 0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(value.numel()))
    return model


@pytest.mark.parametrize(("scheme", "steps"), [("divided", 2), ("axial", 3), ("joint", 1)])
def test_merged_weights_answer_as_the_adapters_did_under_the_old_names(scheme: Any, steps: int) -> None:
    model = adapted(scheme)
    learning = sum(value.numel() for value in model.parameters() if value.requires_grad)
    assert learning == 2 * steps * 6 * 4 * 64 + 5 * 64 + 5
    with torch.no_grad():
        before = model(random_clips())
        adapters.merge(model)
        torch.testing.assert_close(model(random_clips()), before, rtol=0, atol=1e-5)
    plain = random_model(model.config)
    assert list(model.state_dict()) == list(plain.state_dict())
    changed = {name for name, value in plain.state_dict().items() if not torch.equal(value, model.state_dict()[name])}
    assert {name.rsplit(".", 2)[-2] for name in changed} == {"qkv", "proj"}


def test_adapters_change_nothing_at_first_and_rank_zero_ever() -> None:
    model = random_model()
    with torch.no_grad():
        before = model(random_clips())
        adapters.add(model, 0)
        assert all(value.requires_grad for value in model.parameters())
        adapters.add(model, 4)
        torch.testing.assert_close(model(random_clips()), before, rtol=0, atol=1e-6)


def test_what_an_image_model_lacks_learns_in_full(tmp_path: Path) -> None:
    torch.save(vit(), tmp_path / "vit.pth")
    started = loading.load(tmp_path / "vit.pth", classes=2)
    adapters.add(started.model, 2, started.report.missing)
    learning = {name for name, value in started.model.named_parameters() if value.requires_grad and "lora_" not in name}
    extra = {f"blocks.{block}.steps.time.extra.{part}" for block in (0, 1) for part in ("weight", "bias")}
    assert learning == {"embedding.time", "head.weight", "head.bias"} | extra


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_run_leaves_ordinary_checkpoints_that_differ_in_head_and_attention_alone(
    data: Manifest, init: Path, tmp_path: Path, ema: float
) -> None:
    made_trainings.run(data, lora(init, optim={"ema": ema}), tmp_path / "run")
    before, after = (checkpoint.read(path).model.state_dict() for path in (init, tmp_path / "run/final.safetensors"))
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"head.weight", "head.bias"} | {f"blocks.{block}.{name}" for block in (0, 1) for name in LEARNED}


def test_what_is_saved_is_what_was_validated(data: Manifest, init: Path, tmp_path: Path) -> None:
    first = made_trainings.run(data, lora(init), tmp_path / "run")
    again = made_trainings.config(init=str(tmp_path / "run/final.safetensors"), optim={"lr": 1e-12, "epochs": 1})
    second = made_trainings.run(data, again, tmp_path / "again")
    assert second.rows[0]["val_loss"] == pytest.approx(first.rows[-1]["val_loss"], abs=1e-6)


def test_a_stopped_run_resumes_bit_for_bit(data: Manifest, init: Path, tmp_path: Path) -> None:
    settings = made_trainings.everything()
    settings = TrainConfig(**{**vars(settings), "init": str(init), "lora": 2})
    made_trainings.run(data, settings, tmp_path / "whole")
    stop = {("step", 5): made_trainings.signalled(signal.SIGTERM)}
    assert made_trainings.run(data, settings, tmp_path / "run", moments=stop).stopped
    made_trainings.run(data, settings, tmp_path / "run", resume=True)
    assert made_trainings.results(tmp_path / "run") == made_trainings.results(tmp_path / "whole")


@pytest.mark.parametrize("parallel", [pytest.param("ddp", marks=pytest.mark.slow), "fsdp"])
def test_two_processes_go_on_as_the_one_that_was_stopped_would_have(
    data: Manifest, init: Path, tmp_path: Path, parallel: str
) -> None:
    settings = lora(init, engine={"parallel": parallel}, optim={"ema": 0.8})
    made_trainings.run(data, settings, tmp_path / "alone")
    stop = {("step", 5): made_trainings.signalled(signal.SIGTERM)}
    assert made_trainings.run(data, settings, tmp_path / "run", moments=stop).stopped
    together(train_as_rank, 2, data.source, settings, tmp_path / "run", {})
    one, other = (checkpoint.read(tmp_path / run / "final.safetensors").model.state_dict() for run in ("alone", "run"))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_few_clips_are_learned_by_heart_through_adapters(data: Manifest, init: Path) -> None:
    assert overfit(data, lora(init), clips=2).reached == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lora": 8}, "lora 8 adapts pretrained weights; name them with init"),
        (
            {"lora": 8, "init": "k400-base", "freeze": "backbone"},
            "lora 8 and freeze 'backbone' both choose what is trained",
        ),
        ({"lora": -1, "init": "k400-base"}, "lora is -1; it must be a rank of at least 1"),
    ],
)
def test_settings_that_say_nothing_sensible_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**settings)


def test_without_peft_the_install_line_is_given_before_anything_is_written(
    data: Manifest, init: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"pip install 'timesformer\[lora\]'"):
        made_trainings.run(data, lora(init), tmp_path / "run")
    assert not (tmp_path / "run").exists()
