"""Loader workers that the system ends: training continues with fewer, learns the same, and names the cause."""

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import made_trainings
from tests.made_trainings import Watcher
from timesformer.data.manifest import Manifest
from timesformer.training.loop import train
from timesformer.training.run.runfolder import RunFolder
from timesformer.training.session import TrainingError
from timesformer.video import reader

if sys.platform != "linux":
    pytest.skip("loader workers are not forked here", allow_module_level=True)

pytestmark = pytest.mark.usefixtures("soon", "forked")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return made_trainings.table(tmp_path_factory.mktemp("supply") / "data")


def kill_a_worker(number: signal.Signals = signal.SIGKILL) -> None:
    """End one of this process's loader workers."""
    worker = multiprocessing.active_children()[0]
    assert worker.pid is not None
    os.kill(worker.pid, number)
    worker.join(5)


def deadly(monkeypatch: pytest.MonkeyPatch, paths: set[Path], number: signal.Signals = signal.SIGKILL) -> None:
    """Let reading some videos end the process, where it is a worker."""
    whole, owner = reader.read_noted, os.getpid()

    def read(path: Path, *arguments: Any, **settings: Any) -> reader.Frames:
        if Path(path) in paths and os.getpid() != owner:
            os.kill(os.getpid(), number)
        return whole(path, *arguments, **settings)

    monkeypatch.setattr(reader, "read_noted", read)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS])
def test_a_lost_worker_changes_nothing_of_what_is_learned(
    data: Manifest, tmp_path: Path, number: signal.Signals
) -> None:
    settings = made_trainings.everything(engine={"workers": 2, "save_minutes": 60})
    made_trainings.run(data, settings, tmp_path / "undisturbed")
    moments = {("step", 3): lambda: kill_a_worker(number), ("step", 7): lambda: kill_a_worker(number)}
    watcher = Watcher(moments)
    train(data, settings, tmp_path / "run", display=watcher)
    assert made_trainings.results(tmp_path / "run") == made_trainings.results(tmp_path / "undisturbed")
    said = [text for text in watcher.said if "a loader worker was lost at step" in text]
    assert len(said) == 2 and "continuing with 1 worker. Fewer --engine.workers" in said[0]
    assert all("--resume continues" in text and loaders_words(number) in text for text in said)


def loaders_words(number: signal.Signals) -> str:
    return {signal.SIGKILL: "lack of memory", signal.SIGSEGV: "decoder crashed", signal.SIGBUS: "--shm-size"}[number]


def test_a_video_that_costs_every_worker_is_named_and_left_out(
    data: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = data.of("train")[3]
    deadly(monkeypatch, {lost.path})
    settings = made_trainings.config(engine={"workers": 1, "broken_share": 0.2})
    watcher = Watcher()
    outcome = train(data, settings, tmp_path / "run", display=watcher)
    assert {video.key for video in outcome.broken} == {
        item.key for item in data.of("train") if item.path.name == lost.path.name
    }
    assert all("a loader worker was lost whenever it was decoded" in video.reason for video in outcome.broken)
    assert outcome.run.final.exists() and len(outcome.rows) == 3


def test_a_machine_without_memory_ends_the_training_with_its_state_saved(
    data: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = made_trainings.config(engine={"workers": 1})
    watcher = Watcher({("epoch", 1): lambda: deadly(monkeypatch, {item.path for item in data.of("train")})})
    watcher.moments["epoch", 2] = kill_a_worker  # the one that began before
    with pytest.raises(TrainingError, match=r"loader workers were lost, each over another video.*--resume continues"):
        train(data, settings, tmp_path / "run", display=watcher)
    saved = RunFolder(tmp_path / "run").load()
    assert saved is not None and saved.state.done == len(watcher.losses) == 6
    monkeypatch.undo()
    made_trainings.run(data, settings, tmp_path / "run", resume=True)
    made_trainings.run(data, settings, tmp_path / "undisturbed")
    assert made_trainings.results(tmp_path / "run") == made_trainings.results(tmp_path / "undisturbed")
