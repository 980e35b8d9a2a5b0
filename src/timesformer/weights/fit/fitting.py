"""Fit weights to a wanted model: interpolate embeddings, copy attention to new steps, replace the head."""

from dataclasses import replace

import torch

from timesformer.config.checks import ConfigError
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.model import schemes
from timesformer.model.transformer import TimeSformer
from timesformer.weights import checkpoint
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.fit import outputs as heads
from timesformer.weights.fit.embeddings import Fitted, Resize, fit_positions, fit_time
from timesformer.weights.fit.outputs import Outputs, Rows
from timesformer.weights.formats.source import Source
from timesformer.weights.report import LoadReport, WeightsError

FIXED = ("patch", "width", "depth", "heads", "mlp_ratio", "rotary", "registers", "norm_pre", "activation", "norm_eps")
"""Settings that must be equal."""


def fit(
    source: Source, config: ModelConfig, *, resize: Resize = "nearest", wanted: Outputs | None = None
) -> Checkpoint:
    """Return a checkpoint of exactly the wanted model, filled from a source.

    The attention and LayerNorm of an image model, or of another scheme with one step, are copied to every step of the
    wanted scheme (divided: time and space; local_global: local and global; axial: time, width and height). The
    projections after all but the last step, and the time embedding, are zero-initialised, so that only the last step
    has an effect at first. Rows of the head are kept for ``wanted`` outputs of the same names, and others are new;
    without ``wanted``, the head is kept if it has as many outputs.
    Raises :class:`WeightsError` if the models differ in anything else, or a tensor of the backbone is missing.
    """
    _refuse(source, config)
    fitted = _copy_to_steps(Fitted(dict(source.tensors)), source.config, config)
    fitted = fit_positions(fitted, source.config, config, resize, antialias=source.antialias)
    fitted = fit_time(fitted, source.config, config, resize)
    fitted = _random(fitted, source.config, config)
    fitted, head, found = _head(fitted, source, config, wanted)
    model = checkpoint.build(config, fitted.tensors, source.name)
    given = len(fitted.tensors) - len(fitted.zero) - len(fitted.new) - len(fitted.copied) - len(source.zero)
    outputs = Outputs(source.labels, source.task, source.target_stats)
    if "head.weight" in fitted.new:
        outputs = Outputs()
    if wanted:
        outputs = replace(wanted, target_stats=heads.target_stats(source.target_stats, wanted.target_stats, found))
    clip = _clip(source, config)
    report = LoadReport(
        source=source.name,
        layout=source.layout,
        loaded=given,
        unused=source.unused + fitted.unused,
        resized=fitted.resized,
        copied=fitted.copied,
        zero=source.zero + fitted.zero,
        new=fitted.new,
        head=head,
        notes=source.notes + _changes(source.config, config) + (() if source.image else _other_span(source.clip, clip)),
    )
    return Checkpoint(
        model=model,
        clip=clip,
        labels=outputs.labels,
        task=outputs.task,
        about=source.about,
        report=report,
        target_stats=outputs.target_stats,
    )


def _clip(source: Source, config: ModelConfig) -> ClipConfig:
    """Return the source's clip settings, with the frames and size of the wanted model."""
    clip = source.clip
    if config.frames != source.config.frames:
        clip = replace(clip, frames=config.frames)
    if config.frame_size != source.config.frame_size:
        clip = replace(clip, size=config.size)
    return clip


def _other_span(old: ClipConfig, new: ClipConfig) -> tuple[str, ...]:
    """Return a note where clips with another number of frames span another duration."""
    if old.frames == new.frames or new.sampling != "dense":
        return ()
    before, after = (clip.frames * clip.rate / clip.fps for clip in (old, new))
    return (f"a clip now spans {after:.2f} s instead of {before:.2f} s: {new.frames} frames at rate {new.rate}",)


def _refuse(source: Source, config: ModelConfig) -> None:
    """Raise :class:`WeightsError` if the wanted model differs in a setting that can't be fitted."""
    for name in FIXED:
        have, want = getattr(source.config, name), getattr(config, name)
        alike = have == want or (name == "mlp_ratio" and int(have * config.width) == int(want * config.width))
        if not alike:
            raise WeightsError(
                f"{source.name} has {name} {have} but {want} is wanted; weights can't be changed to that: "
                f"set {name} to {have}."
            )
    try:
        for step in schemes.steps(config):
            schemes.check(step, schemes.Grid(config.frames, *config.grid))
    except ConfigError as error:
        raise WeightsError(f"{source.name} can't become a model for such clips: {error}") from error
    if source.config.scheme != config.scheme and len(schemes.SCHEMES[source.config.scheme]) > 1:
        raise WeightsError(
            f"{source.name} has scheme {source.config.scheme!r} but {config.scheme!r} is wanted; only image models and "
            f"the schemes of one step can start another: choose scheme {source.config.scheme!r}."
        )


