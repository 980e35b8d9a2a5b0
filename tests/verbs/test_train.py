"""`timesformer.train(...)` chooses as the command does, takes settings by many names, and says what it made."""

import json
from pathlib import Path
from typing import Any

import pytest

import timesformer
from tests import made_trainings
from timesformer.cli import train as door
from timesformer.config import names
from timesformer.config.checks import ConfigError
from timesformer.config.training import TrainConfig
from timesformer.data import manifest

TINY: dict[str, Any] = {
    "width": 16,
    "depth": 1,
    "heads": 2,
    "workers": 0,
    "repeats": 1,
    "epochs": 2,
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_trainings.videos(tmp_path_factory.mktemp("clips"), train=8, val=4)


def test_a_call_and_a_command_with_the_same_words_make_the_same_run(clips: Path, tmp_path: Path) -> None:
    outcome = timesformer.train(
        str(clips), out=str(tmp_path / "call"), quiet=True, lr=1e-3, **TINY, **{"optim.batch": 4}
    )
    words = [str(clips), "--out", str(tmp_path / "command"), "--optim.lr", "1e-3", "--optim.batch", "4"]
    for name, value in TINY.items():
        words += [f"--{names.dotted(name)[0]}", str(value)]
    assert door.command(words) == 0
    for name in ("config.toml", "best.safetensors", "final.safetensors"):
        assert (tmp_path / "call" / name).read_bytes() == (tmp_path / "command" / name).read_bytes()
    rows = [json.loads(line) for line in (tmp_path / "call" / "metrics.jsonl").read_text().splitlines()]
    assert [dict(row) for row in outcome.rows] == rows and len(rows) == 2
    assert outcome.best == tmp_path / "call" / "best.safetensors" and outcome.measure == "val_top1"
    assert outcome.best_score == max(row["val_top1"] for row in rows)
    assert outcome.checkpoint.labels == ("dark", "light")


def test_a_call_is_silent_where_asked_and_speaks_otherwise(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = manifest.load(clips)
    timesformer.train(table, out=tmp_path / "a", quiet=True, **TINY)
    assert capsys.readouterr() == ("", "")
    again = timesformer.train(table, out=tmp_path / "b", config=tmp_path / "a" / "config.toml", lr=2e-3)
    assert "settings of" in capsys.readouterr().out
    assert timesformer.train(table, out=tmp_path / "b", resume=True).rows == again.rows
    assert "resuming" in capsys.readouterr().out


def test_sections_and_configs_are_taken_whole(clips: Path, tmp_path: Path) -> None:
    config = made_trainings.config(optim={"epochs": 1})
    clip = timesformer.ClipConfig(frames=2, size=16, sampling="segments", mean=(0.5, 0.5, 0.5))
    timesformer.train(clips, out=tmp_path / "run", config=config, clip=clip, optim={"batch": 2}, quiet=True)
    written = (tmp_path / "run" / "config.toml").read_text()
    assert "mean = [0.5, 0.5, 0.5]" in written and "batch = 2\n" in written and "lr = 0.005\n" in written


def test_frames_need_not_be_square_from_training_to_prediction(clips: Path, tmp_path: Path) -> None:
    words = [str(clips), "--out", str(tmp_path / "run"), "--clip.size", "16", "24", "--model.size", "16", "24"]
    for name, value in TINY.items():
        words += [f"--{names.dotted(name)[0]}", str(value)]
    assert door.command(words) == 0
    assert (tmp_path / "run" / "config.toml").read_text().count("size = [16, 24]") == 2
    found = timesformer.evaluate(tmp_path / "run", clips, crops=1, workers=0)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    best = [row for row in rows if row["best"]][-1]
    assert found.numbers.top1 == best["val_top1"]  # type: ignore[union-attr]
    predictor = timesformer.Predictor(tmp_path / "run", crops=1)
    assert sum(predictor(manifest.load(clips).of("val")[0].path).scores) == pytest.approx(1)
    other = timesformer.train(clips, out=tmp_path / "b", init=str(tmp_path / "run"), size=(24, 16), quiet=True, **TINY)
    assert other.checkpoint.clip.frame_size == (24, 16)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epochz": 3}, "did you mean optim.epochs"),
        ({"optim.lrate": 3}, "did you mean optim.lr"),
        ({"output_dir": "x"}, "did you mean out"),
        ({"gradient_accumulation_steps": 2}, "did you mean optim.accumulate"),
        ({"qqq": 1}, "--help"),
        ({"lr": "3"}, "optim.lr is '3'; it must be a finite number"),
        ({"batch": 2.5}, "optim.batch is 2.5; it must be a whole number"),
        ({"lr": 1.0, "learning_rate": 2.0}, "given as 1.0 and as 2.0"),
        ({"optimizer": "adam"}, "did you mean 'adamw'"),
        ({"lr": -1.0}, "lr is -1"),
        ({"missing": "dropp"}, "must be 'raise' or 'drop'"),
        ({"resume": True}, "no training to resume"),
        ({"recipe": "k400-base", "config": TrainConfig()}, "give one of them"),
    ],
)
def test_a_wrong_word_is_refused_with_the_right_one(
    clips: Path, tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said.replace(".", r"\.").replace("(", r"\(")):
        timesformer.train(clips, out=tmp_path / "run", quiet=True, **given)
    assert not (tmp_path / "run").exists()


def test_every_name_of_other_programs_means_something_and_none_hides_one_of_ours() -> None:
    own = {name.rpartition(".")[2] for name in names.known()}
    assert not own & {*names.OTHERS, *names.PROPOSED, *names.ARGUMENTS}
    assert all(names.dotted(name) for name in names.OTHERS)
    assert all(names.understood(name) for name in names.PROPOSED.values())
    for name in own - {*names.TOGETHER}:
        assert len(names.dotted(name)) == 1, f"{name} has become the name of several settings"
    assert names.dotted("frames") == ("model.frames", "clip.frames")
