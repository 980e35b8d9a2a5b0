"""`timesformer report`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from timesformer.cli.source import UNSET


def report(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    *,
    data: Annotated[Path | None, UNSET] = None,
    out: Annotated[Path | None, UNSET] = None,
    split: Literal["val", "test", "train"] = "val",
    device: str = "auto",
) -> int:
    """Write one HTML page about a training: data, settings, curves, accuracy, calibration, best and worst videos, cost.

    The page needs no other file and nothing from the internet. A training writes it at its end.

    Args:
        run: Folder of a training.
        data: Where its data is now, if it was moved.
        out: File of the page; report.html in the run's folder unless given.
        split: Videos to measure on. The scores of the validation videos were kept; others are computed now.
        device: Device: "cpu", "cuda", "cuda:1", "mps", or "gpu" for any; "auto" takes a GPU if there is one.
    """
    from rich.console import Console

    from timesformer.cli import shown
    from timesformer.progress.bar import counting
    from timesformer.verbs.report import report as write

    console = Console()
    with counting("report") as progress:
        found = write(run, data=data, out=out, split=split, device=device, progress=progress)
    for line in found.lines:
        shown.say(console, line)
    shown.say(console, f"open {found.path}")
    return 0
