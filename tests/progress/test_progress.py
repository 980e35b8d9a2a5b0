"""A bar tells what is counted, how fast and how long it will take; a job that no terminal shows is silent."""

import io
import itertools
import random

import pytest
from rich.console import Console

from timesformer.progress import bar
from timesformer.progress.pace import Pace


def console(*, terminal: bool = True) -> Console:
    return Console(file=io.StringIO(), width=80, force_terminal=terminal, color_system=None)


def test_a_bar_tells_count_speed_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(bar.time, "monotonic", lambda: now[0])
    on = console()
    with bar.counting("videos", 10, console=on) as report:
        for done in range(1, 5):
            report(done)
            now[0] += 2.0
    text = on.file.getvalue()  # type: ignore[attr-defined]
    for part in ("videos", "4/10", "0.5/s", "12 s left"):
        assert part in text


def test_each_phase_of_a_job_is_counted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(bar.time, "monotonic", lambda: now[0])
    on = console()
    with bar.counting("videos", console=on) as report:
        for each, total in ((100.0, 3), (1.0, 50)):
            for done in range(1, 4):
                report(done, total)
                now[0] += each
    text = on.file.getvalue()  # type: ignore[attr-defined]
    assert "3/50" in text and "47 s left" in text


def test_nothing_is_shown_where_there_is_no_terminal() -> None:
    on = console(terminal=False)
    with bar.counting("videos", 2, console=on) as report:
        report(1)
        report(2)
    assert not on.file.getvalue().strip()  # type: ignore[attr-defined]


def test_the_time_left_is_steady_whatever_single_steps_take() -> None:
    pace, now, rng = Pace(2000, validations=10), 0.0, random.Random(0)
    pace.step(now := now + 40.0, 1)  # workers start, and what is compiled is compiled
    assert pace.left() is None
    estimates = []
    for done in range(2, 2001):
        pace.step(now := now + rng.choice((0.2, 0.3, 0.4, 0.3, 3.0 if done % 50 == 0 else 0.3)), done)
        if done % 200 == 0:
            pace.validated_in(now := now + 20.0, 20.0)
        if done > 300:
            left = pace.left()
            assert left is not None
            estimates.append(now + left)  # when it will end
    # The end that was told at any time is near the one that came, and moves by little from step to step
    assert max(abs(end - now) for end in estimates) < 0.12 * now
    assert max(abs(one - other) for one, other in itertools.pairwise(estimates)) < 0.03 * now


def test_a_training_that_goes_on_counts_the_validations_that_are_behind_it() -> None:
    pace = Pace(100, 50, validations=10)
    for done in (51, 52, 53):
        pace.step(float(done), done)
    assert pace.to_validation and pace.left() == pytest.approx(7)
    pace.validated_in(60.0, 5.0)
    assert not pace.to_validation and pace.left() == pytest.approx(47 + 4 * 5)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (65, "1 min 05 s"), (3600, "1 h 00 min"), (7501, "2 h 05 min")]
)
def test_lengths_of_time_are_said_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert bar.duration(seconds) == text
