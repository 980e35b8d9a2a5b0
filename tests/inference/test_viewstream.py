"""Views of many videos: read in bounded parts, whichever of the workers the system ends on the way."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.made_scores import CLIP, Grey, grey_items, write_grey
from tests.made_trainings import together
from timesformer.data.items import Item
from timesformer.inference import parts as inference_parts
from timesformer.inference import viewstream
from timesformer.inference.answers import forward
from timesformer.inference.parts import Seen
from timesformer.inference.scoring import InterruptedScoringError, Scoring, score_videos
from timesformer.inference.viewstream import Views
from timesformer.training.engine.processes import joined
from timesformer.video import reader, views

HERE = Scoring(crops=1, workers=0)
DENSE = replace(CLIP, sampling="dense", rate=1, fps=10.0)

pytestmark = pytest.mark.usefixtures("soon", "forked")


def test_a_whole_video_is_scored_in_portions_with_the_scores_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write_grey(tmp_path / f"{n}.mp4", *[(7 * k + 50 * n) % 256 for k in range(40)]) for n in range(2)]
    items = [Item(path, "", name=path.name) for path in paths]
    whole = Scoring(crops=3, placement="whole", workers=0)
    at_once = score_videos(Grey(), items, DENSE, whole)
    seen = Seen(DENSE, 1, 3, "whole", 8)
    assert [len(part.views) for part in Views(items, [0, 1], seen, workers=0)] == [60, 60]
    clip = 4 * 3 * 2 * 16 * 16 * 3
    monkeypatch.setattr(viewstream, "PORTION", 3 * clip)
    parts = list(Views(items, [0, 1], seen, workers=0))
    assert [len(part.views) for part in parts] == [9] * 6 + [6] + [9] * 6 + [6]
    assert [part.ended for part in parts] == [(), (), (), (), (), (), (0,), (), (), (), (), (), (), (1,)]
    for workers in (0, 1, 2):
        found = score_videos(Grey(), items, DENSE, replace(whole, workers=workers))
        torch.testing.assert_close(found.scores, at_once.scores)


def test_a_video_that_breaks_off_in_a_later_portion_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [Item(write_grey(tmp_path / "v.mp4", *range(40)), "", name="v.mp4"), *grey_items(tmp_path, [200])]
    monkeypatch.setattr(viewstream, "PORTION", 1)
    portions = views.portions

    def broken(path: Path, *words: object, **options: object) -> Iterator[views.Portion]:
        for number, portion in enumerate(portions(path, *words, **options)):  # type: ignore[arg-type]
            if number == 3:
                raise reader.VideoError(path, "breaks off")
            yield portion

    monkeypatch.setattr(inference_parts, "portions", broken)
    found = score_videos(Grey(), items, DENSE, Scoring(crops=1, placement="whole", workers=0))
    assert (found.keys, found.failed) == (("0.mp4",), (("v.mp4", "breaks off"),))


def kill_at(monkeypatch: pytest.MonkeyPatch, victim: Path, kind: signal.Signals, *, mark: Path | None = None) -> None:
    """Let the system end every worker that reads a video; with a mark only the first."""
    info = reader.info

    def read(path: Path) -> reader.VideoInfo:
        if path == victim and os.getpid() != main and not (mark and mark.exists()):
            if mark:
                mark.touch()
            os.kill(os.getpid(), kind)
        return info(path)

    main = os.getpid()
    monkeypatch.setattr(reader, "info", read)


@pytest.mark.parametrize("workers", [1, 2])
def test_scoring_goes_on_without_a_worker_that_the_system_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    items = grey_items(tmp_path, [200, 20, 90, 120, 10, 250])
    expected = score_videos(Grey(), items, CLIP, HERE)
    kill_at(monkeypatch, items[2].path, signal.SIGKILL, mark=tmp_path / "killed")
    done: list[int] = []
    found = score_videos(Grey(), items, CLIP, replace(HERE, batch=1, workers=workers), progress=done.append)
    torch.testing.assert_close(found.scores, expected.scores)
    assert (found.keys, found.failed, done[-1]) == (expected.keys, (), 6)
    assert len(found.notes) == 1 and found.notes[0].startswith("1 decoding worker lost: the system ended its process")
    assert "continued with 1 worker (fewer --workers take less memory)" in found.notes[0]


def test_a_video_that_costs_every_worker_is_named_and_the_others_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = grey_items(tmp_path, [200, 20, 90, 120])
    kill_at(monkeypatch, items[1].path, signal.SIGSEGV)
    found = score_videos(Grey(), items, CLIP, replace(HERE, batch=1, workers=2))
    assert found.keys == ("0.mp4", "2.mp4", "3.mp4")
    assert found.failed == (("1.mp4", "the decoder crashed each time that it was decoded"),)
    assert found.notes == ("3 decoding workers lost: the decoder crashed; continued with 1 worker",)


@pytest.mark.parametrize("how", ["signal", "error"])
def test_where_shared_memory_is_too_small_the_process_reads_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    items = grey_items(tmp_path, [200, 20])
    if how == "signal":
        kill_at(monkeypatch, items[0].path, signal.SIGBUS)
    else:

        def full(tensor: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("unable to write to file </torch_1>: No space left on device (28)")

        monkeypatch.setattr(torch.Tensor, "share_memory_", lambda tensor: full(tensor) if tensor.ndim > 1 else tensor)
    found = score_videos(Grey(), items, CLIP, replace(HERE, workers=1))
    assert found.keys == ("0.mp4", "1.mp4")
    assert "/dev/shm" in found.notes[0] and "continued with the main process alone" in found.notes[0]


def test_an_error_of_the_model_is_no_lost_worker(tmp_path: Path) -> None:
    items = grey_items(tmp_path, [200, 20])

    class Failing(Grey):
        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        score_videos(Failing(), items, CLIP, replace(HERE, workers=1))


def test_another_function_of_the_model_can_be_computed() -> None:
    clips = torch.rand(3, 2, 3, 16, 16)
    found = forward(Grey(), clips, batch=2, compute=lambda part: part.mean(dim=(1, 3, 4)))
    torch.testing.assert_close(found, clips.mean(dim=(1, 3, 4)))


def stop_one(folder: Path, items: list[Item]) -> None:
    """One of several processes; the first stops in its progress, with more batches than the other has."""
    with joined() as world:

        def progress(done: int) -> None:
            if world.first and done == 2:
                raise ArithmeticError("stopped here")

        try:
            score_videos(Grey(), items, CLIP, replace(HERE, batch=1), progress=progress)
            said = "came to the end"
        except (ArithmeticError, InterruptedScoringError) as error:
            said = f"{type(error).__name__}: {error}"
        (folder / f"{world.rank}.txt").write_text(said)


def test_a_process_that_stops_early_tells_the_others(tmp_path: Path) -> None:
    together(stop_one, 2, tmp_path, grey_items(tmp_path, [200, 20, 90, 120, 10]))
    assert (tmp_path / "0.txt").read_text() == "ArithmeticError: stopped here"
    expected = "InterruptedScoringError: process 0 ended the scoring: stopped here"
    assert (tmp_path / "1.txt").read_text() == expected
