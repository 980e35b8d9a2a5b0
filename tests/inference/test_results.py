"""Results of an evaluation: found fit to be kept before the work, printed before they are written, never replaced."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import timesformer
from tests import needs
from tests.made_scores import tiny, write_grey
from timesformer.cli.main import main
from timesformer.config.checks import ConfigError
from timesformer.data import manifest as manifests
from timesformer.data.items import DataError
from timesformer.inference import results
from timesformer.inference.scoring import Scoring
from timesformer.tasks.classes import Classification
from timesformer.verbs.evaluate import NotWrittenError
from timesformer.weights.checkpoint import save
from timesformer.weights.zoo import PUBLISHED

HERE = Scoring(crops=1, workers=0)
ODD = ("caf\udce9.mp4", "line\nbreak.mp4", "carriage\rreturn.mp4", "tab\tand,comma.mp4", "\u202egp4.mp4", "動画.mp4")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Folders of two classes, of two videos each."""
    for label, grey in (("dark", 20), ("light", 220)):
        for number in range(2):
            write_grey(tmp_path / "data" / "test" / label / f"{number}.mp4", grey, grey + number)
            write_grey(tmp_path / "data" / "train" / label / f"{number}.mp4", grey, grey + number)
    return tmp_path / "data"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    save(tiny(("dark", "light"), classes=2), tmp_path / "run" / "best.safetensors")
    return tmp_path / "run" / "best.safetensors"


def command(capsys: pytest.CaptureFixture[str], *words: str | Path, code: int = 0) -> str:
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    said = "".join(capsys.readouterr())
    assert left.value.code == code, said
    return said


