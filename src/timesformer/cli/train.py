"""`timesformer train`: settings from a recipe, a file or the data itself, then from the flags, then the training."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from timesformer import configfile, recipes
from timesformer.config import ConfigError, Task, TrainConfig

if TYPE_CHECKING:
    from timesformer.data.manifest import Manifest
    from timesformer.training.display import Display


@dataclass(frozen=True)
class Start:
    """What has to be known before the other settings can be chosen."""

    data: tyro.conf.Positional[Path]
    """A folder with a folder per class, a CSV with a header, a Kinetics list, or a benchmark's own lists."""
    recipe: str = ""
    """Start from the settings of a recipe (`timesformer recipes` lists them)."""
    config: Path | None = None
    """Start from the settings in a file, such as the config.toml of another run."""
    out: Path = Path("run")
    """Folder of this training."""
    resume: bool = False
    """Go on with the training in the folder, with the settings that it was begun with."""
    overfit: int = 0
    """Only check that the model can learn this many clips by heart (8 is a good number)."""
    videos: Path | None = None
    """Folder of the videos that a list names, where it is not the list's own."""
    fold: int | None = None
    """Fold of UCF101 and HMDB51 lists."""
    missing: Literal["raise", "drop"] = "raise"
    """What to do about listed videos that do not exist."""


@dataclass(frozen=True)
class Train(Start):
    """Train a model on your videos and keep the best checkpoint.

    Without further flags, settings are chosen from what the data shows, printed, and written to config.toml.
    """

    settings: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)


@dataclass(frozen=True)
class _First(Start):
    init: str = ""
    task: Task = "classes"
    lora: int = 0
    freeze: Literal["none", "backbone"] = "none"


def train(arguments: Train) -> None:
    """Train a model on your videos and keep the best checkpoint."""


def command(words: list[str]) -> int:
    """Parse and run `timesformer train`; the words follow "train"."""
    if not {"-h", "--help"} & set(words):
        first, _ = tyro.cli(_First, args=words, return_unknown_args=True, prog="timesformer train")
        return _prepared(first, words)
    tyro.cli(Train, args=words, prog="timesformer train")
    return 0


def _prepared(first: _First, words: list[str]) -> int:
    import torch

    from timesformer.data import manifest
    from timesformer.training import choose
    from timesformer.training.display import Display
    from timesformer.weights import loading

    display = Display(show=_first_process())
    config, reasons = _base(first)
    task = config.task if config and first.task == "classes" else first.task
    table = manifest.load(first.data, task=task, videos=first.videos, fold=first.fold, missing=first.missing)
    for note in table.notes:
        display.warn(note)
    if config is None:
        source = loading.read_source(first.init) if first.init else None
        light = first.lora > 0 or first.freeze == "backbone"
        chosen = choose.choose(table, gpu=torch.cuda.is_available(), source=source, light=light)
        config, reasons = chosen.config, chosen.reasons
    elif first.recipe:
        config = replace(config, model=replace(config.model, classes=len(table.labels)))
    arguments = tyro.cli(Train, args=words, default=Train(first.data, settings=config), prog="timesformer train")
    settled = choose.settle(arguments.settings, table, gpu=torch.cuda.is_available())
    if settled.model.classes != len(table.labels):
        raise ConfigError(
            f"model.classes is {settled.model.classes} but the data has {len(table.labels)}; leave it out."
        )
    for reason in reasons:
        display.say(f"- {reason}")
    return (
        _overfit(table, settled, arguments, display)
        if arguments.overfit
        else _train(table, settled, arguments, display)
    )


def _base(first: _First) -> tuple[TrainConfig | None, tuple[str, ...]]:
    """The settings to start from where they are named, with what to say about them."""
    if first.resume:
        if first.recipe or first.config:
            raise ConfigError("--resume goes on with the run's own settings; leave --recipe and --config out.")
        file = first.out / "config.toml"
        if not file.exists():
            raise ConfigError(f"{first.out} holds no training to resume; name its folder with --out.")
        return configfile.from_toml(file.read_text(encoding="utf-8")), (f"resuming {first.out}",)
    if first.recipe and first.config:
        raise ConfigError("--recipe and --config both name settings to start from; give one of them.")
    if first.config:
        return configfile.from_toml(first.config.read_text(encoding="utf-8")), (f"settings of {first.config}",)
    if first.recipe:
        found = recipes.recipe(first.recipe)
        return found.config, (f"recipe {found.name}: {found.description}", f"published: {found.result}")
    return None, ()


def _train(table: "Manifest", config: TrainConfig, arguments: Train, display: "Display") -> int:
    from timesformer.train import train as run

    display.say(_summary(config))
    outcome = run(table, config, arguments.out, resume=arguments.resume, display=display)
    if outcome.broken:
        display.warn(f"{len(outcome.broken)} broken videos were left out; see {outcome.run.broken}.")
    if outcome.stopped:
        display.say(
            f"stopped by a signal; the state is saved. Go on with: timesformer train {arguments.data} "
            f"--out {arguments.out} --resume"
        )
        return 128 + outcome.stopped
    display.say(f"best checkpoint: {outcome.run.best}   curves: {outcome.run.curves}")
    return 0


def _overfit(table: "Manifest", config: TrainConfig, arguments: Train, display: "Display") -> int:
    from timesformer.training.overfit import overfit

    result = overfit(table, config, clips=arguments.overfit, display=display)
    display.say(result.advice)
    return 0 if result.reached == 1 else 1


def _summary(config: TrainConfig) -> str:
    model, clip, optim, engine = config.model, config.clip, config.optim, config.engine
    return (
        f"{model.scheme} model, width {model.width}, {model.depth} blocks, patch {model.patch}; clips of {clip.frames} "
        f"frames at {clip.size} px; {optim.optimizer}, learning rate {optim.lr:g}, batch {optim.batch}, "
        f"{optim.epochs} epochs; {engine.precision}, {engine.workers} loader workers, "
        f"frames {'in memory' if engine.cache == 'on' else 'from disk'}, seed {engine.seed}"
    )


def _first_process() -> bool:
    import os

    return os.environ.get("RANK", "0") == "0"
