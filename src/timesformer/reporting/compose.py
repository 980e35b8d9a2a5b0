"""From what a run holds and what its scores say to the values of the report's page."""

import platform
import shlex
from collections.abc import Sequence
from importlib.metadata import version

import torch

from timesformer.config import configfile
from timesformer.config.checks import in_pixels
from timesformer.config.tasks import FACTS
from timesformer.data.items import counted
from timesformer.model import cost
from timesformer.pictures.report.values import Big, Cells, Curve, Frames, Page, Table, Videos
from timesformer.reporting import data, judged, results
from timesformer.reporting.findings import Findings
from timesformer.reporting.source import Source
from timesformer.reporting.speed import Speed
from timesformer.tasks.table import SHOWN, best_measure
from timesformer.training.run.validated import Validated

SPLITS = {"train": "training", "val": "validation", "test": "test", "all": "all"}


def page(
    source: Source,
    split: str,
    seen: Validated | None,
    findings: Findings | None,
    *,
    failed: Sequence[tuple[str, str]],
    groups: Sequence[Videos],
    speed: Speed,
) -> Page:
    """The values of the page; without findings it shows what the run alone tells."""
    labels = source.checkpoint.labels
    numeric = FACTS[source.checkpoint.task].numeric
    about_data, samples = _samples(source)
    return Page(
        title=f"Report of {source.run.path.absolute().name}",
        intro=_intro(source, split, seen),
        cautions=judged.cautions(source, split, seen, findings, failed=failed),
        big=_big(findings),
        data=about_data,
        tables=_tables(source),
        samples=samples,
        reasons=source.story.reasons,
        config=configfile.to_toml(source.config),
        curves=_curves(source, findings),
        results=results.tables(findings, labels, source.checkpoint.task) if findings else (),
        confusion=results.confusion(findings) if findings else (),
        labels=() if numeric else labels,
        scatters=results.scatters(seen, labels) if seen and numeric else (),
        calibration=results.reliabilities(findings.calibration) if findings and findings.calibration else (),
        calibration_text=results.calibration_text(findings.calibration) if findings and findings.calibration else (),
        calibration_code=results.calibration_code(source.weights, findings) if findings else "",
        groups=tuple(groups),
        cost=_cost(source, speed),
        commands=_commands(source, split),
        facts=_facts(source),
    )


def _intro(source: Source, split: str, seen: Validated | None) -> tuple[str, ...]:
    model, clip = source.checkpoint.model.config, source.checkpoint.clip
    start = f", which began from {source.config.init}" if source.config.init else ", trained from random weights"
    lines = [
        f"A {model.scheme} model of width {model.width} and {counted(model.depth, 'block')}{start}. It sees "
        f"{counted(clip.frames, 'frame')} of {in_pixels(clip.size)} at a time. "
        f"{counted(len(source.rows), 'epoch')} of {source.config.optim.epochs} were trained."
    ]
    if seen:
        lines.append(
            f"All numbers below are of {source.weights.name} on {counted(len(seen.keys), f'{SPLITS[split]} video')}."
        )
    return tuple(lines)


def _big(findings: Findings | None) -> tuple[Big, ...]:
    if findings is None:
        return ()
    cards = []
    for number, each in enumerate(findings.measured):
        interval = each.interval
        write = "{:.1%}".format if each.share else "{:.4g}".format
        below = [f"95 % interval: {write(interval.low)} to {write(interval.high)}"]
        if not number and findings.floor is not None:
            below.append(f"always the same answer: {write(findings.floor)}")
        cards.append(Big(each.name, write(interval.value), tuple(below)))
    if findings.calibration:
        error = findings.calibration.error
        side = (
            "surer than right"
            if findings.calibration.confidence > findings.calibration.accuracy
            else "less sure than right"
        )
        meant = f"distance between how sure it is and how often it is right; on the whole it is {side}"
        cards.append(Big("calibration error", f"{error:.1%}", (meant,)))
    return tuple(cards)


def _samples(source: Source) -> tuple[tuple[str, ...], tuple[tuple[str, Frames], ...]]:
    if source.table is None:
        return (f"The data can't be read any more, so this page shows what the run alone tells. {source.gone}",), ()
    table = source.table
    lines = [f"From {table.source}.", *data.sentences(table, data.look(table.items))]
    said = [*dict.fromkeys((*source.story.notes, *table.notes))]
    found = [note for note in data.leaks(table) if note not in said]
    lines += [f"Note: {note}." for note in (*said, *found)]
    if not any("share" in note for note in (*said, *found)):
        lines.append("No group and no file is in two splits. `timesformer scan` also finds videos that look alike.")
    return tuple(lines), data.samples(table)


