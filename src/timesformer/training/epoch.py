"""The end of an epoch: the model is validated, the best weights are kept, and the measures are written and shown."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import nn

from timesformer.config.tasks import FACTS
from timesformer.config.training import TrainConfig
from timesformer.data.items import together
from timesformer.inference.measures import measure
from timesformer.inference.scoring import InterruptedScoringError, Scores, Scoring, score_videos
from timesformer.model.transformer import TimeSformer
from timesformer.tasks.table import TABLE, best_measure
from timesformer.training import saving
from timesformer.training.engine import adapters, frozen, optimiser, processes
from timesformer.training.run import sharded
from timesformer.training.run.epochs import EpochRow
from timesformer.training.run.state import State
from timesformer.training.session import Session, not_a_number
from timesformer.training.shown.advice import advice
from timesformer.training.stopping import Stopped


def finish(session: Session, state: State, *, per_epoch: int, caught: list[int]) -> None:
    """Validate, keep the best weights, and write and show the measures of the epoch whose last step was made.

    A signal in ``caught`` raises Stopped, which leaves the state as it was.
    """
    config, world, display = session.config, session.world, session.display

    def progress(done: int) -> None:  # of this process alone: others have other numbers of batches
        display.reach(done)
        if caught:
            raise Stopped

    saving.share_found(session, state)
    saving.check_broken(state.found, session.manifest.of("train"), config)
    display.begin("validating", math.ceil(len(session.validation) / world.size))
    model = snapshot(session, state)
    scores = validate(session, model, progress=progress)
    for note in scores.notes if state.rows else (*together(scores.remarks), *scores.notes):
        display.warn(note)
    measured = measure(scores, session.manifest).validation(session.target_stats)
    state.found |= dict(scores.failed)
    saving.check_broken(state.found, session.validation, config)
    row = _row(session, state, measured, per_epoch)
    row = replace(row, best=better(config, [*state.rows, row]) and saving.keep_best(session, model))
    if row.best:
        saving.keep_validated(session, scores)
    state.rows.append(row)
    state.loss, state.clips, state.seconds, state.waited = 0.0, 0, 0.0, 0.0
    saving.report(session, state)
    counts = session.manifest.class_counts("train") if FACTS[config.task].exclusive else ()
    for text in advice(state.rows, config, counts):
        display.warn(text)


def _row(session: Session, state: State, measured: dict[str, float], per_epoch: int) -> EpochRow:
    """The measures of the epoch, over all processes, before it is known whether it is the best."""
    loss, clips = session.world.total(state.loss), session.world.total(state.clips)
    seconds = max(state.seconds, 1e-9)
    optim = session.config.optim
    return EpochRow(
        epoch=len(state.rows) + 1,
        step=state.done,
        lr=optimiser.rate(state.done - 1, steps=per_epoch * optim.epochs, per_epoch=per_epoch, optim=optim),
        clips_per_second=clips / seconds,
        waited=state.waited / seconds,
        train_loss=loss / max(clips, 1),
        broken=len(state.found),
        damaged=len(state.damaged),
        validation=measured,
    )


def snapshot(session: Session, state: State) -> TimeSformer:
    """The model to validate and to save: whole, with the averaged weights, if any, and merged adapters."""
    if not (sharded.is_sharded(session.model) or state.average or session.config.lora):
        return session.model
    values = state.average or [value.detach() for value in session.model.parameters()]
    with torch.device(session.world.device):
        model = TimeSformer(session.config.model)
        adapters.add(model, session.config.lora)
    with torch.no_grad():
        for target, value in zip(model.parameters(), values, strict=True):
            target.copy_(processes.whole_tensor(value))
        adapters.merge(model)
    model.leave_out_idle_steps(session.config.frozen_depth)
    return model


def validate(session: Session, model: nn.Module, *, progress: Callable[[int], None] = lambda done: None) -> Scores:
    """The model's scores of the validation videos, which are seen as in evaluation.

    Raises :class:`TrainingError` for scores that are not numbers, and Stopped where another process was stopped.
    """
    config, engine = session.config, session.config.engine
    if isinstance(model, TimeSformer) and config.kept_depth:
        model = frozen.Parted(model, config, session.memory)
    scoring = Scoring(clips=engine.clips, crops=engine.crops, precision=engine.precision, workers=engine.workers)
    try:
        scores = score_videos(
            model,
            session.validation,
            config.clip,
            scoring,
            task=config.task,
            target_stats=session.target_stats,
            progress=progress,
        )
    except InterruptedScoringError as error:
        if error.kind == Stopped.__name__:
            raise Stopped from None
        raise
    if not scores.scores.isfinite().all():
        raise not_a_number("the model's answer")
    return scores


def better(config: TrainConfig, rows: Sequence[EpochRow]) -> bool:
    """Whether the last row is at least as good as all rows before it that were kept as the best."""
    name = best_measure(config.task, config.optim)
    sign = 1 if TABLE[config.task].higher_is_better else -1
    return all(sign * rows[-1].validation[name] >= sign * row.validation[name] for row in rows[:-1] if row.best)
