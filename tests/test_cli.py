"""The command line, run as its user runs it: real files, real processes, what it prints and how it exits."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from timesformer.data import motions

TINY = ["--model.width", "16", "--model.depth", "1", "--model.heads", "2", "--engine.workers", "0"]
TINY += ["--optim.epochs", "2", "--optim.repeats", "1"]


def run(*words: str | Path, code: int = 0) -> tuple[str, str]:
    """Run `timesformer ...` and return what it printed and what it complained about."""
    done = subprocess.run(
        [sys.executable, "-m", "timesformer", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "COLUMNS": "120", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("motions")
    motions.generate(folder, train=32, val=16, test=16, size=48)
    return folder


@pytest.fixture(scope="module")
def trained(clips: Path) -> Path:
    folder = clips.parent / "trained"
    run("train", clips, "--out", folder, *TINY)
    return folder


def test_help_names_every_command_before_torch_could_be_imported() -> None:
    started = time.process_time()
    printed, _ = run("--help")
    for command in ("train", "evaluate", "predict", "convert", "zoo", "scan", "prepare", "recipes", "demo", "cost"):
        assert command in printed
    assert "torch" not in sys.modules or time.process_time() >= started
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, timesformer.cli.main; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.strip() == "False"


def test_training_leaves_everything_that_a_run_folder_promises(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert {"config.toml", "metrics.jsonl", "best.safetensors", "final.safetensors", "last.pt", "curves.png"} <= names
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert all(0 <= row["val_top1"] <= 1 and row["train_loss"] > 0 for row in rows)


def test_the_written_config_repeats_the_run(trained: Path, clips: Path, tmp_path: Path) -> None:
    run("train", clips, "--config", trained / "config.toml", "--out", tmp_path / "again")
    for name in ("config.toml", "final.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (trained / name).read_bytes()


def test_a_run_is_not_overwritten_by_accident_and_a_finished_one_resumes_to_nothing(trained: Path, clips: Path) -> None:
    before = (trained / "final.safetensors").read_bytes()
    _, complaint = run("train", clips, "--out", trained, *TINY, code=2)
    assert "--resume" in complaint
    run("train", clips, "--out", trained, "--resume")
    assert (trained / "final.safetensors").read_bytes() == before


def test_evaluation_prints_the_accuracies_and_writes_results_for_each_video(trained: Path, clips: Path) -> None:
    printed, _ = run("evaluate", trained / "best.safetensors", clips, "--clips", "2", "--crops", "3", "--workers", "0")
    assert "top-1" in printed and "mean class accuracy" in printed and "0 videos could not be read" in printed
    results = json.loads((trained / "evaluation" / "results.json").read_text())
    assert len(results["videos"]) == 16
    assert (trained / "evaluation" / "confusion.png").stat().st_size > 1000


def test_prediction_shows_bars_reports_broken_files_and_goes_on(trained: Path, clips: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    good = sorted((clips / "test" / "left").iterdir())[0]
    printed, complaint = run("predict", trained / "best.safetensors", broken, good, "--top", "3", code=1)
    assert "broken.mp4" in complaint and good.name in printed and "%" in printed
    printed, _ = run("predict", trained / "best.safetensors", clips / "test", "--json", "--top", "2")
    lines = [json.loads(line) for line in printed.splitlines()]
    assert len(lines) == 16 and all(len(line["scores"]) == 2 for line in lines)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", "/nowhere"), "does not exist"),
        (("train", "{clips}", "--recipe", "k400-bas"), "did you mean"),
        (("train", "{clips}", "--optim.lr", "-1", "--out", "{tmp}/run"), "lr is -1"),
        (("train", "{clips}", "--model.frames", "16", "--out", "{tmp}/run"), "clip.frames"),
        (("train", "{clips}", "--resume", "--out", "{tmp}/run"), "no training to resume"),
        (("train", "{clips}", "--optim.lrate", "3"), "Unrecognized"),
        (("predict", "nothing.safetensors", "a.mp4"), "neither a path nor a published name"),
        (("predict", "k400-bass", "a.mp4"), "did you mean"),
        (("evaluate", "{trained}/best.safetensors", "{tmp}"), "no videos"),
        (("evaluate", "{trained}/metrics.jsonl", "{clips}"), "metrics.jsonl"),
        (("recipes", "nothing"), "unknown"),
        (("convert", "{trained}/best.safetensors", "{tmp}/x", "--size", "50"), "not divisible"),
    ],
)
def test_bad_input_gets_a_clear_message_and_no_traceback(
    words: tuple[str, ...], said: str, clips: Path, trained: Path, tmp_path: Path
) -> None:
    filled = [word.format(clips=clips, trained=trained, tmp=tmp_path) for word in words]
    printed, complaint = run(*filled, code=2)
    assert said in printed + complaint


def test_weights_convert_there_and_back_from_the_command_line(trained: Path, tmp_path: Path) -> None:
    printed, _ = run("convert", trained / "best.safetensors", tmp_path / "official.pyth", "--to", "official")
    assert "tensors taken over" in printed
    run("convert", tmp_path / "official.pyth", tmp_path / "back.safetensors")
    said, _ = run("inspect", tmp_path / "back.safetensors")
    assert "clockwise" in said and "width 16" in said


def test_the_zoo_recipes_and_costs_are_listed() -> None:
    assert "k400-base" in run("zoo")[0] and "CC-BY-NC" in run("zoo", "k400-base")[0]
    assert "ssv2" in run("recipes")[0]
    assert "lr = 0.005" in run("recipes", "k400-base")[0]
    assert "195.83 G" in run("cost")[0]


def test_fine_tuning_starts_from_a_checkpoint_and_can_leave_its_backbone_alone(
    trained: Path, clips: Path, tmp_path: Path
) -> None:
    run(
        "train", clips, "--init", trained / "best.safetensors", "--freeze", "backbone", "--out", tmp_path / "tuned",
        "--optim.epochs", "1", "--optim.repeats", "1", "--engine.workers", "0",
    )  # fmt: skip
    before, _ = run("inspect", trained / "best.safetensors")
    after, _ = run("inspect", tmp_path / "tuned" / "final.safetensors")
    assert "started from" in after and "started from" not in before
