"""What a training writes while it runs: checkpoints, the state to resume from, measures, and lists of broken videos."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from timesformer.atomic import WriteError
from timesformer.config.training import TrainConfig
from timesformer.data.items import DataError, Item, counted, some
from timesformer.inference.scoring import Scores
from timesformer.model.transformer import TimeSformer
from timesformer.tasks import table
from timesformer.training.engine import processes
from timesformer.training.run import sharded, validated
from timesformer.training.run.runfolder import RunFolder
from timesformer.training.run.state import Saved, SaveError, State
from timesformer.training.session import Session
from timesformer.training.shown.display import Display
from timesformer.weights import checkpoint
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.report import WeightsError

MOST = 3
"""Savings in a row that may fail before the training ends."""


def guard(session: Session) -> None:
    """Raise :class:`SaveError`, in all processes, where the run's folder is no longer the one that was begun in."""

    def check() -> None:
        if not session.run.lock.holds():
            raise SaveError(
                f"{session.run.path} was removed or replaced while the training ran: its contents are lost, and "
                "nothing more can be saved. Start the training again, in a folder that stays (--out)."
            )

    session.world.let_first(check)


def keep(session: Session, model: TimeSformer, path: Path) -> None:
    """Write a checkpoint of the model; raises WeightsError if it can't, and the previous file stays."""
    config = session.config
    about = f"trained by timesformer on {session.manifest.source.name}"
    if session.manifest.fold:
        about += f", fold {session.manifest.fold}"
    if config.init:
        about += f", started from {config.init}"
    whole = Checkpoint(
        model, config.clip, session.manifest.labels, config.task, about, target_stats=session.target_stats
    )
    guard(session)
    session.world.let_first(lambda: checkpoint.save(whole, path))


def keep_best(session: Session, model: TimeSformer) -> bool:
    """Write the best model so far, and return whether that worked; a full disk is a warning, and the old file stays."""
    try:
        keep(session, model, session.run.best)
    except WeightsError as error:
        session.display.warn(str(error))
        return False
    return True


def keep_validated(session: Session, scores: Scores) -> None:
    """Write what the best model says of the validation videos; what can't be written is a warning."""
    if session.world.first:
        targets = table.targets(session.manifest, scores.items)
        try:
            validated.write(validated.of(scores.items, scores.scores.numpy(), targets.numpy()), session.run.path)
        except SaveError as error:
            session.display.warn(str(error))


def share_found(session: Session, state: State) -> None:
    """Tell all processes which videos any of them found broken or damaged."""
    for kind in (state.found, state.damaged):
        for found in session.world.collect(dict(kind)):
            kind.update(found)


def save(session: Session, state: State) -> None:
    """Write the state to resume from; a full disk is a warning, and the previous state stays.

    Before the first step nothing is written: a training that starts again does the same, whereas torch would make a
    step to collect the optimiser's state.

    Raises :class:`SaveError`, in all processes, where it failed :data:`MOST` times in a row, or where the run's folder
    is gone: a training that saves nothing must not continue.
    """
    guard(session)
    share_found(session, state)
    if not state.done:
        return
    world = session.world
    now = replace(
        state,
        loss=world.total(state.loss),
        clips=round(world.total(state.clips)),
        scaler=session.scaler.state_dict(),
    )
    write = _write_parts if sharded.is_sharded(session.model) else _write
    problem = world.collect(write(session, now))[0]
    kept = session.kept
    if not problem:
        kept.done, kept.failures = state.done, 0
        return
    kept.failures += 1
    if kept.failures >= MOST:
        last = "none was ever kept" if kept.done is None else f"the one after step {kept.done} is kept"
        raise SaveError(
            f"the state could not be saved {kept.failures} times in a row, and {last}: {problem} Free space or "
            "repair the folder; then --resume continues the run."
        )
    session.display.warn(problem)


def _write(session: Session, state: State) -> str:
    """Write the state from the first process; returns what went wrong, or an empty text."""
    weights, optimizer = processes.whole_state(session.model, session.optimizer)
    if session.world.first:
        state.average = [value.cpu() for value in state.average]
        try:
            session.run.save(Saved(state, weights, optimizer))
        except SaveError as error:
            return str(error)
    return ""


def _write_parts(session: Session, state: State) -> str:
    """Write the state, a part from every process; it is valid once the first has written the file that names them."""
    world, run = session.world, session.run
    folder = world.let_first(run.free_parts)
    if world.first:
        shutil.rmtree(folder, ignore_errors=True)
    world.agree(False)  # no process writes before this
    problem = ""
    try:
        sharded.write(folder, session.model, session.optimizer, state.average)
        if world.first:
            run.save(Saved(replace(state, average=[]), {}, {}, folder))
    except SaveError as error:
        problem = str(error)
    world.agree(False)  # no process continues before the old parts are removed
    return problem


def name_broken(session: Session, state: State) -> None:
    """Write the list of broken videos of an epoch that did not end."""
    if session.world.first:
        _write_broken(session.run, state.found, state.damaged, session.display)


def _write_broken(run: RunFolder, found: dict[str, str], damaged: dict[str, str], display: Display) -> None:
    """Write the list of broken videos; what can't be written is a warning."""
    try:
        run.write_broken(found, damaged)
    except SaveError as error:
        display.warn(str(error))


def report(session: Session, state: State) -> None:
    """Write and show the measures of the last epoch; a full disk is a warning, and the previous files stay."""
    if session.world.first:
        try:
            session.run.write(state, last=len(state.rows) == session.config.optim.epochs)
        except WriteError as error:
            session.display.warn(str(error))
        session.display.epoch(state.rows[-1], session.config.optim.epochs)
        before = state.rows[-2] if len(state.rows) > 1 else None
        for name, fate, found in (("broken", "left out", state.found), ("damaged", "used", state.damaged)):
            known = getattr(before, name, 0)
            if len(found) > known:
                names = some([f"{key} ({reason})" for key, reason in list(found.items())[known:]])
                latest = ", the latest" if known else ""
                text = (
                    f"{fate}: {counted(len(found), f'{name} video')}{latest}: {names}; see {session.run.broken.name}."
                )
                session.display.warn(text)


def check_all(
    found: dict[str, str], items: Sequence[Item], config: TrainConfig, *, run: RunFolder, display: Display, first: bool
) -> None:
    """Write the list of the videos found broken once all were read, and raise DataError where they are too many.

    ``first`` says whether this is the process that writes files.
    """
    if first:
        _write_broken(run, found, {}, display)
    check_broken(found, items, config)


def check_broken(found: dict[str, str], items: Sequence[Item], config: TrainConfig) -> None:
    """Raise DataError where more of the items than the allowed share are among the videos found broken."""
    broken = [f"{item.key} ({found[item.key]})" for item in items if item.key in found]
    share = config.engine.broken_share
    if len(broken) > share * len(items):
        raise DataError(
            f"{len(broken)} of {len(items)} {items[0].split} videos are broken, more than the allowed share of "
            f"{share:g}: {some(broken)}; repair or remove them, or raise --engine.broken-share."
        )
    if len(broken) == len(items):
        raise DataError(f"all {len(items)} {items[0].split} videos are broken: {some(broken)}; repair them.")
