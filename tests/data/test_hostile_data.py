"""Whatever lies in a folder of videos, scan, prepare and shards name it and go on, and nothing is lost or let out."""

import contextlib
import io
import json
import os
import signal
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import needs
from tests.made_videos import write
from timesformer.cli.main import main
from timesformer.config.checks import ConfigError
from timesformer.data import files
from timesformer.data.care import processes, shards
from timesformer.data.care.inspection import Work, inspect
from timesformer.data.care.portable import portable
from timesformer.data.care.prepare import Prepared, prepare
from timesformer.data.care.scan import scan
from timesformer.data.items import DataError, Item
from timesformer.data.manifest import Manifest, load
from timesformer.data.manifest import write as write_table
from timesformer.video import reader
from timesformer.video.decoder import tars

pytest.importorskip("webdataset", reason="needs the extra webdataset")
AWKWARD = [
    b"plain.mp4",
    b"caf\xe9.mp4",
    b"cr\rlf\n.mp4",
    b'q"uo,te.mp4',
    b" ends .mp4",
    b"\x1b[31m.mp4",
    b"a:b?.mp4",
    b"x" * 251 + b".mp4",
    b"y" * 251 + b".avi",
]


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Videos with every kind of name, and a class with rich's markup."""
    folder = tmp_path_factory.mktemp("awkward")
    made = write(tmp_path_factory.mktemp("one") / "x.mp4", frames=10).read_bytes()
    for label in ("a", "[red]b"):
        (folder / "val" / label).mkdir(parents=True)
    for name in AWKWARD:
        Path(os.path.join(os.fsencode(folder / "val" / "a"), name).decode("utf-8", "surrogateescape")).write_bytes(made)  # noqa: PTH118
    (folder / "val" / "[red]b" / "b.mp4").write_bytes(made)
    return load(folder)


def test_every_list_of_awkward_names_is_read_back(tmp_path: Path, awkward: Manifest) -> None:
    assert len(awkward.items) == len(AWKWARD) + 1
    found = scan(awkward, processes=0)
    assert not found.of("broken")
    write_table(replace(found.cleaned, items=awkward.items), tmp_path / "list.csv")
    assert [item.path for item in load(tmp_path / "list.csv").items] == [item.path for item in awkward.items]
    made = prepare(awkward, tmp_path / "prepared", processes=0)
    assert (made.made, made.failed) == (len(awkward.items), ())
    assert len(load(tmp_path / "prepared").items) == len(awkward.items)
    shards.write(awkward, tmp_path / "shards")
    assert {item.key for item in load(tmp_path / "shards").items} == {item.key for item in awkward.items}


def test_the_commands_print_awkward_names_without_obeying_them(
    tmp_path: Path, awkward: Manifest, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["scan", str(awkward.source), "--out", str(tmp_path / "c.csv"), "--processes", "0"])
    printed = capfd.readouterr().out
    assert ended.value.code == 1  # copies
    assert r"\x1b[31m.mp4" in printed and "\x1b" not in printed and r"caf\xe9.mp4" in printed and "[red]b" in printed
    with pytest.raises(SystemExit) as ended:
        main(["scan", str(awkward.source), "--out", str(tmp_path), "--processes", "0"])
    assert ended.value.code == 2 and "is a folder; name a file" in capfd.readouterr().err


