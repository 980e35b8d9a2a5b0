"""The door: `timesformer COMMAND ...`. Torch is imported by the commands, so that help comes at once."""

import sys
from collections.abc import Callable, Sequence

import tyro

from timesformer.cli import data, models, train, views
from timesformer.config import ConfigError

COMMANDS: dict[str, Callable[..., int | None]] = {
    "train": train.train,
    "evaluate": views.evaluate,
    "predict": views.predict,
    "convert": models.convert,
    "zoo": models.zoo,
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
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words[:1] == ["train"]:
            code = train.command(words[1:])
        else:
            code = tyro.extras.subcommand_cli_from_dict(
                COMMANDS, prog="timesformer", description="TimeSformer: video understanding by attention.", args=words
            )
    except KeyboardInterrupt:
        _say("interrupted; what was finished is kept.")
        code = 130
    except BrokenPipeError:
        code = 1
    except Exception as error:
        if not isinstance(error, _expected()):
            raise
        _say(f"error: {error}")
        code = 2
    sys.exit(code)


def _expected() -> tuple[type[Exception], ...]:
    """The errors that commands raise on purpose; those of a module only where it was imported on the way."""
    names = {
        "timesformer.data.items": "DataError",
        "timesformer.video.container": "VideoError",
        "timesformer.weights.report": "WeightsError",
        "timesformer.training.session": "TrainingError",
    }
    found = (getattr(sys.modules[module], name) for module, name in names.items() if module in sys.modules)
    return (ConfigError, ImportError, OSError, *found)


def _say(text: str) -> None:
    print(text, file=sys.stderr)
