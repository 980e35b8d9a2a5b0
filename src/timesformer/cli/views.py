"""`timesformer evaluate` and `timesformer predict`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from rich.console import Console

    from timesformer.evaluate import Evaluation
    from timesformer.predict import Prediction

Weights = Annotated[str, tyro.conf.Positional]


def evaluate(
    weights: tyro.conf.Positional[str],
    data: tyro.conf.Positional[Path],
    *,
    clips: int = 1,
    crops: Literal[1, 3] = 3,
    split: Literal["train", "val", "test", "all"] = "test",
    fusion: Literal["scores", "logits"] = "scores",
    placement: Literal["middle", "official"] = "middle",
    videos: Path | None = None,
    missing: Literal["raise", "drop"] = "raise",
    out: Path | None = None,
    workers: int = -1,
) -> int:
    """Measure a model on the videos of a data set: accuracy, classes, confusions.

    Args:
        weights: A checkpoint of any kind, or a published name.
        data: A folder or list of videos, as for training.
        clips: Temporal clips per video.
        crops: Spatial crops per clip.
        split: Videos to use; "test" is "val" where there are no test videos.
        fusion: Average the views' scores, or their logits as the official code does.
        placement: Where clips lie: spread over the video, or where the official code puts them.
        videos: Folder of the videos that a list names, where it is not the list's own.
        missing: What to do about listed videos that do not exist.
        out: Folder for results.json, confusion.png and broken.csv; "evaluation" beside the weights by default.
        workers: Decoding processes; -1 takes one for each core.
    """
    from rich.console import Console
    from rich.progress import Progress

    from timesformer import evaluate as verb
    from timesformer.data import manifest
    from timesformer.scoring import Scoring
    from timesformer.weights import loading

    checkpoint = loading.load(weights)
    table = manifest.load(data, task=checkpoint.task, labels=checkpoint.labels or None, videos=videos, missing=missing)
    console = Console()
    for note in table.notes:
        console.print(f"! {note}", style="yellow", highlight=False, markup=False)
    scoring = Scoring(clips=clips, crops=crops, placement=placement, fusion=fusion, workers=workers)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("videos", total=len(table.of(split)))
        result = verb.evaluate(
            checkpoint, table, scoring, split=split, progress=lambda done: progress.update(task, completed=done)
        )
    folder = out or (Path(weights).parent if Path(weights).is_file() else Path()) / "evaluation"
    verb.write(result, folder)
    _show_evaluation(console, result)
    console.print(f"written to {folder}: results.json, confusion.png, broken.csv", highlight=False, soft_wrap=True)
    return 0


def _show_evaluation(console: "Console", result: "Evaluation") -> None:
    from rich.table import Table

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
            f"{numbers.videos} videos: top-1 {numbers.top1:.1%}, top-5 {numbers.top5:.1%}, "
            f"mean class accuracy {numbers.mean_class:.1%}",
            highlight=False,
        )
    elif isinstance(numbers, Multilabel):
        console.print(f"{numbers.videos} videos: mAP {_share(numbers.mean_ap)}", highlight=False)
    else:
        for name, error in zip(result.labels, numbers.mae, strict=True):
            console.print(f"{name}: mean absolute error {error:.4g}", highlight=False)
    console.print(f"{failed} videos could not be read ({result.failed_share:.1%})", highlight=False)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def predict(
    weights: tyro.conf.Positional[str],
    videos: tyro.conf.Positional[tuple[Path, ...]],
    *,
    json: bool = False,
    top: int = 5,
    clips: int = 1,
    crops: Literal[1, 3] = 3,
    labels: Path | None = None,
) -> int:
    """Name what happens in videos.

    Args:
        weights: A checkpoint of any kind, or a published name.
        videos: Video files, or folders of them.
        json: One line of JSON for each video instead of bars.
        top: Number of classes to show.
        clips: Temporal clips per video.
        crops: Spatial crops per clip.
        labels: A file with the class names, a line each, for weights that come without.
    """
    from rich.console import Console

    from timesformer.predict import Failure, Predictor, predict_files, to_json
    from timesformer.weights import loading

    console = Console()
    errors = Console(stderr=True)
    predictor = Predictor(loading.load(weights, labels=labels), clips=clips, crops=crops)
    failures = 0
    for result in predict_files(predictor, videos):
        if json:
            print(to_json(result, top=top), flush=True)
        if isinstance(result, Failure):
            failures += 1
            errors.print(f"error: {result.path}: {result.reason}", highlight=False, markup=False, soft_wrap=True)
        elif not json:
            _bars(console, result, top)
    return 1 if failures else 0


def _bars(console: "Console", result: "Prediction", top: int) -> None:
    console.print(str(result.path), style="bold", highlight=False, markup=False, soft_wrap=True)
    best = result.top(top) if result.task != "regression" else tuple(zip(result.labels, result.scores, strict=True))
    width = max(len(name) for name, _ in best)
    for name, score in best:
        bar = "" if result.task == "regression" else "█" * round(30 * score)
        text = f"{score:8.4g}" if result.task == "regression" else f"{score:6.1%}"
        console.print(f"  {name:<{width}} {text} {bar}", highlight=False, markup=False)
