"""Open all videos of a data set before a training does: what is broken, what is there twice, what is rare.

Whatever a scan finds is a :class:`Finding`, in order of weight. Nothing is changed: the cleaned list leaves out what
can't be used and what lies on both sides of a split, and the caller writes it or not.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal, get_args

from timesformer.data.duplicates import alike
from timesformer.data.inspection import Clip, Work, inspect
from timesformer.data.items import SPLITS, Item
from timesformer.data.manifest import Manifest
from timesformer.data.processes import Lost, each

Kind = Literal["empty", "broken", "beyond", "damaged", "short", "conflict", "exact", "near", "blank", "variable_rate"]


@dataclass(frozen=True)
class Finding:
    """Something about one clip, or about clips that are alike, that a person should know."""

    kind: Kind
    """"empty", "broken", "beyond" (the video ends before the clip), "damaged", "short": can't be decoded as asked.
    "exact": the same bytes; "conflict": the same bytes under different labels; "near": they look alike.
    "blank": shows hardly anything but one colour. "variable_rate": frames are shown for unequal times."""
    keys: tuple[str, ...]
    """The clips concerned, as the manifest's items are called."""
    detail: str
    splits: tuple[str, ...]
    """The splits of the clips; alike clips in two splits make scores better than they are."""

    @property
    def leak(self) -> bool:
        """Whether clips of different splits are alike."""
        return self.kind in ("conflict", "exact", "near") and len(self.splits) > 1


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
) -> Scan:
    """Open every video of a data set, in several processes, and report.

    ``at_least`` is the number of frames that a clip must have. Without ``full`` only a few frames of each clip are
    decoded: several times as fast, but damage between them is missed. ``processes`` is as in
    :func:`timesformer.data.processes.each`; ``progress`` gets the number of files that are done, and of all.
    """
    clips = _inspect_all(manifest.items, full=full, processes=processes, progress=progress)
    findings = [
        *_faults(manifest.items, clips, at_least=at_least),
        *_copies(manifest.items, clips),
        *_lookalikes(manifest.items, clips),
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
    """What each item holds, in order; every file is opened by one process, whatever the number of its stretches."""
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
            same[clip.digest, item.start, item.end].append(item)
    for copies in same.values():
        labels = sorted({str(item.label) for item in copies})
        if len(labels) > 1:
            yield _finding("conflict", copies, f"the same bytes under the labels {' and '.join(labels)}")
        elif len(copies) > 1:
            yield _finding("exact", copies, f"the same bytes {len(copies)} times")


def _lookalikes(items: Sequence[Item], clips: Sequence[Clip]) -> Iterator[Finding]:
    """Clips that look alike, each like at least one other of its group; not copies or stretches of one file alone."""
    seen = [(item, clip) for item, clip in zip(items, clips, strict=True) if clip.signature is not None]
    groups = {place: [place] for place in range(len(seen))}
    for first, second in alike([clip.signature for _, clip in seen if clip.signature]):
        (one, its), (other, others) = seen[first], seen[second]
        copies = (its.digest, one.start, one.end) == (others.digest, other.start, other.end)
        if one.path != other.path and not copies and groups[first] is not groups[second]:
            groups[first].extend(groups[second])
            groups |= dict.fromkeys(groups[second], groups[first])
    for place, group in groups.items():
        if len(group) > 1 and place == min(group):
            members = [seen[member][0] for member in sorted(group)]
            labels = sorted({str(item.label) for item in members})
            under = f" under the labels {' and '.join(labels)}" if len(labels) > 1 else ""
            yield _finding("near", members, f"look alike{under}")


def _remarks(items: Sequence[Item], clips: Sequence[Clip]) -> Iterator[Finding]:
    for item, clip in zip(items, clips, strict=True):
        if clip.signature is not None and clip.signature.blank:
            yield _finding("blank", [item], "shows hardly anything but one colour; it is compared with no other clip")
        if clip.variable_rate:
            yield _finding("variable_rate", [item], f"frames are shown for unequal times, on average {clip.fps:.4g}/s")


def _cleaned(items: Sequence[Item], findings: Sequence[Finding]) -> tuple[Item, ...]:
    order = {item.key: place for place, item in enumerate(items)}
    left = dict.fromkeys(order, True)
    for finding in findings:
        if finding.kind in ("empty", "broken", "beyond", "damaged", "short", "conflict"):
            left |= dict.fromkeys(finding.keys, False)
    for finding in findings:
        if finding.kind in ("exact", "near"):
            # What tests stays rather than what validates, and that rather than what trains.
            ranked = sorted(finding.keys, key=lambda key: (-SPLITS.index(items[order[key]].split), order[key]))
            for better, worse in combinations(ranked, 2):
                apart = items[order[better]].split != items[order[worse]].split
                if left[better] and left[worse] and (apart or finding.kind == "exact"):
                    left[worse] = False
    return tuple(item for item in items if left[item.key])


def _classes(manifest: Manifest) -> tuple[ClassCount, ...]:
    if manifest.task == "regression":
        return ()
    none = (0,) * len(manifest.labels)
    counts = [manifest.class_counts(split) if split in manifest.splits else none for split in SPLITS]
    return tuple(ClassCount(*row) for row in zip(manifest.labels, *counts, strict=True))


def _durations(clips: Sequence[Clip]) -> Durations | None:
    seconds = [clip.seconds for clip in clips if clip.frames]
    if not seconds:
        return None
    return Durations(min(seconds), statistics.median(seconds), max(seconds), sum(seconds))
