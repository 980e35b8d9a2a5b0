"""Training, from a table of videos to a checkpoint."""

import math
import signal
import time
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from timesformer.config.checks import ConfigError
from timesformer.config.tasks import FACTS
from timesformer.config.training import TrainConfig
from timesformer.data.batches.batch import Batch, Broken
from timesformer.data.batches.cache import Video, decode_all
from timesformer.data.batches.dataset import TrainingClips
from timesformer.data.items import DataError
from timesformer.data.manifest import Manifest
from timesformer.tasks.table import best_measure
from timesformer.training import adapters, arithmetic, opening, optimiser, processes, saving, session, stopping
from timesformer.training.outcome import OnEpoch, Outcome
from timesformer.training.processes import World
from timesformer.training.run import resuming
from timesformer.training.run.runfolder import Row, RunFolder, SaveError, State
from timesformer.training.session import Session
from timesformer.training.shown import tensorboard
from timesformer.training.shown.advice import advice
from timesformer.training.shown.display import Display
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
) -> Outcome:
    """Train a model on the table's training videos, validate it each epoch, and leave a run folder.

    The folder gets config.toml, metrics.jsonl, curves.png, best.safetensors, final.safetensors and last.pt, the state
    that ``resume`` goes on from: a resumed run ends with the same weights as one that was never stopped. Ctrl-C or
    SIGTERM saves the state and ends the training early. ``on_epoch`` is called in the first process with the metrics
    of each epoch, once everything of it is saved; what it raises ends the training. "auto" settings must have been
    settled (:mod:`timesformer.training.choose.settings`).

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
        _check(manifest, config, world)
        best = best_measure(config.task, config.optim)
        board = tensorboard.Board(
            run.path / "tensorboard", on=config.engine.tensorboard and world.first, warn=display.warn
        )
        with display, opening.opened(run, config, world, data=manifest.source, resume=resume, display=display):
            try:
                clips = _clips(manifest, config, world=world, run=run, display=display, caught=caught)
            except Stopped:
                stopped = next(iter(caught), signal.SIGTERM)
                display.say(f"{signal.Signals(stopped).name}: stopped before the first step")
                return Outcome(run, (), (), stopped, best, "all" if run.last.exists() else "nothing")
            current, state = session.begin(manifest, config, world=world, run=run, display=display, resume=resume)
            opening.check_room(current)
            world.let_first(lambda: run.write_learned([item.key for item in manifest.of("train")]))
            board.begin(done=state.done, rows=state.rows)
            stopped = 0
            try:
                with closing(Supply(clips, config, world, start=state.done, warn=display.warn)) as supply:
                    _run(current, state, supply, caught, board, on_epoch)
                saving.keep(current, session.snapshot(current, state), run.final)
            except DataError:  # once the videos are mended, the training goes on from here
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
    return Outcome(run, tuple(state.rows), videos, stopped, best, current.kept.holds(state.done))


def _run(
    current: Session,
    state: State,
    supply: Supply,
    caught: list[int],
    board: tensorboard.Board,
    on_epoch: OnEpoch | None,
) -> None:
    """All that is left to do, from the start or from where the state says; raises Stopped between two steps."""
    config, optim, world = current.config, current.config.optim, current.world
    plan = supply.plan
    per_epoch, steps = len(plan), len(plan) * optim.epochs
    resuming.check_progress(current.run.last, state, per_epoch=per_epoch, epochs=optim.epochs)
    saved = time.monotonic()
    current.display.begin("training", steps, state.done, validations=optim.epochs)
    while len(state.rows) < optim.epochs:
        ended = state.done == per_epoch * (len(state.rows) + 1)
        if ended:
            _end_epoch(current, state, per_epoch, caught)
            board.epoch(state.rows[-1])
            current.display.begin("training", steps, state.done, validations=optim.epochs)
        else:
            before = time.monotonic()
            batch = next(supply)
            state.waited += time.monotonic() - before
            lr = optimiser.rate(state.done, steps=steps, per_epoch=per_epoch, optim=optim)
            optimiser.set_rate(current.optimizer, lr)
            loss = session.step(current, batch, expected=plan[state.done % per_epoch], number=state.done)
            if state.average:
                optimiser.average(state.average, current.model.parameters(), decay=optim.ema, step=state.done)
            _count(state, batch, loss)
            state.seconds += time.monotonic() - before
            speed = (state.done - len(state.rows) * per_epoch) * plan[0] / state.seconds
            mean = loss / max(len(batch.clips), 1)
            current.display.step(done=state.done, loss=mean, lr=lr, clips_per_second=speed)
            board.step(state.done - 1, loss=mean, lr=lr, clips_per_second=speed)
        stop, due, astray, spoiled = world.agree(
            bool(caught) and len(state.rows) < optim.epochs,
            time.monotonic() - saved > 60 * config.engine.save_minutes,
            not math.isfinite(state.loss),
            len(state.found) > config.engine.broken_share * len(supply.clips.items),
        )
        if astray:
            raise session.not_a_number(f"the loss of step {state.done}")
        if spoiled:
            saving.share_found(current, state)
            saving.check_broken(state.found, supply.clips.items, config)
        if stop:
            raise Stopped
        if ended or due:
            saving.save(current, state)
            saved = time.monotonic()
        if ended and on_epoch:
            world.let_first(partial(on_epoch, dict(state.rows[-1])))


def _count(state: State, batch: Batch, loss: float) -> None:
    """Add a step to what the state says about its epoch."""
    state.done += 1
    state.loss += loss
    state.clips += len(batch.clips)
    state.found |= {video.key: video.reason for video in batch.broken}
    state.damaged |= {video.key: video.reason for video in batch.damaged}


def _end_epoch(current: Session, state: State, per_epoch: int, caught: list[int]) -> None:
    """Validate, keep what is best, and write and say how it went; Stopped leaves the state as it was."""
    config, world, display = current.config, current.world, current.display

    def progress(done: int) -> None:  # of this process alone: others have other numbers of batches
        display.reach(done)
        if caught:
            raise Stopped

    saving.share_found(current, state)
    saving.check_broken(state.found, current.manifest.of("train"), config)
    display.begin("validating", math.ceil(len(current.validation) / world.size))
    model = session.snapshot(current, state)
    measures, failed = session.validate(current, model, progress=progress)
    state.found |= failed
    saving.check_broken(state.found, current.validation, config)
    state.rows.append(_training_row(current, state, per_epoch) | measures)
    state.loss, state.clips, state.seconds, state.waited = 0.0, 0, 0.0, 0.0
    state.rows[-1]["best"] = float(session.better(config, state.rows) and saving.keep_best(current, model))
    saving.report(current, state)
    counts = current.manifest.class_counts("train") if FACTS[config.task].exclusive else ()
    for text in advice(state.rows, config, counts):
        display.warn(text)


def _training_row(current: Session, state: State, per_epoch: int) -> Row:
    """What the epoch's steps say, over all processes."""
    loss, clips = current.world.total(state.loss), current.world.total(state.clips)
    seconds = max(state.seconds, 1e-9)
    optim = current.config.optim
    return {
        "epoch": float(len(state.rows) + 1),
        "step": float(state.done),
        "lr": optimiser.rate(state.done - 1, steps=per_epoch * optim.epochs, per_epoch=per_epoch, optim=optim),
        "clips_per_second": clips / seconds,
        "waited": state.waited / seconds,
        "train_loss": loss / max(clips, 1),
        "broken": float(len(state.found)),
        "damaged": float(len(state.damaged)),
    }


