"""The timeline of one video: the scores of its windows, and the segments that they make."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from timesformer import atomic
from timesformer.config.checks import ConfigError
from timesformer.config.tasks import FACTS
from timesformer.config.training import Task
from timesformer.inference.timeline import files
from timesformer.inference.timeline.files import Cue
from timesformer.inference.timeline.segments import Moments, Segment, moments
from timesformer.pictures import timelines
from timesformer.video.clock import clock


@dataclass(frozen=True)
class Stretch:
    """A stretch of a video with something the matter."""

    start: float
    """Seconds from the start of the video."""
    end: float
    what: str
    """What is the matter with its frames."""

    def __str__(self) -> str:
        return f"{clock(self.start)} to {clock(self.end)}: {self.what}"


@dataclass(frozen=True, eq=False)
class Timeline:
    """What a model says of a video over time."""

    path: Path
    duration: float
    """Length of the video in seconds."""
    labels: tuple[str, ...]
    """Name of each score."""
    spans: Tensor
    """Start and end of each window in seconds, float64 ``(n, 2)``."""
    scores: Tensor
    """Scores of each window as in a prediction: probabilities, or the numbers of a regression, ``(n, outputs)``."""
    segments: tuple[Segment, ...]
    """Stretches with one label, in the order of their starts; none for a regression."""
    window: float
    """Seconds of a window."""
    every: float
    """Seconds from one window to the next; 0 where there is only one."""
    task: Task = "classes"
    damaged: tuple[Stretch, ...] = ()
    """Where frames don't decode or may be wrong."""
    notes: tuple[str, ...] = ()
    """What was chosen, and what is the matter with the video."""
    thumbnails: Tensor = field(default_factory=lambda: torch.empty(0, 3, 1, 1, dtype=torch.uint8), repr=False)
    """Small frames of the video at equal distances, uint8 ``(m, 3, h, w)``."""

    @cached_property
    def moments(self) -> Moments:
        """The video cut wherever a window starts or ends, and for each part the mean score of its windows."""
        return moments(self.spans, self.scores, self.duration)

    @property
    def about(self) -> str:
        """How many windows of which length there are, in words."""
        if len(self.spans) == 1:
            return f"one window of {self.window:.3g} s"
        return f"{len(self.spans)} windows of {self.window:.3g} s, one every {self.every:.3g} s"

    @property
    def absent(self) -> tuple[str, ...]:
        """Labels of which there is no segment, in their order; none for a regression."""
        if FACTS[self.task].numeric:
            return ()
        found = {segment.label for segment in self.segments}
        return tuple(label for label in self.labels if label not in found)

    def as_json(self, *, windows: bool = True) -> dict[str, Any]:
        """Everything but the thumbnails as JSON values; the scores of ``windows`` are in the order of the labels."""
        content = {
            "path": str(self.path),
            "duration": round(self.duration, 3),
            "window": round(self.window, 3),
            "every": round(self.every, 3),
            "task": self.task,
            "segments": files.rows(self.segments),
            "damaged": [files.rounded(vars(stretch)) for stretch in self.damaged],
            "notes": list(self.notes),
        }
        if windows or FACTS[self.task].numeric:
            pairs = zip(self.spans.tolist(), self.scores.tolist(), strict=True)
            content["labels"] = list(self.labels)
            content["windows"] = [
                {"start": round(start, 3), "end": round(end, 3), "scores": [float(f"{score:.6g}") for score in scores]}
                for (start, end), scores in pairs
            ]
        return content

    def write(self, path: Path | str) -> None:
        """Write the timeline in the form that the file's ending names, whole or not at all.

        ``.csv``: a table of the segments. ``.jsonl``: a line of JSON for each segment. ``.json``: everything, also
        the scores of every window. ``.srt`` and ``.vtt``: subtitles. ``.png``: a picture. A regression has a row for
        each moment. Raises :class:`timesformer.config.checks.ConfigError` for another ending, and
        :class:`timesformer.atomic.WriteError` where the file can't be written.
        """
        path = Path(path)
        check_ending(path)
        if path.suffix.lower() == ".png":
            timelines.draw(self._picture(), path)
            return
        text = _FORMS[path.suffix.lower()](self)
        with atomic.replacing(path) as temporary:
            temporary.write_text(text, "utf-8", errors="surrogateescape", newline="\n")

    def _rows(self) -> tuple[list[str], list[dict[str, Any]]]:
        """The table of the segments, or of the moments of a regression: names of the columns, and rows."""
        if not FACTS[self.task].numeric:
            return ["start", "end", "label", "score"], files.rows(self.segments)
        found = [
            files.rounded({"start": start, "end": end, **dict(zip(self.labels, values, strict=True))})
            for (start, end), values in self._values()
        ]
        return ["start", "end", *self.labels], found

    def _cues(self) -> list[Cue]:
        if not FACTS[self.task].numeric:
            return list(files.cues(self.segments))
        return [
            (start, end, tuple(f"{label} {value:.4g}" for label, value in zip(self.labels, values, strict=True)))
            for (start, end), values in self._values()
        ]

    def _values(self) -> list[tuple[tuple[float, float], list[float]]]:
        """Start, end and values of each moment of a regression."""
        found = self.moments
        return list(zip(found.parts.tolist(), found.scores.tolist(), strict=True))

    def _picture(self) -> timelines.Picture:
        """What is drawn: a lane for each label that has a segment, in the order of their first ones."""
        bars: dict[str, list[tuple[float, float]]] = {}
        for segment in self.segments:
            bars.setdefault(segment.label, []).append((segment.start, segment.end))
        shown = self.labels if FACTS[self.task].numeric else bars
        lanes = [
            timelines.Lane(label, self.moments.scores[:, self.labels.index(label)].tolist(), tuple(bars.get(label, ())))
            for label in shown
        ]
        return timelines.Picture(
            title=self.path.name,
            about=self.about,
            borders=(0.0, *self.moments.parts[:, 1].tolist()),
            lanes=tuple(lanes),
            frames=self.thumbnails.permute(0, 2, 3, 1).numpy(),
            damaged=tuple((stretch.start, stretch.end) for stretch in self.damaged),
            shares=not FACTS[self.task].numeric,
        )


def _csv(timeline: Timeline) -> str:
    head, found = timeline._rows()
    return files.table(found, head)


def _lines(timeline: Timeline) -> str:
    head = {"path": str(timeline.path)}
    return "".join(f"{files.line({**head, **row})}\n" for row in timeline._rows()[1])


_FORMS: Mapping[str, Callable[[Timeline], str]] = {
    ".csv": _csv,
    ".jsonl": _lines,
    ".json": lambda timeline: f"{files.line(timeline.as_json())}\n",
    ".srt": lambda timeline: files.srt(timeline._cues()),
    ".vtt": lambda timeline: files.vtt(timeline._cues()),
}
ENDINGS = (*_FORMS, ".png")
"""Endings of the files that a timeline is written to."""


def check_ending(path: Path) -> None:
    """Raise ConfigError for a file whose ending names no form of a timeline."""
    if path.suffix.lower() not in ENDINGS:
        ending = f"ends in {path.suffix}" if path.suffix else "has no ending"
        raise ConfigError(f"{path} {ending}; a timeline is written as {', '.join(ENDINGS)}.")
