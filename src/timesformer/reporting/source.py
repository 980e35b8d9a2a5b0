"""What a report can read of a run: its files, its data where that is still there, and the scores of a split."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from timesformer.config.checks import ConfigError
from timesformer.config.training import TrainConfig
from timesformer.data import manifest
from timesformer.data.items import DataError, Item
from timesformer.data.manifest import Manifest
from timesformer.inference.scoring import Scoring, score_videos
from timesformer.tasks import table as tasks
from timesformer.training.run import story, validated
from timesformer.training.run.runfolder import RunFolder
from timesformer.training.run.story import Story
from timesformer.training.run.validated import Validated
from timesformer.weights import loading
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.report import WeightsError
from timesformer.weights.runs import CHECKPOINTS, checkpoint_of, is_run


@dataclass(frozen=True, eq=False)
class Source:
    """Everything that a report can read."""

    run: RunFolder
    config: TrainConfig
    rows: tuple[dict[str, float], ...]
    """The metrics of each epoch."""
    story: Story
    weights: Path
    """The file of the checkpoint that is described."""
    checkpoint: Checkpoint
    table: Manifest | None
    """None where the data can't be read any more."""
    gone: str = ""
    """Why not."""

    @property
    def items(self) -> dict[str, Item]:
        """The videos by their names, as far as their files are there."""
        found = self.table.items if self.table else ()
        return {item.key: item for item in found if item.path.exists()}


def opened(path: Path, data: Path | str | Manifest | None) -> Source:
    """Read a run: its folder, or one of its checkpoints; the data is where it was, unless another place is named.

    Raises ConfigError for what is no run, WeightsError for a run without a checkpoint, and DataError for data that is
    named and can't be read. Data that the run names and that is gone only leaves the report without it.
    """
    folder = path.parent if path.is_file() and path.name in CHECKPOINTS else path
    if not is_run(folder) or not (folder / "config.toml").is_file():
        raise ConfigError(f"{path} is no run; name the folder that `timesformer train` wrote (--out).")
    run, weights = RunFolder(folder), checkpoint_of(folder)
    checkpoint, told = loading.load(weights), story.read(folder)
    table, gone = None, ""
    if isinstance(data, Manifest):
        table = data
    elif data is not None:
        table = _read(Path(data), told, checkpoint)
    else:
        try:
            table = _read(Path(told.data), told, checkpoint)
        except DataError as error:
            gone = str(error)
    return Source(run, run.begun(), _rows(run), told, weights, checkpoint, table, gone)


def scores(
    source: Source, split: str, *, progress: Callable[[int, int], None]
) -> tuple[Validated | None, tuple[tuple[str, str], ...]]:
    """The scores of a split's videos, and those that could not be read, each with the reason.

    Those of the validation videos were kept by the training, with the best weights; others are computed, as the
    training validates. None without data. Raises WeightsError for scores that are no numbers.
    """
    kept = validated.read(source.run.path) if split == "val" and source.weights == source.run.best else None
    if kept is not None and kept.scores.shape[1] == source.checkpoint.model.config.classes:
        return kept, ()
    if source.table is None:
        return None, ()
    items, engine, checkpoint = source.table.of(split), source.config.engine, source.checkpoint
    found = score_videos(
        checkpoint.model,
        items,
        checkpoint.clip,
        Scoring(
            clips=engine.clips, crops=engine.crops, workers=0 if len(items) < 32 else -1
        ),  # a worker takes a second
        task=checkpoint.task,
        target_stats=checkpoint.target_stats,
        progress=lambda done: progress(done, len(items)),
    )
    if not bool(found.scores.isfinite().all()):
        raise WeightsError("the scores are not finite; the weights are damaged: get or train them again.")
    if not found.items:
        return None, found.failed
    targets = tasks.targets(source.table, found.items)
    return validated.of(found.items, found.scores.numpy(), targets.numpy()), found.failed


def _read(data: Path, told: Story, checkpoint: Checkpoint) -> Manifest:
    if data == Path():
        raise DataError("the run doesn't say where its data is; name it with --data.")
    given = dict(told.source)
    fold = given.get("fold", "")
    return manifest.load(
        data,
        task=checkpoint.task,
        labels=checkpoint.labels or None,
        videos=given.get("videos") or None,
        fold=int(fold) if fold.isdigit() else None,
        missing="drop",
    )


def _rows(run: RunFolder) -> tuple[dict[str, float], ...]:
    """The metrics of each epoch; none where their file is gone or can't be read."""
    try:
        rows = [json.loads(line) for line in run.metrics.read_text("utf-8").splitlines()]
    except (OSError, ValueError):
        return ()
    fits = all(isinstance(row, dict) and all(isinstance(value, float) for value in row.values()) for row in rows)
    return tuple(rows) if fits else ()
