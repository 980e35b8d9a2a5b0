"""Prediction: what videos show, with one call."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from timesformer.data.files import VIDEO_SUFFIXES, holds_frames, videos_in
from timesformer.inference import parts
from timesformer.inference.answers import answers, forward
from timesformer.inference.inputs import Several, Video, as_file, as_frames, is_bytes, is_file, is_several, named
from timesformer.inference.parts import Part, Seen
from timesformer.inference.prediction import Failure, Prediction
from timesformer.inference.scoring import Scoring
from timesformer.inference.timeline.timeline import Timeline
from timesformer.inference.timeline.watching import watch
from timesformer.machine import Precision, pick_device
from timesformer.tasks.table import fuse
from timesformer.video import sampling
from timesformer.video.reader import VideoError
from timesformer.weights import loading
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.report import WeightsError


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
        precision: Precision = None,
        clips: int = 1,
        crops: int = 3,
        placement: sampling.Placement = "middle",
    ) -> None:
        """Load weights of any known kind, or a run's best, or take a checkpoint, whose model is moved to ``device``.

        The device is a GPU where there is one, unless named ("cpu", "cuda:1", "mps", "gpu"); ``precision`` is
        "fp32", "bf16" or "fp16". A video is seen in ``clips`` temporal clips of 1 or 3 ``crops`` each, placed as in
        :class:`timesformer.inference.scoring.Scoring`, and its scores are averaged over them.
        """
        self.scoring = Scoring(clips=clips, crops=crops, placement=placement, precision=precision)
        self.device = pick_device(device)
        self.checkpoint = weights if isinstance(weights, Checkpoint) else loading.load(weights)
        self.model = self.checkpoint.model.to(self.device).eval()
        self.labels = self.checkpoint.labels or tuple(f"class {index}" for index in range(self.model.config.classes))

    @overload
    def __call__(
        self, video: Video, *, start: float | None = ..., end: float | None = ..., fps: float | None = ...
    ) -> Prediction: ...
    @overload  # a list of frames gives a prediction, a list of videos a list of them
    def __call__(
        self, video: Several, *, start: float | None = ..., end: float | None = ..., fps: float | None = ...
    ) -> Any: ...
    def __call__(
        self,
        video: Video | Several,
        *,
        start: float | None = None,
        end: float | None = None,
        fps: float | None = None,
    ) -> Prediction | list[Prediction]:
        """Predict one video, or each of a list of videos in one batched pass.

        A video is a path, the bytes of a file, a file opened as bytes, or frames: uint8 RGB, an array or tensor
        (n, h, w, 3) or (n, 3, h, w), or a list of frames. Of files the time range from ``start`` to ``end`` seconds is
        seen. Frames with their ``fps`` are a whole video, from which clips are taken as from a file; without it they
        are one clip, of exactly the frames that the model is for.

        Raises :class:`timesformer.video.reader.VideoError` for a file that can't be read (:func:`predict_files` goes
        on), ``ValueError`` and ``TypeError`` for frames of another form, and
        :class:`timesformer.weights.report.WeightsError` for weights without a head, which have :meth:`features` alone.
        """
        self.checkpoint.needs_head()
        videos = list(video) if is_several(video) else [video]
        found = [
            self._prediction(logits, named(each), notes)
            for each, (logits, notes) in zip(videos, self._seen(videos, self.model, start, end, fps), strict=True)
        ]
        return found if is_several(video) else found[0]

    def features(
        self,
        video: Video | Several,
        *,
        start: float | None = None,
        end: float | None = None,
        fps: float | None = None,
    ) -> Tensor:
        """Features of a video, which are what the head gets: float32 ``(width,)``, or ``(n, width)`` for a list of n.

        The mean over the video's views. Everything else as in calling the predictor.
        """
        videos = list(video) if is_several(video) else [video]
        found = [seen.mean(dim=0) for seen, _ in self._seen(videos, self.model.features, start, end, fps)]
        return torch.stack(found) if is_several(video) else found[0]

    def timeline(
        self,
        video: Path | str,
        *,
        window: float | None = None,
        every: float | None = None,
        progress: Callable[[float, float], None] = lambda seconds, duration: None,
    ) -> Timeline:
        """Scores of a video file over time, and the segments that they make: see :func:`timesformer.timeline`.

        The predictor's ``clips`` and ``placement`` don't matter: windows cover the video.
        """
        self.checkpoint.needs_head()
        return watch(self.checkpoint, Path(video), self.scoring, window=window, every=every, progress=progress)

    def _seen(
        self,
        videos: Sequence[Any],
        compute: Callable[[Tensor], Tensor],
        start: float | None,
        end: float | None,
        fps: float | None,
    ) -> list[tuple[Tensor, tuple[str, ...]]]:
        """What the model computes of every view of each video (v, ...), and the notes on it, in full batches."""
        scoring = self.scoring
        run = partial(forward, self.model, batch=scoring.batch, precision=scoring.precision, compute=compute)
        views = (part for number, video in enumerate(videos) for part in self._parts(number, video, start, end, fps))
        found = answers(parts.filled(views, scoring.batch), run)
        return [(answer.outputs, tuple(dict.fromkeys((*answer.remarks, *answer.notes)))) for answer in found]

    def _parts(
        self, number: int, video: Any, start: float | None, end: float | None, fps: float | None
    ) -> Iterator[Part]:
        """The views of one video, in parts."""
        scoring = self.scoring
        seen = Seen(self.checkpoint.clip, scoring.clips, scoring.crops, scoring.placement, scoring.batch)
        if is_bytes(video):
            with as_file(video) as path:
                yield from self._parts(number, path, start, end, fps)
        elif is_file(video):
            if fps is not None:
                raise ValueError(
                    f"fps is {fps}; it is for frames from memory, and {video} is a file with its own rate."
                )
            yield from parts.of_file(number, video, seen, start=start, end=end)
        else:
            if start is not None or end is not None:
                raise ValueError("start and end are for files; cut frames out of a tensor by indexing it.")
            yield from parts.of_frames(number, as_frames(video), seen, fps=fps)

    def _prediction(self, logits: Tensor, path: Path | None, notes: tuple[str, ...]) -> Prediction:
        task = self.checkpoint.task
        scores = fuse(logits[None], task, self.scoring.fusion, self.checkpoint.target_stats)[0]
        if not bool(scores.isfinite().all()):
            raise WeightsError("the scores are not finite; the weights are damaged: get or train them again.")
        return Prediction(path, self.labels, tuple(scores.tolist()), task, notes)


def predict_files(predictor: Predictor, paths: Iterable[Path | str]) -> Iterator[Prediction | Failure]:
    """Predict videos one after the other, in order; a folder stands for all videos below it.

    A video that can't be read yields a :class:`Failure`, and so does a folder without videos; the others follow.
    """
    for path in map(Path, paths):
        for video in videos_of(path):
            yield video if isinstance(video, Failure) else _predicted(predictor, video)


def videos_of(path: Path) -> list[Path] | list[Failure]:
    """A video, or all videos below a folder that isn't one; a failure for a folder without any."""
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
