"""The check before a training: the model must be able to overfit a few clips, or something is wrong."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from timesformer.config.checks import ConfigError
from timesformer.config.tasks import FACTS
from timesformer.config.training import TrainConfig
from timesformer.data.items import DataError, Item, some
from timesformer.data.manifest import Manifest
from timesformer.model.transformer import TimeSformer
from timesformer.tasks import regression, table
from timesformer.tasks.table import TABLE
from timesformer.training.engine import adapters, arithmetic, optimiser
from timesformer.training.shown.display import Display
from timesformer.video import reader
from timesformer.video.reader import VideoError
from timesformer.video.views import planned, portions
from timesformer.weights import loading
from timesformer.weights.fit.outputs import Outputs

STEPS = 600
"""Steps after which the check gives up."""
EVERY, ENOUGH = 10, 3
"""Steps between two tests, and tests in a row in which all clips must be right."""
WARMUP = 20
"""Steps of linear warm-up."""
ALIKE = 0.05
"""Difference of normalised pixels, about three grey levels, up to which clips count as the same."""


@dataclass(frozen=True)
class Overfit:
    """The result of overfitting a few clips."""

    reached: float
    """Share of the clips that the model answers rightly at the end, seen as in evaluation."""
    steps: int
    """Steps that were made."""
    advice: str
    """What was found, in a sentence or a few: what is wrong and what to try, or that nothing is."""


def overfit(
    manifest: Manifest, config: TrainConfig, *, clips: int = 8, steps: int = STEPS, display: Display | None = None
) -> Overfit:
    """Train on ``clips`` training clips alone, taken from all classes in turn, until all predictions are right.

    It takes at most ``steps`` steps.

    Clips are seen as in evaluation, without any regularisation: no augmentation, stochastic depth, label smoothing or
    weight decay. Learning rate, optimiser and model are the config's. Several labels are right if all of them are,
    numbers if they are within a tenth of their range. Raises ConfigError for an impossible number of clips,
    WeightsError for initial weights that don't fit, and DataError if no clip can be read.
    """
    if clips < 1:
        raise ConfigError(f"clips is {clips}; it must be at least 1.")
    display = display or Display()
    items, inputs, findings = _read(manifest, config, clips)
    target_stats = table.target_stats(manifest)
    targets = table.dense(table.targets(manifest, items), config.model.classes, target_stats)
    findings += _suspicious(items, inputs)
    with display:
        display.begin("overfitting", steps)
        check = _Check(config, inputs, targets, display, Outputs(manifest.labels, manifest.task, target_stats))
        check.run(steps)
    right = check.right()
    findings = (_verdict(check, right, items), *findings)
    return Overfit(float(right.double().mean()), check.steps, " ".join(findings))


class _Check:
    """A model, the clips that it overfits, and the steps made so far."""

    def __init__(
        self, config: TrainConfig, inputs: Tensor, targets: Tensor, display: Display, outputs: Outputs
    ) -> None:
        self.device = arithmetic.device(config.engine)
        self.scaler = arithmetic.scaler(self.device, config.engine.precision)
        self.config, self.display = config, display
        self.inputs, self.targets = inputs.to(self.device), targets.to(self.device)
        self.optim = replace(config.optim, weight_decay=0.0, label_smoothing=0.0)
        self.steps = 0
        self.losses: list[float] = []
        plain = replace(config.model, drop_path=0.0)
        torch.manual_seed(config.engine.seed)
        started = loading.start(config.init, plain, outputs=outputs, key=config.key) if config.init else None
        self.model = started.model if started else TimeSformer(plain)
        for text in started.report.brief() if started and started.report else ():
            display.say(f"- {config.init}: {text}")
        if started:
            regression.rescale_head(self.model.head, started.target_stats, outputs.target_stats)
        optimiser.freeze(self.model, config.freeze, blocks=config.frozen_blocks)
        adapters.add(self.model, config.lora, started.report.missing if started and started.report else ())
        self.model.to(self.device)
        self.optimizer = optimiser.build(self.model, self.optim, depth=plain.depth)

    def run(self, steps: int) -> None:
        """Train until all clips are right in several tests in a row, the loss diverges, or the steps are used up."""
        known = 0
        while self.steps < steps and known < ENOUGH and all(map(math.isfinite, self.losses[-1:])):
            self._step()
            if self.steps % EVERY == 0:
                known = known + 1 if bool(self.right().all()) else 0

    def _step(self) -> None:
        lr = self.optim.lr * min((self.steps + 1) / WARMUP, 1.0)
        optimiser.set_rate(self.optimizer, lr)
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        total, size = 0.0, max(self.optim.batch // self.optim.accumulate, 1)
        for clips, wanted in zip(self.inputs.split(size), self.targets.split(size), strict=True):
            share = TABLE[self.config.task].losses(self._logits(clips), wanted, self.optim).sum() / len(self.inputs)
            self.scaler.scale(share).backward()
            total += float(share.detach())
        if self.optim.clip_grad:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.optim.clip_grad)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.steps += 1
        self.losses.append(total)
        self.display.step(done=self.steps, loss=total, lr=lr, clips_per_second=0.0)

    def _logits(self, clips: Tensor) -> Tensor:
        with arithmetic.autocast(self.device, self.config.engine.precision):
            answer: Tensor = self.model(clips)
        return answer.float()

    @torch.no_grad()
    def right(self) -> Tensor:
        """Whether the prediction of each clip is right, (b,)."""
        self.model.eval()
        size = max(self.optim.batch // self.optim.accumulate, 1)
        logits = torch.cat([self._logits(clips) for clips in self.inputs.split(size)])
        return TABLE[self.config.task].right(logits, self.targets)


def _read(manifest: Manifest, config: TrainConfig, count: int) -> tuple[list[Item], Tensor, tuple[str, ...]]:
    """Clips of items from all classes in turn (b, t, c, h, w), and sentences about those that can't be read."""
    items: list[Item] = []
    clips: list[Tensor] = []
    broken, damaged = [], []
    for item in _by_turns(manifest.of("train")):
        if len(items) == count:
            break
        try:
            numbers = planned(reader.info(item.path), config.clip, start=item.start, end=item.end)
            seen = list(portions(item.path, numbers, config.clip))
            clips += [portion.views for portion in seen]
            items.append(item)
            damaged += [item.key] if any(portion.notes for portion in seen) else []
        except VideoError as error:
            broken.append(f"{item.key} ({error.reason})")
    if not items:
        raise DataError(f"none of the {len(broken)} training videos can be read: {some(broken)}; check the files.")
    said = [f"{len(broken)} videos are broken and were skipped: {some(broken)}."] if broken else []
    said += [f"{len(damaged)} of the clips do not decode completely: {some(damaged)}."] if damaged else []
    if len(items) < count:
        said.append(f"there are only {len(items)} training clips.")
    return items, torch.cat(clips), tuple(said)


