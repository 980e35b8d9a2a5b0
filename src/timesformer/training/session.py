"""One training's model and everything around it: how it is built, makes a step, is looked at and is saved."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from timesformer import evaluate, metrics
from timesformer.config import TrainConfig
from timesformer.data import dataset
from timesformer.data.dataset import Batch
from timesformer.data.items import Item
from timesformer.data.manifest import Manifest
from timesformer.evaluate import Scoring
from timesformer.model.transformer import TimeSformer
from timesformer.training import loss, optimiser, processes
from timesformer.training.display import Display
from timesformer.training.processes import World
from timesformer.training.runfolder import Row, RunFolder, SaveError, State
from timesformer.video import augment
from timesformer.weights import checkpoint, loading
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.report import WeightsError


class TrainingError(RuntimeError):
    """A training that can't go on: the message says what happened and what to change."""


@dataclass(frozen=True)
class Session:
    """What stays the same throughout a training."""

    config: TrainConfig
    manifest: Manifest
    validation: Sequence[Item]
    world: World
    run: RunFolder
    display: Display
    model: TimeSformer
    """The bare model; where parameters are sharded its tensors are shards."""
    shared: nn.Module
    """The model as this process trains it."""
    optimizer: torch.optim.Optimizer
    weights: Tensor | None
    """Loss weight of each class."""


def build(
    manifest: Manifest,
    config: TrainConfig,
    validation: Sequence[Item],
    *,
    world: World,
    run: RunFolder,
    display: Display,
) -> Session:
    """The model with its start, the optimiser, and everything else that stays."""
    torch.manual_seed(config.engine.seed)
    model = loading.start(config.init, config.model).model if config.init else TimeSformer(config.model)
    model.checkpointing = config.engine.checkpointing
    optimiser.freeze(model, config.freeze)
    model.to(world.device).train()
    shared = processes.share(model, world, config.engine)
    weighted = config.optim.class_weights and config.task != "regression"
    return Session(
        config=config,
        manifest=manifest,
        validation=validation,
        world=world,
        run=run,
        display=display,
        model=model,
        shared=shared,
        optimizer=optimiser.build(model, config.optim, depth=config.model.depth),
        weights=loss.class_weights(manifest.class_counts("train")).to(world.device) if weighted else None,
    )


def resume(session: Session) -> State:
    """The saved state, with weights and optimiser put in place; a new state where nothing was saved yet."""
    saved = session.run.load()
    if saved is None:
        return fresh(session)
    state, weights, optimizer = saved
    processes.restore(session.model, session.optimizer, weights, optimizer)
    if state.average:
        shards = fresh(session).average
        state.average = [processes.like(whole, shard) for whole, shard in zip(state.average, shards, strict=True)]
    return state


def fresh(session: Session) -> State:
    """The state of a training that has not begun."""
    averaged = session.config.optim.ema > 0
    return State(average=[value.detach().clone() for value in session.model.parameters()] if averaged else [])


def step(session: Session, batch: Batch, *, expected: int, number: int) -> float:
    """One optimiser step on this process's share of a batch of ``expected`` clips; its part of the mean loss."""
    config, device = session.config, session.world.device
    generator = torch.Generator().manual_seed(dataset.mixed(config.engine.seed, number, session.world.rank, 1))
    torch.manual_seed(dataset.mixed(config.engine.seed, number, session.world.rank))
    targets = loss.dense_targets(batch.targets, config.model.classes)
    clips, targets = augment.mix(batch.clips, targets, config.augment, generator=generator)
    session.optimizer.zero_grad(set_to_none=True)
    total = torch.zeros((), device=device)
    for index in range(config.optim.accumulate):
        some, wanted = (values.tensor_split(config.optim.accumulate)[index] for values in (clips, targets))
        with processes.quiet(session.shared, index == config.optim.accumulate - 1):
            with _arithmetic(session):
                logits = session.shared(_one_at_least(some, config).to(device, non_blocking=True))[: len(some)]
            wanted = wanted.to(device, non_blocking=True)
            each = loss.losses(logits, wanted, config.task, config.optim, session.weights)
            # The mean over the whole batch. Processes average their gradients, so each multiplies by their number.
            share = each.sum() / expected
            (share * session.world.size).backward()
            total += share.detach()
    if config.optim.clip_grad:
        nn.utils.clip_grad_norm_(session.model.parameters(), config.optim.clip_grad)
    session.optimizer.step()
    return float(total)


