"""The report of a run: one page that says when, where and how far its model can be trusted."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from timesformer import atomic
from timesformer.config.checks import choice
from timesformer.data.items import SPLITS
from timesformer.data.manifest import Manifest
from timesformer.machine import pick_device
from timesformer.pictures.report import page
from timesformer.pictures.report.values import Videos
from timesformer.reporting import compose, findings, speed, videos
from timesformer.reporting.findings import Findings
from timesformer.reporting.source import Source, opened, scores
from timesformer.training.run.validated import Validated

NAME = "report.html"
GROUPS = (
    ("Surest and wrong", "The wrong answers that the model was most confident of.", "surely_wrong"),
    ("Worst", "Other videos with the largest errors.", "worst"),
    ("Best", "Videos with the smallest errors, of different classes.", "best"),
)
"""Title, explanation and name of each kind of videos."""


@dataclass(frozen=True)
class Report:
    """A report that was written."""

    path: Path
    """The page, an HTML file."""
    lines: tuple[str, ...]
    """What it found, in sentences."""

    def __str__(self) -> str:
        return "\n".join((*self.lines, str(self.path)))


def report(
    run: str | Path,
    *,
    data: str | Path | Manifest | None = None,
    out: str | Path | None = None,
    split: str = "val",
    device: torch.device | str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Write what is known of a run as one HTML file that needs nothing else, by default ``report.html`` in its folder.

    It shows the data, the settings and why they were chosen, the curves, accuracy with 95 % intervals, calibration,
    the best and the worst videos with what the model looked at, the cost, and how to do it again. ``run`` is the
    folder of a training. Its data is where it was, unless ``data`` names another place; where it is gone, the report
    shows what the run alone tells. ``split`` is "val", whose scores the training kept, "test" or "train".
    ``progress`` is called with the parts that are done and their number.

    Raises ConfigError for what is no run, WeightsError for a run without a checkpoint, DataError for ``data`` that
    can't be read, and WriteError where the page can't be written.
    """
    choice("split", split, SPLITS)
    source = opened(Path(run), data)
    target = Path(out) if out else source.run.path / NAME
    atomic.check(target)
    source.checkpoint.model.to(pick_device(device))
    seen, failed = scores(source, split, progress=progress)
    found = None
    if seen is not None:
        known = source.table is not None and "train" in source.table.splits and source.checkpoint.task != "regression"
        learned = source.table.class_counts("train") if source.table and known else ()
        stats = source.checkpoint.target_stats
        balanced = source.config.optim.class_weights
        found = findings.found(
            seen, task=source.checkpoint.task, target_stats=stats, learned=learned, balanced=balanced
        )
    measured = speed.speed(
        source.checkpoint.model, frames=source.checkpoint.clip.frames, size=source.checkpoint.clip.frame_size
    )
    groups = _groups(source, seen, found, progress) if seen and found else ()
    values = compose.page(source, split, seen, found, failed=failed, groups=groups, speed=measured)
    with atomic.replacing(target) as path:
        path.write_text(page.render(values), encoding="utf-8")
    return Report(target, _lines(found))


def _groups(
    source: Source, seen: Validated, found: Findings, progress: Callable[[int, int], None]
) -> tuple[Videos, ...]:
    """The videos worth a look, with their frames."""
    kinds = [getattr(found, name) for _, _, name in GROUPS]
    total, count = sum(map(len, kinds)), 0

    def done() -> None:
        nonlocal count
        count += 1
        progress(count, total)

    items = source.items
    return tuple(
        Videos(title, note, videos.shown(rows, seen, source.checkpoint, items, done=done))
        for (title, note, _), rows in zip(GROUPS, kinds, strict=True)
    )


def _lines(found: Findings | None) -> tuple[str, ...]:
    if found is None:
        return ("no scores: the run kept none, and its data can't be read",)
    lines = []
    for each in found.measured:
        write = "{:.1%}".format if each.share else "{:.4g}".format
        interval = each.interval
        lines.append(
            f"{each.name} {write(interval.value)} (95 % interval {write(interval.low)} to {write(interval.high)})"
        )
    if found.calibration:
        warm = found.calibration.temperature
        after = f"; with temperature {warm.value:.2f} {warm.error:.1%}" if warm else ""
        lines.append(f"expected calibration error {found.calibration.error:.1%}{after}")
    return tuple(lines)
