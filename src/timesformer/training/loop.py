"""Training, from a table of videos to a checkpoint."""

import math
import signal
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from timesformer.config.training import TrainConfig
from timesformer.data.batches.batch import Batch, Broken
from timesformer.data.items import DataError
from timesformer.data.manifest import Manifest
from timesformer.tasks.table import best_measure
from timesformer.training import epoch, head, opening, saving, stopping
from timesformer.training.engine import optimiser, processes
from timesformer.training.frozensupply import FrozenSupply, supply
from timesformer.training.outcome import OnEpoch, Outcome
from timesformer.training.run import resuming
from timesformer.training.run.runfolder import RunFolder
from timesformer.training.run.state import State
from timesformer.training.run.story import Story
from timesformer.training.session import Session, begin, not_a_number
from timesformer.training.shown import tensorboard
from timesformer.training.shown.display import Display
from timesformer.training.step import step
from timesformer.training.stopping import Stopped
from timesformer.training.supply import Supply, SupplyError


def train(
    manifest: Manifest,
    config: TrainConfig,
    out: Path,
    *,
    resume: bool = False,
    display: Display | None = None,
    on_epoch: OnEpoch | None = None,
    told: Story | None = None,
) -> Outcome:
    """Train a model on the table's training videos, validate it each epoch, and leave a run folder.

    The folder gets config.toml, metrics.jsonl, curves.png, best.safetensors, final.safetensors and last.pt, the state
    that ``resume`` continues from: a resumed run ends with the same weights as one that was never stopped. Ctrl-C or
    SIGTERM saves the state and ends the training early. ``on_epoch`` is called in the first process with the metrics
    of each epoch, once everything of it is saved; what it raises ends the training. What was ``told`` of data and
    settings is kept beside them. "auto" settings must have been settled (:mod:`timesformer.training.choose.settings`).

    Raises ConfigError, DataError or WeightsError before any step where the pieces do not fit; DataError where too many
    videos are broken; TrainingError where the loss is no number; WeightsError where the final checkpoint can't be
    written, which ``resume`` then tries again.
    """
    alone = not processes.launched()
    with processes.joined(config.engine) as world, stopping.noted(show=world.first, insist=alone) as caught:
        # chosen by measuring, which may end differently on every machine
        precision = world.collect(config.engine.precision)[0]
        config = replace(config, engine=replace(config.engine, precision=precision))
        run = RunFolder(out)
        display = display or Display(show=world.first)
        opening.check(manifest, config, world)
        best = best_measure(config.task, config.optim)
        board = tensorboard.Board(
            run.path / "tensorboard", on=config.engine.tensorboard and world.first, warn=display.warn
        )
        with (
            display,
            opening.opened(run, config, world, data=manifest.source, resume=resume, display=display, told=told),
        ):
            try:
                clips = opening.training_clips(manifest, config, world=world, run=run, display=display, caught=caught)
            except Stopped:
                stopped = next(iter(caught), signal.SIGTERM)
                display.say(f"{signal.Signals(stopped).name}: stopped before the first step")
                return Outcome(run, (), (), stopped, best, "all" if run.last.exists() else "nothing")
            current, state = begin(manifest, config, world=world, run=run, display=display, resume=resume)
            opening.check_room(current)
            world.let_first(lambda: run.write_learned([item.key for item in manifest.of("train")]))
            board.begin(done=state.done, rows=state.rows)
            stopped = 0
            try:
                if config.optim.optimizer == "lbfgs":
                    _fit(current, state, caught, board, on_epoch)
                else:
                    with closing(supply(current, clips, start=state.done, caught=caught)) as batches:
                        _run(current, state, batches, caught, board, on_epoch)
                saving.keep(current, epoch.snapshot(current, state), run.final)
            except DataError:  # once the videos are repaired, the training can continue from here
                saving.name_broken(current, state)
                saving.save(current, replace(state, found={}, damaged={}))
                raise
            except SupplyError:
                if alone:  # others wait within a step
                    saving.save(current, state)
                raise
            except Stopped:
                stopped = next(iter(caught), signal.SIGTERM)
                saving.save(current, state)
                display.say(f"{signal.Signals(stopped).name}: stopped after step {state.done}, epoch {len(state.rows)}")
    videos = tuple(Broken(key, reason) for key, reason in state.found.items())
    rows = tuple(row.as_dict() for row in state.rows)
    return Outcome(run, rows, videos, stopped, best, current.kept.holds(state.done))


