"""Advice while a training runs: what goes wrong, and which options may help."""

import math
from collections.abc import Sequence

from timesformer.config.tasks import FACTS
from timesformer.config.training import TrainConfig
from timesformer.training.run.epochs import EpochRow

PATIENCE = 0.25
"""Share of the training after which a loss at chance level is reported."""
WAITING = 0.4
"""Share of the time spent waiting for clips above which the loader is reported as the bottleneck."""


def advice(rows: Sequence[EpochRow], config: TrainConfig, class_counts: Sequence[int]) -> list[str]:
    """Sentences to show after the last of these epochs; each is shown once in a training."""
    return [
        text
        for now, text in _signs(rows, config, class_counts)
        if now and not _before(rows, config, class_counts, text)
    ]


def chance_level(class_counts: Sequence[int]) -> float:
    """Cross-entropy of a model that always predicts the class frequencies."""
    total = sum(class_counts)
    return -sum(count / total * math.log(count / total) for count in class_counts if count)


def _signs(rows: Sequence[EpochRow], config: TrainConfig, class_counts: Sequence[int]) -> list[tuple[bool, str]]:
    last = rows[-1]
    chance = (
        math.log(max(len([count for count in class_counts if count]), 1))
        if config.optim.class_weights
        else chance_level(class_counts)
    )
    stuck = (
        FACTS[config.task].exclusive
        and last.epoch >= PATIENCE * config.optim.epochs
        and last.train_loss > 0.97 * chance
        # with mixup or class weights, the loss stays high although the model tells plain clips apart
        and last.validation["val_mean_class"] < 1.5 / max(len([count for count in class_counts if count]), 1)
    )
    return [
        (
            stuck,
            f"the training loss is still at chance level ({chance:.2f} for these classes): the model has not "
            f"learned anything yet. Try one of these: {', '.join(_remedies(config))}.",
        ),
        (
            last.waited > WAITING and last.epoch > 1,
            f"the loader is the bottleneck: over {WAITING:.0%} of the time is spent waiting for clips. Re-encode the "
            f"videos smaller once (timesformer prepare DATA OUT), use more --engine.workers than "
            f"{config.engine.workers}{'' if config.engine.cache == 'on' else ', or --engine.cache on'}.",
        ),
    ]


def _remedies(config: TrainConfig) -> list[str]:
    """Options that may help a model that does not learn, without those that are set already."""
    lr = config.optim.lr
    remedies = ["--overfit 8 on this data", f"another --optim.lr ({lr / 3:.2g} or {3 * lr:.2g})"]
    if config.init:
        return remedies + ["training all layers (no --freeze)"] * (config.freeze != "none")
    if config.model.patch > 8:
        remedies.append(f"a --model.patch below {config.model.patch}")
    if config.model.weight_init != "scratch":
        remedies.append("--model.weight-init scratch")
    return [*remedies, "--init with pretrained weights"]


def _before(rows: Sequence[EpochRow], config: TrainConfig, class_counts: Sequence[int], text: str) -> bool:
    return any(
        now and said == text for end in range(1, len(rows)) for now, said in _signs(rows[:end], config, class_counts)
    )
