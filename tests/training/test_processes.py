"""Several processes train, validate, save and resume as one does; DDP and FSDP alike."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests import made_trainings
from tests.made_trainings import Moment, together, train_as_rank
from timesformer.config.checks import ConfigError
from timesformer.config.training import TrainConfig
from timesformer.data.items import DataError
from timesformer.data.manifest import Manifest
from timesformer.training.run.runfolder import RunFolder

RICH: dict[str, Any] = {"ema": 0.8, "accumulate": 2, "clip_grad": 0.5, "warmup": 0.5, "layer_decay": 0.8}
STOP: dict[Moment, signal.Signals] = {("step", 5): signal.SIGTERM}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Twelve clips to train on, and three to validate, which two processes can't share evenly."""
    return made_trainings.table(tmp_path_factory.mktemp("processes") / "data")


@pytest.fixture(scope="module")
def alone(data: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    made_trainings.run(data, rich(), out)
    return out


def rich(parallel: str = "ddp") -> TrainConfig:
    return made_trainings.config(optim=RICH, engine={"parallel": parallel})


def weights(path: Path) -> dict[str, torch.Tensor]:
    """Weights that matter: a bias of all keys changes no answer, so only rounding moves it, which AdamW magnifies."""
    tensors = load_file(path)
    for name, value in tensors.items():
        if name.endswith("qkv.bias"):
            value.chunk(3)[1].zero_()
    return tensors


def assert_alike(one: Path, other: Path, tolerance: float = 1e-5) -> None:
    """The same measures in each epoch, and the same weights."""
    rows, others = (
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (one, other)
    )
    assert len(rows) == len(others) == 3
    for row, second in zip(rows, others, strict=True):
        for name in row.keys() - set(made_trainings.TIMING):
            assert row[name] == pytest.approx(second[name], abs=tolerance), name
    for name in ("best", "final"):
        found, wanted = (weights(run / f"{name}.safetensors") for run in (one, other))
        torch.testing.assert_close(found, wanted, rtol=0, atol=10 * tolerance)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_learn_and_measure_what_one_does(
    data: Manifest, tmp_path: Path, alone: Path, parallel: str
) -> None:
    together(train_as_rank, 2, data.source, rich(parallel), tmp_path / "run", {})
    assert_alike(tmp_path / "run", alone)


@pytest.mark.parametrize(("first", "second"), [("fsdp", None), (None, "fsdp"), ("ddp", "fsdp"), ("fsdp", "ddp")])
def test_a_state_saved_by_some_processes_is_resumed_by_others(
    data: Manifest, tmp_path: Path, alone: Path, first: str | None, second: str | None
) -> None:
    """The second process alone gets the signal; all stop. ``None`` is one process."""
    for parallel, moments in ((first, {1: STOP}), (second, {})):
        if parallel:
            together(train_as_rank, 2, data.source, rich(parallel), tmp_path / "run", moments)
        else:
            stop = {("step", 5): made_trainings.signalled(signal.SIGTERM)} if moments else None
            outcome = made_trainings.run(data, rich(), tmp_path / "run", resume=True, moments=stop)
            assert bool(outcome.stopped) == bool(moments)
        assert (tmp_path / "run" / "final.safetensors").exists() == (not moments)
    assert_alike(tmp_path / "run", alone)


def test_sharded_processes_write_their_own_parts_whose_damage_is_named(data: Manifest, tmp_path: Path) -> None:
    run, settings = tmp_path / "run", rich("fsdp")
    together(train_as_rank, 2, data.source, settings, run, {0: STOP})
    (parts,) = run.glob("last.parts.*")
    files = sorted(parts.glob("*.safetensors"))
    sizes = [sum(value.numel() for value in load_file(file).values()) for file in files]
    assert len(files) == 2 and 0.7 < sizes[0] / sizes[1] < 1.4  # the small whole ones are written once
    assert "weights" in torch.load(run / "last.pt", weights_only=True)
    assert (run / "last.pt").stat().st_size < sum(file.stat().st_size for file in files) / 2
    whole = files[1].read_bytes()
    for damage in (whole[: len(whole) // 2], b"", None):
        files[1].unlink() if damage is None else files[1].write_bytes(damage)
        with pytest.raises(ConfigError, match=r"last.parts.\d is not a whole saved state"):
            made_trainings.run(data, rich(), run, resume=True)


def test_parts_that_can_not_be_written_keep_the_earlier_state_and_the_training_goes_on(
    data: Manifest, tmp_path: Path, alone: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "last.parts.1").write_text("in the way")
    together(train_as_rank, 2, data.source, rich("fsdp"), run, {})
    assert_alike(run, alone)
    saved = RunFolder(run).load()
    assert saved is not None and saved.parts == run / "last.parts.0" and saved.state.done == 3
    (run / "last.parts.1").unlink()
    (run / "final.safetensors").unlink()
    together(train_as_rank, 2, data.source, rich("fsdp"), run, {})
    assert_alike(run, alone)
    assert [path.name for path in run.glob("last.parts.*")] == ["last.parts.0"]


def test_sharded_parameters_are_updated_in_the_backward_pass_but_copies_are_not(data: Manifest, tmp_path: Path) -> None:
    early: dict[str, Any] = {"engine": {"parallel": "fsdp", "optimizer_in_backward": True, "checkpointing": -1}}
    made_trainings.run(data, made_trainings.config(), tmp_path / "alone")
    together(train_as_told, 2, data.source, made_trainings.config(**early), tmp_path / "run")
    assert_alike(tmp_path / "run", tmp_path / "alone")
    copies = made_trainings.config(engine={"optimizer_in_backward": True})
    together(expect_early_refusal, 2, data.source, copies, tmp_path / "copies")
    assert not (tmp_path / "copies").exists()


def train_as_told(folder: Path, settings: TrainConfig, out: Path) -> None:
    made_trainings.run(made_trainings.table(folder), settings, out)


def expect_early_refusal(folder: Path, settings: TrainConfig, out: Path) -> None:
    with pytest.raises(ConfigError, match=r"DDP.*too late for optimizer_in_backward.*parallel fsdp"):
        made_trainings.run(made_trainings.table(folder), settings, out)


def train_in_own_precision(folder: Path, settings: TrainConfig, out: Path) -> None:
    own = replace(settings.engine, precision="bf16" if os.environ["RANK"] == "1" else "fp32")
    made_trainings.run(made_trainings.table(folder), replace(settings, engine=own), out)


def test_all_processes_compute_in_the_precision_that_the_first_one_chose(
    data: Manifest, tmp_path: Path, alone: Path
) -> None:
    together(train_in_own_precision, 2, data.source, rich(), tmp_path / "run")
    assert_alike(tmp_path / "run", alone)


def test_sharded_drop_path_mixing_and_workers_resume_bit_for_bit_or_nearly(data: Manifest, tmp_path: Path) -> None:
    settings = made_trainings.everything(engine={"parallel": "fsdp", "workers": 1, "save_minutes": 60})
    together(train_as_rank, 2, data.source, settings, tmp_path / "whole", {})
    together(train_as_rank, 2, data.source, settings, tmp_path / "run", {0: {("validating", 1): signal.SIGTERM}})
    together(train_as_rank, 2, data.source, settings, tmp_path / "run", {})
    assert_alike(tmp_path / "run", tmp_path / "whole", 1e-6)


@pytest.mark.parametrize("cache", ["off", "on"])
def test_processes_with_unequal_numbers_of_validation_batches_all_finish(
    data: Manifest, tmp_path: Path, cache: str
) -> None:
    settings = made_trainings.config(optim={"epochs": 1}, engine={"crops": 3, "cache": cache})
    count = len(data.of("val"))
    (tmp_path / "data").mkdir()
    for item in data.of("all"):
        copy = tmp_path / "data" / item.path.relative_to(data.source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(item.path, copy)
        if item.split == "val" and count % 4 != 1:  # 2 videos make a batch of three crops each: 5 are 2 batches and 1
            shutil.copy(item.path, copy.with_name(f"again{count}{copy.suffix}"))
            count += 1
    table = made_trainings.table(tmp_path / "data")
    assert len(table.of("val")) % 4 == 1
    together(train_as_rank, 2, table.source, settings, tmp_path / "run", {}, seconds=100)
    assert (tmp_path / "run" / "final.safetensors").exists()


@pytest.mark.parametrize("what", ["validating", "decoding"])
def test_a_signal_that_one_process_hears_stops_all(data: Manifest, tmp_path: Path, what: str) -> None:
    settings = made_trainings.config(optim={"epochs": 2}, engine={"cache": "on"})
    together(train_as_rank, 2, data.source, settings, tmp_path / "run", {1: {(what, 1): signal.SIGTERM}}, seconds=100)
    assert not (tmp_path / "run" / "final.safetensors").exists()
    together(train_as_rank, 2, data.source, settings, tmp_path / "run", {}, seconds=100)
    assert (tmp_path / "run" / "final.safetensors").exists()


def test_videos_that_only_one_process_finds_broken_are_known_to_all(tmp_path: Path) -> None:
    data = made_trainings.table(tmp_path / "data")
    for item in data.of("train")[3:7]:
        made_trainings.break_video(item)
    settings = made_trainings.config(engine={"broken_share": 0.4})
    made_trainings.run(data, settings, tmp_path / "alone")
    together(train_as_rank, 2, data.source, settings, tmp_path / "run", {})
    assert_alike(tmp_path / "run", tmp_path / "alone")
    assert (tmp_path / "run" / "broken.csv").read_text() == (tmp_path / "alone" / "broken.csv").read_text()


def expect_refusal(folder: Path, settings: TrainConfig, out: Path) -> None:
    with pytest.raises(DataError, match="train videos are broken"):
        made_trainings.run(made_trainings.table(folder), settings, out)


def test_too_many_broken_videos_stop_all_processes(tmp_path: Path) -> None:
    data = made_trainings.table(tmp_path / "data")
    for item in data.of("train")[3:7]:
        made_trainings.break_video(item)
    settings = made_trainings.config(engine={"broken_share": 0.2})
    together(expect_refusal, 2, data.source, settings, tmp_path / "run")


SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from tests import made_trainings
from timesformer.config import configfile
from timesformer.data import manifest

settings = configfile.from_toml(Path(sys.argv[2]).read_text())
launcher = os.getppid()


def stop():
    os.kill(launcher, signal.SIGTERM)
    time.sleep(3)  # the signal takes its way through torchrun


moments = {("step", 5): stop} if os.environ["RANK"] == "1" else {}
outcome = made_trainings.run(manifest.load(sys.argv[1]), settings, Path(sys.argv[3]), moments=moments)
assert outcome.stopped == signal.SIGTERM
"""


def test_torchrun_passes_a_signal_on_and_its_run_is_resumed_by_one_process(
    data: Manifest, tmp_path: Path, alone: Path
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [tmp_path / "script.py", data.source, alone / "config.toml", tmp_path / "run"]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [*command, *map(str, words)],
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (tmp_path / "run" / "last.pt").exists(), done.stderr
    assert not (tmp_path / "run" / "final.safetensors").exists()
    made_trainings.run(data, rich(), tmp_path / "run", resume=True)
    assert_alike(tmp_path / "run", alone)