def test_what_is_no_file_and_what_can_not_be_listed_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs.posix()
    for label in "abc":
        write_one(tmp_path / "data" / "val" / label / "x.mp4")
    folder = tmp_path / "data" / "val" / "a"
    os.mkfifo(folder / "pipe.mp4")
    (folder / "dead.mp4").symlink_to("nowhere")
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "zero.mp4").symlink_to("/dev/zero")
    (folder / "up").symlink_to("..")
    (folder / "locked").mkdir()
    listed = os.scandir

    def scandir(path: Any) -> Any:  # as for a user without the right to read it; the superuser has all
        if Path(path).name in ("locked", "c"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(files.os, "scandir", scandir)
    found = load(tmp_path / "data")
    assert [item.name for item in found.items] == ["val/a/x.mp4", "val/b/x.mp4"]
    text = "\n".join(found.notes)
    for name in ("pipe.mp4", "dead.mp4", "loop.mp4", "zero.mp4", "locked", "val/c"):
        assert name in text


def write_one(path: Path, *, frames: int = 12) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(path, frames=frames)


def test_a_pipe_and_an_unreadable_file_are_named_and_nothing_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs.posix()
    good = [write_one(tmp_path / f"{n}.mp4", frames=10 + n) for n in range(3)]
    os.mkfifo(tmp_path / "pipe.mp4")
    items = [Item(path, "ab"[n % 2], "val", name=path.name) for n, path in enumerate((*good, tmp_path / "pipe.mp4"))]
    table = Manifest(tmp_path, tuple(items), ("a", "b"))
    stream = tars.stream

    def failing(path: Path) -> Any:
        if path == good[0]:
            raise PermissionError(13, "Permission denied", str(path))
        return stream(path)

    monkeypatch.setattr(tars, "stream", failing)
    found = scan(table, processes=0)
    assert {key: f.detail for f in found.of("broken") for key in f.keys} == {
        "0.mp4": "can't be read (Permission denied)",
        "pipe.mp4": "can't be read (a pipe, a socket or a device, not a file)",
    }
    assert [item.name for item in found.cleaned.items] == ["1.mp4", "2.mp4"]
    named: list[str] = []
    out = tmp_path.parent / f"{tmp_path.name}-out"
    shards.write(table, out, failed=lambda item, _: named.append(item.key))
    assert named == ["0.mp4", "pipe.mp4"]
    assert {item.key for item in load(out).items} == {"1.mp4", "2.mp4"}
    made = prepare(table, tmp_path.parent / f"{tmp_path.name}-prepared", processes=0)
    assert [broken.key for broken in made.failed] == ["pipe.mp4"]  # its reader opens files itself


@contextlib.contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Files can't grow beyond so many bytes."""
    needs.posix()
    before = needs.resource.getrlimit(needs.resource.RLIMIT_FSIZE)
    needs.resource.setrlimit(needs.resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        needs.resource.setrlimit(needs.resource.RLIMIT_FSIZE, before)


def test_a_full_disk_ends_prepare_with_whole_clips_and_it_goes_on(tmp_path: Path) -> None:
    for number in range(4):
        write_one(tmp_path / "data" / "val" / "ab"[number % 2] / f"{number}.mp4", frames=10 + 30 * number)
    table = load(tmp_path / "data")
    whole = prepare(table, tmp_path / "whole", processes=0)
    sizes = sorted(path.stat().st_size for path in (tmp_path / "whole").rglob("*.mp4"))
    with (
        full_disk((sizes[2] + sizes[3]) // 2),
        pytest.raises(DataError, match="goes on where it stopped"),
    ):
        prepare(table, tmp_path / "out", processes=0)
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != "prepare.json"]
    assert 0 < len(left) < 4
    for path in left:  # an encoder may need some bytes more or less for the same frames
        assert reader.count_decodable(path).frames == 10 + 30 * int(path.stem)
    again: Prepared = prepare(table, tmp_path / "out", processes=0)
    assert (again.made, again.kept) == (4 - len(left), len(left))
    assert [reader.info(i.path).frames for i in load(again.table).items] == [
        reader.info(i.path).frames for i in load(whole.table).items
    ]


def test_a_full_disk_ends_shards_with_whole_ones_and_they_go_on(tmp_path: Path) -> None:
    table = load_of(tmp_path / "videos")
    table.items[-1].path.write_bytes(b"x" * 50_000)
    expected = shards.write(table, tmp_path / "tars", shard_bytes=1)
    with full_disk(20_000), pytest.raises(DataError, match=r"free some space .* goes on where it stopped"):
        shards.write(table, tmp_path / "shards", shard_bytes=1)
    kept = list((tmp_path / "shards").glob("*.tar"))
    assert len(kept) < 4 and all(len(names_in(path)) == 2 for path in kept)
    assert not (tmp_path / "shards" / "shards.json").exists()
    made = shards.write(table, tmp_path / "shards", shard_bytes=1)
    assert [path.read_bytes() for path in made] == [path.read_bytes() for path in expected]


def names_in(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


def test_a_folder_of_other_shards_loses_nothing(tmp_path: Path) -> None:
    one, other = (load_of(tmp_path / name) for name in ("one", "other"))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shards.write(one, tmp_path / "out", shard_bytes=1, progress=stop)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert any(name.endswith(".tar") for name in before)
    other.items[0].path.unlink()
    with pytest.raises(DataError, match="of other videos"):
        shards.write(other, tmp_path / "out", shard_bytes=1, failed=lambda *_: None)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    with pytest.raises(DataError, match="lies in"):
        shards.write(one, tmp_path / "one" / "shards")


def load_of(folder: Path) -> Manifest:
    for label in "ab":
        (folder / "val" / label).mkdir(parents=True)
        for number in range(2):
            (folder / "val" / label / f"{number}.mp4").write_bytes(f"{folder.name} {label} {number}".encode())
    return load(folder)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Shards of four files that are no videos."""
    shards.write(load_of(tmp_path / "videos"), tmp_path / "shards")
    return tmp_path / "shards"


def retold(folder: Path, change: dict[str, Any]) -> None:
    """Write the tar file again with other facts in each item's JSON."""
    path = folder / "val-00000.tar"
    with tarfile.open(path) as tar:
        content = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    with tarfile.open(path, "w") as tar:
        for name, data in content.items():
            told = json.dumps(json.loads(data) | change).encode() if name.endswith(".json") else data
            info = tarfile.TarInfo(name)
            info.size = len(told)
            tar.addfile(info, io.BytesIO(told))


@pytest.mark.parametrize(
    "change",
    [
        {"key": 3},
        {"key": ""},
        {"key": None},
        {"label": 3},
        {"label": None},
        {"label": {"a": 1}},
        {"label": ["a", 1]},
        {"group": 7},
        {"start": "1"},
        {"start": -1},
        {"start": 3, "end": 2},
        {"end": float("nan")},
        {"end": 10**400},
        {"start": True},
    ],
    ids=str,
)
def test_wrong_facts_in_a_shard_are_a_sentence(packed: Path, change: dict[str, Any]) -> None:
    retold(packed, change)
    with pytest.raises(DataError, match="write the shards again"):
        load(packed)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": 3},
        {"labels": ["a", 3]},
        {"labels": ["a", "a"]},
        {"task": 3},
        {"splits": {"val": 3}},
        {"splits": {"val": [3]}},
        {"splits": {"val": [{"file": "../x.tar", "first": 0, "count": 4}]}},
        {"splits": {"val": [{"file": "/etc/x.tar", "first": 0, "count": 4}]}},
        {"splits": {"val": [{"file": "..\\x.tar", "first": 0, "count": 4}]}},
        {"splits": {"val": [{"file": "val-00000.tar", "first": "0", "count": 4}]}},
        {"splits": {"val": [{"file": "val-00000.tar", "first": 0, "count": 10**20}]}},
        {"splits": {"val": [{"file": "val-00000.tar", "first": 0, "count": True}]}},
        {"splits": {"nonsense": []}},
    ],
    ids=str,
)
def test_a_wrong_index_is_a_sentence(packed: Path, change: dict[str, Any]) -> None:
    index = packed / "shards.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | change))
    with pytest.raises(DataError):
        load(packed)


def test_deep_and_huge_json_is_a_sentence(packed: Path) -> None:
    for text in ("[" * 100_000, '{"splits": {"val": ' + "9" * 5000 + "}}", "\ufeff{}", '{"splits": {}}'):
        (packed / "shards.json").write_text(text, encoding="utf-8")
        with pytest.raises(DataError):
            load(packed)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(place=st.integers(0, 6000), value=st.binary(min_size=1, max_size=12))
def test_no_changed_bytes_of_a_shard_end_in_a_traceback(packed: Path, place: int, value: bytes) -> None:
    """Headers with sizes in base 256, links, other kinds and names among them; the file is left as it was."""
    path = packed / "val-00000.tar"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:place] + value + whole[place + len(value) :])
        with contextlib.suppress(DataError):
            load(packed)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("size", [b"\x80" + b"\xff" * 11, b"\xff" * 12, b"\x80" + b"\x00" * 7 + b"\x7f\xff\xff\xff"])
