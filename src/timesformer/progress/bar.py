"""The progress bar of every command: what is counted, how many are done, how fast, and the time left."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column

from timesformer.progress.pace import Pace


class Report(Protocol):
    """Called with the number of parts that are done; with their total as well where only the work knows it."""

    def __call__(self, done: int, total: int | None = None, /) -> None: ...


def bar(console: Console, *, show: bool = True) -> Progress:
    """A bar that a terminal shows until it ends, and nothing else shows at all.

    Its tasks have two fields of text: ``state``, such as the speed, and ``left``, the time left.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(None),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[state]}"),
        TextColumn("{task.fields[left]}"),
        console=console,
        disable=not (show and console.is_terminal),
        transient=True,
    )


@contextmanager
def counting(what: str, total: int | None = None, *, console: Console | None = None) -> Iterator[Report]:
    """Show a bar while something is counted, on standard error unless another console is given.

    Work of several phases may report each of them: another total, or a smaller number, begins a new estimate.
    """
    with bar(console or Console(stderr=True)) as shown:
        task = shown.add_task(what, total=total, state="", left="")
        known, pace = total, Pace(total or 0)

        def report(done: int, total: int | None = None, /) -> None:
            nonlocal pace
            total = known if total is None else total
            if pace.total != (total or 0) or done < pace.done:
                pace = Pace(total or 0)
            pace.step(time.monotonic(), done)
            shown.update(task, completed=done, total=total, state=speed(pace), left=time_left(pace))

        yield report


def speed(pace: Pace) -> str:
    """How many parts are done in a second, or nothing while that is unknown."""
    each = pace.per_second()
    return "" if each is None else f"{each:.3g}/s" if each < 1000 else f"{each:.0f}/s"


def time_left(pace: Pace) -> str:
    """The time left in words, or nothing while that is unknown."""
    seconds = pace.left()
    if seconds is None or not pace.total:
        return ""
    return f"{duration(seconds)} {'to validation' if pace.to_validation else 'left'}"


def duration(seconds: float) -> str:
    """A length of time in its two largest units: "2 h 05 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
