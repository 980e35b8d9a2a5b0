"""Prediction: what videos show, with one call."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from timesformer import metrics
from timesformer.config import Task
from timesformer.data.files import VIDEO_SUFFIXES, holds_frames, videos_in
from timesformer.scoring import Scoring, forward, pick_device
from timesformer.video import sampling, transforms
from timesformer.video.reader import VideoError
from timesformer.video.views import noting_damage, read_views
from timesformer.weights import loading
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.report import WeightsError


@dataclass(frozen=True)
class Prediction:
    """Scores of one video."""

    path: Path | None
    """The video's file, or None for frames from memory."""
    labels: tuple[str, ...]
    """Name of each score."""
    scores: tuple[float, ...]
    """Probabilities of the classes, or of each label on its own; for regression the predicted numbers."""
    task: Task = "classes"
    notes: tuple[str, ...] = ()
    """Trouble with the file that did not prevent a prediction."""

    def top(self, k: int = 5) -> tuple[tuple[str, float], ...]:
        """The ``k`` highest scores with their labels, or all if there are fewer, highest first."""
        order = sorted(range(len(self.scores)), key=lambda index: -self.scores[index])
        return tuple((self.labels[index], self.scores[index]) for index in order[:k])


@dataclass(frozen=True)
class Failure:
    """A video without a prediction."""

    path: Path
    reason: str


class Predictor:
    """A model that is ready to be called on videos.

    >>> predictor = Predictor("model.safetensors")
    >>> predictor("video.mp4").top(1)
    (('swipe left', 0.97),)
    """

    def __init__(
        self,
        weights: Checkpoint | Path | str,
        *,
        device: torch.device | str | None = None,
        precision: torch.dtype | None = None,
        clips: int = 1,
        crops: int = 3,
        placement: sampling.Placement = "middle",
    ) -> None:
        """Load weights of any known kind, or take those of a checkpoint, whose model is then moved to ``device``.

        The device is a GPU where there is one, unless told otherwise. A video is seen in ``clips`` temporal clips of
        1 or 3 ``crops`` each, placed as in :class:`timesformer.scoring.Scoring`, and its scores are averaged over them.
        """
        self.scoring = Scoring(clips=clips, crops=crops, placement=placement, precision=precision)
        self.checkpoint = weights if isinstance(weights, Checkpoint) else loading.load(weights)
        self.device = pick_device(device)
        self.model = self.checkpoint.model.to(self.device).eval()
        self.labels = self.checkpoint.labels or tuple(f"class {index}" for index in range(self.model.config.classes))

    def __call__(
        self,
        video: Path | str | Tensor,
        *,
        start: float | None = None,
        end: float | None = None,
        fps: float | None = None,
    ) -> Prediction:
        """Predict one video: a file, or its stretch from ``start`` to ``end`` seconds, or frames from memory.

        Frames are uint8 RGB (n, 3, h, w): with ``fps`` a whole video, from which clips are taken as from a file;
        without it one clip, of exactly the frames that the model is for. Raises
        :class:`timesformer.video.reader.VideoError` for a file that can't be read.
        """
        if isinstance(video, Tensor):
            if start is not None or end is not None:
                raise ValueError("start and end are for files; cut frames out of a tensor by indexing it.")
            return self._predict(self._views_of(video, fps), None, [])
        if fps is not None:
            raise ValueError(f"fps is {fps}; it is for frames from memory, a file has its own.")
        with noting_damage() as notes:
            views = read_views(
                video,
                self.checkpoint.clip,
                clips=self.scoring.clips,
                crops=self.scoring.crops,
                placement=self.scoring.placement,
                start=start,
                end=end,
            )
        return self._predict(views, Path(video), notes)

    def _views_of(self, frames: Tensor, fps: float | None) -> Tensor:
        clip = self.checkpoint.clip
        if frames.ndim != 4:
            raise ValueError(f"frames have the shape {tuple(frames.shape)}; one video's are (n, 3, h, w).")
        if fps is not None:
            scoring = self.scoring
            numbers = sampling.views(len(frames), fps, clip, clips=scoring.clips, placement=scoring.placement)
        elif len(frames) == clip.frames:
            numbers = torch.arange(clip.frames)[None]
        else:
            raise ValueError(
                f"{len(frames)} frames for a model of {clip.frames}; give as many, or a whole video and its fps=."
            )
        return transforms.eval_views(frames[numbers], clip, crops=self.scoring.crops)

    def _predict(self, views: Tensor, path: Path | None, notes: list[str]) -> Prediction:
        scoring, task = self.scoring, self.checkpoint.task
        logits = forward(self.model, views, batch=scoring.batch, precision=scoring.precision)
        scores = metrics.fuse(logits[None], task, scoring.fusion, self.checkpoint.units)[0]
        if not bool(scores.isfinite().all()):
            raise WeightsError("the scores are not finite; the weights are spoiled, get or train them again.")
        return Prediction(path, self.labels, tuple(scores.tolist()), task, tuple(notes))


def predict_files(predictor: Predictor, paths: Iterable[Path | str]) -> Iterator[Prediction | Failure]:
    """Predict videos one after the other, in order; a folder stands for all videos below it.

    A video that can't be read yields a :class:`Failure`, and so does a folder without videos; the others follow.
    """
    for path in map(Path, paths):
        for video in _videos_of(path):
            yield video if isinstance(video, Failure) else _predicted(predictor, video)


def to_json(result: Prediction | Failure, *, top: int | None = None) -> str:
    """One line of JSON: the path with the ``top`` scores by label, all unless told otherwise, highest first.

    The numbers of a regression stay in their order, and all are given. A failure has ``error`` in place of ``scores``.
    """
    if isinstance(result, Failure):
        return json.dumps({"path": str(result.path), "error": result.reason}, ensure_ascii=False)
    pairs = tuple(zip(result.labels, result.scores, strict=True))
    if result.task != "regression":
        pairs = result.top(len(pairs) if top is None else top)
    line = {
        "path": None if result.path is None else str(result.path),
        "scores": [{"label": label, "score": score} for label, score in pairs],
        "notes": result.notes,
    }
    return json.dumps(line, ensure_ascii=False, allow_nan=False)


def _videos_of(path: Path) -> list[Path] | list[Failure]:
    try:
        videos = list(videos_in(path)) if path.is_dir() and not holds_frames(path) else [path]
    except OSError as error:
        return [Failure(path, f"can't be listed ({error.strerror})")]
    return videos or [Failure(path, f"holds no videos ({' '.join(VIDEO_SUFFIXES)})")]


def _predicted(predictor: Predictor, path: Path) -> Prediction | Failure:
    try:
        return predictor(path)
    except VideoError as error:
        return Failure(path, error.reason)
