"""The door understands other programs' names, proposes the right word for a wrong one, and ends in no traceback."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import timesformer
from tests import made_trainings
from timesformer.cli import main, train, views
from timesformer.cli.typed import examples
from timesformer.cli.typed.words import flags_of, spelled, spelled_settings
from timesformer.config.checks import ConfigError
from timesformer.errors import sentence, without_numbers
from timesformer.training.shown.display import Display


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--batch-size", "8"], ["--optim.batch", "8"]),
        (["--learning-rate=3e-4"], ["--optim.lr=3e-4"]),
        (["-lr", "1e-3", "--epochs", "5"], ["--optim.lr", "1e-3", "--optim.epochs", "5"]),
        (["--num_workers", "2", "--seed", "1"], ["--engine.workers", "2", "--engine.seed", "1"]),
        (["--output-dir", "o", "--pretrained", "w.pth"], ["--out", "o", "--init", "w.pth"]),
        (["--no-flip", "--class_weights"], ["--augment.no-flip", "--optim.class-weights"]),
        (["--frames", "16", "data"], ["--model.frames", "16", "--clip.frames", "16", "data"]),
        (["--size", "112", "160"], ["--model.size", "112", "160", "--clip.size", "112", "160"]),
        (["--image-size=64"], ["--model.size=64", "--clip.size=64"]),
        (["--weight-decay", "-1", "--optim.lr", "1"], ["--optim.weight-decay", "-1", "--optim.lr", "1"]),
        (["data", "--out", "r", "--no-resume", "-h"], ["data", "--out", "r", "--no-resume", "-h"]),
    ],
)
def test_settings_are_understood_by_short_names_and_those_of_other_programs(words: list[str], meant: list[str]) -> None:
    assert spelled_settings(words, train.Start)[0] == meant


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("--optim.lrate", "did you mean --optim.lr?"),
        ("--epochz", "did you mean --optim.epochs?"),
        ("--gradient-accumulation-steps", "did you mean --optim.accumulate?"),
        ("--vidoes", "did you mean --videos?"),
        ("--fram", "did you mean --model.frames and --clip.frames?"),
        ("--nothing-like-it", "--help"),
    ],
)
def test_an_unknown_setting_is_refused_with_the_nearest_flag(word: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        spelled_settings(["data", word, "3"], train.Start)
    assert f"Unrecognized option {word};" in str(refused.value) and said in str(refused.value)


def test_other_commands_understand_other_names_of_flags_that_they_have() -> None:
    assert spelled(["w", "d", "--num-workers", "2"], views.evaluate) == ["w", "d", "--workers", "2"]
    assert spelled(["--output_dir=o", "--lr", "3"], views.evaluate) == ["--out=o", "--lr", "3"]
    assert {"workers", "out", "videos", "crops"} <= set(flags_of(views.evaluate))


def test_a_wrong_command_is_answered_with_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    for word, said in (
        ("trian", "did you mean train?"),
        ("Predict", "did you mean predict?"),
        ("xyz", "there are train"),
    ):
        with pytest.raises(SystemExit) as left:
            main.main([word, "data"])
        assert left.value.code == 2 and said in capsys.readouterr().err


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main.main(["--version"])
    assert left.value.code == 0 and capsys.readouterr().out == f"timesformer {timesformer.__version__}\n"


def test_completion_names_only_flags_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["--tyro-print-completion", "bash"])
    script = capsys.readouterr().out
    assert "--arguments." not in script and "--optim.batch" in script and "--out" in script


ASK = """
import sys
from timesformer.cli.main import main
for words in (["--help"], ["train", "--help"], ["cost"], ["zoo"], ["train", "/\\u30ca/\\udce9"], ["predict"]):
    try:
        main(words)
    except SystemExit as left:
        assert left.code in (0, 2), words
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_no_encoding_of_the_terminal_ends_in_a_traceback(encoding: str) -> None:
    variables = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict", "COLUMNS": "80", "OMP_NUM_THREADS": "1"}
    said = subprocess.run([sys.executable, "-c", ASK], capture_output=True, timeout=100, env=variables)
    assert said.returncode == 0, said.stderr.decode(encoding)
    assert "k400-base" in said.stdout.decode(encoding) and "\\u30ca" in said.stderr.decode(encoding)


def test_what_an_encoding_lacks_is_written_as_json_writes_it(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    text = "é \U0001f600 ナ \udce9 █"
    code = f"from timesformer.cli import terminal; terminal.accept_any_text(); print('\"' + {text!a} + '\"')"
    variables = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=variables).stdout
    assert json.loads(said.decode("ascii")) == text.replace("█", "#")


def test_errors_of_the_system_are_sentences_with_a_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, said in ((errno.ENOSPC, "the disk is full"), (errno.EACCES, "permission"), (errno.EBADF, "bad file")):
        text = sentence(OSError(number, os.strerror(number), "/a/file"))
        assert text.startswith("/a/file: ") and said in text and "Errno" not in text
    made_trainings.videos(tmp_path / "clips", train=2, val=2)
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as left:
        main.main(["prepare", str(tmp_path / "clips"), str(tmp_path / "file" / "x"), "--processes", "0"])
    said = capsys.readouterr().err
    assert left.value.code == 2 and "file" in said and "Errno" not in said


def test_errors_within_a_message_are_words_too(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        Path("/nowhere/x").write_text("")
    except OSError as error:
        text = f"/nowhere/x could not be written ({error}); is there room?"
    assert without_numbers(text) == "/nowhere/x could not be written (no such file or directory); is there room?"
    Display(Console(file=sys.stdout, width=200)).warn(f"{text}\x1b[31m")
    assert capsys.readouterr().out.strip() == (
        "! /nowhere/x could not be written (no such file or directory); is there room?\\x1b[31m"
    )


@pytest.mark.parametrize("command", sorted(main.COMMANDS))
def test_usage_names_what_is_to_be_given(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main([command, "--help"])
    usage = re.sub(r"\[.*?\]", "", capsys.readouterr().out.split("\n\n")[0])
    assert "PATH" not in usage and "STR" not in usage


def test_memory_that_is_used_up_is_said_with_what_to_change(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def use_up(words: list[str]) -> None:
        bytearray(2**62)

    monkeypatch.setattr(main.train, "command", use_up)
    with pytest.raises(SystemExit) as left:
        main.main(["train", "data"])
    assert left.value.code == 2 and "smaller --optim.batch" in capsys.readouterr().err


@pytest.mark.parametrize("command", sorted(main.COMMANDS))
def test_help_ends_with_examples_whose_flags_exist(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main([command, "--help"])
    printed = capsys.readouterr().out.partition("\nExamples:\n")[2]
    assert printed.strip() == examples.text(command).removeprefix("Examples:\n").strip()
    for line, _ in examples.EXAMPLES[command]:
        _, _, given = line.partition(f"timesformer {command}")
        flags = [word for word in given.split() if word.startswith("--")]
        if command == "train":
            spelled_settings(flags, train.Start)  # refuses a flag that it does not know
        else:
            assert {flag[2:].replace("-", "_") for flag in flags} <= set(flags_of(main.COMMANDS[command]))


def test_the_settings_that_a_training_is_given_are_named_once_read() -> None:
    _, names = spelled_settings(["--size", "64", "data", "--no-flip", "--task=regression"], train.Start)
    assert names == ["model.size", "clip.size", "augment.flip", "task"]
