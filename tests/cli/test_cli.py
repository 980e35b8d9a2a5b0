"""The command line, run as its user runs it: real files, real processes, what it prints and how it exits."""

import json
import os
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest

from tests.made_scores import write_grey
from tests.made_trainings import together
from timesformer.cli import train
from timesformer.cli.main import main
from timesformer.cli.source import Source
from timesformer.data import manifest
from timesformer.data.made import motions
from timesformer.weights import loading
from timesformer.weights.checkpoint import save

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


def run_here(capsys: pytest.CaptureFixture[str], *words: str | Path, code: int = 0) -> str:
    """Run `timesformer ...` in this process, for what needs no new one, and return all that it said."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    said = "".join(capsys.readouterr())
    assert left.value.code == code, said
    return said


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("motions")
    motions.generate(folder, train=32, val=16, test=16, size=48)
    return folder


@pytest.fixture(scope="module")
def trained(clips: Path) -> Path:
    folder = clips.parent / "trained"
    run("train", "--out", folder, *TINY, "--augment.no-flip", clips)  # as the usage says: options, then DATA
    return folder


def test_help_names_every_command_without_importing_torch(capsys: pytest.CaptureFixture[str]) -> None:
    printed = run_here(capsys, "--help")
    for command in ("train", "evaluate", "predict", "convert", "zoo", "scan", "prepare", "recipes", "demo", "cost"):
        assert command in printed
    ask = "import sys; from timesformer.cli.main import main\ntry: main(['train', '--help'])\n"
    ask += "except SystemExit: sys.exit('torch' in sys.modules)"
    helped = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert "(default: chosen by the data, or 768)" in helped.stdout


def test_training_leaves_everything_that_a_run_folder_promises(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert {"config.toml", "metrics.jsonl", "best.safetensors", "final.safetensors", "last.pt", "curves.png"} <= names
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert all(0 <= row["val_top1"] <= 1 and row["train_loss"] > 0 for row in rows)


def test_the_written_config_repeats_the_run(trained: Path, clips: Path, tmp_path: Path) -> None:
    settings = (trained / "config.toml").read_text()
    assert "\nclasses = 8\n" in settings
    (tmp_path / "other.toml").write_text(settings.replace("classes = 8", "classes = 400"))  # the data has its own
    run("train", clips, "--config", tmp_path / "other.toml", "--out", tmp_path / "again")
    for name in ("config.toml", "final.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (trained / name).read_bytes()


def test_a_finished_run_resumes_to_nothing(trained: Path, clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (trained / "final.safetensors").read_bytes()
    run_here(capsys, "train", clips, "--out", trained, "--resume")
    assert (trained / "final.safetensors").read_bytes() == before


def test_weights_of_one_fold_are_measured_on_another_with_a_warning(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = loading.load(trained / "best.safetensors")
    save(replace(checkpoint, about="trained by timesformer on lists, fold 2"), tmp_path / "w.safetensors")
    for label in checkpoint.labels:
        write_grey(tmp_path / "v" / label / "1.mp4", *range(8))
        (tmp_path / f"{label}_test_split1.txt").write_text("1.mp4 2")
    words = ["evaluate", tmp_path / "w.safetensors", tmp_path, "--videos", tmp_path / "v", "--workers", "0"]
    assert "on videos that fold 1 tests: use --fold 2" in run_here(capsys, *words, "--crops", "1")


def evaluate_as_rank(words: list[str], folder: Path) -> None:
    """One of several processes: evaluates and leaves what it printed."""
    with (folder / f"{os.environ['RANK']}.txt").open("w") as file, redirect_stdout(file):
        main(words)


def test_evaluation_is_shared_by_processes_of_which_the_first_prints_and_writes(
    trained: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(trained / "best.safetensors"), str(clips), "--clips", "2", "--workers", "0", "--out"]
    printed = run_here(capsys, *words, tmp_path / "alone")
    assert "top-1" in printed and "mean class accuracy" in printed and "0 videos could not be read" in printed
    assert (tmp_path / "alone" / "confusion.png").stat().st_size > 1000
    results = (tmp_path / "alone" / "results.json").read_bytes()
    assert len(json.loads(results)["videos"]) == 16

    together(evaluate_as_rank, 2, [*words, str(tmp_path / "shared")], tmp_path)
    first, second = ((tmp_path / f"{rank}.txt").read_text() for rank in (0, 1))
    assert second == "" and "top-1" in first and first.count("written to") == 1
    assert (tmp_path / "shared" / "results.json").read_bytes() == results


def test_prediction_shows_bars_reports_broken_files_and_goes_on(
    trained: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    good = sorted((clips / "test" / "left").iterdir())[0]
    printed, complaint = run("predict", trained / "best.safetensors", broken, good, "--top", "3", code=1)
    assert "broken.mp4" in complaint and good.name in printed and "%" in printed
    printed = run_here(capsys, "predict", trained / "best.safetensors", clips / "test", "--json", "--top", "2")
    lines = [json.loads(line) for line in printed.splitlines()]
    assert len(lines) == 16 and all(len(line["scores"]) == 2 for line in lines)
    half = run_here(capsys, "predict", trained / "best.safetensors", clips / "test", "--json", "--precision", "bf16")
    for line, other in zip(lines, map(json.loads, half.splitlines()), strict=True):
        (exact, *_), (near, *_) = line["scores"], other["scores"]
        assert exact["label"] == near["label"] and 0 < abs(exact["score"] - near["score"]) < 0.02


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", "/nowhere"), "does not exist"),
        (("train", "/nowhere", "--out", "{trained}"), "holds a run already"),
        (("train", "/nowhere", "--out", "{trained}/best.safetensors"), "is a file"),
        (("train", "{clips}", "--out", "{trained}/best.safetensors/run"), "could not be made"),
        (("train", "{clips}", "--config", "nope.toml"), "settings in nope.toml can't be read"),
        (("train", "{clips}", "--model.classes", "3", "--out", "{tmp}/run"), "model.classes is 3 but the data has 8"),
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
    words: tuple[str, ...], said: str, clips: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [word.format(clips=clips, trained=trained, tmp=tmp_path) for word in words]
    assert said in run_here(capsys, *filled, code=2)


@pytest.mark.parametrize(
    ("lines", "flags"),
    [
        (["path,angle,split", "0.mp4,270,train", "1.mp4,90.5,val"], ["--task", "regression"]),
        (["path,label,split", "0.mp4,a;b,train", "1.mp4,b,val"], ["--task", "multilabel"]),
        (["x/v_x_g01_c01.avi 1", "y/v_y_g02_c01.avi 2", "x/v_x_g03_c01.avi 1", "y/gone_g4_c01.avi 2"], ["--fold", "2"]),
    ],
)
def test_commands_about_data_read_every_data_set(
    lines: list[str], flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("0.mp4", "1.mp4", "x/v_x_g01_c01.mp4", "y/v_y_g02_c01.mp4", "x/v_x_g03_c01.mp4")):
        write_grey(tmp_path / "v" / name, *range(10 * number, 10 * number + 80, 10))
    data = tmp_path / "lists" / "trainlist02.txt"
    data.parent.mkdir()
    data.write_text("\n".join(lines))
    (data.parent / "classInd.txt").write_text("1 x\n2 y")
    flags = [*flags, "--videos", str(tmp_path / "v"), "--missing", "drop"]
    if "--task" in flags:
        data = data.rename(tmp_path / "labels.csv")
    run_here(capsys, "scan", data, *flags, "--processes", "0", "--out", tmp_path / "clean.csv")
    assert (tmp_path / "clean.csv").read_text().count("\n") == min(len(lines), 4)
    said = run_here(capsys, "prepare", data, tmp_path / "fast", *flags, "--processes", "0")
    assert "! no test split: test is the validation split" in said
    task = flags[:2] if "--task" in flags else []
    assert f"train on {tmp_path / 'fast'}{' with ' if task else ''}{' '.join(task)}\n" in said
    run_here(capsys, "shards", tmp_path / "fast", tmp_path / "shards", *task)
    again = [manifest.load(tmp_path / name, task=task[1] if task else "classes") for name in ("fast", "shards")]
    assert [item.label for item in again[0].items] == [item.label for item in again[1].items]


def test_what_to_type_to_go_on_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = train.Start(Path("my clips"), out=Path("a run"), source=Source(videos=Path("v"), fold=2, missing="drop"))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    words = shlex.split(train.to_go_on(asked))
    assert words[:7] == ["torchrun", "--nproc-per-node", "4", "-m", "timesformer", "train", "my clips"]
    assert words[7:] == ["--out", "a run", "--videos", "v", "--fold", "2", "--missing", "drop", "--resume"]


def test_weights_convert_there_and_back_from_the_command_line(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run_here(capsys, "convert", trained / "best.safetensors", tmp_path / "official.pyth", "--to", "official")
    assert "tensors loaded" in said
    run_here(capsys, "convert", tmp_path / "official.pyth", tmp_path / "back.safetensors")
    said = run_here(capsys, "inspect", tmp_path / "back.safetensors")
    assert "clockwise" in said and "width 16" in said


def test_the_zoo_recipes_and_costs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "k400-base" in run_here(capsys, "zoo")
    listed = run_here(capsys, "recipes").splitlines()
    assert all(len(line) <= 80 for line in listed[:-1])
    found = [" ".join(line.split()) for line in listed if line.startswith("k400-base ")]
    assert found == ["k400-base 416 V100 hours 78.0 top-1, 93.7 top-5"]
    printed = run_here(capsys, "recipes", "k400-base")
    assert "lr = 0.005" in printed and "# command: torchrun" in printed
    assert "195.83 G" in run_here(capsys, "cost")


def test_fine_tuning_starts_from_a_checkpoint_and_can_leave_its_backbone_alone(
    trained: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = run_here(
        capsys, "train", clips, "--init", trained / "best.safetensors", "--freeze", "backbone",
        "--out", tmp_path / "tuned", "--optim.epochs", "1", "--optim.repeats", "1", "--engine.workers", "0",
    )  # fmt: skip
    assert "no mirroring: 'clockwise' is the mirror image of 'counter_clockwise'" in " ".join(printed.split())
    assert "epochs of" not in printed  # no reason for what the flags say
    before = run_here(capsys, "inspect", trained / "best.safetensors")
    after = run_here(capsys, "inspect", tmp_path / "tuned" / "final.safetensors")
    assert "started from" in after and "started from" not in before


def test_pairs_of_classes_are_named_by_flags_and_survive_the_runs_own_settings(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = ["--augment.mirror-labels", "left=right", "--reverse-labels", "up=down", "left=right"]
    printed = run_here(capsys, "train", clips, *named, *TINY, "--optim.epochs", "1", "--out", tmp_path / "run")
    assert (
        "although 'clockwise' may depend on the side (--augment.no-flip to forbid; --augment.mirror-labels " in printed
    )
    assert "left=right clockwise=counter_clockwise to change labels with it)" in " ".join(printed.split())
    text = (tmp_path / "run" / "config.toml").read_text("utf-8")
    assert 'mirror_labels = ["left=right"]' in text and 'reverse_labels = ["up=down", "left=right"]' in text
    none = train._first(["clips", "--augment.mirror-labels", "--out", "run"])
    assert none.settings.augment.mirror_labels == ()
    wrong = run_here(capsys, "train", clips, "--mirror-labels", "left=rigth", "--out", tmp_path / "wrong", code=2)
    assert "mirror_labels names 'rigth', which is no class of the data; did you mean 'right'?" in wrong
