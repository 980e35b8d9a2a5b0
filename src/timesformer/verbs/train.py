"""A training from one call, with the same choices as the command line."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from timesformer.config import names
from timesformer.config.checks import ConfigError
from timesformer.config.training import TrainConfig
from timesformer.data import manifest
from timesformer.data.manifest import Manifest
from timesformer.errors import sentence
from timesformer.progress.bar import counting
from timesformer.tasks.table import SHOWN
from timesformer.training import baseline
from timesformer.training.choose import plan
from timesformer.training.loop import train as run
from timesformer.training.outcome import OnEpoch, Outcome
from timesformer.training.run import story
from timesformer.training.run.runfolder import RunFolder
from timesformer.training.shown.display import Display
from timesformer.verbs.report import report as write_report

SOURCE = ("videos", "fold", "missing")
"""Names that say how a list's videos are found, as the flags do."""


def train(
    data: str | Path | Manifest,
    *,
    out: str | Path = "run",
    recipe: str = "",
    config: str | Path | TrainConfig | None = None,
    resume: bool = False,
    quiet: bool = False,
    report: bool = True,
    on_epoch: OnEpoch | None = None,
    **settings: Any,
) -> Outcome:
    """Train a model on videos and keep the best checkpoint, as ``timesformer train`` does.

    ``data`` is a folder with a folder per class, a list of videos, or a Manifest. ``out`` is the run's folder.
    ``recipe`` and ``config`` (a TrainConfig, or a file such as a run's config.toml) name settings to start from;
    without them, settings are chosen from what the data shows. ``resume`` continues the run in ``out``. ``quiet``
    prints nothing. At the end :func:`timesformer.report` writes report.html into the folder, unless ``report`` is
    False. ``on_epoch`` is called with the metrics of each epoch, a dict such as {"epoch": 1.0, "train_loss":
    0.7, "val_top1": 0.5, ...}, once its state is saved; what it raises ends the training.

    ``settings`` are the flags of the command by name, short (``lr=3e-4``, ``epochs=5``, ``init="weights.pth"``), dotted
    (``**{"optim.batch": 8}``), or whole sections (``optim={"lr": 3e-4, "batch": 8}``, ``clip=checkpoint.clip``), and
    for lists ``videos`` (a folder), ``fold`` and ``missing`` ("raise" or "drop").

    Returns an :class:`Outcome`: ``best`` is the path of the best checkpoint, ``best_row`` its epoch's measures,
    ``rows`` those of all epochs. Raises ConfigError, DataError or WeightsError where the pieces do not fit, before any
    step.
    """
    out = Path(out)
    source = {name: settings.pop(name) for name in SOURCE if name in settings}
    given = plan.checked(names.settings(settings))
    if isinstance(config, str):
        config = Path(config)
    base = plan.base(out=out, recipe=recipe, config=config, resume=resume)
    RunFolder(out).claim(resume=resume)
    display = Display(show=not quiet and os.environ.get("RANK", "0") == "0")
    table = _table(data, base.task(given), source)
    found = decided(table, base, given, display)
    told = story.of(table, [*found.reasons, *compared(table, base, given, display)], source)
    display.say(plan.summary(found.config))
    outcome = run(table, found.config, out, resume=resume, display=display, on_epoch=on_epoch, told=told)
    if not outcome.stopped:
        display.say(closing(outcome))
        if report:
            reported(outcome, table, display)
    return outcome


def decided(table: Manifest, base: plan.Base, given: Mapping[str, Any], display: Display) -> plan.Plan:
    """Decide every setting, and show the notes on the data and the reasons for what was chosen.

    Returns the settings with all that was said of them. ``given`` are the settings that the user names, by dotted name.
    Raises ConfigError and WeightsError.
    """
    for note in table.notes:
        display.warn(note)
    found = plan.plan(table, base, given)
    said = (*base.said, *found.reasons)
    for line in said:
        display.say(f"- {line}")
    return plan.Plan(found.config, said)


def compared(table: Manifest, base: plan.Base, given: Mapping[str, Any], display: Display) -> tuple[str, ...]:
    """Show what a linear fit on frozen features reaches, where settings are chosen for a start from an image model.

    Returns what was said.
    """
    text = baseline.sentence(table, given) if base.config is None and display.show else ""
    if text:
        display.say(f"- {text}")
    return (text,) if text else ()


def reported(outcome: Outcome, table: Manifest, display: Display) -> None:
    """Write the report of a training that has ended; the first process does. What goes wrong is a warning.

    Everything that was trained is saved before, so a report that fails takes nothing away.
    """
    if os.environ.get("RANK", "0") != "0" or not outcome.usable.exists():
        return
    again = f"`timesformer report {outcome.run.path}` writes it later"
    try:
        with counting("report", console=Console(stderr=True, quiet=not display.show)) as progress:
            display.say(f"report: {write_report(outcome.run.path, data=table, progress=progress).path}")
    except KeyboardInterrupt:
        display.warn(f"the report was interrupted; the training is whole, and {again}.")
    except Exception as error:
        display.warn(
            f"no report could be written ({sentence(error) or repr(error)}); the training is whole, and {again}."
        )


def closing(outcome: Outcome) -> str:
    """The result of a training in a line: its best epoch, the measure of that epoch, and the files."""
    row, files = outcome.best_row, outcome.run
    if row is None or not files.best.exists():
        return f"no best checkpoint could be saved; {files.path} has what was written."
    name = SHOWN.get(outcome.measure, "validation loss")
    curves = f"; curves: {files.curves}" if files.curves.exists() else ""
    reached = f"{name} {row[outcome.measure]:.3f} at epoch {row['epoch']:.0f} of {len(outcome.rows)}"
    return f"best: {reached}: {files.best}{curves}"


def _table(data: str | Path | Manifest, task: Any, source: dict[str, Any]) -> Manifest:
    """The table of videos, read where it isn't yet."""
    if isinstance(data, Manifest):
        if source:
            raise ConfigError(f"{', '.join(source)} is for reading a list; a Manifest is read already: leave it out.")
        return data
    videos: str | Path | None = source.get("videos")
    missing: Literal["raise", "drop"] = source.get("missing", "raise")
    if missing not in ("raise", "drop"):
        raise ConfigError(f"missing is {missing!r}; it must be 'raise' or 'drop'.")
    return manifest.load(
        Path(data), task=task, videos=Path(videos) if videos else None, fold=source.get("fold"), missing=missing
    )
