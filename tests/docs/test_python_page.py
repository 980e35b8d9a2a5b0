"""The page about Python says what is so: all its snippets run, in order, as a reader would run them."""

import re
from pathlib import Path

import pytest
import torch

import timesformer
from timesformer.data.made import motions

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_every_snippet_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    motions.generate(tmp_path / "clips", train=16, val=8, test=8, size=32)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(snippets) >= 5
    torch.manual_seed(0)
    for snippet in snippets:
        exec(compile(snippet, str(PAGE), "exec"), names)
    said = capsys.readouterr().out
    assert "run/best.safetensors val_" in said and "did you mean optim.epochs?" in said
    assert (tmp_path / "mine.safetensors").exists() and "epoch 3/3" in said


def test_every_public_name_that_the_page_uses_exists() -> None:
    snippets = " ".join(re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
    used = set(re.findall(r"timesformer\.([A-Za-z]\w*)", snippets))
    assert {"train", "evaluate", "Predictor", "ClipDataset", "save"} <= used
    assert used - {"data"} <= set(timesformer.__all__)
