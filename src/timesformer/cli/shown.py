"""How results look in a terminal; names from weights and data are shown as they can be shown."""

from typing import TYPE_CHECKING

from timesformer.config.tasks import FACTS
from timesformer.data.items import together
from timesformer.plain import printable

if TYPE_CHECKING:
    from rich.console import Console

    from timesformer.inference.prediction import Prediction
    from timesformer.inference.results import Evaluation


def warn(console: "Console", text: str) -> None:
    """Print a note that the user should see."""
    console.print(f"! {printable(text)}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def say(console: "Console", text: str) -> None:
    """Print a line as it is, whatever names are in it."""
    console.print(printable(text), highlight=False, markup=False, soft_wrap=True)


def evaluation(console: "Console", result: "Evaluation") -> None:
    """Print the numbers, and those of each class in a table."""
    from rich.table import Table
    from rich.text import Text

    from timesformer.tasks.classes import Classification

    if isinstance(result.numbers, Classification):
        table = Table("class", "videos", "recall", "precision", "most often taken for")
        for row in result.numbers.classes:
            if row.count:
                other = "" if row.confused_with is None else f"{result.labels[row.confused_with]} ({row.confused})"
                cells = (result.labels[row.label], str(row.count), _share(row.recall), _share(row.precision), other)
                table.add_row(*(Text(printable(cell)) for cell in cells))
        console.print(table)
    for note in (*together(result.scores.remarks), *result.scores.notes):
        warn(console, note)
    for line in result.lines():
        say(console, line)


def prediction(console: "Console", result: "Prediction", top: int) -> None:
    """Print the highest scores of a video as bars."""
    console.print(printable(str(result.path)), style="bold", highlight=False, markup=False, soft_wrap=True)
    numbers = FACTS[result.task].numeric
    best = tuple(zip(result.labels, result.scores, strict=True)) if numbers else result.top(top)
    names = [printable(name) for name, _ in best]
    width = max(len(name) for name in names)
    for name, (_, score) in zip(names, best, strict=True):
        text = f"{score:8.4g}" if numbers else f"{score:6.1%} {'█' * round(30 * score)}"
        console.print(f"  {name:<{width}} {text}", highlight=False, markup=False, soft_wrap=True)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
