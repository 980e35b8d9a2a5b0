"""What stays the same throughout a training, built from the settings or from a saved state."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from timesformer.config.tasks import FACTS
from timesformer.config.training import TrainConfig
from timesformer.data.batches.opposites import expected_counts
from timesformer.data.batches.order import fingerprint
from timesformer.data.items import DataError, Item, some
from timesformer.data.manifest import Manifest
from timesformer.errors import TimesformerError
from timesformer.model.transformer import TimeSformer
from timesformer.tasks import regression, table
from timesformer.training.engine import adapters, arithmetic, frozen, optimiser, processes
from timesformer.training.engine.processes import World
from timesformer.training.run import resuming, sharded
from timesformer.training.run.runfolder import RunFolder
from timesformer.training.run.state import Kept, Saved, State
from timesformer.training.shown.display import Display
from timesformer.weights import loading
from timesformer.weights.fit.outputs import Outputs
from timesformer.weights.metadata import TargetStats
from timesformer.weights.runs import learned


class TrainingError(TimesformerError, RuntimeError):
    """A training that can't continue: the message says what happened and what to change."""


def not_a_number(what: str) -> TrainingError:
    """The error for a training that diverged."""
    return TrainingError(
        f"{what} is not a number any more; lower --optim.lr, raise --optim.warmup, or set --optim.clip-grad 1."
    )


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
    """The model as this process trains it; in two parts where the lower one is frozen and computes the same again."""
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    """Scales the loss of a float16 training; does nothing in other precisions."""
    weights: Tensor | None
    """Loss weight of each class."""
    missing: Sequence[str]
    """Parameters that the weights to start from did not have."""
    target_stats: TargetStats
    """Mean and standard deviation of each number of a regression."""
    kept: Kept
    """What of the state is on the disk."""
    memory: frozen.Memory
    """What the frozen blocks computed for validation videos."""


def begin(
    manifest: Manifest, config: TrainConfig, *, world: World, run: RunFolder, display: Display, resume: bool
) -> tuple[Session, State]:
    """Build the training of these settings, and its state: new, or with ``resume`` as it was saved, if it was.

    Raises ConfigError for a damaged saved state, DataError where the data set has changed since, WeightsError for
    weights to start from, which a saved state no longer needs.
    """
    torch.manual_seed(config.engine.seed)
    torch.set_float32_matmul_precision(config.engine.matmul)
    saved = run.load() if resume else None
    session = _build(manifest, config, world=world, run=run, display=display, saved=saved)
    state = _restored(session, saved) if saved else _fresh(session)
    if not sharded.is_sharded(session.model):
        session.model.leave_out_idle_steps(config.frozen_depth)
    return session, state


def _build(
    manifest: Manifest, config: TrainConfig, *, world: World, run: RunFolder, display: Display, saved: Saved | None
) -> Session:
    """The model with its start, the optimiser, and everything else that stays."""
    target_stats = table.target_stats(manifest)
    outputs = Outputs(manifest.labels, manifest.task, target_stats)
    given = bool(config.init) and not saved
    started = loading.start(config.init, config.model, outputs=outputs, key=config.key) if given else None
    model = started.model if started else TimeSformer(config.model)
    missing: Sequence[str] = saved.state.missing if saved else ()
    if started and started.report:
        missing = started.report.missing
        for text in started.report.brief():
            display.say(f"- {config.init}: {text}")
    if started:
        regression.rescale_head(model.head, started.target_stats, target_stats)
    model.checkpointing = config.engine.checkpointing
    optimiser.freeze(model, config.freeze, blocks=config.frozen_blocks)
    frozen.hold_still(model, config)
    if config.lora:
        adapters.add(model, config.lora, missing)
        display.say(f"LoRA of rank {config.lora}: {adapters.summary(model)}")
    model.to(world.device).train()
    parted = frozen.Parted(model, config) if frozen.is_parted(config, processes=world.size) else model
    shared = processes.share(parted, world, config.engine)
    optimizer = optimiser.build(model, config.optim, depth=config.model.depth)
    if config.engine.optimizer_in_backward:
        optimiser.in_backward(optimizer)
    weighted = config.optim.class_weights and not FACTS[config.task].numeric
    return Session(
        config=config,
        manifest=manifest,
        validation=manifest.of("val"),
        world=world,
        run=run,
        display=display,
        model=model,
        shared=shared,
        optimizer=optimizer,
        scaler=arithmetic.scaler(world.device, config.engine.precision),
        weights=table.class_weights(expected_counts(manifest, config.augment)).to(world.device) if weighted else None,
        missing=missing,
        target_stats=target_stats,
        kept=Kept(saved.state.done if saved else None),
        memory=frozen.memory(config),
    )


def _restored(session: Session, saved: Saved) -> State:
    """The saved state, with weights and optimiser put in place."""
    new = _fresh(session)
    state, weights, optimizer, parts = saved
    if state.data != new.data:
        raise DataError(
            f"the training videos of {session.manifest.source} are not those that the run in {session.run.path} began "
            f"with{_change(session)}, or lie in other shards; restore them, or start another run from its weights "
            "(--init)."
        )
    if parts:
        resuming.check_parts(session.run.last, state, session.config)
        state.average = new.average
        sharded.read(parts, session.model, session.optimizer, state.average)
    else:
        given = (state, weights, optimizer)
        resuming.check(session.run.last, given, session.model, session.optimizer, session.config)
        optimizer = resuming.own_settings(optimizer, session.model, session.optimizer)
        processes.restore(session.model, session.optimizer, weights, optimizer)
    if state.average and not parts:
        state.average = [processes.like(whole, shard) for whole, shard in zip(state.average, new.average, strict=True)]
    if state.scaler and session.scaler.is_enabled():
        session.scaler.load_state_dict(state.scaler)
    if not session.world.first:  # what was saved are the sums over all processes
        state.loss, state.clips = 0.0, 0
    return state


def _change(session: Session) -> str:
    """Which training videos are new or gone, where the run tells which it began with; or that their labels changed."""
    known = learned(session.run.path)
    keys = [item.key for item in session.manifest.of("train")]
    new, gone = [key for key in keys if key not in known], sorted(known.difference(keys))
    found = [f"{len(names)} {what} ({some(names)})" for names, what in ((new, "new"), (gone, "gone")) if names]
    return f": {', '.join(found)}" if known and found else ", or their labels changed" if known else ""


def _fresh(session: Session) -> State:
    """The state of a training that has not begun."""
    averaged = session.config.optim.ema > 0
    return State(
        average=[value.detach().clone() for value in session.model.parameters()] if averaged else [],
        missing=list(session.missing),
        data=fingerprint(session.manifest, session.manifest.of("train")),
    )
