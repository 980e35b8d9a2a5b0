"""`timesformer evaluate` and `timesformer predict`."""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from timesformer.cli.opened import Opened
from timesformer.cli.source import Source
from timesformer.config import require

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from timesformer.evaluation import Evaluation
    from timesformer.predict import Prediction
    from timesformer.weights.checkpoint import Checkpoint


Weights = Annotated[Opened, tyro.conf.arg(name="")]
AS_THEY_ARE = Opened()


@dataclass(frozen=True)
class Views:
    """How each video is seen."""

    clips: int = 1
    """Temporal clips per video."""
    crops: Literal[1, 3] = 3
    """Spatial crops per clip."""
    placement: Literal["middle", "official", "whole"] = "middle"
    """Where clips lie: spread over the video, where the official code puts them, or as many as cover all of it."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the model; bfloat16 is faster where the machine has it, and its scores differ a little."""

    @property
    def arithmetic(self) -> "torch.dtype | None":
        """The type for autocast, if any."""
        import torch

        return torch.bfloat16 if self.precision == "bf16" else None


@dataclass(frozen=True)
class Measure(Views):
    """How the videos of a data set are found, seen and scored."""

    split: Literal["train", "val", "test", "all"] = "test"
    """Videos to use; "test" is "val" where there are no test videos."""
    fusion: Literal["scores", "logits"] = "scores"
    """Average the views' scores, or their logits as the official code does."""
    source: Annotated[Source, tyro.conf.arg(name="")] = field(default_factory=Source)
    workers: int = -1
    """Decoding processes; -1 takes one for each core."""


def evaluate(
    weights: tyro.conf.Positional[str],
    data: tyro.conf.Positional[Path],
    *,
    out: Path | None = None,
    opened: Weights = AS_THEY_ARE,
    how: Annotated[Measure, tyro.conf.arg(name="")] = Measure(),
) -> int:
    """Measure a model on the videos of a data set: accuracy, classes, confusions; under torchrun, processes share them.

    Args:
        weights: A checkpoint of any kind, or a published name.
        data: A folder or list of videos, as for training.
        out: Folder for the results and a picture of the confusions; "evaluation" beside the weights by default.
        opened: How the weights are read.
        how: How the videos are found, seen and scored.
    """
    from rich.console import Console
    from rich.progress import Progress

    from timesformer import evaluation as verb
    from timesformer.scoring import Scoring
    from timesformer.training import processes

    scoring = Scoring(
        clips=how.clips,
        crops=how.crops,
        placement=how.placement,
        fusion=how.fusion,
        precision=how.arithmetic,
        workers=how.workers,
    )
    assumed: list[str] = []
    checkpoint = opened.load(weights, say=assumed.append)
    table = how.source.load(data, task=checkpoint.task, labels=checkpoint.labels or None)
    with processes.joined() as world:
        console = Console(quiet=not world.first)
        for note in (*assumed, *_unnamed(checkpoint), *table.notes, *_other_fold(checkpoint.about, table.fold)):
            _note(console, note)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("videos", total=math.ceil(len(table.of(how.split)) / world.size))
            result = verb.evaluate(
                checkpoint,
                table,
                scoring,
                split=how.split,
                device=world.device,
                progress=lambda done: progress.update(task, completed=done),
            )
    if world.first:
        folder = out or (Path(weights).parent if Path(weights).is_file() else Path()) / "evaluation"
        written = verb.write(result, folder)
        _show_evaluation(console, result)
        console.print(f"written to {folder}: {', '.join(written)}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _unnamed(checkpoint: "Checkpoint") -> list[str]:
    """A warning where nothing says which output of the weights is which class."""
    if checkpoint.labels:
        return []
    return ["the weights don't name their outputs: taken to be the data's classes in their order; --labels FILE says"]


def _other_fold(about: str, fold: int | None) -> list[str]:
    """A warning where weights that say their fold are measured on another."""
    trained = re.search(r", fold (\d+)", about)
    if fold is None or trained is None or int(trained[1]) == fold:
        return []
    return [f"the weights were trained on fold {trained[1]}, on videos that fold {fold} tests: use --fold {trained[1]}"]


def _show_evaluation(console: "Console", result: "Evaluation") -> None:
    from rich.table import Table

    from timesformer.data.items import counted
    from timesformer.metrics import Classification, Multilabel

    numbers = result.numbers
    failed = len(result.scores.failed)
    if isinstance(numbers, Classification):
        table = Table("class", "videos", "recall", "precision", "most often taken for")
        for row in numbers.classes:
            if row.count:
                other = "" if row.confused_with is None else f"{result.labels[row.confused_with]} ({row.confused})"
                table.add_row(
                    result.labels[row.label], str(row.count), _share(row.recall), _share(row.precision), other
                )
        console.print(table)
        console.print(
            f"{counted(numbers.videos, 'video')}: top-1 {numbers.top1:.1%}, top-5 {numbers.top5:.1%}, "
            f"mean class accuracy {numbers.mean_class:.1%}",
            highlight=False,
        )
    elif isinstance(numbers, Multilabel):
        console.print(f"{counted(numbers.videos, 'video')}: mAP {_share(numbers.mean_ap)}", highlight=False)
    else:
        for name, error in zip(result.labels, numbers.mae, strict=True):
            console.print(f"{name}: mean absolute error {error:.4g}", highlight=False)
    console.print(f"{counted(failed, 'video')} could not be read ({result.failed_share:.1%})", highlight=False)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def predict(
    weights: tyro.conf.Positional[str],
    videos: tyro.conf.Positional[tuple[Path, ...]],
    *,
    json: bool = False,
    top: int = 5,
    opened: Weights = AS_THEY_ARE,
    how: Annotated[Views, tyro.conf.arg(name="")] = Views(),
) -> int:
    """Name what happens in videos.

    Args:
        weights: A checkpoint of any kind, or a published name.
        videos: Video files, or folders of them.
        json: One line of JSON for each video instead of bars.
        top: Number of classes to show.
        opened: How the weights are read.
        how: How each video is seen.
    """
    from rich.console import Console

    from timesformer.predict import Failure, Predictor, predict_files, to_json

    require(bool(videos), "no video is named; name files, or folders of them, after the weights.")
    require(top >= 1, f"top is {top}; it must be at least 1.")
    console = Console()
    errors = Console(stderr=True)
    predictor = Predictor(
        opened.load(weights, say=lambda text: _note(errors, text)),
        precision=how.arithmetic,
        clips=how.clips,
        crops=how.crops,
        placement=how.placement,
    )
    failures = 0
    for result in predict_files(predictor, videos):
        if json:
            print(to_json(result, top=top), flush=True)
        if isinstance(result, Failure):
            failures += 1
            errors.print(f"error: {result.path}: {result.reason}", highlight=False, markup=False, soft_wrap=True)
            continue
        for note in result.notes:
            _note(errors, f"{result.path}: {note}")
        if not json:
            _bars(console, result, top)
    return 1 if failures else 0


def _note(console: "Console", text: str) -> None:
    console.print(f"! {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def _bars(console: "Console", result: "Prediction", top: int) -> None:
    console.print(str(result.path), style="bold", highlight=False, markup=False, soft_wrap=True)
    best = result.top(top) if result.task != "regression" else tuple(zip(result.labels, result.scores, strict=True))
    width = max(len(name) for name, _ in best)
    for name, score in best:
        bar = "" if result.task == "regression" else "█" * round(30 * score)
        text = f"{score:8.4g}" if result.task == "regression" else f"{score:6.1%}"
        console.print(f"  {name:<{width}} {text} {bar}", highlight=False, markup=False)
