"""An explanation: which places and frames of a video count for what a model says of it."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from timesformer.config.tasks import FACTS
from timesformer.data.items import shortened
from timesformer.inference.explanation import writing
from timesformer.inference.explanation.method import MEANINGS, Method
from timesformer.inference.prediction import Prediction
from timesformer.pictures.heat.film import Film
from timesformer.pictures.heat.overlay import Area, Heat, in_even_shares
from timesformer.pictures.heat.sheet import BLUE, ORANGE, Bars, Sheet
from timesformer.video.clock import clock

Progress = Callable[[int, int], None]
"""Called with what is done and how much there is."""
MOST = 16
"""Frames on a picture."""
LEAST = 0.2
"""The axis of log odds goes at least so far: a fifth more or less of the odds is no decision."""
BY_ODDS = "how much the log odds of the class fall when the frames beside it stand in for it (0.7 halves the odds)"
BY_VALUE = "how much the number falls when the frames beside it stand in for it"


@dataclass(frozen=True)
class SeenFrame:
    """A frame that the model saw."""

    number: int
    """Number of the frame in the video, from 0."""
    time: float
    """When it is shown, in seconds."""
    clip: int
    """Number of the clip that holds it."""
    relevance: float
    """Its share of the relevance of its clip's patches, between 0 and 1."""
    evidence: float | None = None
    """By how much the log odds of the class fall if the frames beside it stand in for it; of a regression, the value.
    None where this was not computed, or the clip has one frame."""
    score_without: float | None = None
    """The clip's score of the class with the frames beside it in its place."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where and when a model looked in a video.

    >>> look = timesformer.explain("run/best.safetensors", "video.mp4")
    >>> look.write("look.mp4")
    """

    prediction: Prediction
    """The scores of the video: those of all of its clips, averaged."""
    label: str
    """The class that is explained, or the number of a regression."""
    method: Method
    frames: tuple[SeenFrame, ...]
    """The frames that the model saw, in order."""
    clip_scores: tuple[float, ...]
    """The score of the class in each clip."""
    numbers: Tensor
    """Frame numbers of each clip, ``(clips, t)``."""
    maps: Tensor
    """Share of each patch in the relevance of its view, ``(clips, crops, t, rows, columns)``."""
    rest: Tensor
    """The share that stays at the class token and registers, ``(clips, crops)``."""
    areas: tuple[Area, ...]
    """Where each crop lies in the frame: top, left, height and width in pixels."""
    size: tuple[int, int]
    """Height and width of the video in pixels."""
    times: NDArray[np.float64]
    """When each frame of the video is shown, in seconds."""
    duration: float
    """Length of the video in seconds."""
    time_attention: Tensor | None = None
    """Attention from frame to frame, the mean over places, crops and clips, ``(blocks, heads, t, t)``; None for schemes
    that attend within frames alone."""

    @property
    def path(self) -> Path:
        """The video."""
        return self.prediction.path or Path()

    @property
    def score(self) -> float:
        """The video's score of the class."""
        return self.prediction.scores[self.prediction.labels.index(self.label)]

    @property
    def evidence_means(self) -> str:
        """What the evidence of a frame is, in words."""
        return BY_VALUE if FACTS[self.prediction.task].numeric else BY_ODDS

    @property
    def best_clip(self) -> int:
        """The clip with the highest score of the class."""
        return max(range(len(self.clip_scores)), key=lambda clip: self.clip_scores[clip])

    def heat(self) -> Heat:
        """The maps as multiples of the even share, a map for each frame that the model saw."""
        shares = self.maps.numpy()
        even = np.stack([[in_even_shares(crop) for crop in clip] for clip in shares])
        numbers, places = np.unique(self.numbers.numpy(), return_inverse=True)
        flat = even.swapaxes(1, 2).reshape(-1, *even.shape[1:2], *even.shape[3:])
        total = np.zeros((len(numbers), *flat.shape[1:]), np.float32)
        np.add.at(total, places.reshape(-1), flat)
        counts = np.bincount(places.reshape(-1))[:, None, None, None]
        times = np.array([self.times[number] for number in numbers])
        return Heat(times, (total / counts).astype(np.float32), self.areas, self.size)

    def write(self, path: Path | str, *, progress: Progress = lambda done, total: None) -> None:
        """Write what the model looked at: ``.mp4`` (the whole video), ``.gif`` or ``.png`` (the clip ``best_clip``).

        The file appears whole or not at all. ``progress`` is called with the frames of a film that are done, and their
        number. Raises ConfigError for another suffix, :class:`timesformer.video.reader.VideoError` where the video
        can't be read any more, :class:`timesformer.atomic.WriteError` where the file can't be written.
        """
        out = Path(path)
        writing.check(out, self.path)
        numbers = self.numbers[self.best_clip].unique().tolist()
        if out.suffix.lower() == ".mp4":
            writing.film(self._film(), self.path, out, progress)
        elif out.suffix.lower() == ".gif":
            writing.animation(self._film(), self.path, out, (numbers[0], numbers[-1]))
        else:
            shown = [numbers[place] for place in np.linspace(0, len(numbers) - 1, min(len(numbers), MOST)).astype(int)]
            writing.sheet(self._sheet(shown), self._film(), self.path, out, shown)

    def _film(self) -> Film:
        return Film(
            heat=self.heat(),
            label=self.label,
            says=MEANINGS[self.method].short,
            scores=tuple(self.said(score) for score in self.clip_scores),
            starts=tuple(float(self.times[number]) for number in self.numbers[:, 0].tolist()),
            duration=self.duration,
        )

    def said(self, score: float) -> str:
        """A score as text: in per cent, or of a regression the number."""
        return f"{score:.4g}" if FACTS[self.prediction.task].numeric else f"{score:.1%}"

    def _sheet(self, numbers: Sequence[int]) -> Sheet:
        """The page about the best clip, without its frames."""
        clip = self.best_clip
        frames = [frame for frame in self.frames if frame.clip == clip]
        bars = [Bars("share of the relevance on each frame", np.array([each.relevance for each in frames]), ORANGE)]
        if frames[0].evidence is not None:
            known = np.array([math.nan if each.evidence is None else each.evidence for each in frames])
            least = 0.0 if FACTS[self.prediction.task].numeric else LEAST
            bars.append(Bars(f"evidence of each frame: {self.evidence_means}", np.nan_to_num(known), BLUE, least))
        start, end = frames[0].time, frames[-1].time
        which = self.path.name
        if len(self.clip_scores) > 1:
            which += f"; of {len(self.clip_scores)} clips the one with the highest score"
            which += f" ({self.said(self.clip_scores[clip])}): {clock(start)} to {clock(end)}"
        return Sheet(
            title=f"{shortened(self.label)}: {self.said(self.score)}",
            lines=(MEANINGS[self.method].long, which),
            frames=(),
            captions=[f"{self.times[number]:.2f} s" for number in numbers],
            top=self.heat().top,
            bars=bars,
            times=[f"{frame.time:.2f} s" for frame in frames],
            attention=None if self.time_attention is None else self.time_attention.numpy(),
        )

    def as_json(self) -> str:
        """Everything but the maps as one line of JSON."""
        attention = self.time_attention
        line: dict[str, Any] = {
            "path": str(self.path),
            "label": self.label,
            "score": self.score,
            "method": self.method,
            "frames": [{name: _finite(value) for name, value in vars(frame).items()} for frame in self.frames],
            "clip_scores": self.clip_scores,
            "rest": float(self.rest.mean()),
            "time_attention": None if attention is None else [[_rounded(h) for h in block] for block in attention],
            "notes": self.prediction.notes,
        }
        return json.dumps(line, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace").decode()


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _rounded(matrix: Tensor) -> list[list[float]]:
    return [[round(value, 5) for value in row] for row in matrix.tolist()]
