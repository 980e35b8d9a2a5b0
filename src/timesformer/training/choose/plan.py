"""All settings of a training: those of a run, a recipe or a file, or chosen for the data, then those the user names.

The command and :func:`timesformer.train` both call this module, so that they make the same choices.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from timesformer.config import configfile
from timesformer.config.checks import ConfigError, in_pixels
from timesformer.config.decode import decode_value
from timesformer.config.training import TrainConfig
from timesformer.data.batches.opposites import opposites
from timesformer.data.items import counted, together
from timesformer.data.manifest import Manifest
from timesformer.recipes import table as recipes
from timesformer.training.choose import architecture, engine, mirroring
from timesformer.training.choose import settings as choose
from timesformer.training.choose.reason import Reason
from timesformer.training.choose.survey import survey
from timesformer.training.engine import arithmetic
from timesformer.weights import loading
from timesformer.weights.runs import seen_before


@dataclass(frozen=True)
class Base:
    """Settings to start from, where they are named."""

    config: TrainConfig | None = None
    """None where the data is to choose them."""
    said: tuple[str, ...] = ()
    """Sentences that say where they come from."""
    resumed: bool = False

    def task(self, settings: Mapping[str, Any]) -> Any:
        """The task to read the data for: what the user names, or that of the settings to start from."""
        return settings.get("task", (self.config or TrainConfig()).task)


@dataclass(frozen=True)
class Plan:
    """The settings of a training, all decided, and the reasons for those that were chosen."""

    config: TrainConfig
    reasons: tuple[str, ...]


def base(*, out: Path, recipe: str = "", config: TrainConfig | Path | None = None, resume: bool = False) -> Base:
    """The settings to start from: those of the run to resume, of a recipe, or of a file; raises ConfigError."""
    if resume:
        if recipe or config:
            raise ConfigError("--resume continues with the run's own settings; leave --recipe and --config out.")
        file = out / "config.toml"
        if not file.exists():
            raise ConfigError(f"{out} holds no training to resume; name its folder with --out.")
        return Base(_read(file), (f"resuming {out}",), resumed=True)
    if recipe and config:
        raise ConfigError("--recipe and --config both name settings to start from; give one of them.")
    if isinstance(config, TrainConfig):
        return Base(config)
    if config:
        return Base(_read(config), (f"settings of {config}",))
    if recipe:
        found = recipes.recipe(recipe)
        return Base(found.config, (f"recipe {found.name}: {found.description}", f"result: {found.result}"))
    return Base()


def plan(manifest: Manifest, start: Base, settings: Mapping[str, Any]) -> Plan:
    """Decide every setting: that of ``start``, or else one chosen for the data, unless ``settings`` names it (dotted).

    Raises ConfigError for values that don't fit together, and WeightsError for weights that can't be started from.
    """
    outputs = len(manifest.labels)
    reasons: tuple[Reason, ...] = ()
    settings = {**settings, **mirroring.implied(settings)}
    look = cache(lambda: survey(manifest))
    before = start.config
    if before is None:
        init = settings.get("init")
        size, heads = settings.get("model.size"), settings.get("model.heads")
        grid = tuple(size) if isinstance(size, list | tuple) else None  # embeddings don't say their shape
        source = loading.read_source(init, grid, heads=heads, key=settings.get("key", "")) if init else None
        light = settings.get("lora", 0) > 0 or settings.get("freeze") == "backbone"
        gpu = arithmetic.on_gpu(changed(TrainConfig(), _part(settings, "engine.")).engine)
        chosen = choose.choose(manifest, gpu=gpu, source=source, light=light, look=look, named=settings)
        before, reasons = chosen.config, chosen.reasons
    elif not start.resumed:
        before, reasons = architecture.of_weights(before, settings)
        if before.model.classes != outputs:
            text = f"{outputs} outputs, as the data has, in place of {before.model.classes}"
            reasons = (*reasons, Reason(text))
            before = replace(before, model=replace(before.model, classes=outputs))
    config = changed(before, settings)
    opposites(manifest, config.augment)  # raises for pairs that the data does not have
    if not start.resumed and (start.config or config.augment.mirror_labels):
        reasons = (*reasons, *mirroring.notes(manifest, config))
    if config.model.classes != outputs:
        raise ConfigError(f"model.classes is {config.model.classes} but the data has {outputs}; leave it out.")
    if not start.resumed:
        refuse_random_backbone(config)
    named, config = config, engine.settle(config, manifest, gpu=arithmetic.on_gpu(config.engine), look=look)
    if named.engine.precision == "auto" and not arithmetic.on_gpu(config.engine):
        text = f"precision {config.engine.precision}: the faster one, timed once on this machine and kept"
        reasons = (*reasons, Reason(f"{text} (--engine.precision names one)", ("engine.precision",)))
    said = (reason.text for reason in reasons if not settings.keys() & set(reason.settings))
    flattered = seen_before(Path(config.init), manifest.of("val")) if config.init else ()
    seen = None if start.resumed else look()
    remarks = together(seen.remarks) if seen else ()
    return Plan(config, (*said, *flattered, *larger_than_the_data(config, len(manifest.of("train"))), *remarks))


def refuse_random_backbone(config: TrainConfig) -> None:
    """Raise ConfigError if settings freeze weights that were drawn at random."""
    for name, value, off in (("freeze", config.freeze, "none"), ("frozen_blocks", config.frozen_blocks, 0)):
        if value != off and not config.init:
            raise ConfigError(
                f"{name} is {value!r}, but without weights to start from it would keep random ones; "
                f"name them with --init, or leave {name} out."
            )


def larger_than_the_data(config: TrainConfig, clips: int) -> tuple[str, ...]:
    """Notes on a batch larger than an epoch, or a warm-up as long as the training."""
    optim, found = config.optim, []
    if optim.optimizer == "lbfgs":
        return ()
    if optim.batch > clips * optim.repeats:
        drawn = counted(clips * optim.repeats, "clip")
        found.append(f"batch {optim.batch} is more than the {drawn} of an epoch: each epoch is one step of {drawn}")
    if optim.warmup >= optim.epochs:
        epochs = counted(optim.epochs, "epoch")
        found.append(f"the warm-up of {optim.warmup:g} in {epochs} never reaches the learning rate {optim.lr:g}")
    return tuple(found)


def changed(config: TrainConfig, settings: Mapping[str, Any]) -> TrainConfig:
    """The config with other values for some settings, by dotted name; the result is checked as a whole."""
    sections: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        section, _, field = name.rpartition(".")
        sections.setdefault(section, {})[field] = value
    own = sections.pop("", {})
    parts = {section: replace(getattr(config, section), **values) for section, values in sections.items()}
    return replace(config, **parts, **own)


def checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Values from Python as settings keep them, by dotted name: lists as tuples, paths as text; raises ConfigError."""
    hints = get_type_hints(TrainConfig)
    found = {}
    for name, value in settings.items():
        section, _, field = name.rpartition(".")
        hint = get_type_hints(hints[section])[field] if section else hints[name]
        found[name] = decode_value(hint, _plain(value), name)
    return found


