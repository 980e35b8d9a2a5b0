"""What a training shows while it runs: one line that moves, and one line for each epoch that stays."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from timesformer.training.runfolder import Row

QUIET = 60.0
"""Seconds between two lines about steps where no terminal shows them, such as in a cluster's log."""
NAMES = {"val_top1": "top-1", "val_mean_class": "mean class", "val_map": "mAP", "val_mae": "MAE"}


class Display:
    """Progress of a training on a terminal, or as plain lines elsewhere; silent in all processes but the first."""

    def __init__(self, console: Console | None = None, *, show: bool = True) -> None:
        self.console = console or Console()
        self.show = show
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not (show and self.console.is_terminal),
            transient=True,
        )
        self.task = self.progress.add_task("training", total=None, state="")
        self.total = 0
        self.first: tuple[float, int] | None = None
        self.started = self.told = time.monotonic()

    def __enter__(self) -> "Display":
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def begin(self, description: str, total: int, done: int = 0) -> None:
        """Start counting something of ``total`` parts."""
        self.total = total
        self.progress.reset(self.task, total=total, completed=done, description=description, state="")

    def advance(self) -> None:
        """Count one part."""
        self.progress.advance(self.task)

    def reach(self, done: int) -> None:
        """Show how many parts are done."""
        self.progress.update(self.task, completed=done)

    def step(self, *, done: int, loss: float, lr: float, clips_per_second: float) -> None:
        """Show the latest step."""
        state = f"loss {loss:.3f}  lr {lr:.1e}  {clips_per_second:.3g} clips/s"
        self.progress.update(self.task, completed=done, state=state)
        now = time.monotonic()
        if not self.console.is_terminal and now - self.told > QUIET:
            # The finished steps of this process, validations included, tell how long the others take
            self.first = self.first or (now, done)
            since, before = self.first
            left = f"  {_duration((self.total - done) * (now - since) / (done - before))} left" if done > before else ""
            self.say(f"step {done}/{self.total}  {state}{left}")
            self.told = now

    def epoch(self, row: Row, epochs: int) -> None:
        """Leave one line for a finished epoch."""
        scores = "  ".join(f"{text} {row[name]:.3f}" for name, text in NAMES.items() if name in row)
        self.say(
            f"epoch {int(row['epoch']):>3}/{epochs}  loss {row['train_loss']:.3f}  validation {scores}  "
            f"lr {row['lr']:.1e}  {row['clips_per_second']:.0f} clips/s  {time.monotonic() - self.started:.0f} s"
        )

    def say(self, text: str, style: str = "") -> None:
        """Leave a line."""
        if self.show:
            self.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Leave a line that stands out."""
        self.say(f"! {text}", style="yellow")


def _duration(seconds: float) -> str:
    """A stretch of time in its two largest units: "2 h 05 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
