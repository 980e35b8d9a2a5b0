"""Before the first step: settings and data fit together, the run's folder is this training's, and clips are at hand."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from timesformer.config.checks import ConfigError
from timesformer.config.training import TrainConfig
from timesformer.data.batches.batch import Broken
from timesformer.data.batches.cache import Video, decode_all
from timesformer.data.batches.dataset import TrainingClips
from timesformer.data.manifest import Manifest
from timesformer.training import saving
from timesformer.training.engine import adapters, arithmetic, optimiser
from timesformer.training.engine.processes import World
from timesformer.training.run import story
from timesformer.training.run.runfolder import RunFolder
from timesformer.training.run.story import Story
from timesformer.training.session import Session
from timesformer.training.shown import tensorboard
from timesformer.training.shown.display import Display
from timesformer.training.stopping import Stopped


@contextmanager
def opened(
    run: RunFolder,
    config: TrainConfig,
    world: World,
    *,
    data: Path,
    resume: bool,
    display: Display,
    told: Story | None = None,
) -> Iterator[None]:
    """Make the folder this training's alone, with its settings in it, for as long as it runs.

    A new run keeps what was ``told`` of its data and settings; a resumed one has it already.

    The first process does so for all. Raises ConfigError where the folder holds another run or another training writes
    into it, SaveError where it can't be written into.
    """

    def begin() -> tuple[str, bool]:
        run.check(config, resume=resume)
        run.make()
        try:
            guarded = run.take()
            run.check(config, resume=resume)  # another training may have written a run meanwhile
            added = run.added(config)
            run.open(config, data=data)
            if told and not resume:
                story.write(told, run.path)
        except BaseException:
            run.lock.release()
            raise
        return added, guarded

    added, guarded = world.let_first(begin)
    if added:
        display.say(f"- {added}")
    if not guarded:
        display.warn(f"{run.path} is where files can't be locked: take care that no second training writes into it")
    try:
        yield
    finally:
        run.lock.release()


def check_room(session: Session) -> None:
    """Raise ConfigError, in all processes, if the disk has too little space for what the training saves.

    These are two states, as a new one is complete before the old one is removed, and the best and the last checkpoint.
    """
    weights = sum(value.numel() * value.element_size() for value in session.model.parameters())
    learning = sum(value.numel() * value.element_size() for value in session.model.parameters() if value.requires_grad)
    optim = session.config.optim
    moments = int(optim.momentum > 0) if optim.optimizer == "sgd" else 2
    state = weights * (2 if optim.ema else 1) + moments * learning

    def check() -> None:
        run = session.run
        needed = 2 * state + 2 * weights
        free = _free(run.path)
        if free is not None and free + run.size() < needed:
            raise ConfigError(
                f"the disk of {run.path} has {_size(free)} free, and this training saves up to {_size(needed)} (two "
                "states, the best and the last checkpoint); free space, or choose another folder (--out)."
            )

    session.world.let_first(check)


def _free(folder: Path) -> int | None:
    """Bytes that are free for this user; None where the file system doesn't say."""
    try:
        usage = shutil.disk_usage(folder)
    except (OSError, AttributeError):  # systems without such a question
        return None
    return usage.free if usage.total else None


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def training_clips(
    manifest: Manifest, config: TrainConfig, *, world: World, run: RunFolder, display: Display, caught: list[int]
) -> TrainingClips:
    """The training clips, which are decoded into memory if the config says so; raises Stopped after a signal."""
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
    saving.check_all(broken, items, config, run=run, display=display, first=world.first)
    return TrainingClips(manifest, items, config, cache=decoded)


def check(manifest: Manifest, config: TrainConfig, world: World) -> None:
    """Raise ConfigError where settings, data and processes do not fit together."""
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
