"""What a training shows while it runs: a progress bar, and one line for each finished epoch."""

import textwrap
import time
from types import TracebackType

from rich.console import Console

from timesformer.errors import without_numbers
from timesformer.plain import printable
from timesformer.progress import bar
from timesformer.progress.pace import Pace
from timesformer.tasks.table import SHOWN
from timesformer.training.run.epochs import EpochRow

QUIET = 60.0
"""Seconds between two lines about steps where there is no terminal, such as in a cluster's log."""
WIDE = 100
"""Columns from which a terminal shows everything about a step."""


class Display:
    """Progress of a training on a terminal, or as plain lines elsewhere; silent in all processes but the first."""

    def __init__(self, console: Console | None = None, *, show: bool = True) -> None:
        self.console = console or Console()
        self.show = show
        self.progress = bar.bar(self.console, show=show)
        self.task = self.progress.add_task("training", total=None, state="", left="")
        self.pace = Pace(0)
        self.training: Pace | None = None
        self.started = self.told = self.begun = time.monotonic()

    def __enter__(self) -> "Display":
        self.training, self.started = None, time.monotonic()
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def begin(self, description: str, total: int, done: int = 0, *, validations: int = 0) -> None:
        """Start counting up to ``total``; ``validations`` is their number in a training, and 0 for other work."""
        now = time.monotonic()
        if validations and self.training:
            self.training.validated_in(now, now - self.begun)
            self.pace = self.training
        else:
            self.pace = Pace(total, done, validations=validations)
            self.training = self.pace if validations else self.training
        self.begun = now
        self.progress.reset(self.task, total=total, completed=done, description=description, state="", left="")

    def advance(self) -> None:
        """Count one part."""
        self.reach(self.pace.done + 1)

    def reach(self, done: int) -> None:
        """Show how many parts are done, how fast, and the time left."""
        self.pace.step(time.monotonic(), done)
        self.progress.update(self.task, completed=done, state=bar.speed(self.pace), left=bar.time_left(self.pace))

    def step(self, *, done: int, loss: float, lr: float, clips_per_second: float) -> None:
        """Show the latest step."""
        now = time.monotonic()
        self.pace.step(now, done)
        parts = [f"loss {_number(loss)}", f"lr {lr:.1e}", _speed(clips_per_second)]
        left, state = bar.time_left(self.pace), "  ".join(parts)
        narrow = "  ".join(parts[::2]) if self.console.width < WIDE else state
        self.progress.update(self.task, completed=done, state=narrow, left=left)
        if not self.console.is_terminal and now - self.told > QUIET:
            self.say(f"step {done}/{self.pace.total}  {state}{left and '  '}{left}")
            self.told = now

    def epoch(self, row: EpochRow, epochs: int) -> None:
        """Print one line for a finished epoch: what fits the terminal, or everything in a log."""
        counted = f"epoch {row.epoch:>{len(str(epochs))}}/{epochs}"
        losses = f"loss {_number(row.train_loss)}  val loss {_number(row.validation['val_loss'])}"
        scores = [f"{text} {_number(row.validation[name])}" for name, text in SHOWN.items() if name in row.validation]
        spent, best = [_clock(time.monotonic() - self.started)], ["best"] if row.best else []
        speed = [f"lr {row.lr:.1e}", _speed(row.clips_per_second)]
        choices = ([*scores, *speed, *spent], [*scores, *spent], scores, scores[:1])
        room = self.console.width if self.console.is_terminal else 1000
        lines = ["  ".join([counted, losses, *parts, *best]) for parts in choices]
        self.say(next((line for line in lines if len(line) <= room), lines[-1]))

    def say(self, text: str, style: str = "") -> None:
        """Print a line, wrapped on a terminal; an indented line, such as a command to copy, is not wrapped."""
        if not self.show:
            return
        text = "\n".join(printable(line) for line in without_numbers(text).split("\n"))
        if self.console.is_terminal and not text.startswith(" "):
            text = "\n".join(_broken(line, self.console.width) for line in text.split("\n"))
        self.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a warning."""
        self.say(f"! {text}", style="yellow")


def _clock(seconds: float) -> str:
    """A length of time as a clock shows it: "5:07", "1:05:07"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}"


def _speed(clips_per_second: float) -> str:
    number = f"{clips_per_second:.3g}" if clips_per_second < 1000 else f"{clips_per_second:.0f}"
    return f"{number} clips/s"


def _broken(line: str, width: int) -> str:
    """A line wrapped to a width; all lines but the first are indented."""
    if len(line) <= width:
        return line
    return textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
