"""Re-encode a data set once, with small frames and many key frames, so that every training reads it fast.

Reading a clip takes most of its time for decoding frames that are larger than needed, or that only lie between the last
key frame and the frames of the clip.
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
    """How clips are encoded; all clips of a folder are encoded alike."""

    short_side: int = 256
    """Short side in pixels; smaller videos keep their size."""
    key_distance: int = 12
    """Frames from one key frame to the next; to read any frame, half as many are decoded on average."""
    crf: int = 20
    """Quality of H.264, 0 (lossless) to 51; a lower number gives better and larger files."""

    def __post_init__(self) -> None:
        for name, lowest, highest in (("short_side", 16, 8192), ("key_distance", 1, 250), ("crf", 0, 51)):
            value = getattr(self, name)
            require(lowest <= value <= highest, f"{name} is {value}; it must lie between {lowest} and {highest}.")


@dataclass(frozen=True)
class Prepared:
    """The result of preparing a data set."""

    table: Path
    """CSV table of the prepared clips, a data set like any other."""
    made: int
    kept: int
    """Number of clips that an earlier call had finished."""
    failed: tuple[Broken, ...]
    """Items that are not in the table, with the reasons."""
    damaged: tuple[Broken, ...]
    """Items whose files decode only in part; each missing frame is replaced by a neighbour."""


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

    Time ranges of long videos become separate files. An interrupted call can be repeated with the same settings: it
    keeps the clips that are finished. Files that can't be read are reported and left out. File names that some system
    forbids are changed. ``processes`` is as in :func:`timesformer.data.care.processes.each`; ``progress`` is called
    with the number of items that are done and the number of all. Raises :class:`DataError` if ``out`` holds anything
    else or can't be written, or if no item can be read.
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
    """Raise :class:`DataError` for errors in writing; they concern all videos, so they end the call."""
    try:
        yield
    except WriteError as error:
        raise DataError(f"{error} {AGAIN}") from error
    except OSError as error:
        raise DataError(f"{path} could not be written ({error.strerror or error}). {AGAIN}") from error


def _plan(manifest: Manifest, out: Path) -> list[_Work]:
    """The file of each item's clip; its name depends on the item alone, so that a repeated call finds it."""
    works = []
    for item in manifest.items:
        name = item.name or item.path.name
        # names in shards come from others and may point anywhere
        stem = portable(name.removesuffix(".mp4")) or "video"
        works.append(_Work(item, out / f"{stem}{range_suffix(item.start, item.end)}.mp4"))
    targets: dict[Path, Item] = {}
    for work in works:
        if (other := targets.setdefault(work.target, work.item)) is not work.item:
            raise DataError(f"{other.key} and {work.item.key} would both become {work.target}; rename one of them.")
    return works


def _claim(out: Path, manifest: Manifest, settings: Settings) -> None:
    """Write the settings into the folder, unless it holds anything else."""
    source, marker = manifest.source.absolute(), out / MARKER
    if out == source or (source.is_dir() and out.is_relative_to(source)):
        raise DataError(f"{out} lies in the data set {source} and would become part of it; choose a folder elsewhere.")
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
    """Write one clip; return why it failed and how its source is damaged, both empty if all is well."""
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
    """Yield the frames in portions, and put what is wrong with them into ``damage``."""
    for start in range(0, len(numbers), held):
        read = reader.read_noted(path, numbers[start : start + held], short_side=short_side)
        damage |= dict.fromkeys(read.notes)
        yield read.pixels


def _write_table(manifest: Manifest, works: Sequence[_Work], table: Path, failed: Sequence[Broken]) -> None:
    lost = {broken.key for broken in failed}
    items = tuple(
        # time ranges of one video stay in one group, as they were by its name
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
