"""Open all videos of a data set before a training does, to find what is broken, what is there twice, and what is rare.

Nothing is changed. The cleaned list leaves out what can't be used and what lies on both sides of a split; the caller
may write it.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from timesformer.config.tasks import FACTS
from timesformer.data.care import findings as find
from timesformer.data.care.findings import Finding, Kind
from timesformer.data.care.inspection import Clip, Work, inspect
from timesformer.data.care.processes import Lost, each
from timesformer.data.items import SPLITS, Item
from timesformer.data.manifest import Manifest


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
        *find.faults(manifest.items, clips, at_least=at_least),
        *find.copies(manifest.items, clips),
        *find.overlaps(manifest.items, clips),
        *find.lookalikes(manifest.items, clips, progress=comparing),
        *find.remarks(manifest.items, clips),
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
