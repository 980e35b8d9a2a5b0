"""`timesformer embed`, `neighbours` and `map`: features of videos, and what they say."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from timesformer.cli import shown
from timesformer.cli.source import UNSET, Labelled
from timesformer.cli.typed import order
from timesformer.config.checks import require

if TYPE_CHECKING:
    from timesformer.features.table import Features

AS_GIVEN = Labelled()


@dataclass(frozen=True)
class Vectors:
    """Which vectors are computed, and how."""

    per: Literal["video", "clip", "frame", "block"] = "video"
    """What gets a vector: each video, each of its clips, each frame of its clips, or the video after each block."""
    clips: Annotated[int | None, UNSET] = None
    """Number of temporal clips per video: 1, or for --per clip as many as cover the video."""
    crops: Literal[1, 3] = 1
    """Number of spatial crops per clip, over which vectors are averaged."""
    placement: Annotated[Literal["middle", "official", "whole"] | None, UNSET] = None
    """"middle": evenly spaced clips. "official": as in the official code. "whole": as many as cover the whole video."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the model; bf16 and fp16 are faster on most GPUs, and change vectors a little."""
    device: str = "auto"
    """Device: "cpu", "cuda", "cuda:1", "mps", or "gpu" for any; "auto" takes a GPU if there is one."""
    workers: int = -1
    """Number of decoding processes; -1 starts one per core."""


@dataclass(frozen=True)
class Backbone:
    """How the weights are read; a head is not needed."""

    frames: Annotated[int | None, UNSET] = None
    """Number of frames per clip; the time embedding is resized to it. An image model sees 8 unless given."""
    size: Annotated[int | tuple[int, int] | None, UNSET] = None
    """Frame size in pixels, or height and width; the position embedding is resized to it."""
    heads: Annotated[int | None, UNSET] = None
    """Number of attention heads, for weights that don't state it, such as most image models."""
    key: Annotated[str, UNSET] = ""
    """Which model to read from a file with several, such as "teacher" or "state_dict_ema"."""


def embed(
    weights: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="WEIGHTS")],
    data: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="DATA...")],
    *,
    out: Path = Path("features.npz"),
    vectors: Annotated[Vectors, tyro.conf.OmitArgPrefixes] = Vectors(),
    backbone: Annotated[Backbone, tyro.conf.OmitArgPrefixes] = Backbone(),
    source: Annotated[Labelled, tyro.conf.OmitArgPrefixes] = AS_GIVEN,
) -> int:
    """Compute a vector for each video, which other programs can use, and which says what videos are alike.

    If it is interrupted, the same command continues. An image model sees each frame by itself.

    Args:
        weights: A checkpoint of any kind, a run's folder, or a published name.
        data: A folder or list of videos as for training; or videos, and folders of videos, without labels.
        out: File to write, of .npz (NumPy) or .parquet (pandas, and others).
        vectors: Which vectors are computed, and how.
        backbone: How the weights are read.
        source: How the videos of a data set are found, and what their labels are.
    """
    require(bool(data), "no data are named; name a folder or list of videos, or videos, after the weights.")
    order.check("embed", weights, data)
    from rich.console import Console

    from timesformer.data.items import counted
    from timesformer.progress.bar import counting
    from timesformer.verbs.embed import embed as compute

    console = Console(stderr=True)
    settings: dict[str, Any] = {name: value for name, value in vars(vectors).items() if value is not None}
    # a data set's own settings are passed on only where they differ, so that they are refused where they mean nothing
    plain = vars(AS_GIVEN)
    settings |= {name: value for name, value in vars(source).items() if value != plain[name]}
    with counting("videos", console=console) as progress:
        found = compute(
            weights,
            data[0] if len(data) == 1 else data,
            out=out,
            progress=progress,
            note=lambda text: shown.warn(console, text),
            **vars(backbone),
            **settings,
        )
    for path, reason in found.failed:
        shown.say(console, f"error: {path}: {reason}")
    rows, width = found.vectors.shape
    per = "" if found.origin.per == "video" else f", one per {found.origin.per}"
    shown.say(Console(), f"written: {out} ({counted(rows, 'vector')} of {width} numbers{per})")
    if found.failed:
        shown.say(console, f"{counted(len(found.failed), 'video')} could not be read")
    return 1 if found.failed else 0


Table = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FEATURES")]


def neighbours(
    features: Table,
    video: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[VIDEO]", help_behavior_hint="")] = "",
    *,
    all: bool = False,
    count: int = 5,
    out: Annotated[Path | None, UNSET] = None,
) -> int:
    """Show the videos most similar to one, or measure what features are worth by all of them.

    Args:
        features: A file that `timesformer embed` wrote.
        video: One of its videos, or any other video file, whose features are then computed with the same weights.
        all: In place of one video: how well neighbours and a linear layer tell the classes of all videos.
        count: Number of neighbours.
        out: PNG file for a contact sheet of the video, or of one video of each class, with neighbours.
    """
    require(all != bool(video), "name one video after the features, or --all of them.")
    require(count >= 1, f"count is {count}; it must be at least 1.")
    require(
        out is None or out.suffix.lower() == ".png", f"out is {out}; a contact sheet is a PNG file, such as sheet.png."
    )
    from rich.console import Console

    from timesformer.features.table import Features
    from timesformer.features.worth import worth
    from timesformer.verbs import neighbours as verb

    console = Console()
    table = Features.load(features)
    if all:
        for title, each in _parts(table):
            with Console(stderr=True).status("measuring"):
                measured = worth(each, count=count)
            for line in (*title, *measured.lines()):
                shown.say(console, line)
        if out:
            verb.contact_sheet(table, out, count=count)
    else:
        for near in verb.neighbours(table, video, count=count, out=out):
            shown.say(console, "  ".join(filter(None, (f"{near.cosine:6.3f}", near.label, near.path))))
    if out:
        shown.say(console, f"written: {out}")
    return 0


def _parts(table: "Features") -> "list[tuple[list[str], Features]]":
    """The features to measure: those of every block, under its number, or all."""
    return [([f"block {number + 1}"], table.of_block(number)) for number in table.blocks] or [([], table)]


def map(
    features: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FEATURES...")],
    *,
    method: Literal["tsne", "pca"] = "tsne",
    out: Path = Path("map.png"),
) -> int:
    """Draw features as points, with alike videos close together, coloured by class.

    Several files are drawn side by side with the same colours.

    Args:
        features: Files that `timesformer embed` wrote.
        method: "tsne" keeps neighbours together (needs scikit-learn); "pca" shows the directions of largest variance.
        out: File to write: .png, or .html for one page whose points show the video's frame.
    """
    require(bool(features), "no features are named; name a file that `timesformer embed` wrote.")
    from rich.console import Console

    from timesformer.progress.bar import counting
    from timesformer.verbs.map import map as draw

    with counting("map", console=Console(stderr=True)) as progress:
        draw(features, method=method, out=out, progress=progress)
    shown.say(Console(), f"written: {out}")
    return 0
