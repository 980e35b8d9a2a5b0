"""Parts of the site that are made from the code, so that no list is written by hand.

A page asks for them by a comment: ``<!-- public names -->`` or ``<!-- help of every command -->``.
"""

import contextlib
import io
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))
WIDTH = "84"
"""Columns of the commands' help."""
TITLES = {
    "verbs": "Train, evaluate, predict",
    "model": "The model",
    "weights": "Weights",
    "data": "Data",
    "config": "Settings",
}
"""Rooms of the package in the order of the page; all others follow under their own names."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in the generated parts of a page; MkDocs calls this for each."""
    for comment, made in (("public names", _public_names), ("help of every command", _help)):
        if (mark := f"<!-- {comment} -->") in markdown:
            markdown = markdown.replace(mark, made())
    return markdown


def _public_names() -> str:
    """A directive of mkdocstrings for every public name, under a heading for each room of the package."""
    import timesformer

    rooms: dict[str, list[str]] = {room: [] for room in TITLES}
    for name in timesformer.__all__:
        home = getattr(timesformer, name).__module__.removeprefix("timesformer.")
        rooms.setdefault(home.partition(".")[0], []).append(f"::: timesformer.{home}.{name}")
    parts = ([f"## {TITLES.get(room, room.capitalize())}", *names] for room, names in rooms.items())
    return "\n\n".join(line for part in parts for line in part)


def _help() -> str:
    """What ``--help`` prints for every command."""
    commands = import_module("timesformer.cli.main").COMMANDS
    return "\n\n".join(f"## {name}\n\n```text\n{_printed([name, '--help'])}\n```" for name in commands)


def _printed(words: list[str]) -> str:
    main = import_module("timesformer.cli.main").main
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH
    try:
        with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
            main(words)
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
    return text.getvalue().strip()
