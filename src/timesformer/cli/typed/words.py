"""The words of a command line: flags by the names that other programs use, and proposals for misspelt ones."""

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Annotated, Any, get_args, get_origin

from timesformer.config.checks import ConfigError
from timesformer.config.names import ARGUMENTS, OTHERS, TOGETHER, known, proposal, understood

_FLAG = re.compile(r"--?([A-Za-z][\w.-]*)(=.*)?", re.DOTALL)
_NUMBER = re.compile(r"-?\d[\d.]*(e-?\d+)?")
_OWN = ("help", "h")


def command_of(word: str, commands: Sequence[str]) -> str:
    """The word where it is a command or a flag; raises :class:`ConfigError` with the nearest command otherwise."""
    if word in commands or word.startswith("-"):
        return word
    near = get_close_matches(word.lower(), commands, n=1, cutoff=0.6)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(commands)}."
    raise ConfigError(f"{word!r} is not a command; {meant} `timesformer --help` says what each does.")


def spelled(words: Sequence[str], command: Callable[..., Any]) -> list[str]:
    """The words with every flag by its own name: ``--num-workers 2`` becomes ``--workers 2`` where that is a flag."""
    own = set(flags_of(command))
    found = []
    for word in words:
        name, value = _parts(word)
        meant = ARGUMENTS.get(name) or OTHERS.get(name, "")
        found.append(f"--{meant}{value}" if name and name not in own and meant in own else word)
    return found


def spelled_settings(words: Sequence[str], command: Callable[..., Any]) -> tuple[list[str], list[str]]:
    """The words of a training with every setting by its dotted name, and the names of these settings.

    ``--batch-size 8`` becomes ``--optim.batch 8``. A setting that model and clips share is set for both. Raises
    :class:`ConfigError` for a flag that is unknown or ambiguous, with what may have been meant.
    """
    own = {name for name in flags_of(command) if "." not in name and name not in known()}
    found: list[str] = []
    settings: list[str] = []
    for position, word in enumerate(words):
        name, value = _parts(word)
        if not name or name.removeprefix("no_") in (*own, *_OWN) or name.startswith("tyro_"):
            found.append(word)
        elif name in ARGUMENTS:
            found.append(f"--{ARGUMENTS[name]}{value}")
        else:
            meant, flags = _setting(name, value, words[position + 1 :], own)
            settings += meant
            found += flags
    return found, settings


def flags_of(command: Callable[..., Any]) -> Iterator[str]:
    """Names of a command's flags, with underscores; those of a part that is a class are the names of its fields."""
    if is_dataclass(command):
        hints = [(each.name, each.type) for each in fields(command)]
    else:
        hints = [(each.name, each.annotation) for each in inspect.signature(command).parameters.values()]
    for name, hint in hints:
        kind, *said = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        if is_dataclass(kind):
            yield from flags_of(kind)  # type: ignore[arg-type]
        else:
            yield next((own for each in said if (own := getattr(each, "name", None))), name)


def _parts(word: str) -> tuple[str, str]:
    """Name of a flag, with underscores, and "=value"; empty for a word that is none."""
    found = _FLAG.fullmatch(word)
    return (found[1].replace("-", "_"), found[2] or "") if found else ("", "")


def _setting(name: str, value: str, after: Sequence[str], own: set[str]) -> tuple[tuple[str, ...], list[str]]:
    """The settings that a flag means, and the words that set them; ``after`` are the words that follow the flag."""
    section, dot, last = name.rpartition(".")
    turned_off = last.startswith("no_") and not understood(name)
    meant = understood(f"{section}{dot}{last.removeprefix('no_')}")
    if not meant:
        said = re.sub(r"(mean|and) ([\w.]+)", r"\1 --\2", proposal(name, own)).replace("_", "-")
        raise ConfigError(f"Unrecognized option --{name.replace('_', '-')}; {said}")
    if len(meant) > 1 and meant not in TOGETHER.values():
        raise ConfigError(f"--{name} may be --{' or --'.join(meant)}; give the whole name.")
    flags = [_flag(each, turned_off=turned_off) + value for each in meant]
    values = []
    for word in after if len(flags) > 1 and not value else ():
        if not _NUMBER.fullmatch(word):
            break
        values.append(word)
    return meant, [word for flag in flags[:-1] for word in (flag, *values)] + flags[-1:]


def _flag(name: str, *, turned_off: bool) -> str:
    section, dot, last = name.rpartition(".")
    return f"--{section}{dot}{'no-' if turned_off else ''}{last.replace('_', '-')}"
