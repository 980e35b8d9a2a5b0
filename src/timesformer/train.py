"""Training, from a table of videos to a checkpoint."""

import itertools
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from timesformer.config import ConfigError, TrainConfig
from timesformer.data import dataset
from timesformer.data.dataset import Batch, Broken, TrainingClips, Video
from timesformer.data.items import DataError, some
from timesformer.data.manifest import Manifest
from timesformer.training import processes, session
from timesformer.training.advice import advice
from timesformer.training.display import Display
from timesformer.training.optimiser import average, rate, set_rate
from timesformer.training.processes import World
from timesformer.training.runfolder import Row, RunFolder, State
from timesformer.training.session import Session, TrainingError


@dataclass(frozen=True)
class Outcome:
    """What came of a training."""

    run: RunFolder
    rows: tuple[Row, ...]
    """The metrics of each epoch."""
    broken: tuple[Broken, ...]
    """Videos that could not be read."""
    stopped: int = 0
    """The signal that stopped it early, or 0."""


def train(
    manifest: Manifest, config: TrainConfig, out: Path, *, resume: bool = False, display: Display | None = None
) -> Outcome:
    """Train a model on the table's training videos, validate it each epoch, and leave a run folder.

    The folder gets config.toml, metrics.jsonl, curves.png, best.safetensors, final.safetensors and last.pt, the state
    that ``resume`` goes on from: a resumed run ends with the same weights as one that was never stopped. "auto"
    settings must have been settled (:mod:`timesformer.training.choose`). Raises ConfigError, DataError or WeightsError
    before any step where the pieces do not fit, and DataError where too many videos are broken.
    """
    with processes.joined() as world, _caught_signals() as caught:
        run = RunFolder(out)
        display = display or Display(show=world.first)
        _check(config, world)
        validation = manifest.of("val")
        if world.first:
            run.open(config, data=str(manifest.source), resume=resume)
        with display:
            clips, broken = _clips(manifest, config, display)
            current = session.build(manifest, config, validation, world=world, run=run, display=display)
            state = session.resume(current) if resume else session.fresh(current)
            state.found |= {video.key: video.reason for video in broken}
            _run(current, state, clips, caught)
    videos = tuple(Broken(key, reason) for key, reason in state.found.items())
    return Outcome(run, tuple(state.rows), videos, caught[0] if caught else 0)


