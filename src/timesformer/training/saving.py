"""What a training writes as it goes: checkpoints, the state to go on from, measures, and which videos were broken."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from timesformer.atomic import WriteError
from timesformer.config.training import TrainConfig
from timesformer.data.items import DataError, Item, counted, some
from timesformer.model.transformer import TimeSformer
from timesformer.training import processes
from timesformer.training.run import sharded
from timesformer.training.run.state import Saved, SaveError, State
from timesformer.training.session import Session
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
                f"{session.run.path} was removed or replaced while the training ran: what it held is lost, and nothing "
                "more can be kept. Start the training again, in a folder that stays (--out)."
            )

    session.world.let_first(check)


def keep(session: Session, model: TimeSformer, path: Path) -> None:
    """Write a model with everything needed to use it; raises WeightsError where it can't, the previous file stays."""
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
    """Write the best model so far; a full disk keeps the one before and is said, not fatal."""
    try:
        keep(session, model, session.run.best)
    except WeightsError as error:
        session.display.warn(str(error))
        return False
    return True


def share_found(session: Session, state: State) -> None:
    """Tell all processes which videos any of them found broken or damaged."""
    for kind in (state.found, state.damaged):
        for found in session.world.collect(dict(kind)):
            kind.update(found)


def save(session: Session, state: State) -> None:
    """Write the state to go on from; a full disk keeps the previous one and is said.

    Raises :class:`SaveError`, in all processes, where it failed :data:`MOST` times in a row, or where the run's folder
    is gone: a training of which nothing is kept must not go on.
    """
    guard(session)
    share_found(session, state)
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
            "mend the folder; then --resume goes on."
        )
    session.display.warn(problem)


def _write(session: Session, state: State) -> str:
    """Write the state from the first process; what went wrong, or nothing."""
    weights, optimizer = processes.whole_state(session.model, session.optimizer)
    if session.world.first:
        state.average = [value.cpu() for value in state.average]
        try:
            session.run.save(Saved(state, weights, optimizer))
        except SaveError as error:
            return str(error)
    return ""


def _write_parts(session: Session, state: State) -> str:
    """Write the state with every process writing its part; it counts once the first has written that all did."""
    world, run = session.world, session.run
    folder = world.let_first(run.free_parts)
    if world.first:
        shutil.rmtree(folder, ignore_errors=True)
    world.agree(False)  # nobody writes before
    problem = ""
    try:
        sharded.write(folder, session.model, session.optimizer, state.average)
        if world.first:
            run.save(Saved(replace(state, average=[]), {}, {}, folder))
    except SaveError as error:
        problem = str(error)
    world.agree(False)  # nobody goes on before the old parts are gone
    return problem


def name_broken(session: Session, state: State) -> None:
    """Write which videos are broken, where an epoch didn't come to its end."""
    if session.world.first:
        try:
            session.run.write_broken(state.found, state.damaged)
        except SaveError as error:
            session.display.warn(str(error))


def report(session: Session, state: State) -> None:
    """Write and show how the last epoch went; a full disk keeps the previous files and is said, not fatal."""
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


def check_broken(found: dict[str, str], items: Sequence[Item], config: TrainConfig) -> None:
    """Raise DataError where more of the items than the allowed share are among the videos found broken."""
    broken = [f"{item.key} ({found[item.key]})" for item in items if item.key in found]
    share = config.engine.broken_share
    if len(broken) > share * len(items):
        raise DataError(
            f"{len(broken)} of {len(items)} {items[0].split} videos are broken, more than the allowed share of "
            f"{share:g}: {some(broken)}; mend or remove them, or raise --engine.broken-share."
        )
    if len(broken) == len(items):
        raise DataError(f"all {len(items)} {items[0].split} videos are broken: {some(broken)}; mend them.")
