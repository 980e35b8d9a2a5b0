"""`timesformer train`: settings from a recipe, a file or the data itself, then from the flags, then the training."""

import inspect
import os
import shlex
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from timesformer import configfile, recipes
from timesformer.checks import in_pixels
from timesformer.cli.flags import changed, unchecked
from timesformer.cli.source import Source
from timesformer.config import ConfigError, TrainConfig

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
    source: Annotated[Source, tyro.conf.arg(name="")] = field(default_factory=Source)


@dataclass(frozen=True)
class Train(Start):
    """Train a model on your videos and keep the best checkpoint.

    Without further flags, settings are chosen from what the data shows, printed, and written to config.toml.
    """

    settings: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)


def train(arguments: Train) -> None:
    """Train a model on your videos and keep the best checkpoint."""


def command(words: list[str]) -> int:
    """Parse and run `timesformer train`; the words follow "train"."""
    first = _first(words)
    display, base, said = _begun(first)
    task = base.task if base and first.settings.task == "classes" else first.settings.task
    table = first.source.load(first.data, task=task)
    for note in table.notes:
        display.warn(note)
    arguments, reasons = _settled(first, base, table, words)
    for line in (*said, *reasons):
        display.say(f"- {line}")
    act = _overfit if arguments.overfit else _train
    return act(table, arguments.settings, arguments, display)


def _first(words: list[str]) -> Any:
    """What the flags say, not yet checked against each other; help ends here."""
    settings = unchecked(TrainConfig)
    flags = ("settings", Annotated[settings, tyro.conf.arg(name="")], field(default_factory=settings))
    kind: Any = make_dataclass("First", [flags], bases=(Start,), frozen=True)
    return tyro.cli(kind, args=words, prog="timesformer train", description=inspect.getdoc(Train))


def _begun(first: Any) -> tuple["Display", TrainConfig | None, tuple[str, ...]]:
    """What can be said, or refused, before the data is looked at: a display, and the settings that are named."""
    from timesformer.training.display import Display
    from timesformer.training.runfolder import RunFolder

    base, said = _base(first)
    if not first.overfit:
        RunFolder(first.out).claim(resume=first.resume)
    return Display(show=os.environ.get("RANK", "0") == "0"), base, said


def _settled(
    first: Any, base: TrainConfig | None, table: "Manifest", words: list[str]
) -> tuple[Train, tuple[str, ...]]:
    """The arguments with every setting decided: those named or chosen, under those of the flags; and why."""
    from timesformer.training import arithmetic, choose
    from timesformer.weights import loading

    gpu, outputs = arithmetic.on_gpu(first.settings.engine), len(table.labels)
    reasons: tuple[choose.Reason, ...] = ()
    if base is None:
        source = loading.read_source(first.settings.init) if first.settings.init else None
        light = first.settings.lora > 0 or first.settings.freeze == "backbone"
        chosen = choose.choose(table, gpu=gpu, source=source, light=light)
        base, reasons = chosen.config, chosen.reasons
    elif base.model.classes != outputs and not first.resume:
        text = f"{outputs} outputs, as the data has, in place of {base.model.classes}"
        base, reasons = replace(base, model=replace(base.model, classes=outputs)), (choose.Reason(text),)
    arguments = tyro.cli(Train, args=words, default=Train(first.data, settings=base), prog="timesformer train")
    if arguments.settings.model.classes != outputs:
        raise ConfigError(
            f"model.classes is {arguments.settings.model.classes} but the data has {outputs}; leave it out."
        )
    others = changed(base, arguments.settings)
    gpu = arithmetic.on_gpu(arguments.settings.engine)
    arguments = replace(arguments, settings=choose.settle(arguments.settings, table, gpu=gpu))
    return arguments, tuple(reason.text for reason in reasons if not others & set(reason.settings))


def _base(first: Any) -> tuple[TrainConfig | None, tuple[str, ...]]:
    """The settings to start from where they are named, with what to say about them."""
    if first.resume:
        if first.recipe or first.config:
            raise ConfigError("--resume goes on with the run's own settings; leave --recipe and --config out.")
        file = first.out / "config.toml"
        if not file.exists():
            raise ConfigError(f"{first.out} holds no training to resume; name its folder with --out.")
        return _read(file), (f"resuming {first.out}",)
    if first.recipe and first.config:
        raise ConfigError("--recipe and --config both name settings to start from; give one of them.")
    if first.config:
        return _read(first.config), (f"settings of {first.config}",)
    if first.recipe:
        found = recipes.recipe(first.recipe)
        return found.config, (f"recipe {found.name}: {found.description}", f"result: {found.result}")
    return None, ()


def _read(file: Path) -> TrainConfig:
    """The settings in a file; raises ConfigError where there is none that can be read."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(
            f"the settings in {file} can't be read ({reason}); name a file such as the config.toml of a run."
        ) from error
    return configfile.from_toml(text)


def _train(table: "Manifest", config: TrainConfig, arguments: Train, display: "Display") -> int:
    from timesformer.training.loop import train as run

    display.say(_summary(config))
    outcome = run(table, config, arguments.out, resume=arguments.resume, display=display)
    if outcome.stopped:
        display.say(f"stopped by a signal; the state is saved. Go on with: {to_go_on(arguments)}")
        return 128 + outcome.stopped
    display.say(f"best checkpoint: {outcome.run.best}   curves: {outcome.run.curves}")
    return 0


def _overfit(table: "Manifest", config: TrainConfig, arguments: Train, display: "Display") -> int:
    from timesformer.training.overfit import overfit

    result = overfit(table, config, clips=arguments.overfit, display=display)
    display.say(result.advice)
    return 0 if result.reached == 1 else 1


def _summary(config: TrainConfig) -> str:
    from timesformer.data.items import counted

    model, clip, optim, engine = config.model, config.clip, config.optim, config.engine
    return (
        f"{model.scheme} model, width {model.width}, {counted(model.depth, 'block')}, patch {model.patch}; "
        f"clips of {counted(clip.frames, 'frame')} at {in_pixels(clip.size)}; "
        f"{optim.optimizer}, learning rate {optim.lr:g}, batch {optim.batch}, "
        f"{counted(optim.epochs, 'epoch')}; {engine.precision}, {counted(engine.workers, 'loader worker')}, "
        f"frames {'in memory' if engine.cache == 'on' else 'from disk'}, seed {engine.seed}"
    )


def to_go_on(arguments: Train) -> str:
    """What to type to resume a run, on as many processes of this machine."""
    words = ["timesformer", "train", str(arguments.data), "--out", str(arguments.out), *arguments.source.words()]
    if processes := os.environ.get("LOCAL_WORLD_SIZE"):
        several = os.environ.get("GROUP_WORLD_SIZE", "1") != "1"
        words = ["torchrun", *(["..."] if several else ["--nproc-per-node", processes]), "-m", *words]
    return shlex.join([*words, "--resume"])
