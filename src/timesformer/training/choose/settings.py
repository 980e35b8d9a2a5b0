"""Settings that suit the data and the machine, so that `train DATA` needs no other option.

They start from the recipes small-scratch-cpu, small-scratch-gpu and small-finetune.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from timesformer.config.checks import in_pixels
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.tasks import FACTS
from timesformer.config.training import AugmentConfig, OptimConfig, TrainConfig
from timesformer.data.batches.opposites import expected_counts
from timesformer.data.items import counted
from timesformer.data.manifest import Manifest
from timesformer.recipes.small import SMALL_CPU, SMALL_FINETUNE, SMALL_GPU
from timesformer.training.choose import mirroring
from timesformer.training.choose.reason import Reason
from timesformer.training.choose.survey import Look, Survey, survey
from timesformer.weights.formats.source import Source

SHORT = 10.0
"""Median duration in seconds up to which a video counts as one action, so that clips show all of it."""
STEPS_PER_CLIP = 3
"""Steps for each clip when learning from scratch, within the bounds below; measured on clips of gestures."""
FEWEST_STEPS, MOST_STEPS = 500, 3000
SMALL_FRAMES = 112
"""About the size in pixels at which an image model sees frames on a CPU: a quarter of the patches of 224."""
AT_ONCE = OptimConfig(optimizer="lbfgs", lr=1.0, epochs=1)
"""For the head alone, fitted to features of a frozen backbone."""
SPAN = ("clip.sampling", "clip.frames", "clip.rate", "clip.fps")
"""Settings that say how much of a video a clip shows."""

IMAGE_START = (
    "few clips usually give a better model from image weights than from scratch: add --init dinov2-small (Apache 2.0, "
    "88 MB to download once; `timesformer zoo` lists others)"
)
"""What a start from weights would bring, said where none is named; nothing is downloaded unasked."""


@dataclass(frozen=True)
class Chosen:
    """A complete config, and the reasons for it."""

    config: TrainConfig
    reasons: tuple[Reason, ...]


def choose(
    manifest: Manifest,
    *,
    gpu: bool,
    source: Source | None = None,
    light: bool = False,
    look: Look | None = None,
    named: Mapping[str, Any] = MappingProxyType({}),
) -> Chosen:
    """Settings for learning these videos from scratch, or from the weights in ``source``.

    ``light`` is for adapters or the head alone, which learn at a higher rate. ``look`` gives the survey of the videos;
    without it they are surveyed here. ``named`` are the settings that the user names, by dotted name.
    """
    seen = look() if look else survey(manifest)
    at_once = source is not None and fits_at_once(named)
    count, outputs = len(manifest.of("train")), len(manifest.labels)
    noun = "videos" if all(item.start is item.end is None for item in manifest.of("train")) else "time ranges"
    what = FACTS[manifest.task].output
    reasons = [Reason(f"{counted(count, 'training clip')}, {counted(outputs, what)}")]
    start = SMALL_FINETUNE if source else SMALL_GPU if gpu else SMALL_CPU
    if source is None:
        model, optim = replace(start.model, classes=outputs), start.optim
        patches = f"patches of {model.patch} px at {in_pixels(model.size)}"
        text = f"width {model.width}, {counted(model.depth, 'block')}, {patches}"
        names = ("model.width", "model.depth", "model.patch", "model.size")
        reasons.append(Reason(f"learning from scratch: a small model ({text})", names))
        reasons.append(Reason(IMAGE_START))
        clip = _fitted(start.clip, seen, reasons, noun)
    else:
        model = _model_of(source, outputs, gpu=gpu, at_once=at_once, reasons=reasons)
        optim = AT_ONCE if at_once else _tuning(start.optim, model.width, light=light)
        if not at_once:
            pace = "for adapters or the head alone" if light else "lower blocks slower"
            reasons.append(Reason(f"learning rate {optim.lr:g}, {pace}", ("optim.lr", "optim.layer_decay")))
        clip = _whole_if_short(replace(source.clip, size=model.size), seen, reasons, noun)
        if seen and source.config.weight_init == "scratch":  # such weights learned from pixels scaled to their own data
            clip = _scaled(clip, seen, reasons)
    augment = mirroring.chosen(AugmentConfig() if at_once else start.augment, manifest, named, reasons)
    if FACTS[manifest.task].numeric:
        optim = replace(optim, label_smoothing=0.0)
    elif _unequal(expected_counts(manifest, augment)):
        optim = replace(optim, class_weights=True)
        text = "the largest class has over three times the clips of the smallest: classes are weighted equally"
        reasons.append(Reason(text, ("optim.class_weights",)))
    if at_once:
        text = "the head is fitted at once, by L-BFGS, to features computed once (--optim.optimizer adamw: by steps)"
        reasons.append(Reason(text))
    else:
        steps = min(max(STEPS_PER_CLIP * count, FEWEST_STEPS), MOST_STEPS)
        optim = _paced(optim, count, steps * (4 if gpu else 1), reasons)
    frozen: Literal["none", "backbone"] = "backbone" if at_once else "none"
    config = TrainConfig(model=model, clip=clip, augment=augment, optim=optim, task=manifest.task, freeze=frozen)
    return Chosen(config, tuple(reasons))


def fits_at_once(named: Mapping[str, Any]) -> bool:
    """Whether the backbone is frozen and the settings name nothing that needs steps of an optimiser or shards."""
    steps = {name for name in named if name.startswith("optim.")} - {"optim.class_weights", "optim.optimizer"}
    return (
        named.get("freeze") == "backbone"
        and not steps
        and named.get("optim.optimizer", "lbfgs") == "lbfgs"
        and named.get("engine.parallel", "ddp") == "ddp"
    )


def _fitted(clip: ClipConfig, seen: Survey | None, reasons: list[Reason], noun: str) -> ClipConfig:
    """Clip settings with pixels normalised by the data's statistics, and whole videos only if they are short."""
    if seen is None:
        return clip
    clip = _scaled(clip, seen, reasons)
    text = f"each is seen whole, in {clip.frames} segments"
    if seen.seconds > SHORT:
        clip = replace(clip, sampling="dense")
        text = f"clips of {clip.frames * clip.rate / clip.fps:.1f} s are cut from them"
    reasons.append(Reason(f"{noun} last {seen.seconds:.1f} s: {text}", SPAN))
    return clip