def _one_at_least(clips: Tensor, config: TrainConfig) -> Tensor:
    """Clips, or a blank one: every process must go through the model, even if all its videos were broken."""
    if len(clips):
        return clips
    return torch.zeros(1, config.clip.frames, 3, config.clip.size, config.clip.size)


def _arithmetic(session: Session) -> torch.autocast:
    half = session.config.engine.precision == "bf16"
    return torch.autocast(session.world.device.type, dtype=torch.bfloat16, enabled=half)


def snapshot(session: Session, state: State) -> TimeSformer:
    """The model to look at and to keep: whole, in evaluation mode, with averaged weights where they are averaged."""
    sharded = session.config.engine.parallel == "fsdp" and session.world.size > 1
    if not (sharded or state.average):
        return session.model
    values = state.average or [value.detach() for value in session.model.parameters()]
    with torch.device(session.world.device):
        model = TimeSformer(session.config.model)
    with torch.no_grad():
        for target, value in zip(model.parameters(), values, strict=True):
            target.copy_(processes.whole_tensor(value))
    return model


def validate(session: Session, model: nn.Module) -> Row:
    """The measures of a model on the validation videos, seen as in evaluation, never on random crops."""
    engine = session.config.engine
    precision = torch.bfloat16 if engine.precision == "bf16" else None
    scoring = Scoring(clips=engine.clips, crops=engine.crops, precision=precision, workers=engine.workers)
    scores = evaluate.score_videos(model, session.validation, session.config.clip, scoring, task=session.config.task)
    targets = torch.tensor([session.manifest.target(item) for item in scores.items])
    if session.config.task == "regression":
        errors = metrics.regression(scores.scores, targets)
        return {"val_loss": errors.loss, "val_mae": errors.mean_mae}
    if session.config.task == "multilabel":
        found = metrics.multilabel(scores.scores, targets)
        return {"val_loss": found.loss, "val_map": found.mean_ap or 0.0}
    result = metrics.classification(scores.scores, targets)
    return {
        "val_loss": result.loss,
        "val_top1": result.top1,
        "val_top5": result.top5,
        "val_mean_class": result.mean_class,
    }


def better(config: TrainConfig, rows: Sequence[Row]) -> bool:
    """Whether the last of the rows is the best so far; of equals the later one counts."""
    name = {"multilabel": "val_map", "regression": "val_mae"}.get(config.task)
    name = name or ("val_mean_class" if config.optim.class_weights else "val_top1")
    sign = -1 if config.task == "regression" else 1
    values = [sign * row.get(name, -math.inf) for row in rows]
    return values[-1] >= max(values)


def keep(session: Session, model: TimeSformer, path: Path) -> None:
    """Write a model with everything needed to use it; a full disk keeps the previous file and is said, not fatal."""
    config = session.config
    about = f"trained by timesformer on {session.manifest.source.name}"
    if config.init:
        about += f", started from {config.init}"
    if session.world.first:
        try:
            checkpoint.save(Checkpoint(model, config.clip, session.manifest.labels, config.task, about), path)
        except WeightsError as error:
            session.display.warn(str(error))


def save(session: Session, state: State) -> None:
    """Write the state to go on from; a full disk keeps the previous one and is said, not fatal."""
    weights, optimizer = processes.whole_state(session.model, session.optimizer)
    average = [processes.whole_tensor(value).cpu() for value in state.average]
    if session.world.first:
        try:
            session.run.save(replace(state, average=average), weights, optimizer)
        except SaveError as error:
            session.display.warn(str(error))
