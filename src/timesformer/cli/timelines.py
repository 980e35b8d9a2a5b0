"""`timesformer predict --timeline`: when what happens in videos."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from timesformer.cli import shown
from timesformer.cli.source import UNSET
from timesformer.config.checks import require
from timesformer.plain import printable

if TYPE_CHECKING:
    from rich.console import Console

    from timesformer.inference.prediction import Failure
    from timesformer.inference.timeline.timeline import Timeline
    from timesformer.verbs.predict import Predictor

Files = Annotated[
    tuple[Path, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="FILE", help_behavior_hint="(repeatable)")
]
TRACK = 30
"""Characters that stand for the length of a video."""
NAMED = 8
"""Most labels without a segment that are named."""


@dataclass(frozen=True)
class OverTime:
    """Scores over time, instead of those of whole videos."""

    timeline: bool = False
    """Show when each class is seen: the scores of windows along the video, joined into segments."""
    window: Annotated[float | None, UNSET] = None
    """Length of a window in seconds; by default that of the clips that the model was trained on."""
    every: Annotated[float | None, UNSET] = None
    """Seconds from one window to the next; by default windows share half of their frames."""
    out: Files = ()
    """File to write the timeline to: .csv, .json, .jsonl, .srt or .vtt (subtitles), or .png (a picture). May be given
    repeatedly. Each of several videos has a file of its own, with its name at the end."""

    def check(self, *, clips: int, placement: str) -> None:
        """Raise ConfigError for options that don't go together, and files that can't be written."""
        for name, given in (("window", self.window is not None), ("every", self.every is not None), ("out", self.out)):
            require(self.timeline or not given, f"--{name} is for timelines; add --timeline.")
        if not self.timeline:
            return
        require(
            clips == 1 and placement == "middle",
            "--clips and --placement say which clips make the prediction of a whole video; a timeline has windows: "
            "leave them out, and see --window and --every.",
        )
        from timesformer import atomic
        from timesformer.inference.timeline.timeline import check_ending

        for path in self.out:
            check_ending(path)
            atomic.check(path)


WHOLE = OverTime()
"""No timeline."""


def show(predictor: "Predictor", paths: Sequence[Path], over_time: OverTime, *, json: bool) -> int:
    """Print the timeline of each video, and write it to the files that were asked for; the exit status."""
    from rich.console import Console

    from timesformer.inference.prediction import Failure, to_json
    from timesformer.inference.timeline.files import line
    from timesformer.verbs.predict import videos_of
    from timesformer.video import windows

    console, errors = Console(), Console(stderr=True)
    videos = [video for path in paths for video in videos_of(path)]
    names = _names([video for video in videos if isinstance(video, Path)])
    guess = windows.guessed(predictor.checkpoint.clip) if over_time.window is None else ""
    if guess:
        shown.warn(errors, guess)
    failures = 0
    for video in videos:
        result = video if isinstance(video, Failure) else _watched(predictor, video, over_time, errors)
        if isinstance(result, Failure):
            failures += 1
            shown.say(errors, f"error: {result.path}: {result.reason}")
            if json:
                print(to_json(result), flush=True)
            continue
        for note in result.notes:
            if note != guess:
                shown.warn(errors, f"{result.path}: {note}")
        if json:
            print(line(result.as_json(windows=False)), flush=True)
        else:
            _print(console, result)
        for out in over_time.out:
            own = out if len(videos) == 1 else out.with_name(f"{out.stem}-{names[result.path]}{out.suffix}")
            result.write(own)
            shown.say(errors if json else console, f"  written to {own}")
    return 1 if failures else 0


def _names(videos: Sequence[Path]) -> dict[Path, str]:
    """For each video a name of its own, for its files."""
    names: dict[Path, str] = {}
    for video in videos:
        stem, number = video.stem or video.name, 1
        while (name := stem if number == 1 else f"{stem}-{number}") in names.values():
            number += 1
        names.setdefault(video, name)
    return names


def _watched(predictor: "Predictor", video: Path, over_time: OverTime, errors: "Console") -> "Timeline | Failure":
    from timesformer.inference.prediction import Failure
    from timesformer.progress.bar import counting
    from timesformer.video.reader import VideoError

    with ExitStack() as stack:
        report = stack.enter_context(counting(f"{printable(video.name)}: seconds", console=errors))
        try:
            return predictor.timeline(
                video,
                window=over_time.window,
                every=over_time.every,
                progress=lambda done, total: report(int(done), int(total)),
            )
        except VideoError as error:
            return Failure(video, error.reason)


def _print(console: "Console", timeline: "Timeline") -> None:
    """The segments as a table, each with its place in the video."""
    from timesformer.video.clock import clock

    console.print(printable(str(timeline.path)), style="bold", highlight=False, markup=False, soft_wrap=True)
    shown.say(console, f"  {clock(timeline.duration)} in {timeline.about}")
    for text in _segments(timeline) if timeline.task != "regression" else _numbers(timeline):
        shown.say(console, f"  {text}")


def _segments(timeline: "Timeline") -> Iterator[str]:
    from timesformer.video.clock import clock

    times = [(clock(segment.start), clock(segment.end)) for segment in timeline.segments]
    labels = [printable(segment.label) for segment in timeline.segments]
    long, wide = max(map(len, (clock(timeline.duration), "start"))), max(map(len, [*labels, "label"]))
    yield f"{'start':>{long}}  {'end':>{long}}  {'label':<{wide}}   score"
    for segment, (start, end), label in zip(timeline.segments, times, labels, strict=True):
        first = min(int(segment.start / timeline.duration * TRACK), TRACK - 1)
        last = max(round(segment.end / timeline.duration * TRACK), first + 1)
        track = " " * first + "█" * (last - first)
        yield f"{start:>{long}}  {end:>{long}}  {label:<{wide}}  {segment.score:6.1%}  {track}"
    absent = timeline.absent
    if absent:
        what = "never leads" if timeline.task == "classes" else "stays below 50%"
        if len(absent) > NAMED:
            yield f"{len(absent)} of {len(timeline.labels)} labels: {what}"
        else:
            yield f"{what}: {', '.join(map(printable, absent))}"


def _numbers(timeline: "Timeline") -> Iterator[str]:
    """Of each output of a regression the mean, and the extremes with their times."""
    from timesformer.video.clock import clock

    names = [printable(label) for label in timeline.labels]
    wide = max(map(len, [*names, "output"]))
    yield f"{'output':<{wide}}  {'mean':>9}  {'lowest':>9} at      {'highest':>9} at"
    middles = timeline.spans.mean(dim=1)
    for name, values in zip(names, timeline.scores.T, strict=True):
        low, high = int(values.argmin()), int(values.argmax())
        ends = [f"{float(values[at]):9.4g} {clock(float(middles[at])):<8}" for at in (low, high)]
        yield f"{name:<{wide}}  {float(values.mean()):9.4g}  {'  '.join(ends)}".rstrip()