def test_sizes_in_base_256_are_a_sentence(packed: Path, size: bytes) -> None:
    path = packed / "val-00000.tar"
    content = bytearray(path.read_bytes())
    content[124:136] = size
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\x00 " % sum(content[:512])
    path.write_bytes(content)
    with pytest.raises(DataError, match="write the shards again"):
        load(packed)


def test_no_key_of_a_shard_lets_prepare_write_outside_its_folder(tmp_path: Path) -> None:
    for number, label in enumerate("ab"):
        write_one(tmp_path / "videos" / "val" / label / f"{number}.mp4")
    shards.write(load(tmp_path / "videos"), tmp_path / "deep" / "shards")
    path = tmp_path / "deep" / "shards" / "val-00000.tar"
    content = path.read_bytes()
    for key, evil in ((b"val/a/0.mp4", b"../../e.mp4"), (b"val/b/1.mp4", b"/tmp/ee.mp4")):
        assert content.count(key) == 1
        content = content.replace(key, evil)
    path.write_bytes(content)
    made = prepare(load(tmp_path / "deep" / "shards"), tmp_path / "deep" / "deeper" / "out", processes=0)
    assert made.made == 2
    inside = list((tmp_path / "deep" / "deeper" / "out").rglob("*.mp4"))
    assert len(inside) == 2 and not list((tmp_path / "deep").glob("*.mp4"))