def test_any_file_name_is_written_and_reads_back(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "odd" / "test" / "dark"
    for name in ODD:
        write_grey(folder / "made.mp4", 20, 20).rename(folder / name)
        (folder / f"x{name}").write_text("no video")
    (folder.parent / "light").mkdir()
    write_grey(folder.parent / "light" / "x.mp4", 220, 220)
    said = command(capsys, "evaluate", weights, tmp_path / "odd", "--out", tmp_path / "out", "--workers", "0")
    assert "7 videos: top-1" in said and "6 videos could not be read" in said
    found = json.loads((tmp_path / "out" / "results.json").read_bytes().decode("utf-8"))
    keys = {video["path"] for video in found["videos"]}
    assert keys == {f"test/dark/{name}" for name in ODD} | {"test/light/x.mp4"}
    broken = {f"test/dark/x{name}" for name in ODD}
    assert {video["path"] for video in found["failed"]} == broken
    with (tmp_path / "out" / "broken.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        assert {row["path"] for row in csv.DictReader(file)} == broken
    said = command(capsys, "predict", weights, folder / ODD[0], folder / ODD[1], "--json")
    assert [json.loads(line)["path"] for line in said.splitlines()] == [str(folder / name) for name in ODD[:2]]


def test_a_second_evaluation_keeps_the_results_of_the_first(
    weights: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = weights.parent
    words = ("--workers", "0", "--crops", "1")
    assert f"written to {run / 'evaluation'}:" in command(capsys, "evaluate", run, data, *words).replace("\n", "")
    first = (run / "evaluation" / "results.json").read_bytes()
    assert "evaluation-2:" in command(capsys, "evaluate", weights, data, *words)
    assert (run / "evaluation" / "results.json").read_bytes() == first
    assert (run / "evaluation-2" / "results.json").exists()
    said = command(capsys, "evaluate", run, data, *words, "--out", run / "evaluation", code=2)
    assert "holds the results of an earlier evaluation" in said and "top-1" not in said


def test_the_output_folder_is_looked_at_before_any_video_is(
    tmp_path: Path, weights: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for out, reason in ((tmp_path / "file" / "x", "can't be written to"), (data / "test" / "x", "among the videos")):
        said = command(capsys, "evaluate", weights, data, "--out", out, code=2)
        assert reason in said and "name" in said
        with pytest.raises(ConfigError, match=reason):
            timesformer.evaluate(weights, data, out=out)
    with pytest.raises(ConfigError, match="can't be written to"):
        results.claimed(Path("/proc/self/x"))


def test_numbers_are_printed_although_they_can_not_be_written(tmp_path: Path, weights: Path, data: Path) -> None:
    needs.posix()

    def no_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        needs.resource.setrlimit(needs.resource.RLIMIT_FSIZE, (1, 1))

    done = subprocess.run(
        [sys.executable, "-m", "timesformer", "evaluate", weights, data, "--workers", "0", "--out", tmp_path / "out"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=no_room,
        check=False,
    )
    assert "4 videos: top-1" in done.stdout
    assert done.returncode == 2 and "could not be written" in done.stderr and "Traceback" not in done.stderr


def test_an_evaluation_from_python_needs_names_only(tmp_path: Path, weights: Path, data: Path) -> None:
    found = timesformer.evaluate(weights.parent, str(data), crops=1, workers=0, precision="bf16", out=tmp_path / "out")
    assert isinstance(found.numbers, Classification) and len(found.scores.items) == 4
    assert repr(found).startswith("<Evaluation of test: 4 videos: top-1")
    assert json.loads((tmp_path / "out" / "results.json").read_text())["scoring"]["precision"] == "torch.bfloat16"
    table = manifests.load(data, labels=("dark", "light"))
    again = timesformer.evaluate(timesformer.load(weights), table, HERE, precision="bf16", split="all")
    assert len(again.scores.items) == 8 and again.scoring.crops == 1
    for settings, error, text in (
        ({"crop": 1}, ConfigError, "setting is 'crop'; it must be one of .*; did you mean 'crops'"),
        ({"crops": 2}, ConfigError, "crops is 2; it must be 1 or 3"),
        ({"precision": "bf15"}, ConfigError, "precision is 'bf15'"),
        ({"missing": "raisin"}, ConfigError, "missing is 'raisin'.*'raise'"),
        ({"split": "tset"}, DataError, "tset"),
        ({"device": "cpy"}, ConfigError, "device is 'cpy'"),
    ):
        with pytest.raises(error, match=text):
            timesformer.evaluate(weights, data, **settings)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="videos is for reading a list; a Manifest is read already"):
        timesformer.evaluate(weights, table, videos=data)


def test_an_evaluation_that_can_not_be_written_is_not_lost(
    tmp_path: Path, weights: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "out" / "results.json"

    def block(done: int) -> None:
        blocked.mkdir(parents=True, exist_ok=True)  # takes the place of the file, once the work has begun

    with pytest.raises(NotWrittenError, match=r"4 videos: top-1 .* is a folder") as caught:
        timesformer.evaluate(weights, data, HERE, out=tmp_path / "out", progress=block)
    assert len(caught.value.evaluation.scores.items) == 4


def test_weights_and_videos_named_the_other_way_round_are_recognised(
    tmp_path: Path, weights: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, run = data / "test" / "dark" / "0.mp4", weights.parent
    for first, second in ((video, weights), (video, run), (data, run)):
        said = command(capsys, "predict", first, second, code=2)
        assert f"name the weights first: timesformer predict {second} {first}" in said
    assert f"timesformer evaluate {run} {data}" in command(capsys, "evaluate", data, run, code=2)
    (tmp_path / "list.csv").write_text("path,label\n")
    assert "name the weights first" in command(capsys, "evaluate", tmp_path / "list.csv", PUBLISHED[0].name, code=2)
    assert "is a video, not weights" in command(capsys, "predict", video, video, code=2)
    with pytest.raises(timesformer.WeightsError, match="is a video, not weights"):
        timesformer.Predictor(video)


def test_a_run_s_folder_stands_for_its_best_checkpoint(
    weights: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, run = data / "test" / "dark" / "0.mp4", weights.parent
    best = command(capsys, "predict", weights, video)
    assert command(capsys, "predict", run, video) == best
    weights.rename(run / "final.safetensors")
    assert command(capsys, "predict", run, video) == best
    assert timesformer.Predictor(str(run)).labels == ("dark", "light")
    (run / "final.safetensors").unlink()
    (run / "config.toml").write_text("")
    (run / "last.pt").write_text("")
    assert "a run without a checkpoint yet" in command(capsys, "predict", run, video, code=2)


def test_usage_names_what_is_meant_and_the_device_is_a_flag(
    weights: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, usage in (("evaluate", "WEIGHTS DATA"), ("predict", "WEIGHTS VIDEO")):
        assert usage in re.sub(r"\s+", " ", command(capsys, name, "--help"))
    video = data / "test" / "dark" / "0.mp4"
    assert "%" in command(capsys, "predict", weights, video, "--device", "cpu", "--precision", "bf16")
    assert "device is 'tpu'" in command(capsys, "predict", weights, video, "--device", "tpu", code=2)


def test_evaluate_tells_what_predict_tells_of_single_pictures(
    tmp_path: Path, weights: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        write_grey(data / "test" / "dark" / f"{name}.mp4", 20)
    out = tmp_path / "out"
    said = command(capsys, "evaluate", weights, data, "--out", out, "--workers", "0")
    assert "! dark/a.mp4, dark/b.mp4: is a single picture" in said.replace("test/", "")
    remarks = json.loads((out / "results.json").read_text())["remarks"]
    assert [Path(each["path"]).name for each in remarks] == ["a.mp4", "b.mp4"]
