"""`timesformer evaluate` and `timesformer predict`."""

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from timesformer.cli import shown, timelines
from timesformer.cli.opened import Opened
from timesformer.cli.source import UNSET, Source
from timesformer.cli.timelines import WHOLE, OverTime
from timesformer.cli.typed import order
from timesformer.config.checks import require

if TYPE_CHECKING:
    import torch

    from timesformer.weights.checkpoint import Checkpoint

Reading = Annotated[Opened, tyro.conf.OmitArgPrefixes]
AS_THEY_ARE, AS_LISTED = Opened(), Source()


@dataclass(frozen=True)
class Views:
    """Which clips and crops the model sees of each video."""

    clips: int = 1
    """Number of temporal clips per video."""
    crops: Literal[1, 3] = 3
    """Number of spatial crops per clip."""
    placement: Literal["middle", "official", "whole"] = "middle"
    """"middle": evenly spaced clips. "official": as in the official code. "whole": as many as cover the whole video."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the model; bf16 and fp16 are faster on most GPUs, and change scores a little."""
    device: str = "auto"
    """Device: "cpu", "cuda", "cuda:1", "mps", or "gpu" for any; "auto" takes a GPU if there is one."""


@dataclass(frozen=True)
class Measure(Views):
    """Which videos are measured, and which clips and crops the model sees of each."""

    split: Literal["train", "val", "test", "all"] = "test"
    """Split to measure; "test" takes the validation videos if there are no test videos."""
    fusion: Literal["scores", "logits"] = "scores"
    """Average the scores of the views, or their logits as the official code does."""
    workers: int = -1
    """Number of decoding processes; -1 starts one per core."""


def evaluate(
    weights: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="WEIGHTS")],
    data: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")],
    *,
    out: Annotated[Path | None, UNSET] = None,
    reading: Reading = AS_THEY_ARE,
    views: Annotated[Measure, tyro.conf.OmitArgPrefixes] = Measure(),
    source: Annotated[Source, tyro.conf.OmitArgPrefixes] = AS_LISTED,
) -> int:
    """Measure a model on a data set: accuracy, numbers for each class, and confusions.

    Under torchrun, the processes share the videos.

    Args:
        weights: A checkpoint of any kind, a run's folder, or a published name.
        data: A folder or list of videos, as for training.
        out: Folder for the results; by default "evaluation" beside the weights, or "evaluation-2" if that exists.
        reading: How the weights are read.
        views: Which videos are measured, and which clips and crops the model sees of each.
        source: How the videos of a list are found.
    """
    order.check("evaluate", weights, [data])
    from rich.console import Console

    from timesformer.config.training import EngineConfig
    from timesformer.inference import results
    from timesformer.inference.scoring import Scoring
    from timesformer.machine import pick_device
    from timesformer.progress.bar import counting
    from timesformer.training.engine import processes
    from timesformer.verbs import evaluate as verb
    from timesformer.weights.runs import seen_before

    device = pick_device(views.device)
    scoring = Scoring(
        clips=views.clips,
        crops=views.crops,
        placement=views.placement,
        fusion=views.fusion,
        precision=views.precision,
        workers=views.workers,
    )
    folder = _folder(weights, source.videos or data, out)
    assumed: list[str] = []
    checkpoint = reading.load(weights, say=assumed.append)
    table = source.load(data, task=checkpoint.task, labels=checkpoint.labels or None)
    with processes.joined(EngineConfig(device=_kind(device))) as world:
        console = Console(quiet=not world.first)
        known = () if views.split in ("train", "all") else seen_before(Path(weights), table.of(views.split))
        fold = _other_fold(checkpoint.about, table.fold)
        for note in (*assumed, *_unnamed(checkpoint), *table.notes, *fold, *known):
            shown.warn(console, note)
        total = math.ceil(len(table.of(views.split)) / world.size)
        with counting("videos", total, console=console) as progress:
            result = verb.evaluate(
                checkpoint,
                table,
                scoring,
                split=views.split,
                device=world.device if world.size > 1 else device,
                progress=progress,
            )
    if not world.first:
        return 0
    try:
        shown.evaluation(console, result)  # before writing, which a full disk may prevent
    finally:
        written = results.write(result, folder)
    shown.say(console, f"written to {folder}: {', '.join(written)}")
    return 0


def _kind(device: "torch.device") -> Literal["auto", "cuda", "mps", "cpu"]:
    return "cuda" if device.type == "cuda" else "mps" if device.type == "mps" else "cpu"


def _folder(weights: str, videos: Path, out: Path | None) -> Path:
    """Where the results go, found fit for it before anything is scored; the first process makes it."""
    from timesformer.inference import results

    if out is None:
        path = Path(weights)
        out = results.free((path if path.is_dir() else path.parent if path.is_file() else Path()) / "evaluation")
    return results.claimed(out, videos=videos) if int(os.environ.get("RANK", "0")) == 0 else out


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


def predict(
    weights: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="WEIGHTS")],
    videos: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="VIDEO...")],
    *,
    json: bool = False,
    top: int = 5,
    reading: Reading = AS_THEY_ARE,
    views: Annotated[Views, tyro.conf.OmitArgPrefixes] = Views(),
    over_time: Annotated[OverTime, tyro.conf.OmitArgPrefixes] = WHOLE,
) -> int:
    """Predict the classes of videos, or the numbers that the model was trained for.

    Args:
        weights: A checkpoint of any kind, a run's folder, or a published name.
        videos: Video files, or folders of them.
        json: Print one line of JSON for each video, instead of a text to read.
        top: Number of classes to show.
        reading: How the weights are read.
        views: Which clips and crops the model sees of each video.
        over_time: Scores over time, instead of those of whole videos.
    """
    order.check("predict", weights, videos)
    require(bool(videos), "no video is named; name files, or folders of them, after the weights.")
    require(top >= 1, f"top is {top}; it must be at least 1.")
    over_time.check(clips=views.clips, placement=views.placement)
    from rich.console import Console

    from timesformer.inference.prediction import Failure, to_json
    from timesformer.machine import pick_device
    from timesformer.verbs.predict import Predictor, predict_files

    console = Console()
    errors = Console(stderr=True)
    device = pick_device(views.device)
    predictor = Predictor(
        reading.load(weights, say=lambda text: shown.warn(errors, text)),
        device=device,
        precision=views.precision,
        clips=views.clips,
        crops=views.crops,
        placement=views.placement,
    )
    if over_time.timeline:
        return timelines.show(predictor, videos, over_time, json=json)
    failures = 0
    for result in predict_files(predictor, videos):
        if json:
            print(to_json(result, top=top), flush=True)
        if isinstance(result, Failure):
            failures += 1
            shown.say(errors, f"error: {result.path}: {result.reason}")
            continue
        for note in result.notes:
            shown.warn(errors, f"{result.path}: {note}")
        if not json:
            shown.prediction(console, result, top)
    return 1 if failures else 0
