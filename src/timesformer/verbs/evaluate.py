"""Evaluation: measure weights on the videos of a data set, and write the results."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from timesformer.atomic import WriteError
from timesformer.config.checks import ConfigError, choice
from timesformer.data import manifest as manifests
from timesformer.data.items import DataError, some
from timesformer.data.manifest import Manifest
from timesformer.inference.measures import measure
from timesformer.inference.results import Evaluation, claimed, write
from timesformer.inference.scoring import Scoring, score_videos
from timesformer.machine import pick_device
from timesformer.tasks.table import targets
from timesformer.weights import loading
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.report import WeightsError

SEEING = tuple(each.name for each in fields(Scoring))
SOURCE = ("videos", "fold", "missing")
"""Names that say how a list's videos are found."""
OPENED = ("labels", "heads", "key")
"""Names that say how weights are read."""


class NotWrittenError(WriteError):
    """An evaluation that was made but could not be written: ``evaluation`` is what it found."""

    def __init__(self, evaluation: Evaluation, reason: str) -> None:
        super().__init__(f"{'; '.join(evaluation.lines())}. But {reason}")
        self.evaluation = evaluation


def evaluate(
    weights: Checkpoint | str | Path,
    data: Manifest | str | Path,
    scoring: Scoring | None = None,
    *,
    split: str = "test",
    device: torch.device | str | None = None,
    out: str | Path | None = None,
    progress: Callable[[int], None] = lambda done: None,
    **settings: Any,
) -> Evaluation:
    """Measure weights on the videos of a split; "test" is "val" where there are no test videos.

    ``weights`` are a checkpoint, or what :func:`timesformer.load` takes: a file of any kind, a run's folder, a
    published name. ``data`` is a folder or list of videos, or a Manifest read with the checkpoint's labels. The model
    is moved to ``device``, by default a GPU where there is one. With ``out``, a folder without earlier results, they
    are written there at the end. ``progress`` is called with the number of videos that are done.

    ``settings`` are those of :class:`Scoring` by name (``clips=2``, ``crops=1``, ``precision="bf16"``, ``batch=32``,
    ``workers=4``; by default a video is seen as in the paper, in one clip of three crops), for a list of
    videos ``videos`` (their folder), ``fold`` and ``missing`` ("raise" or "drop"), and for weights ``labels`` (a file
    with the class names), ``heads`` and ``key``, as :func:`timesformer.load` takes them.

    Returns an :class:`Evaluation` with ``numbers``, ``scores``, ``targets``. Raises ConfigError, DataError or
    WeightsError where the pieces do not fit, before any video is read, and where no video can be read.
    """
    for name in settings:
        choice("setting", name, (*SEEING, *SOURCE, *OPENED))
    source, opened = ({name: settings.pop(name) for name in names if name in settings} for names in (SOURCE, OPENED))
    scoring = replace(scoring or Scoring(), **settings)
    where = pick_device(device)
    checkpoint = _checkpoint(weights, opened)
    checkpoint.needs_head()
    table = _table(data, checkpoint, source)
    _check(checkpoint, table)
    items = table.of(split)
    videos = source.get("videos", data)
    folder = claimed(Path(out), videos=None if isinstance(videos, Manifest) else Path(videos)) if out else None
    scores = score_videos(
        checkpoint.model.to(where),
        items,
        checkpoint.clip,
        scoring,
        task=checkpoint.task,
        target_stats=checkpoint.target_stats,
        progress=progress,
    )
    if not bool(scores.scores.isfinite().all()):
        raise WeightsError("the scores are not finite; the weights are damaged: get or train them again.")
    found = Evaluation(
        numbers=measure(scores, table),
        scores=scores,
        targets=targets(table, scores.items),
        labels=table.labels,
        task=table.task,
        split=split if split in ("all", *table.splits) else "val",
        scoring=scoring,
        about=checkpoint.about,
    )
    if folder is not None:
        try:
            write(found, folder)
        except WriteError as error:
            raise NotWrittenError(found, str(error)) from error
    return found


def _checkpoint(weights: Checkpoint | str | Path, opened: dict[str, Any]) -> Checkpoint:
    if not isinstance(weights, Checkpoint):
        return loading.load(weights, **opened)
    if opened:
        raise ConfigError(f"{', '.join(opened)} is for weights that are loaded here; a Checkpoint is: leave it out.")
    return weights


def _table(data: Manifest | str | Path, checkpoint: Checkpoint, source: dict[str, Any]) -> Manifest:
    """The table of videos, read with the labels of the weights where it isn't yet."""
    if isinstance(data, Manifest):
        if source:
            raise ConfigError(f"{', '.join(source)} is for reading a list; a Manifest is read already: leave it out.")
        return data
    choice("missing", source.setdefault("missing", "raise"), ("raise", "drop"))
    if isinstance(source.get("videos"), str):
        source["videos"] = Path(source["videos"])
    return manifests.load(Path(data), task=checkpoint.task, labels=checkpoint.labels or None, **source)


def _check(checkpoint: Checkpoint, manifest: Manifest) -> None:
    """Raise unless the table's targets are the checkpoint's outputs."""
    if checkpoint.task != manifest.task:
        raise DataError(
            f"{manifest.source} was read for {manifest.task}, but the weights are for {checkpoint.task}; "
            f"read it with task={checkpoint.task!r}."
        )
    if checkpoint.labels and checkpoint.labels != manifest.labels:
        strange = [name for name in manifest.labels if name not in checkpoint.labels]
        what = f"labels that the weights do not have ({some(strange)})" if strange else "other labels, or another order"
        raise DataError(f"{manifest.source} has {what}; read it with labels=checkpoint.labels.")
    if len(manifest.labels) != checkpoint.model.config.classes:
        raise DataError(
            f"{manifest.source} has {len(manifest.labels)} labels for the {checkpoint.model.config.classes} outputs of "
            "the weights; read it with the names of all outputs, in their order (labels=...)."
        )
