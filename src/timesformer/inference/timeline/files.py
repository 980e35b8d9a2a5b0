"""Timelines as text: JSON, lines of JSON, CSV, and the subtitles SubRip (.srt) and WebVTT (.vtt)."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from timesformer.inference.timeline.segments import Segment
from timesformer.plain import printable
from timesformer.video.clock import subtitle

Cue = tuple[float, float, tuple[str, ...]]
"""Start and end in seconds, and the lines that are shown between them."""
Row = Mapping[str, str | float]


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose times are in milliseconds and whose other numbers have six digits."""
    return {name: _number(name, value) if isinstance(value, float) else value for name, value in row.items()}


def _number(name: str, value: float) -> float:
    return round(value, 3) if name in ("start", "end") else float(f"{value:.6g}")


def rows(segments: Iterable[Segment]) -> list[dict[str, Any]]:
    """Segments as rows of a table."""
    return [rounded(asdict(segment)) for segment in segments]


def line(content: object) -> str:
    """JSON in one line; parts of names that aren't UTF-8 become the escapes that Python's json reads back."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace").decode()


def table(found: Sequence[Row], head: Sequence[str]) -> str:
    """Rows as CSV below a line of column names."""
    text = io.StringIO()
    writer = csv.DictWriter(text, head, lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()


def cues(segments: Sequence[Segment]) -> Iterator[Cue]:
    """What is to be read at each time: stretches that don't overlap, with a line for each segment there."""
    borders = sorted({border for segment in segments for border in (segment.start, segment.end)})
    for start, end in pairwise(borders):
        here = [segment for segment in segments if segment.start <= start and end <= segment.end]
        if here:
            yield start, end, tuple(f"{segment.label} {segment.score:.0%}" for segment in here)


def srt(found: Iterable[Cue]) -> str:
    """Cues as SubRip subtitles."""
    parts = []
    for number, (start, end, lines) in enumerate(found, start=1):
        shown = "\n".join(printable(text).replace("-->", "->") for text in lines)
        parts.append(f"{number}\n{subtitle(start, ',')} --> {subtitle(end, ',')}\n{shown}\n")
    return "\n".join(parts)


def vtt(found: Iterable[Cue]) -> str:
    """Cues as WebVTT subtitles, which browsers show."""
    parts = ["WEBVTT\n"]
    for start, end, lines in found:
        shown = "\n".join(_escaped(printable(text)) for text in lines)
        parts.append(f"{subtitle(start, '.')} --> {subtitle(end, '.')}\n{shown}\n")
    return "\n".join(parts)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
