"""The four ways a training can start: from scratch, from an image model, with its head alone, or from video weights.

Each gives a whole config, and adds its reasons to a list.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from timesformer.config.checks import in_pixels
from timesformer.config.model import LAST_BLOCKS, ClipConfig, ModelConfig
from timesformer.config.training import AugmentConfig, OptimConfig, TrainConfig
from timesformer.data.items import counted
from timesformer.recipes.small import SMALL_CPU, SMALL_FINETUNE, SMALL_GPU, SMALL_IMAGE
from timesformer.training.choose.reason import Reason
from timesformer.training.choose.survey import Survey
from timesformer.weights.formats.source import Source

SHORT = 10.0
"""Median duration in seconds up to which a video counts as one action, so that clips show all of it."""
SMALL_FRAMES, SMALL_GRID = 112, 8
"""About the size in pixels at which an image model sees frames on a CPU, and the most rows of patches there."""
UPPER = 2
"""Blocks of an image model that learn; what those below compute is kept."""
AT_ONCE = OptimConfig(optimizer="lbfgs", lr=1.0, epochs=1)
"""For the head alone, fitted to features of a frozen backbone."""
SPAN = ("clip.sampling", "clip.frames", "clip.rate", "clip.fps")
"""Settings that say how much of a video a clip shows."""
IMAGE_START = (
    "few clips usually give a better model from image weights than from scratch: add --init dinov2-small (Apache 2.0, "
    "88 MB to download once; `timesformer zoo` lists others)"
)
"""What a start from weights would bring, said where none is named; nothing is downloaded unasked."""


def from_scratch(seen: Survey | None, reasons: list[Reason], noun: str, *, gpu: bool) -> TrainConfig:
    """A small model that learns everything from the data."""
    start = SMALL_GPU if gpu else SMALL_CPU
    model, clip = start.model, start.clip
    patches = f"patches of {model.patch} px at {in_pixels(model.size)}"
    text = f"width {model.width}, {counted(model.depth, 'block')}, {patches}"
    names = ("model.width", "model.depth", "model.patch", "model.size")
    reasons.append(Reason(f"learning from scratch: a small model ({text})", names))
    reasons.append(Reason(IMAGE_START))
    if seen:
        clip = _shown(_scaled(clip, seen, reasons), seen, reasons, noun)
    return replace(start, clip=clip)


def from_image(
    source: Source, seen: Survey | None, reasons: list[Reason], noun: str, *, gpu: bool, named: Mapping[str, Any]
) -> TrainConfig:
    """An image model whose last blocks learn, with time attention, on what the frozen blocks computed once.

    ``named`` are the settings that the user names: another number of frozen blocks, or another scheme.
    """
    start, depth = SMALL_IMAGE, source.config.depth
    frozen: int = named.get("frozen_blocks", max(depth - UPPER, 0))
    scheme = named.get("model.scheme", "divided")
    model = _sized(source, reasons, gpu=gpu)
    model = replace(model, scheme=scheme, frames=start.clip.frames, drop_path=0.0, resize="smooth")
    text = f"{start.clip.frames} frames a clip, so that there is an order to learn"
    reasons.append(Reason(text, ("model.frames", "clip.frames")))
    text = f"the last {counted(depth - frozen, 'block')} of {depth} learn, at learning rate {start.optim.lr:g}"
    reasons.append(Reason(text, ("frozen_blocks", "optim.lr")))
    augment = start.augment if frozen else replace(start.augment, versions=0)
    if frozen:
        kept = counted(augment.versions, "version")
        text = f"the other {counted(frozen, 'block')} run once for {kept} of each video; what they compute is kept"
        reasons.append(Reason(text, ("frozen_blocks", "augment.versions", "engine.frozen_cache")))
    if model.rotary or scheme in ("local_global", "axial"):  # groups of whole rows and columns
        augment = replace(augment, patch_drop=0.0)
    else:
        text = f"each step sees {1 - augment.patch_drop:.0%} of the patches, so that it costs less and overfits less"
        reasons.append(Reason(text, ("augment.patch_drop",)))
    clip = replace(source.clip, size=model.size, frames=start.clip.frames, sampling="segments")
    clip = _shown(clip, seen, reasons, noun) if seen else clip
    return replace(start, model=model, clip=clip, augment=augment, frozen_blocks=frozen)


def head_alone(source: Source, seen: Survey | None, reasons: list[Reason], noun: str, *, gpu: bool) -> TrainConfig:
    """A head that is fitted to features of the frozen backbone, which are computed once."""
    model, clip = _own(source), source.clip
    if source.image:
        text = "space attention: the frozen weights see frame by frame, and their features are averaged"
        reasons.append(Reason(text, ("model.scheme",)))
        model = replace(_sized(source, reasons, gpu=gpu), scheme="space")
        if model.depth >= LAST_BLOCKS:
            text = f"the head reads class token, mean patch and its change over time in the last {LAST_BLOCKS} blocks"
            reasons.append(Reason(text, ("model.pool",)))
            model = replace(model, pool="last_blocks")
        # An image model has no frame rate of its own, and a head on averaged frames gains nothing by their being near
        clip = replace(clip, size=model.size, sampling="segments")
        text = f"{noun} are seen whole, in {clip.frames} segments, whose features are averaged"
        reasons.append(Reason(text, SPAN))
    else:
        reasons.append(Reason(f"started from {source.name}: its clip settings"))
        clip = _of_weights(source, seen, reasons, noun)
    text = "the head is fitted at once, by L-BFGS, to features computed once (--optim.optimizer adamw: by steps)"
    reasons.append(Reason(text))
    return TrainConfig(model=model, clip=clip, augment=AugmentConfig(), optim=AT_ONCE, freeze="backbone")


def from_weights(
    source: Source, seen: Survey | None, reasons: list[Reason], noun: str, *, gpu: bool, light: bool
) -> TrainConfig:
    """Weights that are fine-tuned with their own clips; ``light`` is for adapters or the head alone."""
    reasons.append(Reason(f"started from {source.name}: its clip settings"))
    model, clip = _own(source), _of_weights(source, seen, reasons, noun)
    if source.image:
        model = replace(_sized(source, reasons, gpu=gpu), scheme="divided")
        clip = replace(clip, size=model.size)
    optim = _tuning(SMALL_FINETUNE.optim, model.width, light=light)
    pace = "for adapters or the head alone" if light else "lower blocks slower"
    reasons.append(Reason(f"learning rate {optim.lr:g}, {pace}", ("optim.lr", "optim.layer_decay")))
    return replace(SMALL_FINETUNE, model=model, clip=clip, optim=optim)


def fits_at_once(named: Mapping[str, Any]) -> bool:
    """Whether the backbone is frozen and the settings name nothing that needs steps of an optimiser or shards."""
    steps = {name for name in named if name.startswith("optim.")} - {"optim.class_weights", "optim.optimizer"}
    return (
        named.get("freeze") == "backbone"
        and not steps
        and named.get("optim.optimizer", "lbfgs") == "lbfgs"
        and named.get("engine.parallel", "ddp") == "ddp"
    )


def _own(source: Source) -> ModelConfig:
    """The model of the weights, for the clips that they were used with, which their embeddings may not be for."""
    return replace(source.config, frames=source.clip.frames, size=source.clip.size)


def _sized(source: Source, reasons: list[Reason], *, gpu: bool) -> ModelConfig:
    """An image model at its own size; without a GPU, for smaller frames."""
    if not any(source.name in reason.text for reason in reasons):
        reasons.append(Reason(f"started from the image model {source.name}"))
    model = _own(source)
    size = min(max(round(SMALL_FRAMES / model.patch), 1), SMALL_GRID) * model.patch
    if gpu or size >= min(model.frame_size):
        return model
    text = f"frames of {size} px, not {in_pixels(model.size)}: without a GPU, larger ones take too long"
    reasons.append(Reason(text, ("model.size", "clip.size")))
    return replace(model, size=size, resize="smooth")


def _tuning(optim: OptimConfig, width: int, *, light: bool) -> OptimConfig:
    """The optimiser for fine-tuning weights of a width; ``light`` takes ten times the learning rate in all blocks."""
    lr = 5e-4 if width < 384 else optim.lr
    return replace(optim, lr=10 * lr, layer_decay=1.0) if light else replace(optim, lr=lr)


def _scaled(clip: ClipConfig, seen: Survey, reasons: list[Reason]) -> ClipConfig:
    """Clip settings with pixels scaled to the data's own mean and standard deviation."""
    text = f"pixels scaled to the data's own mean {seen.mean} and standard deviation {seen.std}"
    reasons.append(Reason(text, ("clip.mean", "clip.std")))
    return replace(clip, mean=seen.mean, std=seen.std)


