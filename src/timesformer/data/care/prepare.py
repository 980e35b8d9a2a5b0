"""Re-encode a data set once so that every training reads it fast: small frames, a key frame every few of them.

What a training clip costs is mostly the decoding of frames that nobody wanted: large ones, and those between the last
key frame and the wanted one.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from torch import Tensor

from timesformer import atomic
from timesformer.atomic import WriteError
from timesformer.config.checks import require
from timesformer.data.batches.batch import Broken
from timesformer.data.care.inspection import AGAIN, FAILURES, why
from timesformer.data.care.portable import portable
from timesformer.data.care.processes import Lost, each
from timesformer.data.items import DataError, Item, range_suffix, some
from timesformer.data.manifest import Manifest, check_written, write
from timesformer.video import reader, writer
from timesformer.video.reader import VideoError
from timesformer.video.views import frames_between

MARKER = "prepare.json"
TABLE = "labels.csv"
_AT_ONCE = 2**27
"""Bytes of frames held by a process."""


@dataclass(frozen=True)
class Settings:
    """How clips are encoded; a folder holds clips of one kind."""

    short_side: int = 256
    """Short side in pixels; smaller videos keep theirs."""
    key_distance: int = 12
    """Frames from one key frame to the next: a reader decodes half as many in vain for each wanted frame."""
    crf: int = 20
    """Quality of H.264, 0 (lossless) to 51; lower is better and larger."""

    def __post_init__(self) -> None:
        for name, lowest, highest in (("short_side", 16, 8192), ("key_distance", 1, 250), ("crf", 0, 51)):
            value = getattr(self, name)
            require(lowest <= value <= highest, f"{name} is {value}; it must lie between {lowest} and {highest}.")


@dataclass(frozen=True)
class Prepared:
    """What came of preparing a data set."""

    table: Path
    """The table of the prepared clips, a data set like any other."""
    made: int
    kept: int
    """Clips that an earlier run had finished."""
    failed: tuple[Broken, ...]
    """Items that are not in the table, and why."""
    damaged: tuple[Broken, ...]
    """Items made from files that decode in part; neighbours stand in for frames that don't."""


@dataclass(frozen=True)
class _Work:
    item: Item
    target: Path