def _model_of(source: Source, outputs: int, *, gpu: bool, at_once: bool, reasons: list[Reason]) -> ModelConfig:
    """The model of the weights; of an image model, with a scheme, and without a GPU for smaller frames."""
    reasons.append(Reason(f"started from {source.name}: its clip settings"))
    # the weights may have been used with other clips than their embeddings are for: these clips are kept
    model = replace(source.config, frames=source.clip.frames, size=source.clip.size, classes=outputs)
    if not source.image:
        return model
    if at_once:
        text = "space attention: the frozen weights see frame by frame, and their features are averaged"
        reasons.append(Reason(text, ("model.scheme",)))
    size = max(round(SMALL_FRAMES / model.patch), 1) * model.patch
    if not gpu and size < min(model.frame_size):
        text = f"frames of {size} px, not {in_pixels(model.size)}: without a GPU, larger ones take too long"
        reasons.append(Reason(text, ("model.size", "clip.size")))
        model = replace(model, size=size, resize="smooth")
    return replace(model, scheme="space" if at_once else "divided")


def _tuning(optim: OptimConfig, width: int, *, light: bool) -> OptimConfig:
    """The optimiser for fine-tuning weights of a width; ``light`` takes ten times the learning rate in all blocks."""
    lr = 5e-4 if width < 384 else optim.lr
    return replace(optim, lr=10 * lr, layer_decay=1.0) if light else replace(optim, lr=lr)


def _scaled(clip: ClipConfig, seen: Survey, reasons: list[Reason]) -> ClipConfig:
    """Clip settings with pixels scaled to the data's own mean and standard deviation."""
    text = f"pixels scaled to the data's own mean {seen.mean} and standard deviation {seen.std}"
    reasons.append(Reason(text, ("clip.mean", "clip.std")))
    return replace(clip, mean=seen.mean, std=seen.std)


def _whole_if_short(clip: ClipConfig, seen: Survey | None, reasons: list[Reason], noun: str) -> ClipConfig:
    """Clip settings of weights, but whole videos where most are shorter than a clip, which would end in a still."""
    span = clip.frames * clip.rate / clip.fps
    if clip.sampling == "segments" or seen is None or seen.seconds >= span:
        return clip
    text = f"{noun} last {seen.seconds:.1f} s, less than its clips of {span:.1f} s: each is seen whole, "
    reasons.append(Reason(f"{text}in {clip.frames} segments", SPAN))
    return replace(clip, sampling="segments")


def _unequal(counts: Sequence[float]) -> bool:
    present = [count for count in counts if count]
    return max(present) > 3 * min(present)


def _paced(optim: OptimConfig, clips: int, steps: int, reasons: list[Reason]) -> OptimConfig:
    """As many epochs as make the steps; each has at least 40 steps, so that validation takes little of the time."""
    repeats = max(1, round(40 * optim.batch / clips))
    per_epoch = max(clips * repeats // optim.batch, 1)
    epochs = max(math.ceil(steps / per_epoch), 10)
    text = f"{counted(epochs, 'epoch')} of {counted(per_epoch, 'step')}"
    if repeats > 1:
        text += f", each clip {repeats} times an epoch"
    reasons.append(Reason(text, ("optim.epochs", "optim.repeats", "optim.batch")))
    return replace(optim, repeats=repeats, epochs=epochs)