def summary(config: TrainConfig) -> str:
    """The settings that matter most, in words."""
    model, clip, optim, engine = config.model, config.clip, config.optim, config.engine
    learning = (
        "head fitted by L-BFGS"
        if optim.optimizer == "lbfgs"
        else f"{optim.optimizer}, learning rate {optim.lr:g}, batch {optim.batch}, {counted(optim.epochs, 'epoch')}"
    )
    frames = "in memory" if engine.cache == "on" else "from disk"
    return (
        f"{model.scheme} model, width {model.width}, {counted(model.depth, 'block')}, patch {model.patch}; "
        f"clips of {counted(clip.frames, 'frame')} at {in_pixels(clip.size)}; "
        f"{learning}; {engine.precision}, {counted(engine.workers, 'loader worker')}, "
        f"frames {frames}, seed {engine.seed}"
    )


def _part(settings: Mapping[str, Any], section: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name.startswith(section)}


def _plain(value: object) -> object:
    """A value as a settings file would hold it."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    item = getattr(value, "item", None)  # a number of numpy or torch
    return item() if callable(item) else value


def _read(file: Path) -> TrainConfig:
    """The settings in a file; raises ConfigError where there is none that can be read."""
    try:
        text = file.read_text(encoding="utf-8-sig")  # Windows editors write a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(
            f"the settings in {file} can't be read ({reason}); name a file such as the config.toml of a run."
        ) from error
    return configfile.from_toml(text)
