"""What a scan finds in clips that were looked at: faults, copies, shared frames, look-alikes and remarks."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from timesformer.data.care.duplicates import alike
from timesformer.data.care.groups import Groups
from timesformer.data.care.inspection import Clip
from timesformer.data.items import SPLITS, Item, counted

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
"""Kinds of findings, the most serious first."""
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


def _finding(kind: Kind, items: Sequence[Item], detail: str) -> Finding:
    splits = tuple(split for split in SPLITS if any(item.split == split for item in items))
    return Finding(kind, tuple(item.key for item in items), detail, splits)


def faults(items: Sequence[Item], clips: Sequence[Clip], *, at_least: int) -> Iterator[Finding]:
    for item, clip in zip(items, clips, strict=True):
        if clip.trouble:
            yield _finding(clip.trouble, [item], clip.reason)
        if clip.trouble in ("", "damaged") and clip.frames < at_least:
            yield _finding("short", [item], f"has {clip.frames} frames; {at_least} are asked for")


def copies(items: Sequence[Item], clips: Sequence[Clip]) -> Iterator[Finding]:
    same = defaultdict(list)
    for item, clip in zip(items, clips, strict=True):
        if clip.digest:
            same[_content(item, clip)].append(item)
    for group in same.values():
        labels = sorted({str(item.label) for item in group})
        if len(labels) > 1:
            yield _finding("conflict", group, f"the same bytes under the labels {' and '.join(labels)}")
        elif len(group) > 1:
            yield _finding("exact", group, f"the same bytes {len(group)} times")


def _content(item: Item, clip: Clip) -> tuple[object, ...]:
    """What copies have in common: bytes and frames, or the times that were asked for where no frame can be read."""
    return (clip.digest, clip.first, clip.frames) if clip.frames else (clip.digest, item.start, item.end)


def overlaps(items: Sequence[Item], clips: Sequence[Clip]) -> Iterator[Finding]:
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


def lookalikes(
    items: Sequence[Item], clips: Sequence[Clip], *, progress: Callable[[int, int], None]
) -> Iterator[Finding]:
    """Clips that look alike, each like at least one other of its group; not copies or time ranges of one file alone."""
    seen = [(item, clip, clip.signature) for item, clip in zip(items, clips, strict=True) if clip.signature is not None]
    groups = Groups(len(seen))
    equal: dict[object, list[int]] = defaultdict(list)
    for place, (item, clip, _) in enumerate(seen):
        equal[_content(item, clip)].append(place)
    for first, second in alike(
        [signature for _, _, signature in seen], files=[str(item.path) for item, _, _ in seen], progress=progress
    ):
        (one, its, _), (other, others, _) = seen[first], seen[second]
        if _content(one, its) != _content(other, others):
            groups.join(first, second)
    for same in equal.values():  # what is like one of the copies is like them all
        if any(len(groups.of(place)) > 1 for place in same):
            for place in same[1:]:
                groups.join(same[0], place)
    for group in groups.all():
        members = [seen[member][0] for member in group]
        labels = sorted({str(item.label) for item in members})
        under = f" under the labels {' and '.join(labels)}" if len(labels) > 1 else ""
        yield _finding("near", members, f"look alike{under}")


def remarks(items: Sequence[Item], clips: Sequence[Clip]) -> Iterator[Finding]:
    for item, clip in zip(items, clips, strict=True):
        if clip.signature is not None and clip.signature.blank:
            yield _finding("blank", [item], "shows hardly anything but one colour; it is compared with no other clip")
        if clip.variable_rate:
            yield _finding("variable_rate", [item], f"frames are shown for unequal times, on average {clip.fps:.4g}/s")
        if clip.notes and not clip.trouble:
            yield _finding("remark", [item], "; ".join(clip.notes))
