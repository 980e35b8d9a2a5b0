"""What a linear fit on frozen features reaches, measured before a longer training from an image model."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from timesformer.config.training import TrainConfig
from timesformer.data.items import counted
from timesformer.data.manifest import Manifest
from timesformer.inference.measures import measure
from timesformer.tasks import table
from timesformer.tasks.table import SHOWN, best_measure
from timesformer.training import head
from timesformer.training.choose import plan
from timesformer.training.engine import arithmetic, processes
from timesformer.training.linear import features
from timesformer.weights import loading
from timesformer.weights.fit.outputs import Outputs

MOST_VIDEOS = 1000
MOST_SECONDS = 60.0
SAMPLE = 8
"""Videos after which the time for all of them is estimated."""
KEPT = ("init", "key", "task", "model.frames", "model.size", "model.heads")
"""Settings of the training that the linear fit shares, beside those of clips and engine."""


class _TooLongError(Exception):
    """All videos would take longer than :data:`MOST_SECONDS`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def sentence(manifest: Manifest, settings: Mapping[str, Any]) -> str:
    """What a linear fit reaches on the validation videos, or that it would take too long.

    ``settings`` are those that the user names (dotted). The text is empty where the training does not start from an
    image model, or fits the head alone anyway.
    """
    if not settings.get("init") or settings.get("freeze", "none") != "none" or processes.launched():
        return ""
    size = settings.get("model.size")
    grid = tuple(size) if isinstance(size, list | tuple) else None  # embeddings don't say their shape
    if not loading.read_source(settings["init"], grid, key=settings.get("key", "")).image:
        return ""
    remedy = "--freeze backbone makes one"
    videos = len(manifest.of("train")) + len(manifest.of("val"))
    if videos > MOST_VIDEOS:
        return f"no linear fit on frozen features for comparison: {videos} videos take too long ({remedy})"
    shared = {name: value for name, value in settings.items() if name in KEPT or name.startswith(("clip.", "engine."))}
    config = plan.plan(manifest, plan.Base(), {**shared, "freeze": "backbone", "engine.parallel": "ddp"}).config
    started = time.monotonic()
    try:
        name, value = _reached(manifest, config)
    except _TooLongError as error:
        return f"no linear fit on frozen features for comparison: it would take about {error.seconds:.0f} s ({remedy})"
    shown = f"{value:.3g}" if manifest.task == "regression" else f"{value:.1%}"
    return (
        f"a linear fit on frozen features reaches {SHOWN.get(name, 'validation loss')} {shown} on "
        f"{counted(len(manifest.of('val')), 'validation video')} ({time.monotonic() - started:.0f} s; {remedy})"
    )


def _reached(manifest: Manifest, config: TrainConfig) -> tuple[str, float]:
    """The measure of the task and its value on the validation videos; raises :class:`_TooLongError`."""
    stats = table.target_stats(manifest)
    outputs = Outputs(manifest.labels, manifest.task, stats)
    model = loading.start(config.init, config.model, outputs=outputs, key=config.key).model
    model.to(arithmetic.device(config.engine))
    train, val = manifest.of("train"), manifest.of("val")
    started = time.monotonic()

    def progress(done: int) -> None:
        estimate = (time.monotonic() - started) / done * (len(train) + len(val))
        if done >= SAMPLE and estimate > MOST_SECONDS:
            raise _TooLongError(estimate)

    seen = features.of_videos(model, (*train, *val), config, mirror=False, progress=progress)
    learned = torch.tensor([item.split == "train" for item in seen.items])
    items = tuple(item for item in seen.items if item.split == "train")
    fitted = head.fit(replace(seen, items=items, features=seen.features[learned]), manifest, config, stats)
    logits = fitted.layer(seen.features[~learned, 0])
    scores = table.fuse(logits[:, None], config.task, "scores", stats)
    held = tuple(item for item in seen.items if item.split == "val")
    name = best_measure(config.task, config.optim)
    return name, measure(replace(seen.scores, items=held, scores=scores), manifest).validation(stats)[name]
