"""`timesformer predict --timeline`, typed as its user types it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.made_scores import CLIP, tiny
from tests.made_videos import write
from timesformer.cli.main import main
from timesformer.video import reader
from timesformer.video.reader import Frame
from timesformer.weights.checkpoint import save


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save(replace(tiny(("wave", "jump", "空翻")), clip=replace(CLIP, sampling="dense", rate=6, fps=10.0)), path)
    return path


def run(capsys: pytest.CaptureFixture[str], *words: str | Path, code: int = 0) -> tuple[str, str]:
    """Run `timesformer predict ... --timeline` and return what it printed and what it complained about."""
    with pytest.raises(SystemExit) as left:
        main(["predict", *map(str, words), "--timeline"])
    said = capsys.readouterr()
    assert left.value.code == code, said
    return said.out, said.err


def test_segments_are_printed_with_what_was_chosen_and_written(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write(tmp_path / "v.mp4", frames=100, fps=10)
    outs = [tmp_path / "new" / name for name in ("a.srt", "b.png", "c.json")]
    printed, _ = run(capsys, weights, video, *(word for out in outs for word in ("--out", out)))
    assert "0:10.0 in 9 windows of 1.2 s, one every 1.1 s" in printed
    assert "start" in printed and "█" in printed and "never leads" in printed
    assert all(out.stat().st_size > 40 and f"written to {out}" in printed for out in outs)
    assert sorted(path.name for path in outs[0].parent.iterdir()) == ["a.srt", "b.png", "c.json"]


def test_each_of_several_videos_has_a_timeline_and_files_of_its_own(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "videos" / "more").mkdir(parents=True)
    for name in ("a.mp4", "more/a.mp4"):
        write(tmp_path / "videos" / name, frames=30, fps=10)
    (tmp_path / "broken.mp4").write_text("no video")
    given = [tmp_path / "videos", tmp_path / "broken.mp4", "--out", tmp_path / "t.csv", "--json"]
    printed, complaint = run(capsys, weights, *given, code=1)
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [Path(line["path"]).name for line in lines] == ["a.mp4", "a.mp4", "broken.mp4"]
    assert "error" in lines[2] and "broken.mp4: is not a video" in complaint
    assert lines[0]["segments"][-1]["end"] == pytest.approx(3.0) and "windows" not in lines[0]
    assert {path.name for path in tmp_path.glob("t*.csv")} == {"t-a.csv", "t-a-2.csv"}


def test_that_a_models_window_is_a_guess_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tiny(), tmp_path / "w.safetensors")
    videos = [write(tmp_path / f"{name}.mp4", frames=50, fps=10) for name in "ab"]
    printed, complaint = run(capsys, tmp_path / "w.safetensors", *videos)
    assert complaint.count("are a guess") == 1 and printed.count("windows of 4 s") == 2
    assert run(capsys, tmp_path / "w.safetensors", *videos, "--window", "2")[1] == ""


def test_numbers_over_time_are_summed_up(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(
        replace(tiny(("x", "y", "z"), task="regression"), clip=replace(CLIP, sampling="dense")),
        tmp_path / "r.safetensors",
    )
    printed, _ = run(capsys, tmp_path / "r.safetensors", write(tmp_path / "v.mp4", frames=30), "--window", "0.3")
    lines = [line.split() for line in printed.splitlines()]
    assert lines[2][:3] == ["output", "mean", "lowest"] and [line[0] for line in lines[3:6]] == ["x", "y", "z"]
    mean, lowest, at, highest, _ = lines[3][1:]
    assert float(lowest) <= float(mean) <= float(highest) and at.startswith("0:00")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--timeline", "--window", "0"], "window is 0.0 seconds; it must be from 0.01"),
        (["--timeline", "--every", "-1"], "every is -1.0 seconds; it must be above 0."),
        (["--timeline", "--out", "x.mp4"], "x.mp4 ends in .mp4; a timeline is written as .csv"),
        (["--timeline", "--out", "."], "has no ending; a timeline is written as"),
        (["--timeline", "--clips", "3"], "a timeline has windows: leave them out"),
        (["--timeline", "--placement", "whole"], "a timeline has windows: leave them out"),
        (["--window", "2"], "--window is for timelines; add --timeline."),
        (["--every", "2"], "--every is for timelines; add --timeline."),
        (["--out", "x.srt"], "--out is for timelines; add --timeline."),
    ],
)
def test_mistakes_are_named_before_or_instead_of_work(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    video = write(tmp_path / "v.mp4", frames=10)
    with pytest.raises(SystemExit) as left:
        main(["predict", str(weights), str(video), *words])
    assert left.value.code == 2 and said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]


def test_a_place_that_can_not_be_written_is_named_before_the_video_is_read(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("a file")
    _, complaint = run(capsys, weights, tmp_path / "none.mp4", "--out", tmp_path / "file" / "t.srt", code=2)
    assert "t.srt could not be written" in complaint and "none.mp4" not in complaint


def test_an_interrupt_leaves_the_earlier_file_and_nothing_half_written(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    video, out = write(tmp_path / "v.mp4", frames=100, fps=10), tmp_path / "t.srt"
    out.write_text("earlier")
    stream = reader.stream

    def interrupted(*given: Any) -> Iterator[Frame]:
        yield from islice(stream(*given), 20)
        raise KeyboardInterrupt

    monkeypatch.setattr(reader, "stream", interrupted)
    _, complaint = run(capsys, weights, video, "--out", out, code=130)
    assert "interrupted" in complaint and out.read_text() == "earlier"
    assert {path.name for path in tmp_path.iterdir()} == {"v.mp4", "t.srt"}