def _clips(
    manifest: Manifest, config: TrainConfig, *, world: World, run: RunFolder, display: Display, caught: list[int]
) -> TrainingClips:
    """The training clips, decoded into memory where the config says so."""
    items = manifest.of("train")
    if config.engine.cache != "on":
        return TrainingClips(manifest, items, config)

    def progress() -> None:
        if caught:
            raise Stopped
        display.advance()

    display.begin("decoding", len(items))
    decoded: list[Video | Broken] = []
    with suppress(Stopped):
        decoded = decode_all(items, config, progress=progress)
    if world.agree(bool(caught))[0]:
        raise Stopped
    found = world.collect({video.key: video.reason for video in decoded if isinstance(video, Broken)})
    broken = {key: reason for each in found for key, reason in each.items()}
    if world.first:
        try:
            run.write_broken(broken, {})
        except SaveError as error:
            display.warn(str(error))
    saving.check_broken(broken, items, config)
    return TrainingClips(manifest, items, config, cache=decoded)


def _check(manifest: Manifest, config: TrainConfig, world: World) -> None:
    if config.engine.cache == "auto" or config.engine.precision == "auto" or config.engine.workers < 0:
        raise ConfigError("the engine has settings left to choose; settle them first (training.choose.settle).")
    if manifest.task != config.task or len(manifest.labels) != config.model.classes:
        raise ConfigError(
            f"the config is for {config.task} with {config.model.classes} outputs, but {manifest.source} was read for "
            f"{manifest.task} and has {len(manifest.labels)}; make task and model.classes agree with the data."
        )
    optimiser.check_in_backward(config, copies=world.size > 1 and config.engine.parallel == "ddp")
    arithmetic.check(config, processes=world.size)
    adapters.check(config.lora)
    if config.engine.tensorboard:
        tensorboard.check()
    parts = world.size * config.optim.accumulate
    if config.optim.batch % parts:
        raise ConfigError(
            f"batch {config.optim.batch} is not divisible by {world.size} processes x {config.optim.accumulate} "
            f"accumulated parts; choose a multiple of {parts}."
        )
