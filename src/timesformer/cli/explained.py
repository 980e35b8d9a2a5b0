"""`timesformer explain`: where and when a model looked in a video."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from timesformer.cli import shown
from timesformer.cli.opened import Opened
from timesformer.cli.typed import order
from timesformer.config.tasks import FACTS
from timesformer.plain import printable

if TYPE_CHECKING:
    from rich.console import Console

    from timesformer.inference.explanation.explanation import Explanation

Files = Annotated[
    tuple[Path, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="FILE", help_behavior_hint="(repeatable)")
]
Reading = Annotated[Opened, tyro.conf.OmitArgPrefixes]
AS_THEY_ARE = Opened()


@dataclass(frozen=True)
class Asked:
    """What is explained, and how."""

    class_name: Annotated[str | None, tyro.conf.arg(name="class", metavar="NAME", help_behavior_hint="")] = None
    """Class to explain, or number of a regression; by default the one with the highest score."""
    method: Literal["gradient", "rollout"] = "gradient"
    """"gradient" shows what speaks for the class, "rollout" what attention reads for any class."""
    crops: Literal[1, 3] = 3
    """Number of spatial crops per clip."""
    device: str = "auto"
    """Device: "cpu", "cuda", "cuda:1", "mps", or "gpu" for any; "auto" takes a GPU if there is one."""


LINES = 16
"""Most frames in the table; of more, those with the largest shares."""


def explain(
    weights: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="WEIGHTS")],
    video: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="VIDEO")],
    *,
    out: Files = (),
    json: bool = False,
    asked: Annotated[Asked, tyro.conf.OmitArgPrefixes] = Asked(),
    reading: Reading = AS_THEY_ARE,
) -> int:
    """Show where and when a model looked in a video.

    Args:
        weights: A checkpoint of any kind, a run's folder, or a published name.
        video: A video file, or a folder of images.
        out: File to write: .mp4 (a film of the whole video under colours), .gif (one clip, for a README) or .png (its
            frames, how much each counts, and attention over time). May be given repeatedly.
        json: Print one line of JSON instead of a text to read.
        asked: What is explained, and how.
        reading: How the weights are read.
    """
    order.check("explain", weights, [video])
    from rich.console import Console

    from timesformer.inference.explanation import writing
    from timesformer.machine import pick_device
    from timesformer.progress.bar import counting
    from timesformer.verbs.explain import explain as look

    where = pick_device(asked.device)
    for path in out:
        writing.check(path, video)
    console, errors = Console(), Console(stderr=True)
    checkpoint = reading.load(weights, say=lambda text: shown.warn(errors, text))
    with counting("looking", console=errors) as progress:
        found = look(
            checkpoint,
            video,
            class_name=asked.class_name,
            method=asked.method,
            crops=asked.crops,
            leave_one_out=json or not out or any(path.suffix.lower() == ".png" for path in out),
            device=where,
            progress=progress,
        )
    for note in found.prediction.notes:
        shown.warn(errors, f"{video}: {note}")
    if json:
        print(found.as_json(), flush=True)
    else:
        _print(console, found)
    for path in out:
        with counting(f"{printable(path.name)}: frames", console=errors) as progress:
            found.write(path, progress=progress)
        shown.say(errors if json else console, f"  written to {path}")
    if not (out or json):
        shown.say(console, "  --out look.mp4 writes a film, --out look.gif or look.png a picture")
    return 0


def _print(console: "Console", found: "Explanation") -> None:
    """What is explained, and how much each frame of the clip with the highest score counts."""
    from timesformer.inference.explanation.method import MEANINGS
    from timesformer.video.clock import clock

    console.print(printable(str(found.path)), style="bold", highlight=False, markup=False, soft_wrap=True)
    shown.say(console, f"  {found.label}: {found.said(found.score)}")
    frames = [frame for frame in found.frames if frame.clip == found.best_clip]
    if len(found.clip_scores) > 1:
        one = f"{clock(frames[0].time)} to {clock(frames[-1].time)}, {found.said(found.clip_scores[found.best_clip])}"
        shown.say(console, f"  of {len(found.clip_scores)} clips the one with the highest score: {one}")
    known, form = frames[0].evidence is not None, "+8.3g" if FACTS[found.prediction.task].numeric else "+8.3f"
    shown.say(console, f"  {'time':>8}  relevance{'  evidence' if known else ''}")
    kept = sorted(sorted(frames, key=lambda frame: -frame.relevance)[:LINES], key=lambda frame: frame.number)
    for frame in kept:
        evidence = "" if frame.evidence is None else f"  {frame.evidence:{form}}"
        bar = "█" * round(30 * frame.relevance)
        shown.say(console, f"  {clock(frame.time):>8}  {frame.relevance:9.1%}{evidence}  {bar}".rstrip())
    if len(kept) < len(frames):
        shown.say(console, f"  and {len(frames) - len(kept)} frames with less")
    shown.say(console, f"  relevance: {MEANINGS[found.method].plain}")
    if known:
        shown.say(console, f"  evidence: {found.evidence_means}")