def _changes(old: ModelConfig, new: ModelConfig) -> tuple[str, ...]:
    """Return notes on settings with which the weights were not trained."""
    if old.scheme != new.scheme:
        return ()
    pairs = ((name, getattr(old, name), getattr(new, name)) for name in ("order", "class_in_time"))
    return tuple(
        f"{name} {have!r} -> {want!r}: the weights were not trained with it"
        for name, have, want in pairs
        if have != want
    )


def _copy_to_steps(fitted: Fitted, old: ModelConfig, new: ModelConfig) -> Fitted:
    """Copy the attention and LayerNorm of the only step to every step of another scheme."""
    if old.scheme == new.scheme:
        return fitted
    (only,) = schemes.SCHEMES[old.scheme]
    steps = schemes.steps(new)
    (main,) = (step for step in steps if not schemes.has_zero_projection(step, new))
    tensors = {name: value for name, value in fitted.tensors.items() if f".steps.{only.name}." not in name}
    copied: list[str] = []
    zero: list[str] = []
    for name, value in fitted.tensors.items():
        block, found, part = name.partition(f".steps.{only.name}.")
        if not found:
            continue
        for step in steps:
            target = f"{block}.steps.{step.name}.{part}"
            tensors[target] = value
            if step is not main:
                copied.append(f"{target} from {block}.steps.{main.name}.{part}")
    if new.weight_init == "image":
        for number in range(new.depth):
            for step in (step for step in steps if step is not main):
                extra = f"blocks.{number}.steps.{step.name}.extra"
                tensors[f"{extra}.weight"] = torch.zeros(new.width, new.width)
                tensors[f"{extra}.bias"] = torch.zeros(new.width)
                zero += [f"{extra}.weight", f"{extra}.bias"]
    return replace(fitted, tensors=tensors, copied=fitted.copied + tuple(copied), zero=fitted.zero + tuple(zero))


def _random(fitted: Fitted, old: ModelConfig, new: ModelConfig) -> Fitted:
    """Add random values for temporal parts, where the config's initialisation is "scratch"."""
    timeless = old.scheme != new.scheme or new.has_time_embedding > old.has_time_embedding
    if new.weight_init != "scratch" or not timeless:
        return fitted
    drawn = TimeSformer(new).state_dict()
    time_parts = [name for name in drawn if ".extra." in name or name == "embedding.time"]
    names = [name for name in time_parts if name not in fitted.tensors]
    tensors = {**fitted.tensors, **{name: drawn[name] for name in names}}
    return replace(fitted, tensors=tensors, new=(*fitted.new, *names))


def _head(fitted: Fitted, source: Source, config: ModelConfig, wanted: Outputs | None) -> tuple[Fitted, str, Rows]:
    """Return the head for the wanted outputs, a note on it, and the old row of each output."""
    names = ("head.weight", "head.bias")
    same: Rows = tuple(range(config.classes))
    none: Rows = (None,) * config.classes
    if not all(name in fitted.tensors for name in names):
        found, said = none, "new: the weights have no head"
    elif source.config.pool != config.pool:
        found, said = none, f"new: the weights' head reads pool {source.config.pool!r}, this one {config.pool!r}"
    elif wanted is None:
        found, said = same if source.config.classes == config.classes else none, ""
    else:
        found, said = heads.plan(Outputs(source.labels, source.task), wanted)
    if found == same and source.config.classes == config.classes:
        return fitted, said, found
    drawn = TimeSformer(replace(config, depth=config.read_blocks)).state_dict()
    renewed = all(row is None for row in found)
    rows = {name: drawn[name] if renewed else heads.taken(fitted.tensors[name], drawn[name], found) for name in names}
    renewed_names = names if renewed else ()
    return replace(fitted, tensors={**fitted.tensors, **rows}, new=(*fitted.new, *renewed_names)), said, found
