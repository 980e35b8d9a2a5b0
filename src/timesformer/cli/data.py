"""`timesformer scan`, `prepare`, `shards` and `demo`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from timesformer.cli.source import UNSET, Labelled
from timesformer.config.checks import require
from timesformer.plain import printable

if TYPE_CHECKING:
    from timesformer.data.manifest import Manifest

Data = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")]
Out = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
Listed = Annotated[Labelled, tyro.conf.OmitArgPrefixes]
Processes = Annotated[int | None, UNSET]
STRICT, LENIENT = Labelled(), Labelled(missing="drop")


def _noted(table: "Manifest") -> "Manifest":
    """The table, after what was noticed while it was read is said."""
    for note in table.notes:
        print(printable(f"! {note}"))
    return table


def demo(*, out: Path = Path("demo")) -> int:
    """Generate videos, train on them, evaluate, predict, and write a report, all in a few minutes.

    Args:
        out: Folder for the videos, the runs and report.html.
    """
    from timesformer.verbs.demo import demo as run

    result = run(out)
    for target in result.targets:
        print(f"{'reached' if target.met else 'MISSED '}  {target.what}: {target.reached} ({target.wanted})")
    print(f"open {result.report}")
    return 0


def scan(
    data: Data,
    *,
    out: Annotated[Path | None, UNSET] = None,
    at_least: int = 8,
    sample: bool = False,
    processes: Processes = None,
    source: Listed = LENIENT,
) -> int:
    """Find broken, damaged, short and repeated videos before you train on them.

    The exit status is 1 if the cleaned list leaves anything out.

    Args:
        data: A folder or list of videos.
        out: CSV file for the cleaned list, which `train` reads.
        at_least: Smallest number of frames that a clip may have.
        sample: Decode only a few frames of each clip, which is several times as fast but misses damage in between.
        processes: Number of decoding processes; one per core unless given.
        source: How the videos of the data set are found, and what their labels are.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from timesformer.data import manifest
    from timesformer.data.care.scan import scan as look
    from timesformer.data.items import counted
    from timesformer.progress.bar import counting

    require(at_least >= 1, f"at_least is {at_least}; a clip has at least 1 frame.")
    table = source.read(data)
    if out:
        manifest.check_written(table, out)
    with counting("videos") as progress:
        found = look(
            table, at_least=at_least, full=not sample, processes=processes, progress=progress, comparing=progress
        )
    console = Console()
    for finding in found.findings:
        leak = " (across splits: leaks)" if finding.leak else ""
        names = ", ".join(finding.keys)
        line = printable(f"{finding.kind:<13} {names}: {finding.detail}{leak}")
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    shown = Table("class", *table.splits)
    for row in found.classes:
        shown.add_row(Text(printable(row.label)), *(str(getattr(row, split)) for split in table.splits))
    if found.classes:
        console.print(shown)
    if found.durations:
        seconds = found.durations
        console.print(
            f"seconds: shortest {seconds.shortest:.2f}, median {seconds.median:.2f}, longest {seconds.longest:.2f}, "
            f"in all {seconds.total:.0f}",
            highlight=False,
        )
    for note in found.manifest.notes:
        console.print(printable(f"! {note}"), style="yellow", highlight=False, markup=False, soft_wrap=True)
    left = len(table.items) - len(found.cleaned.items)
    numbers = f"{counted(len(table.items), 'clip')}, {counted(len(found.findings), 'finding')}"
    console.print(f"{numbers}, {left} left out of the cleaned list")
    if out:
        manifest.write(found.cleaned, out)
        console.print(printable(f"written: {out}"), highlight=False, markup=False, soft_wrap=True)
    return 1 if left else 0


def prepare(
    data: Data,
    out: Out,
    *,
    short_side: int = 256,
    key_distance: int = 12,
    crf: int = 20,
    processes: Processes = None,
    source: Listed = STRICT,
) -> int:
    """Re-encode a data set once, so that training reads it several times as fast.

    An interrupted call can be repeated: it keeps the videos that are done.

    Args:
        data: A folder or list of videos.
        out: Folder for the new data set.
        short_side: Short side in pixels; smaller videos keep their size.
        key_distance: Number of frames from one key frame to the next.
        crf: Quality of H.264 from 0 to 51; a lower number gives better and larger videos.
        processes: Number of encoding processes; one per core unless given.
        source: How the videos of the data set are found, and what their labels are.
    """
    from timesformer.data.care.prepare import Settings
    from timesformer.data.care.prepare import prepare as encode
    from timesformer.data.items import counted
    from timesformer.progress.bar import counting

    table = _noted(source.read(data))
    settings = Settings(short_side=short_side, key_distance=key_distance, crf=crf)
    with counting("videos") as progress:
        done = encode(table, out, settings=settings, processes=processes, progress=progress)
    for title, videos in (("left out", done.failed), ("damaged", done.damaged)):
        for video in videos:
            print(printable(f"{title}: {video.key}: {video.reason}"))
    print(f"{counted(done.made, 'clip')} made, {done.kept} kept from before, {len(done.failed)} left out")
    task = "" if source.task == "classes" else f" with --task {source.task}"
    print(printable(f"train on {done.table.parent}{task}"))
    return 1 if done.failed else 0


def shards(
    data: Data,
    out: Out,
    *,
    megabytes: int = 500,
    source: Listed = STRICT,
) -> int:
    """Pack a data set into WebDataset shards, for file systems that read many small files slowly.

    Args:
        data: A folder or list of videos.
        out: Folder for the shards.
        megabytes: Size of a shard in megabytes.
        source: How the videos of the data set are found, and what their labels are.
    """
    from timesformer.data.care.shards import write
    from timesformer.data.items import counted
    from timesformer.progress.bar import counting

    require(megabytes >= 1, f"megabytes is {megabytes}; a shard needs at least 1.")
    table = _noted(source.read(data))
    left: list[str] = []
    with counting("videos") as progress:
        files = write(
            table,
            out,
            shard_bytes=megabytes * 1_000_000,
            progress=progress,
            failed=lambda item, reason: left.append(f"! left out: {item.key} {reason}"),
        )
    for line in left:
        print(printable(line))
    print(printable(f"{counted(len(files), 'shard')} in {out}"))
    return 1 if left else 0