def _shown(clip: ClipConfig, seen: Survey, reasons: list[Reason], noun: str) -> ClipConfig:
    """Clip settings that show whole videos if they are short, and parts of a fixed duration if not."""
    text = f"each is seen whole, in {clip.frames} segments"
    if seen.seconds > SHORT:
        clip = replace(clip, sampling="dense")
        text = f"clips of {clip.frames * clip.rate / clip.fps:.1f} s are cut from them"
    reasons.append(Reason(f"{noun} last {seen.seconds:.1f} s: {text}", SPAN))
    return clip


def _of_weights(source: Source, seen: Survey | None, reasons: list[Reason], noun: str) -> ClipConfig:
    """Clip settings of weights, but whole videos where most are shorter than a clip, which would end in a still."""
    clip = source.clip
    span = clip.frames * clip.rate / clip.fps
    if seen and clip.sampling == "dense" and seen.seconds < span:
        text = f"{noun} last {seen.seconds:.1f} s, less than its clips of {span:.1f} s: each is seen whole, "
        reasons.append(Reason(f"{text}in {clip.frames} segments", SPAN))
        clip = replace(clip, sampling="segments")
    if seen and source.config.weight_init == "scratch":  # such weights learned from pixels scaled to their own data
        clip = _scaled(clip, seen, reasons)
    return clip
