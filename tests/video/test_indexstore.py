"""Indices are made once: held in memory in bounds, on disk for large files, and never believed after a change."""

import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.made_videos import numbers_of, write
from timesformer import cache
from timesformer.video import reader
from timesformer.video.decoder import frameindex, indexstore
from timesformer.video.decoder import index as indexing
from timesformer.video.decoder.frameindex import ARRAYS, FACTS, NO_TIME, Index, packed, unpacked

STAMP = (1, 2, 3)


def forget() -> None:
    """Drop the indices that lie in memory, as in a new process."""
    indexstore._whole, indexstore._compact = indexstore._Held(), indexstore._Held()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder of one's own, into which even small videos' indices go."""
    monkeypatch.setenv("TIMESFORMER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(indexstore, "WORTH_WRITING", 1)
    forget()
    yield tmp_path / "cache"
    forget()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were gone through, in order."""
    paths: list[Path] = []
    make = indexing._made
    monkeypatch.setattr(indexing, "_made", lambda path: paths.append(path) or make(path))
    return paths


def entries(folder: Path) -> list[Path]:
    # os.walk, since folders of other processes come and go
    found = (Path(place, name) for place, _, names in os.walk(folder) for name in names)
    return sorted(each for each in found if each.is_file())


def same(one: Index, other: Index) -> bool:
    facts = all(getattr(one, name) == getattr(other, name) for name in (*FACTS, "path", "variable_rate"))
    return facts and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in (*ARRAYS, "times"))


integers = st.lists(st.integers(NO_TIME, 2**63 - 1), max_size=40)


@settings(max_examples=200, deadline=None)
@given(integers, integers, integers, st.lists(st.text(), max_size=2), st.floats(0.001, 1000))
def test_the_compact_form_gives_back_every_index(
    pts: list[int], keys: list[int], targets: list[int], texts: list[str], fps: float
) -> None:
    path = Path("v.mp4")
    arrays = {
        name: np.array(value, dtype=np.int64)
        for name, value in zip(("pts", "keys", "targets"), (pts, keys, targets), strict=True)
    }
    index = Index(path, "h264", fps, (48, 64), max(len(pts), 1), tick=1e-5, damage=tuple(texts), **arrays)
    again = unpacked(path, STAMP, packed(index, STAMP))
    assert again is not None and same(index, again)
    assert unpacked(path, (1, 2, 4), packed(index, STAMP)) is None


def test_hours_of_video_take_little_and_come_back_at_once() -> None:
    frames = 324_000
    ticks = np.arange(frames, dtype=np.int64) * 3003
    keys = np.arange(0, frames, 250)
    starts = np.repeat(np.arange(len(keys)), 250)[:frames]
    index = Index(
        Path("long.mp4"),
        "h264",
        29.97,
        (1080, 1920),
        frames,
        tick=1 / 90_000,
        pts=ticks,
        starts=starts,
        keys=ticks[keys],
        places=keys * 12_345 + 48,
        targets=ticks[keys],
    )
    data = packed(index, STAMP)
    assert len(data) < 20_000
    start = time.perf_counter()
    again = unpacked(index.path, STAMP, data)
    assert time.perf_counter() - start < 0.5  # some milliseconds; the machine may be busy
    assert again is not None and same(index, again)


def test_another_process_finds_what_the_first_one_wrote(folder: Path, made: list[Path], tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", frames=40, bframes=2)
    first = indexing.index(path)
    assert len(entries(folder)) == 1
    forget()
    again = indexing.index(path)
    assert made == [path] and again is not first and same(first, again)
    assert numbers_of(reader.read(path, [30, 3])) == [30, 3]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(reader.info, (path,)).frames == 40


def test_a_changed_file_is_gone_through_again(folder: Path, made: list[Path], tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", frames=20)
    other = write(tmp_path / "other.mp4", frames=30)
    assert reader.info(path).frames == 20
    shutil.copy(other, path)
    forget()
    assert reader.info(path).frames == 30
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))  # another time alone
    reader.info(path)
    assert len(made) == 3 and len(entries(folder)) == 1


