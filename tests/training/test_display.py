"""What a training shows fits the terminal, marks the best epoch, and tells the time left without jumps."""

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from timesformer.training.run.epochs import EpochRow
from timesformer.training.shown import display
from timesformer.training.shown.display import Display

ROW = {"epoch": 7.0, "train_loss": 2.109, "val_loss": 2.103, "val_top1": 0.1, "val_top5": 0.5, "val_mean_class": 0.123}
ROW |= {"step": 70.0, "waited": 0.1, "broken": 0.0, "damaged": 0.0, "lr": 1e-4, "clips_per_second": 131.4, "best": 1.0}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time in seconds as the display sees it."""
    now = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    yield now
    monkeypatch.undo()


def shown(width: int, *, terminal: bool = True) -> Display:
    return Display(Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None))


def lines(on: Display) -> list[str]:
    return on.console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [64, 80, 120])
def test_lines_are_as_wide_as_the_terminal_and_break_between_words(width: int, clock: list[float]) -> None:
    on = shown(width)
    clock[0] = 4000.0
    for loss in (2.109, 12.34):
        for best in (0.0, 1.0):
            on.epoch(EpochRow.of(ROW | {"best": best, "train_loss": loss}), 300)
    found = lines(on)
    assert len(found) == 4 and all(len(line) <= width for line in found)
    assert all("val loss 2.103" in line and "top-1 0.100" in line for line in found)
    assert [line.endswith("best") for line in found] == [False, True] * 2
    assert ("mean class 0.123" in found[0]) == (width >= 80) and ("131 clips/s" in found[0]) == (width == 120)
    text = "! the training loss is still at chance level: try --overfit 8 on this data, another --optim.lr (0.00017)."
    on.warn(text.removeprefix("! "))
    broken = lines(on)[4:]
    assert all(len(line) <= width for line in broken) and " ".join(" ".join(broken).split()) == text


def test_a_log_has_everything_in_one_line_and_a_command_is_never_broken(clock: list[float]) -> None:
    log, narrow = shown(40, terminal=False), shown(40)
    log.epoch(EpochRow.of(ROW), 13)
    assert lines(log) == [
        "epoch  7/13  loss 2.109  val loss 2.103  top-1 0.100  mean class 0.123  lr 1.0e-04  131 clips/s  0:00  best"
    ]
    narrow.say("  timesformer evaluate run/best.safetensors a/long/path/to/the/data")
    assert len(lines(narrow)) == 1


def test_the_moving_line_fits_80_columns(clock: list[float]) -> None:
    on = shown(80)
    on.begin("training", 40000, validations=400)
    for done in range(1, 9):
        clock[0] += 61.0
        on.step(done=done, loss=12.345, lr=1.2e-4, clips_per_second=1312.0)
    taken = io.StringIO()
    Console(file=taken, width=80).print(on.progress.get_renderable())
    line = taken.getvalue().rstrip("\n")
    assert len(line) <= 80 and "\n" not in line and "…" not in line
    for part in ("8/40000", "loss 12.345", "1312 clips/s", "to validation"):
        assert part in line


def test_before_the_first_validation_only_the_time_to_it_is_told(clock: list[float]) -> None:
    on = shown(200)
    on.begin("training", 100, validations=10)
    for done in range(1, 11):
        clock[0] += 2.0
        on.step(done=done, loss=1.0, lr=1e-3, clips_per_second=8.0)
        if done == 5:
            assert on.progress.tasks[0].fields["left"] == "10 s to validation"
    on.begin("validating", 50)
    clock[0] += 60.0
    on.begin("training", 100, 10, validations=10)
    clock[0] += 2.0
    on.step(done=11, loss=1.0, lr=1e-3, clips_per_second=8.0)
    assert on.progress.tasks[0].fields["left"] == "11 min 58 s left"  # 89 steps of 2 s, 9 validations of a minute
