"""`timesformer embed`, `neighbours` and `map` as they are typed."""

from pathlib import Path

import pytest

from tests.cli.test_cli import run_here
from tests.features.made_features import data
from tests.made_scores import tiny
from timesformer.features.table import Features
from timesformer.weights.checkpoint import save


def test_features_are_computed_measured_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, weights, out = data(tmp_path / "data"), tmp_path / "m.safetensors", tmp_path / "f.npz"
    save(tiny(), weights)
    (folder / "train" / "dark" / "b.mp4").write_text("no video")
    said = run_here(capsys, "embed", weights, folder, "--out", out, "--workers", 0, code=1)
    assert "error: train/dark/b.mp4: " in said and f"written: {out} (6 vectors of 8 numbers)" in said
    assert len(Features.load(out)) == 6
    said = run_here(capsys, "neighbours", out, "val/dark/3.mp4", "--count", 2, code=2)
    assert "did you mean" in said
    assert len(run_here(capsys, "neighbours", out, "train/dark/0.mp4", "--count", 2).splitlines()) == 2
    said = run_here(capsys, "neighbours", out, "--all", "--count", 1, "--out", tmp_path / "s.png")
    assert "the largest class, dark (1 of 2)" in said and "1 nearest neighbour, one video left out" in said
    assert "linear layer, from 4 train to 2 val videos" in said
    run_here(capsys, "map", out, "--method", "pca", "--out", tmp_path / "map.html")
    assert (tmp_path / "s.png").exists() and (tmp_path / "map.html").exists()


def test_what_is_missing_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, text in (
        (["embed", "w"], "no data are named"),
        (["neighbours", "f.npz"], "name one video after the features, or --all of them"),
        (["neighbours", "f.npz", "v", "--all"], "name one video after the features, or --all of them"),
        (["neighbours", "f.npz", "v", "--out", "s.jpg"], "a contact sheet is a PNG file"),
        (["map"], "no features are named"),
        (["map", str(tmp_path / "f.npz")], "does not exist"),
    ):
        assert text in run_here(capsys, *words, code=2)
