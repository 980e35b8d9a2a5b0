"""`timesformer train`: settings from a recipe, a file or the data itself, then from the flags, then the training."""

import inspect
import os
import shlex
from dataclasses import dataclass, field, make_dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from timesformer.cli.source import UNSET, Source
from timesformer.cli.typed.flags import unchecked
from timesformer.cli.typed.words import spelled_settings
from timesformer.config.training import TrainConfig

if TYPE_CHECKING:
    from timesformer.data.manifest import Manifest
    from timesformer.training.choose.plan import Base
    from timesformer.training.run.story import Story
    from timesformer.training.shown.display import Display


HELP = (tyro.conf.DisallowNone,)
"""Help without "None" among the values."""
STOPPED = {
    "all": "the state is saved. Go on with",
    "earlier": "the state could not be saved, but an earlier one is there. Go on from that with",
    "nothing": "nothing was saved. Begin anew with",
}
"""What is said after a signal, by what the saved state holds."""


@dataclass(frozen=True)
class Start:
    """What has to be known before the other settings can be chosen."""

    data: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")]
    """A folder with one folder per class, a CSV file with a header, or the lists of a benchmark."""
    recipe: str = ""
    """Start from the settings of this recipe; `timesformer recipes` lists them."""
    config: Annotated[Path | None, UNSET] = None
    """Start from the settings in this file, such as the config.toml of another run."""
    out: Path = Path("run")
    """Folder that the run is written to."""
    resume: bool = False
    """Continue the run in the folder with its own settings; only --epochs may be raised."""
    report: bool = True
    """Write report.html into the run's folder at the end, as `timesformer report` does."""
    overfit: int = 0
    """Only check that the model can memorise this many clips; 8 is a good number."""
    source: Annotated[Source, tyro.conf.OmitArgPrefixes] = field(default_factory=Source)


def command(words: list[str]) -> int:
    """Parse and run `timesformer train`; the words follow "train"."""
    words, names = spelled_settings(words, Start)
    first = _first(words)
    given = {name: attrgetter(name)(first.settings) for name in names}
    display, base = _begun(first)
    table = first.source.load(first.data, task=base.task(given))
    from timesformer.training.run import story
    from timesformer.verbs.train import compared, decided

    found = decided(table, base, given, display)
    if first.overfit:
        return _overfit(table, found.config, first, display)
    said = (*found.reasons, *compared(table, base, given, display))
    return _train(table, found.config, first, display, story.of(table, said, first.source.named()))


def _first(words: list[str]) -> Any:
    """What the flags say, not yet checked against each other; help ends here."""
    return tyro.cli(flags(), args=words, prog="timesformer train", description=inspect.getdoc(flags()), config=HELP)


@cache
def flags() -> type[Any]:
    """The command's arguments as one class: how it starts, then every setting as a flag that nothing checks yet."""
    settings = unchecked(TrainConfig)
    field_ = ("settings", Annotated[settings, tyro.conf.arg(name="")], field(default_factory=settings))
    return make_dataclass("Train", [field_], bases=(Start,), frozen=True, namespace={"__doc__": inspect.getdoc(train)})


def train(arguments: Any) -> None:
    """Train a model on your videos and keep the best checkpoint.

    Settings that you leave out are chosen by the data. They are printed, and written to config.toml.
    """


def _begun(first: Any) -> "tuple[Display, Base]":
    """What can be said, or refused, before the data is looked at: a display, and the settings that are named."""
    from timesformer.training.choose import plan
    from timesformer.training.run.runfolder import RunFolder
    from timesformer.training.shown.display import Display

    base = plan.base(out=first.out, recipe=first.recipe, config=first.config, resume=first.resume)
    if not first.overfit:
        RunFolder(first.out).claim(resume=first.resume)
    return Display(show=os.environ.get("RANK", "0") == "0"), base


def _train(table: "Manifest", config: TrainConfig, arguments: Start, display: "Display", told: "Story") -> int:
    from timesformer.training.choose.plan import summary
    from timesformer.training.loop import train as run
    from timesformer.verbs.train import closing, reported

    display.say(summary(config))
    outcome = run(table, config, arguments.out, resume=arguments.resume, display=display, told=told)
    if outcome.stopped:
        display.say(f"stopped by a signal; {STOPPED[outcome.saved]}:")
        again = to_go_on(arguments)
        display.say(f"  {again.removesuffix(' --resume') if outcome.saved == 'nothing' else again}")
        return 128 + outcome.stopped
    display.say(closing(outcome))
    if arguments.report:
        reported(outcome, table, display)
    display.say(f"next:\n  {shlex.join(_next(outcome.usable, table, arguments))}")
    return 0


def _next(best: Path, table: "Manifest", arguments: Start) -> list[str]:
    """What to type next: measure the best weights on test videos, or use them where there are none."""
    if "test" in table.splits:
        return ["timesformer", "evaluate", str(best), str(arguments.data), *arguments.source.words()]
    return ["timesformer", "predict", str(best), str(table.of("val")[0].path)]


def _overfit(table: "Manifest", config: TrainConfig, arguments: Start, display: "Display") -> int:
    from timesformer.training.overfit import overfit

    result = overfit(table, config, clips=arguments.overfit, display=display)
    display.say(result.advice)
    return 0 if result.reached == 1 else 1


def to_go_on(arguments: Start) -> str:
    """What to type to resume a run, on as many processes of this machine."""
    words = ["timesformer", "train", str(arguments.data), "--out", str(arguments.out), *arguments.source.words()]
    if processes := os.environ.get("LOCAL_WORLD_SIZE"):
        several = os.environ.get("GROUP_WORLD_SIZE", "1") != "1"
        words = ["torchrun", *(["..."] if several else ["--nproc-per-node", processes]), "-m", *words]
    return shlex.join([*words, "--resume"])
