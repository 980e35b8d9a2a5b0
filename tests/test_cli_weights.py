"""The commands about weights take what their own messages ask for, and answer bad input with one line."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.made_weights import SMALL, random_model, save_official, vit
from timesformer.cli.main import main


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
        ("inspect headless.pth", "--classes N"),
        ("inspect oblong.pyth", "--size HEIGHT WIDTH"),
        ("inspect w.pyth --labels two.txt", "two.txt holds 2 labels, but w.pyth has 5 outputs"),
        ("evaluate w.pyth folder --labels two.txt", "two.txt holds 2 labels"),
        ("inspect ''", "no weights are named"),
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
