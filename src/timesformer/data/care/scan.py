"""Open all videos of a data set before a training does: what is broken, what is there twice, what is rare.

Whatever a scan finds is a :class:`Finding`, in order of weight. Nothing is changed: the cleaned list leaves out what
can't be used and what lies on both sides of a split, and the caller writes it or not.
"""

import statistics
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from timesformer.config.tasks import FACTS
from timesformer.data.care.duplicates import alike
from timesformer.data.care.groups import Groups
from timesformer.data.care.inspection import Clip, Work, inspect
from timesformer.data.care.processes import Lost, each
from timesformer.data.items import SPLITS, Item, counted
from timesformer.data.manifest import Manifest

Kind = Literal[
    "empty",
    "broken",
    "beyond",
    "damaged",
    "short",
    "conflict",
    "exact",
    "overlap",
    "near",
    "blank",
    "variable_rate",
    "remark",
]

_Held = tuple[Clip, Item]


@dataclass(frozen=True)
class Finding:
    """Something about one clip, or about clips that are alike, that a person should know."""

    kind: Kind
    """"empty", "broken", "beyond" (the video ends before the clip), "damaged", "short": can't be decoded as asked.
    "exact": the same frames of the same bytes; "conflict": these under different labels; "overlap": time ranges of the
    same bytes that share frames across splits; "near": they look alike. "blank": shows hardly anything but one colour.
    "variable_rate": frames are shown for unequal times. "remark": what else is to be said of a file."""
    keys: tuple[str, ...]
    """The clips concerned, as the manifest's items are called."""
    detail: str
    splits: tuple[str, ...]
    """The splits of the clips; alike clips in two splits make scores better than they are."""

    @property
    def leak(self) -> bool:
        """Whether clips of different splits are alike."""
        return self.kind in ("conflict", "exact", "overlap", "near") and len(self.splits) > 1


@dataclass(frozen=True)
class ClassCount:
    """How many clips a class has."""

    label: str
    train: int
    val: int
    test: int


@dataclass(frozen=True)
class Durations:
    """Seconds of the clips that can be read."""

    shortest: float
    median: float
    longest: float
    total: float


@dataclass(frozen=True)
class Scan:
    """What a data set holds."""

    manifest: Manifest
    clips: tuple[Clip, ...]
    """What each item of the manifest holds."""
    findings: tuple[Finding, ...]
    classes: tuple[ClassCount, ...]
    """None for regression."""
    durations: Durations | None
    """None where no clip can be read."""
    cleaned: Manifest
    """The data set without what is empty, broken, damaged, short or in conflict, without further copies of a clip in
    a split, and without training clips that are alike to one that validates or tests. ``manifest.write`` writes it."""

    def of(self, kind: Kind) -> tuple[Finding, ...]:
        """The findings of one kind."""
        return tuple(finding for finding in self.findings if finding.kind == kind)


def scan(
    manifest: Manifest,
    *,
    at_least: int = 8,
    full: bool = True,
    processes: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    comparing: Callable[[int, int], None] = lambda done, total: None,
) -> Scan:
    """Open every video of a data set, in several processes, and report.

    ``at_least`` is the number of frames that a clip must have. Without ``full`` only a few frames of each clip are
    decoded: several times as fast, but damage between them is missed. ``processes`` is as in
    :func:`timesformer.data.care.processes.each`; ``progress`` gets the number of files that are done, and of all;
    ``comparing`` the same of the clips that are compared with all others.
    """
    clips = _inspect_all(manifest.items, full=full, processes=processes, progress=progress)
    findings = [
        *_faults(manifest.items, clips, at_least=at_least),
        *_copies(manifest.items, clips),
        *_overlaps(manifest.items, clips),
        *_lookalikes(manifest.items, clips, progress=comparing),
        *_remarks(manifest.items, clips),
    ]
    findings.sort(key=lambda finding: (get_args(Kind).index(finding.kind), not finding.leak))
    left = _cleaned(manifest.items, findings)
    return Scan(
        manifest=manifest,
        clips=clips,
        findings=tuple(findings),
        classes=_classes(manifest),
        durations=_durations(clips),
        cleaned=replace(manifest, items=left, notes=()),
    )


