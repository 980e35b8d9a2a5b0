"""Settings that suit the data and the machine, so that `train DATA` needs no other option."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from timesformer.config.tasks import FACTS
from timesformer.config.training import OptimConfig, TrainConfig
from timesformer.data.batches.opposites import expected_counts
from timesformer.data.items import counted
from timesformer.data.manifest import Manifest
from timesformer.training.choose import mirroring, starts
from timesformer.training.choose.reason import Reason
from timesformer.training.choose.survey import Look, survey
from timesformer.weights.formats.source import Source

STEPS_PER_CLIP = 3
"""Steps for each clip when all blocks learn, within the bounds below; measured on clips of gestures, from scratch."""
FEWEST_STEPS, MOST_STEPS = 500, 3000
IMAGE_EPOCHS, FEWEST_IMAGE_STEPS = 40, 400
"""Times that the last blocks of an image model see each clip, and the fewest steps that they take in all."""


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
    count, outputs = len(manifest.of("train")), len(manifest.labels)
    noun = "videos" if all(item.start is item.end is None for item in manifest.of("train")) else "time ranges"
    reasons = [Reason(f"{counted(count, 'training clip')}, {counted(outputs, FACTS[manifest.task].output)}")]
    steps = min(max(STEPS_PER_CLIP * count, FEWEST_STEPS), MOST_STEPS)
    if source is None:
        start = starts.from_scratch(seen, reasons, noun, gpu=gpu)
    elif starts.fits_at_once(named):
        start = starts.head_alone(source, seen, reasons, noun, gpu=gpu)
    elif source.image and not light:
        start = starts.from_image(source, seen, reasons, noun, gpu=gpu, named=named)
        steps = max(IMAGE_EPOCHS * count // start.optim.batch, FEWEST_IMAGE_STEPS)
    else:
        start = starts.from_weights(source, seen, reasons, noun, gpu=gpu, light=light)
    optim = start.optim
    augment = mirroring.chosen(start.augment, manifest, named, reasons)
    if FACTS[manifest.task].numeric:
        optim = replace(optim, label_smoothing=0.0)
    elif _unequal(expected_counts(manifest, augment)):
        optim = replace(optim, class_weights=True)
        text = "the largest class has over three times the clips of the smallest: classes are weighted equally"
        reasons.append(Reason(text, ("optim.class_weights",)))
    if optim.optimizer != "lbfgs":
        optim = _paced(optim, count, steps * (4 if gpu else 1), reasons)
    model, clip = replace(start.model, classes=outputs), start.clip
    if seen and clip.sampling == "segments":
        clip = replace(clip, seconds=round(seen.seconds, 2))
    return Chosen(
        replace(start, model=model, clip=clip, augment=augment, optim=optim, task=manifest.task, init=""),
        tuple(reasons),
    )


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
