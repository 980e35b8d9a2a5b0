"""A run's folder as a training needs it: no other run's, no other training's, with room for what will be kept."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from timesformer.config.checks import ConfigError
from timesformer.config.training import TrainConfig
from timesformer.training.processes import World
from timesformer.training.run.runfolder import RunFolder
from timesformer.training.session import Session
from timesformer.training.shown.display import Display


@contextmanager
def opened(
    run: RunFolder, config: TrainConfig, world: World, *, data: Path, resume: bool, display: Display
) -> Iterator[None]:
    """Make the folder this training's alone, with its settings in it, for as long as it runs.

    The first process does so for all. Raises ConfigError where the folder holds another run or another training writes
    into it, SaveError where it can't be written into.
    """

    def begin() -> tuple[str, bool]:
        run.check(config, resume=resume)
        run.make()
        try:
            guarded = run.take()
            run.check(config, resume=resume)  # a training that was under way before may have left a run
            added = run.added(config)
            run.open(config, data=data)
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
    """Raise ConfigError, in all processes, where the disk has no room for what the training keeps.

    That are two states, as a new one is whole before the old one goes, and the best and the last checkpoint.
    """
    weights = sum(value.numel() * value.element_size() for value in session.model.parameters())
    learning = sum(value.numel() * value.element_size() for value in session.model.parameters() if value.requires_grad)
    optim = session.config.optim
    moments = 2 if optim.optimizer == "adamw" else int(optim.momentum > 0)
    state = weights * (2 if optim.ema else 1) + moments * learning

    def check() -> None:
        run = session.run
        needed = 2 * state + 2 * weights
        free = _free(run.path)
        if free is not None and free + run.size() < needed:
            raise ConfigError(
                f"the disk of {run.path} has {_size(free)} free, and this training keeps up to {_size(needed)} (two "
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
