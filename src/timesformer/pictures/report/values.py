"""Everything that a report's page shows, as plain values and texts; the page escapes them."""

from collections.abc import Sequence
from dataclasses import dataclass

from timesformer.pictures.strips import Pixels

Cells = tuple[str, ...]


@dataclass(frozen=True)
class Big:
    """A number in large type."""

    name: str
    value: str
    below: tuple[str, ...]
    """Sentences that say what it means."""


@dataclass(frozen=True)
class Span:
    """A share between 0 and 1 with the interval that it lies in."""

    value: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Table:
    """A table; a cell is text, or a share drawn with its interval."""

    title: str
    head: Cells
    rows: tuple[tuple[str | Span, ...], ...]
    note: str = ""


@dataclass(frozen=True, eq=False)
class Frames:
    """Some frames of a video, each with the time when it is shown."""

    pixels: Sequence[Pixels]
    times: tuple[str, ...]
    heat: Sequence[Pixels] = ()
    """The same frames under the colours of attention, if there are any."""


@dataclass(frozen=True, eq=False)
class Video:
    """One video, what the data says of it and what the model said."""

    title: str
    path: str
    said: tuple[tuple[str, float], ...]
    """The highest scores, as shares of 1; none for numbers."""
    truth: tuple[str, ...]
    """Names among them that are right."""
    frames: Frames | None
    """None where the video can't be read any more."""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Videos:
    """Videos of one kind."""

    title: str
    note: str
    videos: tuple[Video, ...]


@dataclass(frozen=True)
class Curve:
    """A chart over the epochs."""

    title: str
    names: tuple[str, ...]
    """Of its lines; none where a single line needs no name."""
    lines: tuple[tuple[tuple[float, float], ...], ...]
    percent: bool = False
    level: tuple[float, str] | None = None
    """A value to compare with, and its name."""


@dataclass(frozen=True)
class Step:
    """Answers of a range of confidence."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Reliability:
    """How often answers of each confidence are right."""

    title: str
    steps: tuple[Step, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Scatter:
    """True numbers and predicted ones."""

    title: str
    points: tuple[tuple[float, float], ...]
    """(true, predicted)."""


@dataclass(frozen=True)
class Page:
    """Everything on the page."""

    title: str
    intro: tuple[str, ...]
    cautions: tuple[str, ...]
    """What to keep in mind when reading the numbers."""
    big: tuple[Big, ...]
    data: tuple[str, ...]
    """Sentences about the data."""
    tables: tuple[Table, ...]
    """Of the data."""
    samples: tuple[tuple[str, Frames], ...]
    """Names of classes, each with frames of a video."""
    reasons: tuple[str, ...]
    """Why settings were chosen."""
    config: str
    """All settings, as TOML."""
    curves: tuple[Curve, ...]
    results: tuple[Table, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Videos of each class (row) by their predicted class (column); empty where none is drawn."""
    labels: Cells
    scatters: tuple[Scatter, ...]
    calibration: tuple[Reliability, ...]
    calibration_text: tuple[str, ...]
    calibration_code: str
    """How to use the temperature; empty for none."""
    groups: tuple[Videos, ...]
    cost: Table
    commands: tuple[tuple[str, str], ...]
    """What a command does, and the command."""
    facts: Table
