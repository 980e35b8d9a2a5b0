"""A run's event files say what metrics.jsonl says, once, whatever happened on the way."""

import json
import signal
import sys
from pathlib import Path

import pytest

from tests import made_trainings, needs
from timesformer.config.checks import ConfigError
from timesformer.data.manifest import Manifest

pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
SETTINGS = made_trainings.config(optim={"batch": 1}, engine={"tensorboard": True})
Curves = dict[str, list[tuple[int, float]]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return made_trainings.table(tmp_path_factory.mktemp("data") / "videos")


@pytest.fixture(scope="module")
def whole(data: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run of 36 steps in three epochs."""
    folder = tmp_path_factory.mktemp("whole")
    made_trainings.run(data, SETTINGS, folder)
    return folder


def curves(run: Path) -> Curves:
    """What TensorBoard shows of a run: steps and values by name, those that vary from run to run aside."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard")).Reload()
    names = [name for name in events.Tags()["scalars"] if name.partition("/")[2] not in made_trainings.TIMING]
    return {name: [(each.step, each.value) for each in events.Scalars(name)] for name in names}


def of_metrics(run: Path) -> Curves:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    names = [name for name in rows[0] if name not in ("epoch", "step", *made_trainings.TIMING)]
    return {f"epoch/{name}": [(int(row["step"]), pytest.approx(row[name])) for row in rows] for name in names}


def test_the_board_shows_each_epoch_as_metrics_jsonl_has_it_and_the_loss_on_the_way(
    data: Manifest, tmp_path: Path
) -> None:
    watcher = made_trainings.Watcher()
    made_trainings.train(data, SETTINGS, tmp_path, display=watcher)
    found = curves(tmp_path)
    for name, values in (("loss", watcher.losses), ("lr", watcher.rates)):
        assert found.pop(f"step/{name}") == [(step, pytest.approx(values[step])) for step in (0, 10, 20, 30)]
    assert found == of_metrics(tmp_path)


@pytest.mark.parametrize("moment", [("step", 11), ("validating", 1), ("epoch", 1)])
def test_a_resumed_run_shows_every_epoch_and_step_once(
    data: Manifest, whole: Path, tmp_path: Path, moment: made_trainings.Moment
) -> None:
    def until(moment: made_trainings.Moment) -> None:
        stop = {moment: made_trainings.signalled(signal.SIGINT)}
        assert made_trainings.run(data, SETTINGS, tmp_path, resume=True, moments=stop).stopped

    until(moment)
    saved = (tmp_path / "last.pt").read_bytes()
    until(("step", 31))
    (tmp_path / "last.pt").write_bytes(saved)  # as if it had been killed at step 31, and had saved no more
    made_trainings.run(data, SETTINGS, tmp_path, resume=True)
    assert curves(tmp_path) == curves(whole)


def test_a_board_asked_for_later_shows_the_epochs_before(data: Manifest, tmp_path: Path) -> None:
    plain = made_trainings.config(optim={"batch": 1})
    made_trainings.run(data, plain, tmp_path, moments={("step", 25): made_trainings.signalled(signal.SIGINT)})
    assert not (tmp_path / "tensorboard").exists()
    made_trainings.run(data, SETTINGS, tmp_path, resume=True)
    found = curves(tmp_path)
    assert [step for step, _ in found.pop("step/loss")] == [30]
    assert found.pop("step/lr") and found == of_metrics(tmp_path)


def test_a_full_disk_is_said_once_and_the_training_goes_on(data: Manifest, tmp_path: Path) -> None:
    needs.linux()

    def fill() -> None:
        (file,) = (tmp_path / "tensorboard").iterdir()
        file.unlink()
        file.symlink_to("/dev/full")

    watcher = made_trainings.Watcher({("step", 5): fill})
    outcome = made_trainings.train(data, SETTINGS, tmp_path, display=watcher)
    assert len(outcome.rows) == 3
    (said,) = [text for text in watcher.said if "nothing more goes to TensorBoard" in text]
    assert "No space left on device" in said


def test_without_the_package_the_error_comes_first_and_says_what_to_install(
    data: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
    with pytest.raises(ConfigError, match=r"pip install 'timesformer\[tensorboard\]'"):
        made_trainings.run(data, SETTINGS, tmp_path / "run")
    assert not (tmp_path / "run").exists()
