"""Features that are still being computed, on disk: what an interrupted computation had done is never done again.

A hidden folder beside the file that is to be written holds the vectors as bytes, one video after the other, and a line
of JSON for each video whose vectors are complete. A program that is killed at any moment leaves at most one video
without its line, which the next start removes.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from timesformer.config.checks import ConfigError
from timesformer.config.decode import decode
from timesformer.config.encode import encode
from timesformer.features.kinds import Rows
from timesformer.features.table import Origin
from timesformer.training.run.lock import Lock

Known = dict[tuple[str, int], Rows]
"""The vectors of videos by their path and the bytes of their file."""
ORIGIN, LINES, VECTORS = "origin.json", "videos.jsonl", "vectors.f32"


@dataclass
class Unfinished:
    """The folder of a computation that goes on."""

    known: Known
    """What was done before."""
    _lines: IO[bytes]
    _vectors: IO[bytes]

    def add(self, path: str, size: int, rows: Rows) -> None:
        """Keep the vectors of a video; they are with the system when this returns."""
        self._vectors.write(np.ascontiguousarray(rows.vectors, dtype="<f4").tobytes())
        self._vectors.flush()
        line = {
            "path": path,
            "size": size,
            "shape": rows.vectors.shape,
            "places": rows.places.tolist(),
            "times": rows.times.tolist(),
        }
        self._lines.write(f"{json.dumps(line)}\n".encode())
        self._lines.flush()


@contextmanager
def unfinished(out: Path, origin: Origin) -> Iterator[Unfinished]:
    """The work beside the file ``out``, begun or continued; it is removed when the ``with`` ends without an error.

    Raises ConfigError where another process works on it, and where it was begun with other weights or settings.
    """
    folder = out.with_name(f".{out.name}.unfinished")
    folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(folder, "computation of features")
    lock.take()
    try:
        _agree(folder, origin, out)
        known, size, end = _read(folder)
        with (folder / VECTORS).open("ab") as vectors, (folder / LINES).open("ab") as lines:
            vectors.truncate(size)
            lines.truncate(end)
            yield Unfinished(known, lines, vectors)
    finally:
        lock.release()
    shutil.rmtree(folder, ignore_errors=True)


def _agree(folder: Path, origin: Origin, out: Path) -> None:
    """Note the origin in a new folder; raise ConfigError if that of an old one differs."""
    path = folder / ORIGIN
    if path.exists() and path.stat().st_size:
        try:
            difference = origin.difference(decode(Origin, json.loads(path.read_text("utf-8"))))
        except ValueError as error:
            difference = f"an unreadable {ORIGIN}: {error!s:.60}"
        if difference:
            raise ConfigError(
                f"{folder} holds unfinished features with {difference}; go on with the same settings, remove that "
                f"folder, or name another file than {out} (--out)."
            )
    path.write_text(json.dumps(encode(origin)), encoding="utf-8")


def _read(folder: Path) -> tuple[Known, int, int]:
    """The videos that are complete, and how many bytes of vectors and of lines belong to them."""
    known: Known = {}
    data = (folder / VECTORS).read_bytes() if (folder / VECTORS).exists() else b""
    text = (folder / LINES).read_bytes() if (folder / LINES).exists() else b""
    start = end = 0
    for raw in text.splitlines(keepends=True):
        try:
            line: dict[str, Any] = json.loads(raw)
            shape = tuple(map(int, line["shape"]))
            stop = start + 4 * int(np.prod(shape))
            vectors = np.frombuffer(data[start:stop], dtype="<f4").reshape(shape).astype(np.float32)
            rows = Rows(vectors, np.array(line["places"], dtype=np.int64), np.array(line["times"]).reshape(-1, 2))
        except (ValueError, KeyError, TypeError):
            break
        if not raw.endswith(b"\n"):
            break
        known[(line["path"], line["size"])] = rows
        start, end = stop, end + len(raw)
    return known, start, end
