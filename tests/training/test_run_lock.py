"""A run's folder is one training's: a second one is refused, a killed one leaves nothing behind, a lost one is said."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from tests import made_trainings
from tests.made_trainings import Watcher
from timesformer.config.checks import ConfigError
from timesformer.data.manifest import Manifest
from timesformer.training.loop import train
from timesformer.training.run.lock import Lock
from timesformer.training.run.state import SaveError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return made_trainings.table(tmp_path_factory.mktemp("lock") / "data")


@contextmanager
def held_elsewhere(folder: Path) -> Iterator[int]:
    """Another process, of the number given, that holds a folder's lock until it is killed."""
    program = f"""
        import time
        from pathlib import Path
        from timesformer.training.run.lock import Lock
        print(Lock(Path({str(folder)!r})).take(), flush=True)
        time.sleep(600)
    """
    words = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "True\n"
            yield process.pid
        finally:
            process.kill()


def test_a_second_training_into_a_folder_is_refused_until_the_first_is_gone(data: Manifest, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with held_elsewhere(run) as other:
        for resume in (False, True):
            with pytest.raises(ConfigError, match=rf"another training \(process {other} on .*is writing to {run}"):
                train(data, made_trainings.config(), run, resume=resume, display=Watcher())
        assert [path.name for path in run.iterdir()] == ["training.lock"]
    assert (run / "training.lock").exists()  # of the killed one, which holds nothing any more
    train(data, made_trainings.config(optim={"epochs": 1}), run, display=Watcher())
    assert not (run / "training.lock").exists()


def test_two_trainings_of_one_process_do_not_share_a_folder(data: Manifest, tmp_path: Path) -> None:
    run, found = tmp_path / "run", []

    def another() -> None:
        for _ in range(2):  # looking takes nothing from the one that holds it
            with pytest.raises(ConfigError, match="another training"):
                train(data, made_trainings.config(), run, resume=True, display=Watcher())
        process = subprocess.run(
            [sys.executable, "-c", f"from timesformer.training.run.lock import *; Lock(Path({str(run)!r})).take()"],
            capture_output=True,
            text=True,
            check=False,
        )
        found.append(process.stderr)

    def elsewhere() -> None:
        thread = Thread(target=another)
        thread.start()
        thread.join()

    outcome = made_trainings.run(data, made_trainings.config(), run, moments={("step", 2): elsewhere})
    assert outcome.run.final.exists() and f"another training (process {os.getpid()}" in found[0]


def test_a_killed_training_whose_workers_live_on_holds_no_lock(data: Manifest, tmp_path: Path) -> None:
    settings = made_trainings.config(engine={"workers": 2})
    process = made_trainings.started(
        made_trainings.train_in_process, data.source, settings, tmp_path / "run", ("step", 4)
    )
    process.join(100)
    assert process.exitcode == -signal.SIGKILL and (tmp_path / "run" / "training.lock").exists()
    outcome = made_trainings.run(data, settings, tmp_path / "run", resume=True)
    assert outcome.run.final.exists() and not (tmp_path / "run" / "training.lock").exists()


def test_a_folder_that_is_removed_or_replaced_ends_the_training_at_the_next_save(
    data: Manifest, tmp_path: Path
) -> None:
    run = tmp_path / "run"

    def replaced() -> None:
        shutil.rmtree(run)
        once = made_trainings.config(optim={"epochs": 1})
        made_trainings.started(made_trainings.train_in_process, data.source, once, run).join(100)

    for name, act in (("removed", lambda: shutil.rmtree(run)), ("replaced", replaced)):
        watcher = Watcher({("step", 4): act})
        with pytest.raises(SaveError, match="was removed or replaced while the training ran"):
            train(data, made_trainings.config(), run, display=watcher)
        assert len(watcher.losses) == 6, name  # to the end of the epoch
        assert not any("saved" in text or "best" in text for text in watcher.said)
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 1  # of the training that came in between
    assert not list(run.glob(".*"))


def test_savings_that_all_fail_end_the_training(data: Manifest, tmp_path: Path) -> None:
    obstacle = made_trainings.Obstacle(tmp_path / "run" / "last.pt")
    watcher = Watcher({("step", 4): obstacle.put})
    with pytest.raises(SaveError, match=r"could not be saved 3 times in a row, and the one after step 3 is kept"):
        train(data, made_trainings.config(optim={"epochs": 9}), tmp_path / "run", display=watcher)
    assert len(watcher.losses) == 12 and sum("last.pt is a folder" in text for text in watcher.said) == 2
    obstacle.take()
    outcome = made_trainings.run(data, made_trainings.config(optim={"epochs": 9}), tmp_path / "run", resume=True)
    assert outcome.run.final.exists() and outcome.saved == "all"


@pytest.mark.parametrize(("block", "saved"), [(0, "all"), (1, "nothing"), (5, "earlier")])
def test_a_stopped_training_says_what_was_saved(data: Manifest, tmp_path: Path, block: int, saved: str) -> None:
    obstacle, stop = made_trainings.Obstacle(tmp_path / "run" / "last.pt"), made_trainings.signalled(signal.SIGTERM)

    def both() -> None:
        obstacle.put()
        stop()

    moments = {("step", block): obstacle.put, ("step", 5): both if block == 5 else stop}
    assert made_trainings.run(data, made_trainings.config(), tmp_path / "run", moments=moments).saved == saved


def mounted(folder: Path, options: str) -> None:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("size=64k", r"has .* MB free, and this training saves up to .* MB"),
        ("ro", r"could not be (made|written to) \(Read-only file system\)"),
    ],
)
def test_a_disk_that_can_not_keep_the_training_is_refused_at_the_door(
    data: Manifest, tmp_path: Path, options: str, message: str
) -> None:
    disk = tmp_path / "disk"
    mounted(disk, options)
    try:
        watcher = Watcher()
        with pytest.raises((ConfigError, SaveError), match=message):
            train(data, made_trainings.config(), disk / "run", display=watcher)
        assert not watcher.losses
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_anew(tmp_path: Path) -> None:
    """Two processes that end and begin at the same time never both hold the lock."""
    first, second = Lock(tmp_path), Lock(tmp_path)
    for _ in range(3):
        assert first.take() and first.holds()
        first.release()
        assert not first.holds() and second.take() and second.holds()
        second.release()
    assert first.take()
    first.path.unlink()
    assert not first.holds()
    with held_elsewhere(tmp_path):
        assert not first.holds()
        first.release()
        assert (tmp_path / "training.lock").exists()  # the other one's


def test_where_a_system_can_not_lock_it_is_said(
    data: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    watcher = Watcher()
    train(data, made_trainings.config(optim={"epochs": 1}), tmp_path / "run", display=watcher)
    assert sum("files can't be locked: take care that no second training" in text for text in watcher.said) == 1
    started = time.monotonic()
    lock = Lock(tmp_path / "run")
    assert not lock.take() and time.monotonic() - started < 1
    lock.release()
