"""What a training said before its first step: notes on the data, and why its settings were chosen; kept by the run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from timesformer import atomic
from timesformer.data.manifest import Manifest
from timesformer.training.run.state import SaveError

NAME = "reasons.json"


@dataclass(frozen=True)
class Story:
    """What a training said before its first step."""

    data: str = ""
    """The folder or list that it learns from, as an absolute path."""
    source: tuple[tuple[str, str], ...] = ()
    """Name and value of what says how a list's videos are found: "videos", "fold"."""
    notes: tuple[str, ...] = ()
    """What was noticed while the data was read."""
    reasons: tuple[str, ...] = ()
    """Why settings were chosen, each in a sentence."""


def of(manifest: Manifest, reasons: Sequence[str], source: Mapping[str, object]) -> Story:
    """The story of a training on a table of videos; ``source`` says how they were found, with None for what doesn't."""
    given = {
        name: Path(str(value)).absolute() if name == "videos" else value for name, value in source.items() if value
    }
    named = tuple((name, str(value)) for name, value in given.items())
    return Story(str(manifest.source.absolute()), named, manifest.notes, tuple(reasons))


def write(story: Story, folder: Path) -> None:
    """Write the file into a run's folder; raises :class:`SaveError`."""
    with atomic.replacing(folder / NAME, SaveError) as path:
        path.write_text(json.dumps(asdict(story), indent=1), encoding="ascii")


def read(folder: Path) -> Story:
    """What a run's folder holds; an empty story where there is no such file, or one that can't be read."""
    try:
        values = json.loads((folder / NAME).read_text("utf-8"))
        source = tuple((str(name), str(value)) for name, value in values["source"])
        notes, reasons = (tuple(map(str, values[name])) for name in ("notes", "reasons"))
        return Story(str(values["data"]), source, notes, reasons)
    except (OSError, ValueError, KeyError, TypeError):
        return Story()