def _fit(current: Session, state: State, caught: list[int], board: tensorboard.Board, on_epoch: OnEpoch | None) -> None:
    """Fit the head at once, unless that was done before; this is the only step and epoch."""
    if state.rows:
        return
    head.step(current, state, caught=caught)
    epoch.finish(current, state, per_epoch=1, caught=caught)
    board.epoch(state.rows[-1])
    saving.save(current, state)
    if on_epoch:
        current.world.let_first(partial(on_epoch, state.rows[-1].as_dict()))


def _run(
    current: Session,
    state: State,
    batches: Supply | FrozenSupply,
    caught: list[int],
    board: tensorboard.Board,
    on_epoch: OnEpoch | None,
) -> None:
    """Make all remaining steps and end all remaining epochs; raises Stopped between two steps."""
    config, optim, world = current.config, current.config.optim, current.world
    plan = batches.plan
    per_epoch, steps = len(plan), len(plan) * optim.epochs
    resuming.check_progress(current.run.last, state, per_epoch=per_epoch, epochs=optim.epochs)
    saved = time.monotonic()
    current.display.begin("training", steps, state.done, validations=optim.epochs)
    while len(state.rows) < optim.epochs:
        ended = state.done == per_epoch * (len(state.rows) + 1)
        if ended:
            epoch.finish(current, state, per_epoch=per_epoch, caught=caught)
            board.epoch(state.rows[-1])
            current.display.begin("training", steps, state.done, validations=optim.epochs)
        else:
            before = time.monotonic()
            batch = next(batches)
            state.waited += time.monotonic() - before
            lr = optimiser.rate(state.done, steps=steps, per_epoch=per_epoch, optim=optim)
            optimiser.set_rate(current.optimizer, lr)
            loss = step(current, batch, expected=plan[state.done % per_epoch], number=state.done)
            if state.average:
                optimiser.average(state.average, current.model.parameters(), decay=optim.ema, step=state.done)
            _count(state, batch, loss)
            state.seconds += time.monotonic() - before
            speed = (state.done - len(state.rows) * per_epoch) * plan[0] / state.seconds
            mean = loss / max(len(batch.clips), 1)
            current.display.step(done=state.done, loss=mean, lr=lr, clips_per_second=speed)
            board.step(state.done - 1, loss=mean, lr=lr, clips_per_second=speed)
        stop, due, diverged, spoiled = world.agree(
            bool(caught) and len(state.rows) < optim.epochs,
            time.monotonic() - saved > 60 * config.engine.save_minutes,
            not math.isfinite(state.loss),
            len(state.found) > config.engine.broken_share * len(batches.items),
        )
        if diverged:
            raise not_a_number(f"the loss of step {state.done}")
        if spoiled:
            saving.share_found(current, state)
            saving.check_broken(state.found, batches.items, config)
        if stop:
            raise Stopped
        if ended or due:
            saving.save(current, state)
            saved = time.monotonic()
        if ended and on_epoch:
            world.let_first(partial(on_epoch, state.rows[-1].as_dict()))


def _count(state: State, batch: Batch, loss: float) -> None:
    """Add a step to the state."""
    state.done += 1
    state.loss += loss
    state.clips += len(batch.clips)
    state.found |= {video.key: video.reason for video in batch.broken}
    state.damaged |= {video.key: video.reason for video in batch.damaged}