@pytest.mark.parametrize(
    ("name", "made"),
    [("val/a/x", "val/a/x"), ("..", r"_~"), ("a:b", "a_b~"), ("CON", "_CON~"), ("/a/b", "a/b"), ("a\\b", "a_b~")],
)
def test_names_that_we_make_are_good_on_every_system(name: str, made: str) -> None:
    assert portable(name).startswith(made)
    assert portable(name) == portable(name)


@given(st.lists(st.text(), min_size=2, max_size=2, unique=True))
def test_made_names_stay_inside_are_short_and_differ(names: list[str]) -> None:
    results = [portable(name) for name in names]
    for result in results:
        assert all(len(part.encode()) <= 255 and part not in ("", ".", "..") for part in result.split("/") if result)
        assert not set(result) & set('<>:"\\|?*\0\n\r')
    parts = [[part for part in name.split("/") if part not in ("", ".")] for name in names]
    assert parts[0] == parts[1] or results[0] != results[1]


def killed(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_killed_process_says_what_probably_happened_and_negative_ones_are_refused() -> None:
    needs.posix()
    ((_, lost),) = processes.each(killed, [1], processes=1)
    assert isinstance(lost, processes.Lost) and "if memory ran out; take fewer processes" in lost.reason
    with pytest.raises(ConfigError, match="processes is -5"):
        list(processes.each(killed, [1], processes=-5))


def test_a_system_without_signals_still_says_that_a_process_died(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "SIGKILL")
    ((_, lost),) = processes.each(killed, [1], processes=1)
    assert isinstance(lost, processes.Lost) and "died" in lost.reason


def test_damage_counts_for_the_time_ranges_that_have_it(tmp_path: Path) -> None:
    path = write(tmp_path / "x.mp4", frames=120, gop=12, bframes=0, size=(96, 64))
    info = reader.info(path)
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat")
    place = start + int.from_bytes(content[start - 4 : start], "big") * 3 // 4
    content[place : place + 300] = b"\xff" * 300
    path.write_bytes(content)
    half = info.duration / 2
    early, late, whole = inspect(Work(path, ((0.0, half), (half, None), (None, None))))
    assert (early.trouble, late.trouble, whole.trouble) == ("", "damaged", "damaged")
    assert early.frames == late.frames == 60 and early.seconds == pytest.approx(half)


def test_time_ranges_that_share_frames_across_splits_are_leaks(tmp_path: Path) -> None:
    path = write(tmp_path / "x.mp4", frames=90)

    def part(split: str, start: float, end: float) -> Item:
        return Item(path, "a", split, start=start, end=end, name="x.mp4")

    ranges = (("train", 0, 1), ("train", 0.5, 1.5), ("val", 1.2, 2), ("train", 2, 3), ("test", 1.8, 2.5))
    table = Manifest(tmp_path, tuple(part(*each) for each in ranges), ("a", "b"))
    found = scan(table, processes=0)
    assert [(f.keys, f.leak) for f in found.of("overlap")] == [
        (("x.mp4@0.5-1.5", "x.mp4@1.2-2"), True),
        (("x.mp4@2-3", "x.mp4@1.8-2.5"), True),
        (("x.mp4@1.2-2", "x.mp4@1.8-2.5"), True),
    ]
    assert [item.key for item in found.cleaned.items] == ["x.mp4@0-1", "x.mp4@1.8-2.5"]