def _by_turns(items: Sequence[Item]) -> list[Item]:
    """The items in another order: one of each class, then the next of each, ..."""
    rounds: dict[object, int] = {}
    places = []
    for item in items:
        rounds[item.label] = rounds.get(item.label, 0) + 1
        places.append(rounds[item.label])
    return [item for _, item in sorted(zip(places, items, strict=True), key=lambda pair: pair[0])]


def _suspicious(items: Sequence[Item], clips: Tensor) -> tuple[str, ...]:
    """Clips that show nothing, or the same as others."""
    flat = clips.flatten(1)
    found = []
    ranges = (clips.amax(dim=(1, 3, 4)) - clips.amin(dim=(1, 3, 4))).amax(dim=1)  # of the channel that varies most
    blank = [item.key for item, width in zip(items, ranges.tolist(), strict=True) if width < ALIKE]
    if blank:
        found.append(f"{len(blank)} of the clips are blank, a single colour: {some(blank)}; leave them out.")
    twins = [
        f"{items[first].key} ({items[first].label}) and {items[second].key} ({items[second].label})"
        for first in range(len(items))
        for second in range(first + 1, len(items))
        if items[first].label != items[second].label and float((flat[first] - flat[second]).abs().max()) < ALIKE
    ]
    if twins:
        found.append(f"clips look the same and have different labels: {some(twins)}; correct the labels.")
    return tuple(found)


def _verdict(check: _Check, right: Tensor, items: Sequence[Item]) -> str:
    """The result in words, and what to change if clips are still wrong."""
    number, last = len(items), check.losses[-1]
    if not math.isfinite(last):
        return f"the loss is not a number after {check.steps} steps: try a tenth of --optim.lr, or --optim.clip-grad 1."
    if bool(right.all()):
        return f"all {number} clips were memorised in {check.steps} steps: data, model and loss work."
    wrong = [item.key for item, fine in zip(items, right.tolist(), strict=True) if not fine]
    how = f"only {number - len(wrong)} of {number} clips were memorised in {check.steps} steps (loss {last:.3f})"
    shares = check.targets.mean(dim=0)
    chance = float(-(shares * shares.clamp(min=1e-9).log()).sum())
    if check.config.freeze == "backbone":
        return f"{how} by the head alone: try --freeze none. Still wrong: {some(wrong)}."
    if FACTS[check.config.task].exclusive and last > 0.9 * chance:
        return (
            f"{how}: the loss never left chance level ({chance:.3f}). Try another --optim.lr (a third, or three "
            "times), --model.weight-init scratch without --init, or a smaller --model.patch."
        )
    return (
        f"{how}, and these are still wrong: {some(wrong)}. Check their labels; if they are right, try a higher "
        "--optim.lr, a larger --model.width, or a smaller --model.patch."
    )
