"""Devices and precisions of a training: what is asked for is there or refused, and float16 keeps small gradients."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests import made_trainings
from timesformer.config.checks import ConfigError
from timesformer.config.training import EngineConfig
from timesformer.training.engine import arithmetic


def test_the_best_device_is_taken_and_another_one_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert arithmetic.device(EngineConfig(), number=1) == torch.device("cuda", 1)
    assert arithmetic.device(EngineConfig(device="mps")) == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert arithmetic.device(EngineConfig()) == torch.device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert arithmetic.device(EngineConfig()) == torch.device("cpu")


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=f"device is '{kind}', which torch does not find here"):
        arithmetic.device(EngineConfig(device=kind))


@pytest.mark.parametrize(
    ("bf16", "capability", "engine", "expected"),
    [
        (True, (8, 0), EngineConfig(), "bf16"),
        (False, (7, 5), EngineConfig(), "fp16"),
        (False, (7, 5), EngineConfig(parallel="fsdp"), "fp32"),
        (False, (6, 1), EngineConfig(), "fp32"),
    ],
)
def test_a_gpu_gets_the_half_precision_that_it_computes_fast(
    bf16: bool, capability: tuple[int, int], engine: EngineConfig, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert arithmetic.fastest_on_gpu(engine) == expected


@pytest.mark.parametrize("clip_grad", [0.0, 1.0])
def test_a_float16_training_follows_float32_and_scales_its_gradients(clip_grad: float, tmp_path: Path) -> None:
    data = made_trainings.table(tmp_path / "videos")
    losses = {}
    for precision in ("fp32", "fp16"):
        settings = made_trainings.config(engine={"precision": precision}, optim={"clip_grad": clip_grad})
        outcome = made_trainings.run(data, settings, tmp_path / precision)
        losses[precision] = [row["train_loss"] for row in outcome.rows]
    assert losses["fp16"] == pytest.approx(losses["fp32"], rel=0.05)
    saved = outcome.run.load()
    assert saved is not None
    assert saved.state.scaler["scale"] > 1


def test_a_stopped_float16_training_ends_as_one_that_was_not(tmp_path: Path) -> None:
    data = made_trainings.table(tmp_path / "videos")
    settings = made_trainings.config(engine={"precision": "fp16", "save_minutes": 1e-9})
    whole = made_trainings.run(data, settings, tmp_path / "whole")
    stop = made_trainings.signalled(made_trainings.signal.SIGINT)
    made_trainings.run(data, settings, tmp_path / "parts", moments={("step", 4): stop})
    made_trainings.run(data, settings, tmp_path / "parts", resume=True)
    assert made_trainings.results(tmp_path / "parts") == made_trainings.results(whole.run.path)


def test_float16_refuses_what_its_scaled_gradients_can_not_serve(tmp_path: Path) -> None:
    data = made_trainings.table(tmp_path / "videos")
    settings = made_trainings.config(engine={"precision": "fp16", "optimizer_in_backward": True})
    with pytest.raises(ConfigError, match="fp16 needs all gradients"):
        made_trainings.run(data, settings, tmp_path / "run")
    sharded = replace(settings, engine=replace(settings.engine, optimizer_in_backward=False, parallel="fsdp"))
    with pytest.raises(ConfigError, match=r"fp16 works with .*ddp"):
        arithmetic.check(sharded, processes=2)
