"""A scan names every video that can't be used, and every clip that is there twice, and no others."""

import csv
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from tests import needs
from tests.made_scenes import film, reencode, scene
from tests.made_videos import encode, numbered
from timesformer.data.care.duplicates import alike, signature
from timesformer.data.care.processes import Lost, each
from timesformer.data.care.scan import Scan, scan
from timesformer.data.items import Item
from timesformer.data.manifest import Manifest, load, write

SHARED = Path(__file__).parents[3] / "shared" / "data"


def made(*items: Item) -> Manifest:
    return Manifest(Path("/nowhere"), items, tuple(sorted({str(item.label) for item in items})))


def item(path: Path, *, label: str = "a", split: str = "train", start: float | None = None) -> Item:
    return Item(path, label, split, start=start, name=path.name)


def kinds(found: Scan) -> dict[str, set[str]]:
    """Names of the clips under each kind of finding."""
    return {finding.kind: {key for f in found.of(finding.kind) for key in f.keys} for finding in found.findings}


def damage(path: Path, *, share: float) -> Path:
    """Overwrite a stretch in the middle of a file."""
    data = bytearray(path.read_bytes())
    middle, length = int(len(data) * 0.6), int(len(data) * share)
    data[middle : middle + length] = bytes(255 - value for value in data[middle : middle + length])
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four different scenes."""
    folder = tmp_path_factory.mktemp("clips")
    return [film(folder / f"{number}.mp4", scene(number, number)) for number in range(4)]


def test_a_sound_data_set_has_no_findings_and_is_kept_whole(clips: list[Path]) -> None:
    items = [item(path, label="ab"[n % 2], split=("train", "train", "val", "val")[n]) for n, path in enumerate(clips)]
    seen: list[tuple[int, int]] = []
    found = scan(made(*items), processes=0, progress=lambda done, total: seen.append((done, total)))
    assert found.findings == ()
    assert found.cleaned.items == found.manifest.items
    assert [(count.label, count.train, count.val, count.test) for count in found.classes] == [
        ("a", 1, 1, 0),
        ("b", 1, 1, 0),
    ]
    assert found.durations is not None
    assert [found.durations.shortest, found.durations.median, found.durations.total] == pytest.approx([2, 2, 8])
    assert [(clip.frames, clip.width, clip.height, clip.codec, clip.fps) for clip in found.clips] == [
        (40, 96, 72, "h264", 20)
    ] * 4
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_each_trouble_is_named_and_left_out_of_the_cleaned_list(tmp_path: Path, clips: list[Path]) -> None:
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.write_bytes(b"")
    text.write_text("not a video")
    torn = damage(film(tmp_path / "torn.mp4", scene(7, 7)), share=0.15)
    short = film(tmp_path / "short.mp4", scene(8, 8), seconds=0.35)
    uneven = encode(
        tmp_path / "uneven.mp4", [scene(9, 9)(n / 12) for n in range(12)], [n * 0.05 + (n > 6) * 0.4 for n in range(12)]
    )
    black = encode(tmp_path / "black.mp4", [numbered(0, (64, 48))] * 12, [n / 30 for n in range(12)])
    late = item(clips[1], start=9.0)
    items = [item(path) for path in (clips[0], empty, text, torn, short, uneven, black)]
    found = scan(made(*items, late), processes=0)
    assert kinds(found) == {
        "empty": {"empty.mp4"},
        "broken": {"text.mp4"},
        "beyond": {late.key},
        "damaged": {"torn.mp4"},
        "short": {"short.mp4"},
        "blank": {"black.mp4"},
        "variable_rate": {"uneven.mp4"},
    }
    assert "has 7 frames; 8 are asked for" in found.of("short")[0].detail
    assert "ends after 2.000 s" in found.of("beyond")[0].detail
    assert "after" in found.of("damaged")[0].detail
    assert [left.key for left in found.cleaned.items] == ["0.mp4", "uneven.mp4", "black.mp4"]


def test_without_decoding_everything_broken_files_are_still_named(tmp_path: Path, clips: list[Path]) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    half = damage(film(tmp_path / "half.mp4", scene(7, 7)), share=0.2)
    found = scan(made(*(item(path) for path in (clips[0], text, half))), full=False, processes=0)
    assert kinds(found) == {"broken": {"text.mp4"}, "damaged": {"half.mp4"}}


def test_copies_are_told_apart_by_split_and_label(tmp_path: Path, clips: list[Path]) -> None:
    copy, again, other = (tmp_path / name for name in ("copy.mp4", "again.mp4", "other.mp4"))
    copy.write_bytes(clips[0].read_bytes())
    again.write_bytes(clips[1].read_bytes())
    other.write_bytes(clips[2].read_bytes())
    found = scan(
        made(
            item(clips[0]), item(copy, split="val"), item(clips[1]), item(again), item(clips[2]), item(other, label="b")
        ),
        processes=0,
    )
    assert [(f.kind, f.keys, f.leak) for f in found.findings] == [
        ("conflict", ("2.mp4", "other.mp4"), False),
        ("exact", ("0.mp4", "copy.mp4"), True),
        ("exact", ("1.mp4", "again.mp4"), False),
    ]
    assert [left.key for left in found.cleaned.items] == ["copy.mp4", "1.mp4"]


@pytest.mark.parametrize(
    "change",
    [{"crf": 36}, {"scale": 0.6}, {"scale": 1.7}, {"fps": 12.5}, {"crf": 32, "scale": 0.75, "fps": 15}],
    ids=str,
)
def test_a_re_encoded_copy_across_splits_is_found(tmp_path: Path, clips: list[Path], change: dict[str, float]) -> None:
    copy = reencode(clips[0], tmp_path / "copy.mp4", **change)  # type: ignore[arg-type]
    found = scan(made(*(item(path) for path in clips), item(copy, split="val")), processes=0)
    assert [(f.kind, f.keys, f.leak) for f in found.findings] == [("near", ("0.mp4", "copy.mp4"), True)]
    assert [left.key for left in found.cleaned.items] == ["1.mp4", "2.mp4", "3.mp4", "copy.mp4"]


def test_clips_alike_in_one_split_are_named_and_kept(tmp_path: Path, clips: list[Path]) -> None:
    copies = [reencode(clips[0], tmp_path / f"copy{crf}.mp4", crf=crf) for crf in (26, 30)]
    found = scan(made(item(clips[0]), item(copies[0]), item(copies[1], label="b")), processes=0)
    (near,) = found.of("near")
    assert near.keys == ("0.mp4", "copy26.mp4", "copy30.mp4")
    assert "under the labels a and b" in near.detail and not near.leak
    assert len(found.cleaned.items) == 3


def test_stretches_that_show_the_same_are_alike_and_others_are_not(tmp_path: Path, clips: list[Path]) -> None:
    twice = film(tmp_path / "twice.mp4", scene(0, 0, cycles=2), seconds=4)
    looks = [signature(clips[0]), signature(twice, end=2.0), signature(twice), signature(clips[1])]
    assert alike(looks) == [(0, 1)]
    same = [
        signature(clips[0], start=0.5, end=1.5),
        signature(clips[0], end=1.0),
        signature(clips[0], start=0.5, end=1.5),
    ]
    assert alike(same) == [(0, 2)]


def test_mirrored_reversed_and_other_motion_before_one_background_are_no_copies(tmp_path: Path) -> None:
    draw = scene(5, 5)
    paths = [
        film(tmp_path / "straight.mp4", draw),
        film(tmp_path / "mirrored.mp4", lambda time: draw(time)[:, ::-1]),
        film(tmp_path / "backwards.mp4", lambda time: draw(1 - time)),
        film(tmp_path / "another.mp4", scene(5, 6)),
        film(tmp_path / "black_start.mp4", lambda time: draw(time) * (time > 0.1)),
    ]
    assert alike([signature(path) for path in paths]) == [(0, 4)]


def test_blank_clips_are_like_nothing(tmp_path: Path) -> None:
    draw = scene(5, 5)
    paths = [film(tmp_path / f"{n}.mp4", lambda time: draw(time) * (time < 0.1)) for n in range(2)]
    looks = [signature(path) for path in paths]
    assert [look.blank for look in looks] == [True, True]
    assert alike(looks) == []


def test_a_cleaned_list_is_a_data_set_again(tmp_path: Path, clips: list[Path]) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"x" * 100)
    items = [item(path, label="ab"[n % 2], split=("train", "val")[n // 2]) for n, path in enumerate(clips)]
    found = scan(made(*items, item(broken)), processes=0)
    write(found.cleaned, tmp_path / "clean.csv")
    assert load(tmp_path / "clean.csv").items == tuple(items)


def square(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 5:
        raise KeyError("five")
    return number * number


def test_a_crash_costs_its_own_job_and_an_exception_comes_through() -> None:
    needs.posix()
    outcomes = dict(each(square, [1, 2, 3, 4], processes=2))
    assert {place: outcomes[place] for place in (0, 2, 3)} == {0: 1, 2: 9, 3: 16}
    lost = outcomes[1]
    assert isinstance(lost, Lost) and "-11" in lost.reason
    with pytest.raises(KeyError, match="five"):
        list(each(square, [5], processes=1))
    assert multiprocessing.active_children() == []


def kill_while_sending() -> None:
    """End this process in the middle of its answer."""
    answering = threading.main_thread().ident
    while True:
        frame, names = sys._current_frames().get(answering or 0), []
        while frame is not None:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        if "_send" in names:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.0005)


def answered(number: int) -> bytes:
    if number == 1:
        threading.Thread(target=kill_while_sending, daemon=True).start()
        return b"x" * 50_000_000
    return b"x" * number


def test_a_process_that_is_killed_in_the_middle_of_its_answer_costs_its_own_job() -> None:
    outcomes = dict(each(answered, list(range(6)), processes=2))
    assert [place for place, outcome in outcomes.items() if isinstance(outcome, Lost)] == [1]
    assert all(outcomes[number] == b"x" * number for number in (0, 2, 3, 4, 5))


def test_a_crash_of_the_decoder_names_the_file_and_the_scan_goes_on(tmp_path: Path, clips: list[Path]) -> None:
    needs.posix()
    long = film(tmp_path / "long.mp4", scene(3, 3, size=(192, 144)), seconds=15)

    def kill(done: int, total: int) -> None:
        if done == 1:  # the next file has been handed out and takes a while
            (child,) = multiprocessing.active_children()
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)

    found = scan(made(item(clips[0]), item(long), item(clips[1])), processes=1, progress=kill)
    assert kinds(found) == {"broken": {"long.mp4"}}
    assert "died (exit code -9)" in found.findings[0].detail
    assert [left.key for left in found.cleaned.items] == ["0.mp4", "1.mp4"]


def test_negative_processes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        list(each(square, [1], processes=-1))


def test_of_real_odd_videos_exactly_those_that_do_not_decode_whole_are_named() -> None:
    folder = SHARED / "odd_videos"
    if not folder.is_dir():
        pytest.skip(f"needs the odd videos in {folder}")
    with (folder / "index.csv").open(newline="") as file:
        rows = [
            row for row in csv.DictReader(file) if int(row["bytes"]) < 40_000 or not row["frames_decoded"].isdigit()
        ]
    items = [Item(folder / row["path"], "a", "train", name=row["path"]) for row in rows if row["frames_decoded"]]
    rows = [row for row in rows if row["frames_decoded"]]
    found = scan(made(*items), at_least=1, processes=0)
    named = {key for kind in ("empty", "broken", "damaged", "short") for f in found.of(kind) for key in f.keys}
    assert named == {row["path"] for row in rows if not row["frames_decoded"].isdigit()}
    counts = {row["path"]: int(row["frames_decoded"]) for row in rows if row["path"] not in named}
    assert {i.name: c.frames for i, c in zip(items, found.clips, strict=True) if i.name not in named} == counts


def test_copies_planted_into_real_recordings_are_found_and_mirrored_ones_are_not(tmp_path: Path) -> None:
    if not (SHARED / "tankwagon").is_dir():
        pytest.skip(f"needs the recordings in {SHARED}")
    real = [*load(SHARED / "tankwagon").items[::40], *load(SHARED / "weizmann4").items[:8]]
    changes: list[dict[str, float]] = [{"crf": 30}, {"scale": 0.75}, {"fps": 6.0}]
    planted = [reencode(one.path, tmp_path / one.path.name, **changes[n % 3]) for n, one in enumerate(real[:6])]  # type: ignore[arg-type]
    looks = [signature(path) for path in (*(one.path for one in real), *planted)]
    assert alike(looks) == [(n, len(real) + n) for n in range(6)]
