"""Maps: alike videos close together, as a picture or as a page that shows their frames."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from timesformer import atomic
from timesformer.config.checks import ConfigError, choice
from timesformer.data.items import counted
from timesformer.features.flat import Method, flat
from timesformer.features.frames import frames_of
from timesformer.features.table import Features
from timesformer.pictures.maps import chart, page
from timesformer.pictures.maps.chart import Panel

SIDES = ((600, 200), (2500, 128), (8000, 72))
"""Points of a page up to which their frames have a longer side of so many pixels; beyond the last there are none."""
MEANING = {
    "tsne": "t-SNE keeps neighbours together; the distance between far points, and the axes, mean nothing.",
    "pca": "The two directions of largest variance of the vectors, divided by their lengths.",
}


def map(
    features: Features | str | Path | Sequence[Features | str | Path],
    *,
    method: Method = "tsne",
    out: str | Path = "map.png",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[NDArray[np.float64], ...]:
    """Draw features as points (a row each), coloured by label, and return their places, (n, 2) for each panel.

    ``features`` are those that :func:`timesformer.embed` gave, or their file; several are drawn side by side with the
    same colours (the paper's figure 8), and those of blocks in a panel for each block. ``out`` is a file of .png, or of
    .html: one page that needs no other file, whose points show the video's frame. ``method`` is "tsne", which needs
    scikit-learn, or "pca". ``progress`` is called with the number of panels and frames that are done.
    """
    choice("method", method, get_args(Method))
    path = Path(out)
    if path.suffix.lower() not in (".png", ".html"):
        raise ConfigError(f"out is {path}; a map is a file of .png or .html.")
    several = [features] if isinstance(features, Features | str | Path) else list(features)
    panels = [each for given in several for each in _panels(given, alone=len(several) == 1)]
    if not panels:
        raise ConfigError("no features are given; name a file that `timesformer embed` wrote.")
    is_page = path.suffix.lower() == ".html"
    total = len(panels) + (sum(len(table) for _, table in panels) if is_page else 0)
    places = []
    for done, (_, table) in enumerate(panels, start=1):
        places.append(flat(table.vectors, method))
        progress(done, total)
    if is_page:
        text = _page(panels, places, method, lambda done: progress(len(panels) + done, total))
        with atomic.replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="replace")
    else:
        drawn = [Panel(title, at, table.labels) for (title, table), at in zip(panels, places, strict=True)]
        chart.draw(drawn, path)
    return tuple(places)


def _panels(given: Features | str | Path, *, alone: bool) -> list[tuple[str, Features]]:
    """The titles and features of the panels for one file."""
    table = given if isinstance(given, Features) else Features.load(given)
    name = Path(table.origin.weights).stem if isinstance(given, Features) else Path(given).stem
    if not table.blocks:
        return [(name, table)]
    before = "" if alone else f"{name}, "
    return [(f"{before}block {number + 1}", table.of_block(number)) for number in table.blocks]


def _page(
    panels: Sequence[tuple[str, Features]],
    places: Sequence[NDArray[np.float64]],
    method: Method,
    progress: Callable[[int], None],
) -> str:
    count = sum(len(table) for _, table in panels)
    side = next((side for most, side in SIDES if count <= most), 0)
    drawn, done, missing = [], 0, 0
    for (title, table), at in zip(panels, places, strict=True):

        def counted_from(number: int, _: int, start: int = done) -> None:
            progress(start + number)

        pictures = frames_of(table, side, progress=counted_from) if side else []
        frames = ["" if each is None else page.data_uri(each) for each in pictures] or [""] * len(table)
        names = [
            path if table.origin.per in ("video", "block") else f"{path} at {times.mean():.2f} s"
            for path, times in zip(table.paths, table.times, strict=True)
        ]
        drawn.append(page.Points(title, at, table.labels, names, frames))
        done += len(table)
        missing += frames.count("") if side else 0
    notes = [MEANING[method] + " A point shows its video's frame under the pointer, or with the Tab key."]
    if not side:
        notes.append(f"The frames are left out: {count} points would make a page too large to open.")
    elif missing:
        notes.append(f"{counted(missing, 'frame')} could not be read: the videos are gone or broken.")
    kinds = {table.origin.per for _, table in panels}
    thing = {"video": "Videos", "block": "Videos", "clip": "Clips", "frame": "Frames"}[min(kinds)]
    return page.render(drawn, title=f"{thing} that a model finds alike", notes=notes)