@pytest.mark.parametrize("harm", ["cut", "empty", "bit", "foreign", "text", "folder", "swapped"])
def test_a_damaged_entry_is_made_again(harm: str, folder: Path, made: list[Path], tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", frames=20)
    reader.info(path)
    (entry,) = entries(folder)
    data = bytearray(entry.read_bytes())
    if harm == "folder":
        entry.unlink()
        entry.mkdir()
    elif harm == "swapped":
        other = write(tmp_path / "other.mp4", frames=9)
        reader.info(other)
        (theirs,) = set(entries(folder)) - {entry}
        entry.write_bytes(theirs.read_bytes())
    else:
        data[len(data) // 2] ^= 1
        bad = {"cut": data[:-3], "empty": b"", "bit": data, "foreign": b"x" * 100, "text": frameindex.MAGIC}
        entry.write_bytes(bytes(bad[harm]))
    forget()
    made.clear()
    assert reader.info(path).frames == 20
    assert made == [path]


def test_a_valid_envelope_around_nonsense_is_no_index() -> None:
    import hashlib

    for body in (b"", b"{}\n", b"[1]\nx", b'{"stamp": [1, 2, 3]}\n', b"\xff\n"):
        data = frameindex.MAGIC + hashlib.blake2b(body, digest_size=16).digest() + body
        assert unpacked(Path("v"), STAMP, data) is None


def test_without_a_place_to_write_everything_works(
    tmp_path: Path, made: list[Path], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    path = write(tmp_path / "v.mp4", frames=20)
    blocked = tmp_path / "file"
    blocked.touch()
    for place in ("", str(blocked), str(blocked / "deeper"), "/proc/nothing"):
        monkeypatch.setenv("TIMESFORMER_CACHE", place)
        forget()
        assert reader.info(path).frames == 20
        assert reader.info(path).frames == 20
    assert len(made) == 4
    monkeypatch.setattr(Path, "write_bytes", _full)
    monkeypatch.setenv("TIMESFORMER_CACHE", str(tmp_path / "full"))
    forget()
    assert reader.info(path).frames == 20
    assert entries(tmp_path / "full") == []


def _full(path: Path, data: bytes) -> int:
    with path.open("wb") as file:
        file.write(data[:10])
    raise OSError(28, "No space left on device")


def _index_often(path: Path, times: int) -> int:
    indexstore.WORTH_WRITING = 1
    for _ in range(times):
        forget()
        frames = reader.info(path).frames
        for entry in entries(cache.folder() or path):
            entry.unlink(missing_ok=True)
    return frames


def test_processes_that_write_the_same_entry_do_no_harm(folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", frames=20)
    with multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn").Pool(3) as pool:
        assert pool.starmap(_index_often, [(path, 20)] * 3) == [20, 20, 20]


def test_what_is_held_in_memory_is_bounded(
    folder: Path, made: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexstore, "HELD", 10_000)
    monkeypatch.setenv("TIMESFORMER_CACHE", "")
    paths = [write(tmp_path / f"{number}.mp4", frames=20) for number in range(8)]
    for _ in range(2):
        for path in paths:
            reader.info(path)
    assert len(made) == 16  # neither kind has room for eight, and what was used least goes first
    assert indexstore._whole._bytes <= 10_000 and indexstore._compact._bytes <= 10_000


def test_short_videos_leave_nothing_on_disk_and_folders_do_not_grow_without_end(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexstore, "WORTH_WRITING", 2**20)
    path = write(tmp_path / "v.mp4", frames=20)
    reader.info(path)
    assert entries(folder) == []
    monkeypatch.setattr(indexstore, "WORTH_WRITING", 1)
    forget()
    reader.info(path)
    (entry,) = entries(folder)
    for number in range(indexstore.PER_FOLDER):
        (entry.parent / f"{number}").touch()
        os.utime(entry.parent / f"{number}", (number, number))
    forget()
    os.utime(path)
    reader.info(path)
    assert entry in entries(folder) and len(entries(folder)) <= indexstore.PER_FOLDER


def test_information_about_a_long_video_is_not_made_anew(folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", frames=20)
    assert reader.info(path).times is reader.info(path).times
    with pytest.raises(ValueError, match="read-only"):
        reader.info(path).times[0] = 1
