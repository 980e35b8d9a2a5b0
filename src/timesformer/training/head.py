"""A training's only step where the optimiser is "lbfgs": the head is fitted to the features of the frozen backbone."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from timesformer.config.tasks import FACTS
from timesformer.config.training import TrainConfig
from timesformer.data.batches.opposites import opposites
from timesformer.data.items import Item, counted
from timesformer.data.manifest import Manifest
from timesformer.tasks import table
from timesformer.tasks.table import TABLE
from timesformer.training import saving
from timesformer.training.linear import choice, features
from timesformer.training.linear.choice import Choice, Rows
from timesformer.training.linear.features import Seen
from timesformer.training.linear.solve import Linear
from timesformer.training.run.state import State
from timesformer.training.session import Session
from timesformer.training.stopping import Stopped
from timesformer.weights.metadata import TargetStats


@dataclass(frozen=True)
class Fitted:
    """A head, and how it was chosen."""

    layer: Linear
    choice: Choice
    loss: float
    """Mean loss of the training videos."""


def fit(seen: Seen, manifest: Manifest, config: TrainConfig, target_stats: TargetStats) -> Fitted:
    """Fit a head to the features of training videos, its penalty and balance chosen by cross-validation."""
    given = table.targets(manifest, seen.items)
    change = opposites(manifest, config.augment)
    views = (given, torch.stack([change.mirrored(each) for each in given]))[: seen.features.shape[1]]
    targets = torch.stack([table.dense(each, len(manifest.labels), target_stats) for each in views], dim=1)
    rows = Rows(seen.features, targets, _units(seen.items, manifest))
    chosen = choice.choose(rows, task=config.task, balanced=config.optim.class_weights)
    layer = choice.fit(rows, chosen, task=config.task)
    losses = TABLE[config.task].losses(layer(seen.features[:, 0]), targets[:, 0], config.optim)
    return Fitted(layer, chosen, float(losses.mean()))


def _units(items: Sequence[Item], manifest: Manifest) -> list[str]:
    """What each video belongs to in cross-validation: its group, unless validation videos share groups with training.

    So the videos held out differ from the others as the validation videos do. With groups held out, a choice for new
    cameras would be made where the cameras are known, with a penalty far too strong (tankwagon).
    """
    known = {item.unit for item in manifest.of("train")} & {item.unit for item in manifest.of("val")}
    return [item.key if known else item.unit for item in items]


def step(session: Session, state: State, *, caught: list[int]) -> None:
    """Compute the features of all training videos, and put the fitted head into the model.

    Raises Stopped after a signal, and DataError where too many videos are broken.
    """
    config, world, items = session.config, session.world, session.manifest.of("train")

    def progress(done: int) -> None:  # of this process alone
        session.display.reach(done)
        if caught:
            raise Stopped

    started = time.monotonic()
    session.display.begin("features", math.ceil(len(items) / world.size))
    mirror = config.augment.flip
    seen = features.of_videos(session.model, items, config, mirror=mirror, progress=progress)
    state.found |= dict(seen.scores.failed)
    state.damaged |= dict(seen.scores.damaged)
    saving.check_broken(state.found, items, config)
    fitted = world.collect(fit(seen, session.manifest, config, session.target_stats))[0]
    with torch.no_grad():
        session.model.head.weight.copy_(fitted.layer.weight)
        session.model.head.bias.copy_(fitted.layer.bias)
    session.display.say(f"- {told(fitted.choice, config, len(seen.items))}")
    state.done, state.seconds = 1, time.monotonic() - started
    if world.first:  # sums over all processes follow
        state.loss, state.clips = fitted.loss * len(seen.items), len(seen.items)


def told(chosen: Choice, config: TrainConfig, videos: int) -> str:
    """What was chosen, and how well it does on held-out training videos, in a sentence."""
    measure = f"loss {-chosen.score:.3f}"
    if FACTS[config.task].exclusive:
        measure = f"{'mean class' if config.optim.class_weights else 'top-1'} accuracy {chosen.score:.1%}"
    balance = f", class balance {chosen.balance:g}" if config.optim.class_weights else ""
    return (
        f"penalty {chosen.penalty:g}{balance}: the best in cross-validation on {counted(videos, 'training video')} "
        f"({measure})"
    )
