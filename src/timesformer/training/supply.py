"""Batches for the steps of a training, decoded ahead by workers that the system may end at any time.

A batch depends on the seed and its step alone. So a supply that loses a worker starts again with fewer at the current
step, and the result of the training is the same.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from timesformer.config.training import TrainConfig
from timesformer.data.batches import dataset, loaders
from timesformer.data.batches.batch import Batch, joined
from timesformer.data.batches.dataset import TrainingClips
from timesformer.data.batches.order import Place, epoch_order
from timesformer.data.items import counted
from timesformer.training.engine.processes import World
from timesformer.training.session import TrainingError
from timesformer.video.reader import is_out_of_memory

REMEDY = (
    "Fewer --engine.workers, --engine.cache off and smaller videos (timesformer prepare DATA OUT) take less memory; "
    "if the training ends, --resume continues it from the saved state"
)
TWICE = 2
"""Times that the only worker may be lost over a batch before its videos are decoded one by one."""


class SupplyError(TrainingError):
    """Workers are lost whatever they decode."""


@dataclass(frozen=True)
class Steps:
    """Which clips each step of a training takes, and which of them are this process's."""

    order: Callable[[int], list[list[Place]]]
    """The batches of an epoch, over all processes; every epoch has as many."""
    epochs: int
    world: World

    @property
    def plan(self) -> list[int]:
        """Clips of each step of an epoch, over all processes."""
        return [len(batch) for batch in self.order(0)]

    def places(self, step: int) -> Iterator[list[Place]]:
        """This process's share of every batch from a step on."""
        per_epoch = len(self.plan)
        orders = (batch for epoch in range(step // per_epoch, self.epochs) for batch in self.order(epoch))
        return (batch[self.world.rank :: self.world.size] for batch in itertools.islice(orders, step % per_epoch, None))


def training_steps(clips: TrainingClips, config: TrainConfig, world: World) -> Steps:
    """The steps of a training: in each epoch all clips, as often as they are repeated, in another random order."""

    def order(epoch: int) -> list[list[Place]]:
        optim, seed = config.optim, config.engine.seed
        return epoch_order(
            len(clips.items), epoch=epoch, repeats=optim.repeats, batch=optim.batch, seed=seed, shards=clips.shards
        )

    return Steps(order, config.optim.epochs, world)


class Supply:
    """This process's share of every batch from a step on."""

    def __init__(
        self, clips: TrainingClips, steps: Steps, *, start: int, workers: int, warn: Callable[[str], None]
    ) -> None:
        self.clips, self.steps, self.workers, self.warn = clips, steps, workers, warn
        self.plan, self.items = steps.plan, clips.items
        self._step = start
        self._times = 0
        """How often the only worker was lost over the current batch."""
        self._stream = self._from(start)

    def __next__(self) -> Batch:
        """The next step's batch; raises :class:`SupplyError` where workers are lost whatever they decode."""
        while True:
            try:
                batch = next(self._stream)
            except StopIteration:
                raise
            except Exception as error:
                ended = loaders.lost(error, self._stream)
                if ended is None and is_out_of_memory(error):
                    ended = loaders.KILLED
                    loaders.close(self._stream)
                if ended is None or not self.workers:
                    raise
                if not self._lost(ended):
                    self._stream = self._from(self._step)
                    continue
                batch = self._one_by_one(next(self.steps.places(self._step)))
                self._stream = self._from(self._step + 1)
            self._step += 1
            self._times = 0
            return batch

    def close(self) -> None:
        """End the workers."""
        loaders.close(self._stream)

    def _from(self, step: int) -> Iterator[Batch]:
        """Batches from a step on, with the workers that are left."""
        pin = self.steps.world.device.type == "cuda"
        return dataset.batches(self.clips, self.steps.places(step), workers=self.workers, pin=pin)

    def _lost(self, ended: int) -> bool:
        """Continue with fewer workers; returns whether the only one was lost over the same batch again."""
        self._times += self.workers == 1
        again = self._times >= TWICE
        if self.workers > 1:
            self.workers //= 2
        elif ended == loaders.NO_SHARED_MEMORY:  # the main process shares nothing with others
            self.workers, again = 0, False
        left = counted(self.workers, "worker") if self.workers else "the main process alone"
        reason = loaders.REASONS[ended]
        self.warn(f"a loader worker was lost at step {self._step + 1}: {reason}; continuing with {left}. {REMEDY}.")
        return again

    def _one_by_one(self, places: Sequence[Place]) -> Batch:
        """A batch whose clips are each decoded by a new worker, so that a lost worker identifies its video."""
        parts, gone = [], 0
        for place in places:
            stream = dataset.batches(self.clips, [[place]], workers=1)
            try:
                parts.append(next(stream))
            except Exception as error:
                ended = loaders.lost(error, stream)
                if ended is None:
                    raise
                gone += 1
                self.clips.given_up[place[2]] = (
                    f"a loader worker was lost whenever it was decoded: {loaders.REASONS[ended]}"
                )
                parts.append(self.clips.batch([self.clips[place]]))
            finally:
                loaders.close(stream)
        if gone > max(len(places) // 2, 1):
            raise SupplyError(
                f"{gone} loader workers were lost, each over another video, at step {self._step + 1}: "
                f"not enough memory is left. {REMEDY}."
            )
        return joined(parts)
