"""The commands about weights take what their own messages ask for, and answer bad input with one line."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests import made_trainings
from tests.made_weights import KINETICS_CFG, SMALL, random_model, save_official, vit
from timesformer.cli.main import main
from timesformer.config import configfile
from timesformer.config.training import TrainConfig


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of several kinds, and names, in the folder where the commands run."""
    monkeypatch.chdir(tmp_path)
    save_official(random_model(), Path("w.pyth"))
    save_official(random_model(replace(SMALL, size=(24, 40))), Path("oblong.pyth"))
    torch.save({name: value for name, value in vit().items() if "head" not in name}, "headless.pth")
    Path("two.txt").write_text("a\nb\n")
    Path("folder").mkdir()


def said(words: str, capsys: pytest.CaptureFixture[str], code: int) -> str:
    with pytest.raises(SystemExit) as done:
        main(shlex.split(words))
    printed = "".join(capsys.readouterr())
    assert done.value.code == code, printed
    return printed


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("inspect headless.pth --classes 2 --labels two.txt", "2 outputs (classes): a, b"),
        ("inspect headless.pth", "no classes: 64 features for each clip"),
        ("inspect headless.pth --classes 2", "pass scheme='space'"),
        ("inspect oblong.pyth --size 24 40", "size (24, 40)"),
        (
            "convert w.pyth out --size 48 64 --frames 16 --classes 3 --resize smooth",
            "[1, 17, 64] -> [1, 49, 64], bicubic",
        ),
        ("convert w.pyth out --frames 16", "a clip now spans 10.24 s instead of 2.56 s: 16 frames at rate 16"),
    ],
)
def test_what_messages_ask_for_can_be_given(words: str, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer in said(words, capsys, 0)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("predict headless.pth v.mp4", "has no classes, only features; train a head on your videos"),
        ("evaluate headless.pth folder", "has no classes, only features; train a head on your videos"),
        ("convert headless.pth out --to huggingface", "it has no classes"),
        ("inspect oblong.pyth", "--size HEIGHT WIDTH"),
        ("inspect w.pyth --labels two.txt", "two.txt holds 2 labels, but w.pyth has 5 outputs"),
        ("evaluate w.pyth folder --labels two.txt", "two.txt holds 2 labels"),
        ("inspect ''", "the name of the weights is empty"),
        ("inspect folder/absent", "does not exist in the folder"),
        ("convert w.pyth out --frames 1000000000", "frames is 1000000000; it must be at most"),
        ("convert headless.pth out --classes 2 --scheme local_global --frames 7", "must be even; use 8"),
        ("convert headless.pth out --classes 2 --scheme axial --to official", "axial attention can't be written"),
        ("convert w.pyth out --size 0", "choose 8 or 16"),
        ("predict w.pyth", "no video is named"),
        ("predict w.pyth v.mp4 --top 0", "top is 0"),
    ],
)
def test_bad_input_is_answered_with_one_line(words: str, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    printed = said(words, capsys, 2)
    assert answer in printed.splitlines()[-1]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_trainings.videos(tmp_path_factory.mktemp("clips") / "data", train=4, val=2)


BRIEF = "--optim.epochs 1 --optim.repeats 1 --engine.workers 0 --engine.precision fp32"


def settings_of(run: str) -> TrainConfig:
    return configfile.from_toml((Path(run) / "config.toml").read_text())


def test_every_command_that_takes_weights_says_guesses_and_takes_heads_and_key(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = {name: vit(replace(SMALL, heads=4, classes=2)) for name in ("student", "teacher")}
    torch.save(both | {"epoch": 3}, "dino.pth")
    video = next((clips / "val" / "dark").iterdir())
    for words in (
        "inspect dino.pth",
        "convert dino.pth out",
        f"predict dino.pth {video}",
        f"evaluate dino.pth {clips} --out scores --workers 0",
        f"train {clips} --init dino.pth --out run {BRIEF}",
    ):
        printed = " ".join(said(words, capsys, 0).split())
        assert "heads not stated: 1 assumed, 64 wide" in printed, words
        assert "teacher taken; the file also holds student" in printed, words
        flags = "--model.heads 4" if words.startswith("train") else "--heads 4"
        assert "no model named 'pupil'; it holds student, teacher" in said(
            f"{words.replace('--out ', '--out not/')} --key pupil", capsys, 2
        )
        words = words.replace("--out run", "--out again").replace("--out scores", "--out other")
        printed = " ".join(said(f"{words} {flags} --key student", capsys, 0).split())
        assert "heads not stated" not in printed and "student taken" in printed, words
    chosen = settings_of("again")
    assert (chosen.model.heads, chosen.key, settings_of("run").model.heads) == (4, "student", 1)


def test_a_training_starts_with_the_clips_that_weights_were_run_with_or_with_those_named(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = KINETICS_CFG.format(attention="divided_space_time").replace("NUM_FRAMES: 4", "NUM_FRAMES: 6")
    cfg = cfg.replace("  TRAIN_CROP", "  TEST_CROP_SIZE: 48\n  TRAIN_CROP")
    save_official(random_model(), Path("run_otherwise.pyth"), cfg=cfg)
    printed = said(f"train {clips} --init run_otherwise.pyth --out one {BRIEF}", capsys, 0)
    assert "resized: embedding.position [1, 17, 64] -> [1, 37, 64]" in printed
    found = settings_of("one")
    assert (found.model.frames, found.clip.frames, found.model.size, found.clip.size) == (6, 6, 48, 48)
    flags = "--model.frames 4 --clip.frames 4 --model.size 32 --clip.size 32"
    said(f"train {clips} --init run_otherwise.pyth --out two {flags} {BRIEF}", capsys, 0)
    found = settings_of("two")
    assert (found.model.frames, found.model.size, found.clip.size) == (4, 32, 32)
    flags = "--model.size 24 40 --clip.size 24 40 --model.frames 4 --clip.frames 4"
    said(f"train {clips} --init oblong.pyth --out three {flags} {BRIEF}", capsys, 0)
    assert settings_of("three").model.size == settings_of("three").clip.size == (24, 40)