def _inspect_all(
    items: Sequence[Item], *, full: bool, processes: int | None, progress: Callable[[int, int], None]
) -> tuple[Clip, ...]:
    """What each item holds, in order; every file is opened by one process, whatever the number of its time ranges."""
    places: dict[object, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        places[item.path].append(place)
    groups = list(places.values())
    jobs = [Work(items[g[0]].path, tuple((items[p].start, items[p].end) for p in g), full) for g in groups]
    clips = [Clip("broken")] * len(items)
    for done, (position, outcome) in enumerate(each(inspect, jobs, processes=processes), start=1):
        group = groups[position]
        found = [Clip("broken", outcome.reason)] * len(group) if isinstance(outcome, Lost) else outcome
        for place, clip in zip(group, found, strict=True):
            clips[place] = clip
        progress(done, len(groups))
    return tuple(clips)


def _finding(kind: Kind, items: Sequence[Item], detail: str) -> Finding:
    splits = tuple(split for split in SPLITS if any(item.split == split for item in items))
    return Finding(kind, tuple(item.key for item in items), detail, splits)


def _faults(items: Sequence[Item], clips: Sequence[Clip], *, at_least: int) -> Iterator[Finding]:
    for item, clip in zip(items, clips, strict=True):
        if clip.trouble:
            yield _finding(clip.trouble, [item], clip.reason)
        if clip.trouble in ("", "damaged") and clip.frames < at_least:
            yield _finding("short", [item], f"has {clip.frames} frames; {at_least} are asked for")


def _copies(items: Sequence[Item], clips: Sequence[Clip]) -> Iterator[Finding]:
    same = defaultdict(list)
    for item, clip in zip(items, clips, strict=True):
        if clip.digest:
            same[_content(item, clip)].append(item)
    for copies in same.values():
        labels = sorted({str(item.label) for item in copies})
        if len(labels) > 1:
            yield _finding("conflict", copies, f"the same bytes under the labels {' and '.join(labels)}")
        elif len(copies) > 1:
            yield _finding("exact", copies, f"the same bytes {len(copies)} times")


def _content(item: Item, clip: Clip) -> tuple[object, ...]:
    """What copies have in common: bytes and frames, or the times that were asked for where no frame can be read."""
    return (clip.digest, clip.first, clip.frames) if clip.frames else (clip.digest, item.start, item.end)


def _overlaps(items: Sequence[Item], clips: Sequence[Clip]) -> Iterator[Finding]:
    """Clips that share frames with one of a split that is to be kept from them: train from val and test, val from test.

    Within a split time ranges may overlap: one after another over a recording, or with a class each.
    """
    parts: dict[str, list[_Held]] = defaultdict(list)
    for item, clip in zip(items, clips, strict=True):
        if clip.digest and clip.frames:
            parts[clip.digest].append((clip, item))
    for members in parts.values():
        for rank, split in enumerate(SPLITS[:-1]):
            yield from _shared(
                [(clip, item) for clip, item in members if item.split == split],
                [(clip, item) for clip, item in members if item.split in SPLITS[rank + 1 :]],
            )


def _shared(ours: Sequence[_Held], theirs: Sequence[_Held]) -> Iterator[Finding]:
    """For each of ours, the one of theirs that it shares frames with, if any; equal ranges are copies, not these."""
    if not ours or not theirs:
        return
    ordered = sorted(theirs, key=lambda each: each[0].first)
    starts = [clip.first for clip, _ in ordered]
    # Of those that begin before a place, the one that ends last is the one to share frames with what follows it.
    latest: list[_Held] = []
    for held in ordered:
        latest.append(latest[-1] if latest and _last(latest[-1][0]) >= _last(held[0]) else held)
    for clip, item in ours:
        place = bisect_left(starts, _last(clip))
        other, its = latest[max(place - 1, 0)]
        count = min(_last(clip), _last(other)) - max(clip.first, other.first)
        if place and count > 0 and (clip.first, clip.frames) != (other.first, other.frames):
            yield _finding("overlap", [item, its], f"share {counted(count, 'frame')} of one recording")


def _last(clip: Clip) -> int:
    return clip.first + clip.frames


def _lookalikes(
    items: Sequence[Item], clips: Sequence[Clip], *, progress: Callable[[int, int], None]
) -> Iterator[Finding]:
    """Clips that look alike, each like at least one other of its group; not copies or time ranges of one file alone."""
    seen = [(item, clip, clip.signature) for item, clip in zip(items, clips, strict=True) if clip.signature is not None]
    groups = Groups(len(seen))
    copies: dict[object, list[int]] = defaultdict(list)
    for place, (item, clip, _) in enumerate(seen):
        copies[_content(item, clip)].append(place)
    for first, second in alike(
        [signature for _, _, signature in seen], files=[str(item.path) for item, _, _ in seen], progress=progress
    ):
        (one, its, _), (other, others, _) = seen[first], seen[second]
        if _content(one, its) != _content(other, others):
            groups.join(first, second)
    for same in copies.values():  # what is like one of the copies is like them all
        if any(len(groups.of(place)) > 1 for place in same):
            for place in same[1:]:
                groups.join(same[0], place)
    for group in groups.all():
        members = [seen[member][0] for member in group]
        labels = sorted({str(item.label) for item in members})
        under = f" under the labels {' and '.join(labels)}" if len(labels) > 1 else ""
        yield _finding("near", members, f"look alike{under}")


def _remarks(items: Sequence[Item], clips: Sequence[Clip]) -> Iterator[Finding]:
    for item, clip in zip(items, clips, strict=True):
        if clip.signature is not None and clip.signature.blank:
            yield _finding("blank", [item], "shows hardly anything but one colour; it is compared with no other clip")
        if clip.variable_rate:
            yield _finding("variable_rate", [item], f"frames are shown for unequal times, on average {clip.fps:.4g}/s")
        if clip.notes and not clip.trouble:
            yield _finding("remark", [item], "; ".join(clip.notes))


def _cleaned(items: Sequence[Item], findings: Sequence[Finding]) -> tuple[Item, ...]:
    order = {item.key: place for place, item in enumerate(items)}
    left = dict.fromkeys(order, True)
    for finding in findings:
        if finding.kind in ("empty", "broken", "beyond", "damaged", "short", "conflict"):
            left |= dict.fromkeys(finding.keys, False)
    for finding in findings:
        if finding.kind in ("exact", "overlap", "near"):
            # What tests stays rather than what validates, and that rather than what trains.
            ranked = sorted(finding.keys, key=lambda key: (-SPLITS.index(items[order[key]].split), order[key]))
            best, *others = [key for key in ranked if left[key]] or [""]
            for worse in others:
                if finding.kind == "exact" or items[order[worse]].split != items[order[best]].split:
                    left[worse] = False
    return tuple(item for item in items if left[item.key])


def _classes(manifest: Manifest) -> tuple[ClassCount, ...]:
    if FACTS[manifest.task].numeric:
        return ()
    none = (0,) * len(manifest.labels)
    counts = [manifest.class_counts(split) if split in manifest.splits else none for split in SPLITS]
    return tuple(ClassCount(*row) for row in zip(manifest.labels, *counts, strict=True))


def _durations(clips: Sequence[Clip]) -> Durations | None:
    seconds = [clip.seconds for clip in clips if clip.frames]
    if not seconds:
        return None
    return Durations(min(seconds), statistics.median(seconds), max(seconds), sum(seconds))
