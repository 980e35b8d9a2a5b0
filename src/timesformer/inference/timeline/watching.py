"""Watch a video from start to end: each frame is decoded and prepared once, however many windows it is in."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from timesformer.config.model import ClipConfig
from timesformer.config.tasks import FACTS
from timesformer.inference.scoring import Scoring
from timesformer.inference.timeline.segments import moments, of_classes, of_labels
from timesformer.inference.timeline.shared import Sharing, sharing, together
from timesformer.inference.timeline.timeline import Stretch, Timeline
from timesformer.tasks.table import fuse
from timesformer.video import memory, reader, transforms, windows
from timesformer.video.reader import Frame, VideoInfo
from timesformer.video.views import frame_range
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.report import WeightsError

TOGETHER = 2**24
"""Bytes of decoded frames that are prepared together, at most 16 frames."""
ON_CPU = 2**22
"""Numbers in the tokens of the views that a CPU computes together: larger passes take memory, and no less time."""
THUMBNAILS, TALL, WIDE = 16, 108, 256
"""Number of small frames that are kept, and their largest height and width."""

HOLE = 10
"""A time without frames is named from so many times their usual distance on, and from one second on."""


@dataclass
class _Watch:
    """What is noted of the frames as they pass."""

    info: VideoInfo
    pictured: list[int]
    """Numbers of the frames of which a small copy is kept."""
    progress: Callable[[float, float], None]
    small: dict[int, Tensor] = field(default_factory=dict)
    stretches: list[Stretch] = field(default_factory=list)
    last: str = ""
    """What is the matter with the frame before."""

    def frames(self, stream: Iterable[Frame]) -> Iterator[Frame]:
        """The same frames."""
        for frame in stream:
            if trouble := _trouble(frame, self.info):
                self._note(frame.number, trouble)
            if frame.number in self.pictured:
                self.small[frame.number] = _thumbnail(frame.pixels)
            yield frame
            self.last = trouble
            self.progress(float(self.info.times[frame.number]), self.info.duration)
        self.progress(self.info.duration, self.info.duration)

    def _note(self, number: int, trouble: str) -> None:
        """Note the trouble of a frame: it goes on if the frame before had the same."""
        times, duration = self.info.times, self.info.duration
        begins = self.stretches.pop().start if trouble == self.last else float(times[number])
        ends = float(times[number + 1]) if number + 1 < len(times) else duration
        self.stretches.append(Stretch(begins, ends, trouble))


def watch(
    checkpoint: Checkpoint,
    path: Path,
    scoring: Scoring,
    *,
    window: float | None = None,
    every: float | None = None,
    progress: Callable[[float, float], None] = lambda seconds, duration: None,
) -> Timeline:
    """The timeline of a video, on the device of the checkpoint's model, which must be in evaluation mode.

    ``progress`` is called with the seconds of the video that were seen, and with those of the whole. Memory does not
    grow with the video. Raises :class:`timesformer.video.reader.VideoError` where the video can't be read.
    """
    clip, scoring = checkpoint.clip, _bounded(scoring, checkpoint)
    length = windows.usual_window(clip) if window is None else window
    with memory.error_for(path):
        info = reader.info(path)
        plan = windows.plan(frame_range(info), clip, window=length, every=every)
        wanted = plan.numbers.unique()
        seen = _Watch(info, _evenly(wanted, info), progress)
        stream = seen.frames(reader.stream(path, wanted.tolist()))
        logits = list(_logits(stream, plan.numbers, sharing(checkpoint.model, clip, scoring), scoring))
    stretches = sorted([*seen.stretches, *_holes(info)], key=lambda stretch: stretch.start)
    task = checkpoint.task
    scores = fuse(torch.cat(logits), task, scoring.fusion, checkpoint.target_stats)
    if not bool(scores.isfinite().all()):
        raise WeightsError("the scores are not finite; the weights are damaged: get or train them again.")
    labels = checkpoint.labels or tuple(f"class {index}" for index in range(scores.shape[1]))
    find = None if FACTS[task].numeric else of_classes if FACTS[task].exclusive else of_labels
    return Timeline(
        path=path,
        duration=info.duration,
        labels=labels,
        spans=plan.spans,
        scores=scores,
        segments=find(moments(plan.spans, scores, info.duration), labels) if find else (),
        window=length,
        every=plan.every,
        task=task,
        damaged=tuple(stretches),
        notes=(
            *_choices(clip, info, length, named=window is not None),
            *info.notes,
            *map(str, stretches),
        ),
        thumbnails=torch.stack([seen.small[number] for number in seen.pictured]),
    )


def _bounded(scoring: Scoring, checkpoint: Checkpoint) -> Scoring:
    """The same with smaller passes on a CPU where views are large: three of ViT-B with 8 frames of 224 px."""
    if next(checkpoint.model.parameters()).device.type != "cpu":
        return scoring
    config = checkpoint.model.config
    height, width = (side // config.patch for side in checkpoint.clip.frame_size)
    view = checkpoint.clip.frames * height * width * config.width
    return replace(scoring, batch=max(min(scoring.batch, ON_CPU // view), 1))


def _logits(stream: Iterable[Frame], numbers: Tensor, way: Sharing, scoring: Scoring) -> Iterator[Tensor]:
    """Logits of windows in order, (w, crops, classes) each; only frames of windows to come are held."""
    fitting = max(scoring.batch // scoring.crops, 1)
    kept: dict[int, Tensor] = {}
    done = 0
    for group in _groups(stream):
        prepared = way.prepare(torch.stack([frame.pixels for frame in group]))
        kept |= {frame.number: one for frame, one in zip(group, prepared, strict=True)}
        complete = int(np.searchsorted(numbers[:, -1].numpy(), group[-1].number, side="right"))
        ready = complete if complete == len(numbers) else done + (complete - done) // fitting * fitting
        for part in numbers[done:ready].split(fitting) if ready > done else ():
            yield way.logits(together(kept, part))
        done = ready
        if done < len(numbers):
            first = int(numbers[done, 0])
            kept = {number: one for number, one in kept.items() if number >= first}


def _groups(stream: Iterable[Frame]) -> Iterator[list[Frame]]:
    """The frames in groups that are prepared together."""
    group: list[Frame] = []
    for frame in stream:
        group.append(frame)
        if len(group) == 16 or len(group) * frame.pixels.nbytes >= TOGETHER:
            yield group
            group = []
    if group:
        yield group


def _evenly(wanted: Tensor, info: VideoInfo) -> list[int]:
    """Numbers of the wanted frames that are nearest to the middles of equal parts of the video."""
    times = info.times[wanted.numpy()]
    middles = (np.arange(THUMBNAILS) + 0.5) * info.duration / THUMBNAILS
    nearest = np.abs(times[None] - middles[:, None]).argmin(axis=1)
    return wanted[torch.from_numpy(nearest)].tolist()


def _thumbnail(pixels: Tensor) -> Tensor:
    height, width = pixels.shape[-2:]
    scale = min(TALL / height, WIDE / width)
    shape = max(round(height * scale), 1), max(round(width * scale), 1)
    return transforms.resize(pixels[None], shape)[0].round().to(torch.uint8)


def _trouble(frame: Frame, info: VideoInfo) -> str:
    """What is the matter with a frame; empty for a sound one."""
    given = frame.given
    if given.source != frame.number:
        return "frames don't decode, and the nearest ones stand in for them"
    if not given.clean:
        return "frames lie near damage and may show traces of it"
    if given.size != (info.height, info.width):
        (height, width), first = given.size, f"{info.width}x{info.height}"
        return f"frames have {width}x{height} pixels where the video begins with {first}; they are put inside that size"
    return ""


def _holes(info: VideoInfo) -> list[Stretch]:
    """Where no frame follows for so long that a part of the file may be missing."""
    steps = np.diff(info.times)
    if not len(steps):
        return []
    found = np.flatnonzero(steps > max(1.0, HOLE * float(np.median(steps))))
    what = "the file holds no frames, and the one before is taken to last"
    return [Stretch(float(info.times[at]), float(info.times[at + 1]), what) for at in found]


def _choices(clip: ClipConfig, info: VideoInfo, length: float, *, named: bool) -> Iterator[str]:
    """What was chosen, where it may surprise, in sentences."""
    if not named and (guess := windows.guessed(clip)):
        yield guess
    if info.duration < length - 1 / info.fps:
        rest = "which repeats its last frames" if clip.sampling == "dense" else "which shows all of it"
        yield f"the video lasts {info.duration:.1f} s, less than a window of {length:.1f} s: there is one, {rest}"
