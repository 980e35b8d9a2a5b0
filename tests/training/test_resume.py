"""Nothing is lost: a training that was stopped or killed, whenever and however often, ends like an undisturbed one."""

import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import made_trainings, needs
from tests.made_trainings import Moment, Watcher, signalled
from timesformer.config.checks import ConfigError
from timesformer.config.training import TrainConfig
from timesformer.data.items import DataError
from timesformer.data.manifest import Manifest
from timesformer.training.loop import train
from timesformer.training.outcome import Outcome
from timesformer.training.run.runfolder import RunFolder
from timesformer.training.run.state import Saved, SaveError, State
from timesformer.weights.report import WeightsError

RESTS = made_trainings.config(optim={"epochs": 2})
SETTINGS = {
    "plain": made_trainings.config(),
    "everything": made_trainings.everything(),
    "cached": made_trainings.everything(engine={"cache": "on", "save_minutes": 60}),
    "workers": made_trainings.everything(engine={"workers": 2}),
    "sgd": made_trainings.config(optim={"optimizer": "sgd", "schedule": "steps", "milestones": (1,), "repeats": 2}),
    "head": made_trainings.config(freeze="backbone", optim={"ema": 0.5, "layer_decay": 0.5, "class_weights": True}),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return made_trainings.table(tmp_path_factory.mktemp("resume") / "data")


@pytest.fixture(scope="module")
def undisturbed(data: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """Results of a training that was never stopped, by the name of its settings."""
    found: dict[str, dict[str, Any]] = {}

    def results(name: str) -> dict[str, Any]:
        if name not in found:
            out = tmp_path_factory.mktemp("undisturbed")
            train(data, SETTINGS[name], out / "run", display=Watcher())
            found[name] = made_trainings.results(out / "run")
        return found[name]

    return results


def go(
    data: Manifest, settings: TrainConfig, out: Path, moments: dict[Moment, Callable[[], None]] | None = None
) -> tuple[Outcome, Watcher]:
    """Begin a training, or go on with it."""
    watcher = Watcher(moments)
    return train(data, settings, out, resume=True, display=watcher), watcher


@pytest.mark.parametrize("name", SETTINGS)
def test_a_resumed_training_ends_bit_for_bit_like_an_undisturbed_one(
    data: Manifest, tmp_path: Path, undisturbed: Callable[[str], dict[str, Any]], name: str
) -> None:
    # In the middle of an epoch, in the validation after it, and at the last step of an epoch; six steps where repeated
    later = 12 if SETTINGS[name].optim.repeats == 2 else 6
    stops: list[Moment] = [("step", 2), ("validating", 1), ("step", later)]
    for moment in stops:
        outcome, watcher = go(data, SETTINGS[name], tmp_path / "run", {moment: signalled(signal.SIGTERM)})
        assert outcome.stopped == signal.SIGTERM and watcher.said[-1].startswith("SIGTERM: stopped after step")
        assert not outcome.run.final.exists()
    outcome, _ = go(data, SETTINGS[name], tmp_path / "run")
    assert outcome.stopped == 0 and made_trainings.results(tmp_path / "run") == undisturbed(name)
    # Once more changes nothing, and writes a final checkpoint again that was lost
    outcome.run.final.unlink()
    go(data, SETTINGS[name], tmp_path / "run")
    assert made_trainings.results(tmp_path / "run") == undisturbed(name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_step_at_hand_and_saves(
    data: Manifest, tmp_path: Path, capfd: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    outcome, watcher = go(data, RESTS, tmp_path / "run", {("step", 2): signalled(number)})
    assert outcome.stopped == number and len(watcher.losses) == 2
    saved = outcome.run.load()
    assert saved is not None and saved[0].done == 2
    assert f"{number.name}: finishing this step, then saving" in capfd.readouterr().err
    assert signal.getsignal(number) == before


def test_a_second_ctrl_c_stops_at_once_and_keeps_what_was_saved_before(data: Manifest, tmp_path: Path) -> None:
    def twice() -> None:
        signalled(signal.SIGINT)()
        signalled(signal.SIGTERM)()
        signalled(signal.SIGINT)()

    watcher = Watcher({("step", 5): twice})
    with pytest.raises(KeyboardInterrupt):
        train(data, RESTS, tmp_path / "run", display=watcher)
    saved = RunFolder(tmp_path / "run").load()
    assert saved is not None and saved[0].done == 3


def test_a_signal_while_videos_are_decoded_ends_it_before_the_first_step(data: Manifest, tmp_path: Path) -> None:
    settings = made_trainings.config(engine={"cache": "on"})
    outcome, watcher = go(data, settings, tmp_path / "run", {("decoding", 3): signalled(signal.SIGTERM)})
    assert outcome.stopped == signal.SIGTERM and watcher.counts["decoding"] == 3 and not watcher.losses
    assert not outcome.run.last.exists()


def test_a_training_outside_the_main_thread_runs_without_signals(data: Manifest, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        outcome = thread.submit(made_trainings.run, data, RESTS, tmp_path / "run").result()
    assert outcome.run.final.exists()


def test_killed_at_any_moment_it_goes_on_as_if_nothing_had_happened(data: Manifest, tmp_path: Path) -> None:
    settings = made_trainings.everything(optim={"repeats": 1, "epochs": 6})
    draw = np.random.default_rng(0)
    # While it makes a step, validates, and writes its state, its best checkpoint and its measures; then at random
    deaths: list[Moment | str | None] = [
        ("step", 4),
        ("validating", 2),
        ".last.pt.*.part",
        ".best.safetensors.*.part",
        ".metrics.jsonl.*.part",
        *([None] * 2),
    ]
    whole = made_trainings.started(made_trainings.train_in_process, data.source, settings, tmp_path / "whole")
    whole.join(200)
    assert whole.exitcode == 0
    killed = 0
    for death in deaths:
        process = made_trainings.started(
            made_trainings.train_in_process, data.source, settings, tmp_path / "run", death
        )
        process.join(None if death else draw.uniform(0.3, 1.5))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    assert killed >= 4  # a file may be written before the watching thread has its turn
    last = made_trainings.started(made_trainings.train_in_process, data.source, settings, tmp_path / "run")
    last.join(200)
    assert last.exitcode == 0
    assert made_trainings.results(tmp_path / "run") == made_trainings.results(tmp_path / "whole")
    assert not list((tmp_path / "run").glob(".*"))


def limited(data: Path, out: Path, report: Path) -> None:
    """Train while files can't grow beyond a kilobyte in the second epoch; to be run in a process of its own."""
    soft, hard = needs.resource.getrlimit(needs.resource.RLIMIT_FSIZE)
    watcher = Watcher(
        {
            ("step", 4): lambda: needs.resource.setrlimit(needs.resource.RLIMIT_FSIZE, (1024, hard)),
            ("step", 7): lambda: needs.resource.setrlimit(needs.resource.RLIMIT_FSIZE, (soft, hard)),
        }
    )
    train(made_trainings.table(data), SETTINGS["plain"], out, display=watcher)
    report.write_text("\n".join(watcher.said))


def test_files_that_can_not_grow_keep_the_earlier_ones_and_the_training_goes_on(data: Manifest, tmp_path: Path) -> None:
    process = made_trainings.started(limited, data.source, tmp_path / "run", tmp_path / "said")
    process.join(200)
    assert process.exitcode == 0
    said = (tmp_path / "said").read_text()
    for name in ("last.pt", "best.safetensors"):
        assert f"{tmp_path / 'run' / name} could not be written" in said
    assert not list((tmp_path / "run").glob(".*"))


@pytest.fixture
def full_disk(tmp_path: Path) -> Any:
    """A disk of half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_keeps_the_earlier_state_and_the_training_goes_on(
    data: Manifest, tmp_path: Path, full_disk: Path, undisturbed: Callable[[str], dict[str, Any]]
) -> None:
    filler, seen = full_disk / "filler", []

    def fill() -> None:
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(512)):
                    pass
            except OSError:
                pass

    def look() -> None:
        saved = RunFolder(full_disk / "run").load()
        assert saved is not None
        seen.append(saved[0].done)
        filler.unlink()

    watcher = Watcher({("step", 4): fill, ("step", 8): look})
    train(data, SETTINGS["plain"], full_disk / "run", display=watcher)
    assert seen == [3]
    assert sum("could not be written" in text and "No space left" in text for text in watcher.said) >= 2
    assert made_trainings.results(full_disk / "run")["final"] == undisturbed("plain")["final"]


def test_a_final_checkpoint_that_can_not_be_written_fails_loudly_and_is_written_by_resuming(
    data: Manifest, tmp_path: Path, undisturbed: Callable[[str], dict[str, Any]]
) -> None:
    final = tmp_path / "run" / "final.safetensors"
    final.mkdir(parents=True)
    with pytest.raises(WeightsError, match=r"final.safetensors is a folder"):
        go(data, SETTINGS["plain"], tmp_path / "run")
    final.rmdir()
    _, watcher = go(data, SETTINGS["plain"], tmp_path / "run")
    assert not watcher.losses and made_trainings.results(tmp_path / "run") == undisturbed("plain")


def test_a_best_checkpoint_that_can_not_be_written_is_said_and_a_later_one_kept(data: Manifest, tmp_path: Path) -> None:
    best = tmp_path / "run" / "best.safetensors"
    best.mkdir(parents=True)
    outcome, watcher = go(data, SETTINGS["plain"], tmp_path / "run", {("epoch", 2): best.rmdir})
    assert [row["best"] for row in outcome.rows] == [0, 0, 1] and best.is_file()
    assert sum("best.safetensors is a folder" in text for text in watcher.said) == 2


def test_a_run_is_not_overwritten_nor_resumed_with_other_settings_or_data(data: Manifest, tmp_path: Path) -> None:
    folder = shutil.copytree(data.source, tmp_path / "data")
    table = made_trainings.table(folder)
    go(table, RESTS, tmp_path / "run", {("step", 2): signalled(signal.SIGTERM)})
    with pytest.raises(ConfigError, match="holds a run already"):
        train(table, RESTS, tmp_path / "run", display=Watcher())
    for other, message in (
        (made_trainings.config(optim={"epochs": 1}), r"optim.epochs was 2, is 1: more can be added"),
        (replace(RESTS, engine=replace(RESTS.engine, seed=5)), r"engine.seed was 0, is 5"),
    ):
        with pytest.raises(ConfigError, match=message):
            go(table, other, tmp_path / "run")
    first = table.of("train")[0].path
    first.rename(first.with_name("other.mp4"))
    changed = r"are not those that the run in .* began with: 1 new \(.*other.mp4\), 1 gone \(train/dark/00.mp4\)"
    with pytest.raises(DataError, match=changed):
        go(made_trainings.table(folder), RESTS, tmp_path / "run")


def test_weights_to_start_from_are_not_needed_to_go_on(data: Manifest, tmp_path: Path) -> None:
    outcome, _ = go(data, RESTS, tmp_path / "first")
    for name, rank in (("whole", 0), ("adapters", 2)):
        init = Path(shutil.copy(outcome.run.final, tmp_path / "init.safetensors"))
        settings = replace(SETTINGS["plain"], init=str(init), lora=rank)
        go(data, settings, tmp_path / name)
        go(data, settings, tmp_path / f"{name} resumed", {("step", 4): signalled(signal.SIGTERM)})
        init.unlink()
        go(data, settings, tmp_path / f"{name} resumed")
        assert made_trainings.results(tmp_path / f"{name} resumed") == made_trainings.results(tmp_path / name)


def test_how_the_machine_is_used_may_change_in_between(
    data: Manifest, tmp_path: Path, undisturbed: Callable[[str], dict[str, Any]]
) -> None:
    settings = SETTINGS["plain"]
    go(data, settings, tmp_path / "run", {("step", 5): signalled(signal.SIGTERM)})
    changed = replace(settings, engine=replace(settings.engine, cache="on", workers=1, save_minutes=1e-9))
    go(data, changed, tmp_path / "run")
    assert made_trainings.results(tmp_path / "run") == undisturbed("plain")


def test_a_damaged_state_is_refused_by_name(data: Manifest, tmp_path: Path) -> None:
    outcome, _ = go(data, RESTS, tmp_path / "run", {("step", 1): signalled(signal.SIGTERM)})
    content = outcome.run.last.read_bytes()
    for damage in (content[: len(content) // 2], b"", b"something else"):
        outcome.run.last.write_bytes(damage)
        with pytest.raises(ConfigError, match=r"last.pt is not a whole saved state"):
            go(data, RESTS, tmp_path / "run")


def test_a_folder_that_vanished_is_said_and_not_fatal_until_the_end(data: Manifest, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "gone")
    with pytest.raises(SaveError, match="the folder of the run is gone"):
        run.save(Saved(State(), {}, {}))
    obstacle = made_trainings.Obstacle(tmp_path / "run" / "last.pt")
    outcome, watcher = go(data, RESTS, tmp_path / "run", {("step", 1): obstacle.put, ("step", 4): obstacle.take})
    assert any("last.pt is a folder" in text for text in watcher.said)
    assert outcome.run.last.exists() and outcome.run.final.exists()


def test_epochs_added_to_a_run_by_milestones_make_what_a_longer_run_makes(data: Manifest, tmp_path: Path) -> None:
    optim = {"schedule": "steps", "milestones": (2,)}
    short, long = (made_trainings.config(optim={**optim, "epochs": epochs}) for epochs in (2, 4))
    made_trainings.run(data, long, tmp_path / "long")
    made_trainings.run(data, short, tmp_path / "grown")
    _, watcher = go(data, long, tmp_path / "grown")
    assert "- 2 epochs become 4: the learning rate follows its milestones" in watcher.said
    assert made_trainings.results(tmp_path / "grown") == made_trainings.results(tmp_path / "long")
    assert RunFolder(tmp_path / "grown").begun() == long


def test_epochs_added_under_a_cosine_say_what_the_learning_rate_does(data: Manifest, tmp_path: Path) -> None:
    made_trainings.run(data, RESTS, tmp_path / "run")
    outcome, watcher = go(data, replace(RESTS, optim=replace(RESTS.optim, epochs=4)), tmp_path / "run")
    assert any("2 epochs become 4" in said and "rises where the run continues" in said for said in watcher.said)
    assert len(outcome.rows) == 4


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"optim": {"epochs": 1}}, "epochs was 2, is 1"),
        ({"engine": {"crops": 3}}, "engine.crops was 1, is 3"),
        ({"engine": {"clips": 2}}, "engine.clips was 1, is 2"),
        ({"optim": {"epochs": 2, "lr": 1.0}}, "optim.lr was"),
    ],
)
def test_what_would_make_epochs_incomparable_may_not_change(
    changes: dict[str, dict[str, Any]], name: str, data: Manifest, tmp_path: Path
) -> None:
    made_trainings.run(data, RESTS, tmp_path / "run")
    with pytest.raises(ConfigError, match=name):
        go(data, made_trainings.config(**{"optim": {"epochs": 2}, **changes}), tmp_path / "run")


def test_a_callers_function_gets_each_epoch_once_it_is_saved_and_may_end_the_training(
    data: Manifest, tmp_path: Path
) -> None:
    class EnoughError(Exception):
        pass

    seen: list[float] = []

    def on_epoch(row: dict[str, float]) -> None:
        saved = RunFolder(tmp_path / "run").load()
        assert saved is not None
        assert saved.state.rows[-1].as_dict() == row
        seen.append(row["epoch"])
        if len(seen) == 2:
            raise EnoughError

    with pytest.raises(EnoughError):
        train(data, made_trainings.config(), tmp_path / "run", display=Watcher(), on_epoch=on_epoch)
    assert seen == [1.0, 2.0]
    outcome, _ = go(data, made_trainings.config(), tmp_path / "run")
    assert len(outcome.rows) == 3
