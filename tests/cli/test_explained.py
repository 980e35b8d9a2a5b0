"""`timesformer explain`, typed as its user types it."""

import json
from pathlib import Path

import pytest

from tests.made_scores import tiny
from tests.made_videos import write
from timesformer.cli.main import main
from timesformer.weights.checkpoint import save


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save(tiny(("wave", "jump", "\x1b[31mred")), path)
    return path


def run(capsys: pytest.CaptureFixture[str], *words: str | Path, code: int = 0) -> tuple[str, str]:
    """Run `timesformer explain ...` and return what it printed and what it complained about."""
    with pytest.raises(SystemExit) as left:
        main(["explain", *map(str, words)])
    said = capsys.readouterr()
    assert left.value.code == code, said
    return said.out, said.err


def test_frames_are_listed_and_files_written(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = write(tmp_path / "v.mp4", frames=20, fps=10)
    outs = [tmp_path / "new" / f"look.{end}" for end in ("mp4", "gif", "png")]
    printed, _ = run(capsys, weights, video, "--class", "jump", *(word for out in outs for word in ("--out", out)))
    assert "  jump: " in printed and "relevance  evidence" in printed and "log odds" in printed
    assert all(f"written to {out}" in printed and out.stat().st_size > 500 for out in outs)
    assert sorted(path.name for path in outs[0].parent.iterdir()) == ["look.gif", "look.mp4", "look.png"]
    printed, _ = run(capsys, weights, video, "--method", "rollout", "--out", outs[1])
    assert "evidence" not in printed and "the same for every class" in printed
    printed, _ = run(capsys, weights, video)
    assert "--out look.mp4 writes a film" in printed and "evidence" in printed


def test_as_json_nothing_else_is_printed(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = write(tmp_path / "v.mp4", frames=20, fps=10)
    printed, said = run(capsys, weights, video, "--json", "--class", "\x1b[31mred", "--out", tmp_path / "look.png")
    line = json.loads(printed)
    assert line["label"] == "\x1b[31mred" and line["frames"][0]["evidence"] is not None
    assert f"written to {tmp_path / 'look.png'}" in said and "\x1b" not in said


def test_mistakes_are_named_before_anything_is_computed(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write(tmp_path / "v.mp4", frames=20, fps=10)
    (tmp_path / "broken.mp4").write_text("no video")
    wrong = [
        ((weights, video, "--out", "look.avi"), "its ending says what is written: .mp4"),
        ((weights, video, "--out", video), "which is the video itself; name another file"),
        ((weights, video, "--class", "wafe"), "class is 'wafe', which the model does not have; did you mean 'wave'?"),
        ((weights, tmp_path / "broken.mp4"), "broken.mp4: is not a video"),
        ((weights, tmp_path / "none.mp4"), "none.mp4"),
        ((video, weights), "name the weights first"),
    ]
    for words, text in wrong:
        assert text in run(capsys, *words, code=2)[1]
    assert {path.name for path in tmp_path.iterdir()} == {"v.mp4", "broken.mp4"}