def prepare(
    manifest: Manifest,
    out: Path,
    *,
    settings: Settings | None = None,
    processes: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Prepared:
    """Encode every item of a data set into the folder ``out`` as H.264 without sound, and write a table beside them.

    Stretches of long videos become files of their own. Clips that an earlier run with the same settings finished are
    kept, so an interrupted run goes on where it stopped; delete a file to have it made again. Files that can't be read
    are named and left out; names that are bad on some system, or too long, are changed. ``processes`` is as in
    :func:`timesformer.data.care.processes.each`; ``progress`` gets the number of items that are done, and of all.
    Raises :class:`DataError` where ``out`` holds anything else or can't be written, as on a full disk, or no item can
    be read.
    """
    settings = settings or Settings()
    out = out.expanduser().absolute()
    works = _plan(manifest, out)
    check_written(manifest, out / TABLE)
    with _writing(out):
        _claim(out, manifest, settings)
        missing = [work for work in works if not work.target.exists()]
        for folder in {work.target.parent for work in works}:
            folder.mkdir(parents=True, exist_ok=True)
    failed, damaged = [], []
    try:
        make = partial(_make, settings=settings)
        for done, (place, outcome) in enumerate(each(make, missing, processes=processes), start=1):
            key = missing[place].item.key
            failure, damage = (outcome.reason, "") if isinstance(outcome, Lost) else outcome
            failed += [Broken(key, failure)] if failure else []
            damaged += [Broken(key, damage)] if damage else []
            progress(len(works) - len(missing) + done, len(works))
    finally:
        for folder in {work.target.parent for work in missing}:
            atomic.clear(folder)
    _write_table(manifest, works, out / TABLE, failed)
    kept = len(works) - len(missing)
    return Prepared(out / TABLE, len(missing) - len(failed), kept, _by_key(failed), _by_key(damaged))


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what can hinder writing into a :class:`DataError`: it is the same for all videos, so it ends the run."""
    try:
        yield
    except WriteError as error:
        raise DataError(f"{error} {AGAIN}") from error
    except OSError as error:
        raise DataError(f"{path} could not be written ({error.strerror or error}). {AGAIN}") from error


def _plan(manifest: Manifest, out: Path) -> list[_Work]:
    """Where each item's clip goes: names that depend on the item alone, so that they mean the same in every run."""
    works = []
    for item in manifest.items:
        name = item.name or item.path.name
        # names from shards are another's text, and may lead anywhere
        stem = portable(name.removesuffix(".mp4")) or "video"
        works.append(_Work(item, out / f"{stem}{range_suffix(item.start, item.end)}.mp4"))
    targets: dict[Path, Item] = {}
    for work in works:
        if (other := targets.setdefault(work.target, work.item)) is not work.item:
            raise DataError(f"{other.key} and {work.item.key} would both become {work.target}; rename one of them.")
    return works


def _claim(out: Path, manifest: Manifest, settings: Settings) -> None:
    """Mark the folder with the settings, unless it holds anything else."""
    source, marker = manifest.source.absolute(), out / MARKER
    if out == source or (source.is_dir() and out.is_relative_to(source)):
        raise DataError(f"{out} lies in {source}, whose videos it would then be among; choose a folder elsewhere.")
    text = json.dumps({"source": str(source), **asdict(settings)})
    if marker.exists():
        if marker.read_text("utf-8") != text:
            raise DataError(
                f"{out} holds clips prepared as {marker.read_text('utf-8')}, not {text}; choose another folder, or the "
                "same source and settings."
            )
    elif out.exists() and not all(map(atomic.is_partial, out.iterdir())):
        raise DataError(f"{out} is not empty and has no {MARKER}; choose a new or empty folder.")
    out.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(marker) as temporary:
        temporary.write_text(text, "utf-8")


def _make(work: _Work, *, settings: Settings) -> tuple[str, str]:
    """Write one clip; return why it failed and how it is damaged, both empty where all is well."""
    item = work.item
    damage: dict[str, None] = {}
    try:
        info = reader.info(item.path)
        first, count = frames_between(info, item.start, item.end)
        times = [time - info.times[first] for time in info.times[first : first + count]]
        short = min(info.height, info.width)
        if short < 2:
            raise VideoError(item.path, f"is {short} pixel high or wide; H.264 needs 2")
        options = {
            "preset": "veryfast",
            "crf": str(settings.crf),
            "g": str(settings.key_distance),
            "sc_threshold": "0",  # key frames at cuts would make the distances uneven
            "bf": "0",  # frames that need later ones delay every seek
        }
        scale = min(settings.short_side / short, 1)
        held = max(_AT_ONCE // int(3 * info.height * info.width * scale**2 + 1), 1)
        parts = _parts(item.path, range(first, first + count), damage, held=held, short_side=settings.short_side)
        with _writing(work.target):
            writer.write(work.target, parts, times=times, fps=info.fps, options=options)
    except DataError:
        raise
    except FAILURES as error:
        return why(error), ""
    return "", "; ".join(damage)


def _parts(path: Path, numbers: range, damage: dict[str, None], *, held: int, short_side: int) -> Iterator[Tensor]:
    """The frames in portions; what is wrong with them is put into ``damage``."""
    for start in range(0, len(numbers), held):
        read = reader.read_noted(path, numbers[start : start + held], short_side=short_side)
        damage |= dict.fromkeys(read.notes)
        yield read.pixels


def _write_table(manifest: Manifest, works: Sequence[_Work], table: Path, failed: Sequence[Broken]) -> None:
    lost = {broken.key for broken in failed}
    items = tuple(
        # stretches of one video stay together, as they did by its name
        replace(
            work.item,
            path=work.target,
            group=work.item.group
            or ("" if (work.item.start, work.item.end) == (None, None) else work.item.name.strip()),
            start=None,
            end=None,
        )
        for work in works
        if work.item.key not in lost
    )
    if not items:
        raise DataError(
            f"none of the {len(works)} items could be read: {some([f'{b.key} {b.reason}' for b in failed])}; "
            "check the files."
        )
    write(replace(manifest, items=items), table)


def _by_key(broken: Sequence[Broken]) -> tuple[Broken, ...]:
    return tuple(sorted(broken, key=lambda each: each.key))