def _run(current: Session, state: State, clips: TrainingClips, caught: list[int]) -> None:
    """All steps that are left, from the first or from where the state says."""
    optim, world, display = current.config.optim, current.world, current.display
    plan = [len(batch) for batch in _order(current.config, clips, epoch=0)]
    per_epoch, steps = len(plan), len(plan) * optim.epochs
    stream = _stream(current, clips, state.done, per_epoch)
    display.begin("training", steps, state.done)
    saved = started = time.monotonic()
    waited, first = 0.0, state.done
    while state.done < steps:
        before = time.monotonic()
        batch = next(stream)
        waited += time.monotonic() - before
        lr = rate(state.done, steps=steps, per_epoch=per_epoch, optim=optim)
        set_rate(current.optimizer, lr)
        loss = session.step(current, batch, expected=plan[state.done % per_epoch], number=state.done)
        if state.average:
            average(state.average, current.model.parameters(), decay=optim.ema, step=state.done)
        state.done += 1
        state.loss += loss
        state.found |= {video.key: video.reason for video in batch.broken}
        elapsed = time.monotonic() - started
        speed = (state.done - first) * plan[0] / elapsed
        display.step(done=state.done, loss=loss, lr=lr, clips_per_second=speed)
        ended = state.done % per_epoch == 0
        if ended:
            row = {"epoch": state.done // per_epoch, "step": state.done, "lr": lr, "clips_per_second": speed}
            _end_epoch(current, state, row | {"waited": waited / elapsed}, per_epoch, len(clips.items))
            started, first, waited = time.monotonic(), state.done, 0.0
        stop = world.agree(bool(caught))
        if ended or stop or world.agree(time.monotonic() - saved > 60 * current.config.engine.save_minutes):
            session.save(current, state)
            saved = time.monotonic()
        if stop:
            return


def _end_epoch(current: Session, state: State, row: Row, per_epoch: int, clips: int) -> None:
    """Validate, keep what is best, and write and say how it went."""
    config, world, run = current.config, current.world, current.run
    row["train_loss"] = world.total(state.loss) / per_epoch
    if row["train_loss"] != row["train_loss"]:
        raise TrainingError(
            f"the loss is not a number after step {state.done}; lower --optim.lr, raise --optim.warmup, "
            "or set --optim.clip-grad 1."
        )
    state.found = dict(itertools.chain.from_iterable(found.items() for found in world.collect(state.found)))
    _check_broken(state.found, clips, config)
    model = session.snapshot(current, state)
    state.rows.append(row | {"broken": float(len(state.found))} | session.validate(current, model))
    state.loss = 0.0
    if session.better(config, state.rows):
        session.keep(current, model, run.best)
    if len(state.rows) == config.optim.epochs:
        session.keep(current, model, run.final)
    if world.first:
        run.write(state.rows, state.found)
        current.display.epoch(state.rows[-1], config.optim.epochs)
        counts = current.manifest.class_counts("train") if config.task == "classes" else ()
        for text in advice(state.rows, config, counts):
            current.display.warn(text)


def _clips(manifest: Manifest, config: TrainConfig, display: Display) -> tuple[TrainingClips, list[Broken]]:
    """The training clips, decoded into memory where the config says so, and the videos found broken on the way."""
    items = manifest.of("train")
    if config.engine.cache != "on":
        return TrainingClips(manifest, items, config), []
    display.begin("decoding", len(items))
    decoded = dataset.decode_all(items, config, progress=display.advance)
    broken = [video for video in decoded if isinstance(video, Broken)]
    _check_broken({video.key: video.reason for video in broken}, len(items), config)
    pairs = [(item, video) for item, video in zip(items, decoded, strict=True) if isinstance(video, Video)]
    return TrainingClips(manifest, [item for item, _ in pairs], config, cache=[video for _, video in pairs]), broken


def _order(config: TrainConfig, clips: TrainingClips, *, epoch: int) -> list[list[dataset.Place]]:
    optim = config.optim
    return dataset.order(
        len(clips.items), epoch=epoch, repeats=optim.repeats, batch=optim.batch, seed=config.engine.seed
    )


def _stream(current: Session, clips: TrainingClips, done: int, per_epoch: int) -> Iterator[Batch]:
    """This process's share of every batch from step ``done`` on, decoded ahead by the workers across epochs."""
    config, world = current.config, current.world
    epochs = range(done // per_epoch, config.optim.epochs)
    orders = (batch for epoch in epochs for batch in _order(config, clips, epoch=epoch))
    shares: Iterable[list[dataset.Place]] = (
        batch[world.rank :: world.size] for batch in itertools.islice(orders, done % per_epoch, None)
    )
    return dataset.batches(clips, shares, workers=config.engine.workers, pin=world.device.type == "cuda")


def _check(config: TrainConfig, world: World) -> None:
    if config.engine.cache == "auto" or config.engine.precision == "auto" or config.engine.workers < 0:
        raise ConfigError("the engine has settings left to choose; settle them first (training.choose.settle).")
    parts = world.size * config.optim.accumulate
    if config.optim.batch % parts:
        raise ConfigError(
            f"batch {config.optim.batch} is not divisible by {world.size} processes x {config.optim.accumulate} "
            f"accumulated parts; choose a multiple of {parts}."
        )


def _check_broken(found: dict[str, str], clips: int, config: TrainConfig) -> None:
    share = config.engine.broken_share
    if len(found) > share * clips:
        names = some([f"{key} ({reason})" for key, reason in found.items()])
        raise DataError(
            f"{len(found)} of {clips} training videos are broken, more than the allowed share of {share:g}: {names}; "
            "mend or remove them, or raise --engine.broken-share."
        )


@contextmanager
def _caught_signals() -> Iterator[list[int]]:
    """Signals that ask to stop, collected instead of obeyed at once, so that the state can be saved first."""
    caught: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        caught.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