def _tables(source: Source) -> tuple[Table, ...]:
    if source.table is None or not (rows := data.rows(source.table)):
        return ()
    most = 40
    order = rows if len(rows) <= most else sorted(rows, key=lambda row: int(row[1]))[:most]
    note = "" if len(rows) <= most else f"The {most} rarest of {len(rows)} classes."
    head = ("class", *(SPLITS[split] for split in source.table.splits))
    return (Table("Videos of each class", head, tuple(order), note),)


def _curves(source: Source, findings: Findings | None) -> tuple[Curve, ...]:
    if not source.rows:
        return ()

    def points(name: str) -> tuple[tuple[float, float], ...]:
        return tuple((row["epoch"], row[name]) for row in source.rows if name in row)

    curves = [Curve("Loss", ("training", "validation"), (points("train_loss"), points("val_loss")))]
    shown = [name for name in SHOWN if points(name)]
    numeric = FACTS[source.checkpoint.task].numeric
    level = None
    if findings and findings.floor is not None and not numeric and not source.config.optim.class_weights:
        level = (findings.floor, "always the same answer")
    names = tuple(SHOWN[name] for name in shown)
    lines = tuple(points(name) for name in shown)
    if shown:
        curves.append(Curve("On the validation videos", names, lines, percent=not numeric, level=level))
    if len(source.rows) > 1:
        curves.append(Curve("Learning rate at the end of an epoch", (), (points("lr"),)))
    return tuple(curves)


def _cost(source: Source, speed: Speed) -> Table:
    model, clip, engine = source.checkpoint.model.config, source.checkpoint.clip, source.config.engine
    frames, views = clip.frames, engine.clips * engine.crops
    adds = cost.multiply_adds(model, frames=frames, size=clip.size)
    rows: list[Cells] = [
        ("parameters", f"{cost.parameters(model):,}"),
        ("multiply-adds of a view", f"{adds / 1e9:.4g} G"),
        ("views of a video in validation", f"{views}"),
        (
            "forward pass on this machine",
            f"{speed.views_per_second:.3g} clips/s ({speed.device}; {counted(speed.batch, 'clip')} at a time, float32)",
        ),
    ]
    if trained := [row["clips_per_second"] for row in source.rows if row.get("clips_per_second")]:
        rows.append(("training, as it ran", f"{sorted(trained)[len(trained) // 2]:.3g} clips/s in the middle epoch"))
    size = source.weights.stat().st_size
    rows.append(("file of the weights", f"{size / 1e6:.1f} MB"))
    return Table("", (), tuple(rows))


def _commands(source: Source, split: str) -> tuple[tuple[str, str], ...]:
    told = source.table.source if source.table else source.story.data or "DATA"
    flags = [word for name, value in source.story.source for word in (f"--{name}", value)]
    run, where = str(source.run.path), str(told)
    words = ["timesformer", "train", where, *flags, "--config", str(source.run.config), "--out", f"{run}-again"]
    after = [] if split == "val" else ["--split", split]
    measured = [
        "timesformer",
        "evaluate",
        str(source.weights),
        where,
        *flags,
        "--split",
        "val" if split == "val" else split,
    ]
    return (
        ("Train again with the same settings:", shlex.join(words)),
        ("Measure the weights:", shlex.join(measured)),
        ("Classify a video:", shlex.join(["timesformer", "predict", str(source.weights), "VIDEO"])),
        ("Write this page again:", shlex.join(["timesformer", "report", run, *after])),
    )


def _facts(source: Source) -> Table:
    optim = source.config.optim
    measure = best_measure(source.config.task, optim)
    best = next((row for row in reversed(source.rows) if row.get("best")), None)
    rows: list[Cells] = [
        ("timesformer", version("timesformer")),
        ("torch", torch.__version__),
        ("Python", platform.python_version()),
        ("seed", str(source.config.engine.seed)),
        ("precision of the training", source.config.engine.precision),
    ]
    if best:
        named = SHOWN.get(measure, "validation loss")
        rows.insert(0, ("best epoch", f"{best['epoch']:.0f}: {named} {best[measure]:.4g}"))
    return Table("", (), tuple(rows))
