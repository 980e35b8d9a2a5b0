"""Batches for a training whose lower blocks are frozen: what these compute for each version of each clip, read back.

With fixed versions (augment.versions) that is always the same, so it is computed once, before the first step. An
epoch then costs the upper blocks alone, and a resumed training computes it again.
"""

from collections.abc import Sequence
from contextlib import closing

import torch
from torch import Tensor

from timesformer.data.batches.batch import Batch, Broken
from timesformer.data.batches.dataset import TrainingClips
from timesformer.data.batches.order import Place, version
from timesformer.data.items import counted
from timesformer.training import saving
from timesformer.training.engine import arithmetic, frozen
from timesformer.training.engine.frozen import Store
from timesformer.training.session import Session
from timesformer.training.stopping import Stopped
from timesformer.training.supply import Steps, Supply, training_steps

TOGETHER = 8
"""Clips that are read together while the frozen blocks are computed."""


def supply(session: Session, clips: TrainingClips, *, start: int, caught: Sequence[int]) -> "Supply | FrozenSupply":
    """The batches of a training from a step on: of clips, or of what its frozen blocks compute for them.

    Raises Stopped after a signal, and ConfigError where there is no room for what the frozen blocks compute.
    """
    config, world = session.config, session.world
    if frozen.is_kept(config, processes=world.size):
        return FrozenSupply(session, clips, start=start, caught=caught)
    if reason := frozen.obstacle(config, processes=world.size):
        session.display.say(f"- frozen blocks are computed in every step: {reason}")
    steps = training_steps(clips, config, world)
    return Supply(clips, steps, start=start, workers=config.engine.workers, warn=session.display.warn)


class FrozenSupply:
    """The batches of a training from a step on, with what the frozen blocks computed in place of pixels."""

    def __init__(self, session: Session, clips: TrainingClips, *, start: int, caught: Sequence[int]) -> None:
        config, steps = session.config, training_steps(clips, session.config, session.world)
        self.plan, self._places = steps.plan, steps.places(start)
        self.items, self._blank = clips.items, clips.targets[0][None][:0]
        self._repeats, self._versions = config.optim.repeats, config.augment.versions
        self._targets: dict[int, Tensor] = {}
        self._broken: dict[int, Broken] = {}
        self._damaged: dict[int, Broken] = {}
        left = len(self.plan) * config.optim.epochs - start
        self._store = self._filled(session, clips, caught) if left else None

    def __next__(self) -> Batch:
        """The next step's batch; clips that could not be read are left out and named, as when they are decoded."""
        rows = [self._row(place) for place in next(self._places)]
        good = [row for row in rows if row not in self._broken]
        assert self._store is not None
        return Batch(
            clips=self._store.read(good),
            targets=torch.stack([self._targets[row] for row in good]) if good else self._blank,
            broken=tuple(self._broken[row] for row in rows if row in self._broken),
            damaged=tuple(self._damaged[row] for row in good if row in self._damaged),
        )

    def close(self) -> None:
        """Give the memory or the disk back."""
        self._store = None

    def _row(self, place: Place) -> int:
        """The row of the store where a place's clip lies."""
        return version(place, self._repeats, self._versions) * len(self.items) + place[2]

    def _filled(self, session: Session, clips: TrainingClips, caught: Sequence[int]) -> Store:
        """What the frozen blocks compute for every version that the training takes; raises Stopped after a signal."""
        config, display, count = session.config, session.display, len(self.items)
        versions = min(self._versions, config.optim.epochs * self._repeats)
        shape = _lower(session, torch.zeros(1, config.clip.frames, 3, *config.clip.frame_size)).shape[1:]
        store = Store(versions * count, tuple(shape), config.engine.precision, session.run.path)
        steps = Steps(lambda number: _batches(count, number), versions, session.world)
        display.begin("computing frozen blocks", versions * len(steps.plan))
        with closing(Supply(clips, steps, start=0, workers=config.engine.workers, warn=display.warn)) as supply:
            for places in steps.places(0):
                batch = next(supply)
                rows = self._noted(places, batch)
                for row, clip in zip(rows, batch.clips, strict=True):
                    if caught:
                        raise Stopped
                    store.write([row], _lower(session, clip[None]))
                display.advance()
        found = {video.key: video.reason for video in self._broken.values()}
        saving.check_all(found, self.items, config, run=session.run, display=display, first=True)
        what = f"{counted(count, 'clip')} in {counted(versions, 'version')}"
        display.say(f"- frozen blocks computed once for {what}: {store.bytes / 1e6:.1f} MB {store.where}")
        return store

    def _noted(self, places: Sequence[Place], batch: Batch) -> list[int]:
        """The rows of a batch's clips, once their targets and the broken and damaged videos are noted."""
        broken, damaged = ({video.key: video for video in videos} for videos in (batch.broken, batch.damaged))
        keys = {self._row(place): self.items[place[2]].key for place in places}
        self._broken |= {row: broken[key] for row, key in keys.items() if key in broken}
        self._damaged |= {row: damaged[key] for row, key in keys.items() if key in damaged}
        rows = [row for row, key in keys.items() if key not in broken]
        self._targets |= zip(rows, batch.targets, strict=True)  # of a mirrored clip it may be another than of the video
        return rows


def _lower(session: Session, clips: Tensor) -> Tensor:
    """What the frozen blocks compute for clips, (b, t, c, h, w) -> (b, n, d), as in a step."""
    config, device = session.config, session.world.device
    with arithmetic.autocast(device, config.engine.precision):
        return frozen.lower(session.model, clips.to(device), config.kept_depth)


def _batches(count: int, number: int) -> list[list[Place]]:
    """All clips of a version in order, some of them read together."""
    places = [(0, number, position) for position in range(count)]
    return [places[start : start + TOGETHER] for start in range(0, count, TOGETHER)]
