"""A training's measures as TensorBoard shows them: event files beside metrics.jsonl, where the config asks for them.

Every record is written at once, without a queue or a thread: nothing is lost when the process is killed, and a full
disk becomes a warning. torch's SummaryWriter has both, and a full disk ends its thread with a traceback.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from timesformer.config.checks import ConfigError
from timesformer.training.run.epochs import EpochRow

EVERY = 10
"""Steps between two values of the loss."""


def check() -> None:
    """Raise ConfigError where the package tensorboard, which defines the format, is not installed."""
    _format()


class Board:
    """The event files of one run; does nothing unless ``on``, which is true in the first process only."""

    def __init__(self, folder: Path, *, on: bool, warn: Callable[[str], None]) -> None:
        self.folder, self.on, self.warn = folder, on, warn
        self._file = folder

    def begin(self, *, done: int, rows: Sequence[EpochRow]) -> None:
        """Begin a file that continues after ``done`` steps and the epochs in ``rows``.

        TensorBoard discards what a killed process wrote of later steps and epochs, since they are trained again.
        """
        if not self.on:
            return
        known = any(self.folder.glob("*tfevents*"))
        self._file = self.folder / f"events.out.tfevents.{time.time_ns():020}"
        events, _ = _format()
        start = events.SessionLog(status=events.SessionLog.START)
        self._write(events.Event(file_version="brain.Event:2"), events.Event(step=done, session_log=start))
        for row in rows:
            if row.step == done or not known:  # TensorBoard also discards an epoch that ended at this step
                self.epoch(row)

    def step(self, number: int, **values: float) -> None:
        """Write the values of a step, counted from 0, in this process; only every :data:`EVERY` steps."""
        if self.on and number % EVERY == 0:
            self._scalars(number, {f"step/{name}": value for name, value in values.items()})

    def epoch(self, row: EpochRow) -> None:
        """Write the measures of an epoch, at the number of steps done at its end."""
        if self.on:
            values = {f"epoch/{name}": value for name, value in row.as_dict().items() if name not in ("epoch", "step")}
            self._scalars(row.step, values)

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        events, summaries = _format()
        pairs = [summaries.Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._write(events.Event(step=step, summary=summaries.Summary(value=pairs)))

    def _write(self, *records: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab") as file:
                writer = RecordWriter(file)
                for record in records:
                    record.wall_time = time.time()
                    writer.write(record.SerializeToString())
        except OSError as error:
            self.on = False
            self.warn(
                f"{self._file} could not be written ({error}); nothing more goes to TensorBoard. Is the disk full?"
            )


def _format() -> tuple[ModuleType, ModuleType]:
    """The protocol buffers of event files and summaries."""
    try:
        from tensorboard.compat.proto import event_pb2, summary_pb2
    except ImportError:
        raise ConfigError(
            "engine.tensorboard needs the package tensorboard; run: pip install 'timesformer[tensorboard]', or leave "
            "it out."
        ) from None
    return event_pb2, summary_pb2
