"""`timesformer COMMAND ...`. The commands import torch when they run, so that help is printed at once."""

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import tyro

from timesformer.cli import data, explained, features, models, reports, terminal, train, views, zoo
from timesformer.cli.typed import examples
from timesformer.cli.typed.words import command_of, spelled
from timesformer.errors import sentence
from timesformer.plain import printable

DESCRIPTION = "Train video transformers on your clips, and use and measure published ones."
PLAIN = (tyro.conf.DisallowNone, tyro.conf.FlagCreatePairsOff)
"""Help without "None" among the values, and switches without a second flag that turns them off."""
COMMANDS: dict[str, Callable[..., int | None]] = {
    "train": train.train,
    "evaluate": views.evaluate,
    "predict": views.predict,
    "embed": features.embed,
    "neighbours": features.neighbours,
    "map": features.map,
    "explain": explained.explain,
    "report": reports.report,
    "convert": models.convert,
    "zoo": zoo.zoo,
    "inspect": models.inspect,
    "cost": models.cost,
    "recipes": models.recipes,
    "scan": data.scan,
    "prepare": data.prepare,
    "shards": data.shards,
    "demo": data.demo,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 done in part, 2 bad input, 130 interrupted."""
    terminal.accept_any_text()
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(words)
    except KeyboardInterrupt:
        _say("interrupted; what was finished is kept.")
        code = 130
    except BrokenPipeError:
        code = 1
    except Exception as error:
        if (text := sentence(error)) is None:
            raise
        _say(f"error: {text}")
        code = 2
    sys.exit(code)


def _run(words: list[str]) -> int | None:
    """Run the command that the words name; its exit status."""
    name = command_of(words[0], list(COMMANDS)) if words else ""
    if name in ("--version", "-V"):
        print(f"timesformer {version('timesformer')}")
        return 0
    if name not in COMMANDS:
        return _overview(words)
    try:
        if name == "train":
            return train.command(words[1:])
        own = spelled(words[1:], COMMANDS[name])
        return tyro.cli(COMMANDS[name], args=own, prog=f"timesformer {name}", config=PLAIN)
    except SystemExit as left:
        if left.code == 0 and not {"-h", "--help"}.isdisjoint(words):
            print(f"\n{examples.text(name)}")
        raise


def _overview(words: list[str]) -> int | None:
    """Print what each command does, the script that completes commands in a shell, or what is wrong with the words."""
    commands: dict[str, Callable[..., Any]] = {**COMMANDS, "train": train.flags()}
    return tyro.extras.subcommand_cli_from_dict(
        commands, prog="timesformer", description=DESCRIPTION, args=words, config=PLAIN
    )


def _say(text: str) -> None:
    print("\n".join(map(printable, text.split("\n"))), file=sys.stderr)
