"""Features of videos: the vectors that a model computes, in memory or in a file, and none of them twice."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from timesformer.config.checks import ConfigError, choice
from timesformer.data.items import Item
from timesformer.data.manifest import Manifest
from timesformer.features import files, kinds
from timesformer.features.collection import collected, label_text, size_of
from timesformer.features.kinds import Per, Rows
from timesformer.features.table import Features, Origin
from timesformer.features.unfinished import Known, unfinished
from timesformer.inference.answers import forward
from timesformer.inference.parts import Seen
from timesformer.inference.scoring import Scoring
from timesformer.inference.viewstream import Crew
from timesformer.machine import autocast_type, pick_device
from timesformer.weights.backbone import backbone, digest
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.report import WeightsError

SEEING = tuple(each.name for each in fields(Scoring) if each.name != "fusion")
SOURCE = ("task", "videos", "fold", "missing")
"""Names that say how a data set is read."""
OPENED = ("frames", "size", "heads", "key")
"""Names that say how weights are read."""


@dataclass(frozen=True)
class _Work:
    """A model and how it sees videos."""

    checkpoint: Checkpoint
    origin: Origin
    scoring: Scoring


def embed(
    weights: Checkpoint | str | Path,
    data: Manifest | str | Path | Sequence[str | Path],
    *,
    out: str | Path | None = None,
    per: Per = "video",
    device: torch.device | str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    note: Callable[[str], None] = lambda text: None,
    **settings: Any,
) -> Features:
    """Compute a vector for each video, clip, frame or block, as :class:`timesformer.Features`.

    ``weights`` are a checkpoint, or what :func:`timesformer.load` takes, also without a head; an image model sees 8
    frames of each video one by one. ``data`` is a folder or list of videos with labels, or videos without, or a
    Manifest. ``per`` chooses the vectors: "video" is the mean of ``model.features`` over the views, "clip" one for each
    clip (as many as cover the video, unless ``clips`` says), "frame" and "block" are those of
    :func:`timesformer.features.kinds.of_frames` and ``of_blocks``.

    With ``out``, a file of .npz or .parquet, they are written there at the end, and every video is kept as soon as it
    is done: the same call goes on after an interruption, and computes what is missing in a file that is there.
    ``progress`` is called with the number of videos that are done and that of all. ``note`` gets what was noticed.

    ``settings`` are ``clips``, ``crops`` (1), ``placement``, ``precision``, ``batch`` and ``workers`` as for
    :func:`timesformer.evaluate`; for a data set ``task``, ``videos``, ``fold`` and ``missing``; for weights ``frames``,
    ``size``, ``heads`` and ``key``. A video that can't be read is in ``failed``. Raises ConfigError, DataError or
    WeightsError where the pieces do not fit, and where no video can be read.
    """
    for name in settings:
        choice("setting", name, (*SEEING, *SOURCE, *OPENED))
    choice("per", per, get_args(Per))
    opened, source = ({name: settings.pop(name) for name in names if name in settings} for names in (OPENED, SOURCE))
    target = None if out is None else Path(out)
    if target is not None:
        files.check(target)
    table = _table(data, source)
    work = _work(weights, opened, per, table, settings)
    for text in (*_assumed(work.checkpoint), *table.notes):
        note(text)
    where = pick_device(device)
    known = _earlier(target, work.origin, table.items)
    run = partial(_computed, work, table.items, where, progress, note)
    if target is None:
        return _assembled(table.items, work.origin, *run(known, lambda item, size, rows: None))
    with unfinished(target, work.origin) as kept:
        rows, failed = run(known | kept.known, lambda item, size, rows: kept.add(item.key, size, rows))
        found = _assembled(table.items, work.origin, rows, failed)
        found.save(target)
    return found


def _table(data: Manifest | str | Path | Sequence[str | Path], source: dict[str, Any]) -> Manifest:
    if not isinstance(data, Manifest):
        return collected(data, **source)
    if source:
        raise ConfigError(f"{', '.join(source)} is for reading a list; a Manifest is read already: leave it out.")
    return data


def _work(
    weights: Checkpoint | str | Path, opened: dict[str, Any], per: Per, table: Manifest, settings: dict[str, Any]
) -> _Work:
    """The model, and how it sees videos."""
    if isinstance(weights, Checkpoint) and opened:
        raise ConfigError(f"{', '.join(opened)} is for weights that are loaded here; a Checkpoint is: leave it out.")
    checkpoint = weights if isinstance(weights, Checkpoint) else backbone(weights, **opened)
    whole = per == "clip" and not {"clips", "placement"} & settings.keys()
    scoring = replace(Scoring(crops=1, placement="whole" if whole else "middle"), **settings)
    named = "a checkpoint" if isinstance(weights, Checkpoint) else str(weights)
    origin = Origin(
        weights=str(Path(weights).absolute()) if isinstance(weights, str | Path) and Path(weights).exists() else named,
        digest=digest(checkpoint.model),
        scheme=checkpoint.model.config.scheme,
        per=per,
        clip=checkpoint.clip,
        clips=scoring.clips,
        crops=scoring.crops,
        placement=scoring.placement,
        precision=str(autocast_type(scoring.precision) or "fp32").removeprefix("torch."),
        task=table.task,
        about=checkpoint.about,
    )
    return _Work(checkpoint, origin, scoring)


def _assumed(checkpoint: Checkpoint) -> list[str]:
    """What had to be assumed about the weights, apart from their head, which is not used."""
    return [text for text in (checkpoint.report.brief() if checkpoint.report else ()) if not text.startswith("head ")]


def _earlier(out: Path | None, origin: Origin, items: Sequence[Item]) -> Known:
    """The vectors in a file that is there already; raises ConfigError where they are others, or of other videos."""
    if out is None or not out.exists():
        return {}
    found = Features.load(out)
    strange = set(found.paths) - {item.key for item in items}
    difference = found.origin.difference(origin) or (f"a video that the data lacks, {min(strange)}" if strange else "")
    if difference:
        raise ConfigError(
            f"{out} holds features with {difference}, which would be lost; name another file (--out), or remove it."
        )
    rows: dict[tuple[str, int], list[int]] = {}
    for number, key in enumerate(zip(found.paths, found.sizes.tolist(), strict=True)):
        rows.setdefault(key, []).append(number)
    return {key: Rows(found.vectors[at], found.places[at], found.times[at]) for key, at in rows.items()}


def _computed(
    work: _Work,
    items: Sequence[Item],
    device: torch.device,
    progress: Callable[[int, int], None],
    note: Callable[[str], None],
    known: Known,
    keep: Callable[[Item, int, Rows], None],
) -> tuple[dict[int, tuple[int, Rows]], dict[int, str]]:
    """The bytes and vectors of each video by its number, of which the known ones are not computed, and failures."""
    sizes = [size_of(item) for item in items]
    keys = [(item.key, size) for item, size in zip(items, sizes, strict=True)]
    found = {number: (sizes[number], known[key]) for number, key in enumerate(keys) if key in known}
    failed: dict[int, str] = {}
    missing = [number for number in range(len(items)) if number not in found]
    if len(missing) < len(items):
        note(f"{len(items) - len(missing)} of {len(items)} videos were computed before")
    for number, rows in _vectors(work, items, missing, device, note) if missing else ():
        if isinstance(rows, str):
            failed[number] = rows
        else:
            found[number] = (sizes[number], rows)
            keep(items[number], sizes[number], rows)
        progress(len(found) + len(failed), len(items))
    return found, failed


def _vectors(
    work: _Work, items: Sequence[Item], numbers: Sequence[int], device: torch.device, note: Callable[[str], None]
) -> Iterator[tuple[int, Rows | str]]:
    """The vectors of each video as soon as they are computed, or why it can't be read."""
    scoring, model = work.scoring, work.checkpoint.model.to(device)
    training = model.training
    seen = Seen(work.checkpoint.clip, scoring.clips, scoring.crops, scoring.placement, scoring.batch)
    compute = partial(
        forward,
        model.eval(),
        batch=scoring.batch,
        precision=scoring.precision,
        compute=kinds.compute(model, work.origin.per),
    )
    crew = Crew(scoring.workers, len(numbers))
    try:
        for answer in crew.answers(items, numbers, seen, compute, pin=device.type == "cuda"):
            if answer.failed or answer.times is None:
                yield answer.number, answer.failed
                continue
            for text in (*answer.remarks, *answer.notes):
                note(f"{items[answer.number].key}: {text}")
            rows = kinds.rows(answer.outputs, answer.times, work.origin.per, crops=scoring.crops)
            if not np.isfinite(rows.vectors).all():
                raise WeightsError("the features are not finite; the weights are damaged: get or train them again.")
            yield answer.number, rows
    finally:
        model.train(training)
    for text in crew.notes():
        note(text)


def _assembled(
    items: Sequence[Item], origin: Origin, found: dict[int, tuple[int, Rows]], failed: dict[int, str]
) -> Features:
    """All vectors in the order of the items."""
    order = sorted(found)
    if not order:
        reason = next(iter(failed.values()), "there are none")
        raise ConfigError(f"none of {len(items)} videos can be read ({reason}); check them: timesformer scan DATA.")
    several = [(items[number], *found[number]) for number in order]
    each = [(item, size) for item, size, rows in several for _ in rows.vectors]
    return Features(
        vectors=np.concatenate([rows.vectors for _, _, rows in several]),
        paths=tuple(item.key for item, _ in each),
        labels=tuple(label_text(item) for item, _ in each),
        splits=tuple(item.split for item, _ in each),
        groups=tuple(item.group for item, _ in each),
        times=np.concatenate([rows.times for _, _, rows in several]),
        places=np.concatenate([rows.places for _, _, rows in several]),
        sources=tuple(str(item.path) for item, _ in each),
        sizes=np.array([size for _, size in each], dtype=np.int64),
        origin=origin,
        failed=tuple((items[number].key, failed[number]) for number in sorted(failed)),
    )
