"""Learning curves: few clips of each class, the same held-out videos, from scratch and from weights, resumable."""

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks import small_data
from matplotlib.image import imread

from tests import made_trainings
from timesformer.cli import train
from timesformer.data import manifest
from timesformer.model.transformer import TimeSformer
from timesformer.weights import checkpoint
from timesformer.weights.checkpoint import Checkpoint

TINY = ("--optim.epochs", "1", "--optim.repeats", "1", "--engine.precision", "fp32", "--engine.workers", "0")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The trainings that were started; they run in this process, one epoch each."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> None:
        commands.append(command)
        assert train.command([*command[4:], *TINY]) == 0

    monkeypatch.setattr(small_data.subprocess, "run", run)
    return commands


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    settings = made_trainings.config()
    path = tmp_path / "weights.safetensors"
    checkpoint.save(Checkpoint(TimeSformer(settings.model), settings.clip), path)
    return path


def test_a_seeds_subsets_contain_each_other_and_keep_the_held_out_videos(tmp_path: Path) -> None:
    whole = made_trainings.table(tmp_path / "data")
    small, large, other = (small_data.subset(whole, size, seed) for size, seed in ((2, 0), (4, 0), (2, 1)))
    assert small.class_counts("train") == (2, 2) and large.class_counts("train") == (4, 4)
    assert set(small.of("train")) < set(large.of("train")) != set(other.of("train"))
    assert small.of("val") == large.of("val") == whole.of("val")
    assert small_data.subset(whole, 2, 0) == small
    assert small_data.subset(whole, 99, 0).items == whole.items


def test_a_curve_is_measured_from_scratch_and_from_weights_drawn_and_not_repeated(
    tmp_path: Path, weights: Path, started: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    data = made_trainings.videos(tmp_path / "clips", train=6)
    out = tmp_path / "out"
    words = ["--curve", str(data), "--per-class", "9", "2", "1", "--seeds", "5", "--out", str(out)]
    small_data.main([*words, "--", "--init", str(weights)])
    assert [command[4].rpartition("/")[2] for command in started] == [f"clips-{n}-5.csv" for n in (1, 1, 2, 2)]
    assert [command[-1] == str(weights) for command in started] == [False, True, False, True]
    assert manifest.load(out / "lists" / "clips-1-5.csv").class_counts("train") == (1, 1)
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split(" | ")[:3] for line in lines if line.startswith("| clips |")]
    assert rows == [["| clips", "1", "2"], ["| clips", "2", "4"]]
    found = json.loads(lines[-1])
    assert [result["start"] for result in found] == ["from scratch", "from weights.safetensors"] * 2
    assert {result["videos"] for result in found} == {3}
    last = json.loads((out / "clips-2-5-init" / "metrics.jsonl").read_text().splitlines()[-1])
    assert found[-1]["top1"] == [last["val_top1"]] and found[-1]["mean_class"] == [last["val_mean_class"]]
    assert imread(out / "learning_curves.png").std() > 0

    small_data.main([*words, "--", "--init", str(weights)])
    assert len(started) == 4 and json.loads(capsys.readouterr().out.splitlines()[-1]) == found
    with pytest.raises(SystemExit, match=r"clips-1-5-init was trained with the flags --init .*; name another folder"):
        small_data.main([*words, "--", "--init", str(weights), "--lr", "1"])


def test_three_starts_are_compared_and_the_frozen_one_is_fitted_once(
    tmp_path: Path, weights: Path, started: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = made_trainings.videos(tmp_path / "clips", train=4), tmp_path / "out"
    words = ["--compare", str(data), "--seeds", "3", "4", "--out", str(out), "--", "--init", str(weights)]
    small_data.main(words)
    names = [
        f"clips-{name}" for name in ("3-from-scratch", "4-from-scratch", "3-frozen", "3-fine-tuned", "4-fine-tuned")
    ]
    assert [command[6].rpartition("/")[2] for command in started] == names
    assert ["--freeze" in command for command in started] == [False, False, True, False, False]
    *_, row, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    assert [(result["start"], len(result["top1"])) for result in found] == [
        ("from scratch", 2), ("frozen", 1), ("fine-tuned", 2),
    ]  # fmt: skip
    assert row.startswith("| clips | 4 | 3 | 66.7% | ") and row.count(" | ") == 9
    small_data.main(words)
    assert len(started) == 5


def test_a_curve_without_weights_or_clips_enough_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = made_trainings.videos(tmp_path / "clips", train=6)
    with pytest.raises(SystemExit):
        small_data.main(["--curve", str(data)])
    assert "-- --init WEIGHTS" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="no class has 4 training clips"):
        small_data.main(["--curve", str(data), "--per-class", "4", "--", "--init", "weights"])
