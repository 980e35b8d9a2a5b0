"""Preparing gives whole, small, quickly read clips of the same frames, keeps what is done, and names what can't be."""

import json
import subprocess
import sys
from pathlib import Path

import av
import pytest
import torch

from tests import needs
from tests.made_scenes import film, scene
from tests.made_videos import numbered, numbers_of, write, write_images
from timesformer.config.checks import ConfigError
from timesformer.data.care.prepare import Prepared, Settings, prepare
from timesformer.data.items import DataError
from timesformer.data.manifest import Manifest, load
from timesformer.video import reader, writer


def run(data: Path, out: Path, *, settings: Settings | None = None) -> Prepared:
    return prepare(load(data), out, settings=settings, processes=0)


def key_frames(path: Path) -> list[int]:
    """Numbers of the key frames, in a file without B-frames."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    return [number for number, packet in enumerate(packets) if packet.is_keyframe]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four videos of two classes."""
    for number, label in enumerate(("bend", "bend", "wave", "wave")):
        path = tmp_path / "data" / label / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, frames=40, gop=250, size=(192, 96), bframes=2)
    return tmp_path / "data"


def test_frames_keep_their_order_and_time_at_the_chosen_size_and_key_distance(tmp_path: Path, data: Path) -> None:
    made = run(data, tmp_path / "out", settings=Settings(short_side=64, key_distance=10))
    assert (made.made, made.kept, made.failed, made.damaged) == (4, 0, (), ())
    for path in sorted((tmp_path / "out").rglob("*.mp4")):
        source = reader.info(data / path.relative_to(tmp_path / "out"))
        info = reader.info(path)
        assert (info.height, info.width, info.frames, info.codec) == (64, 128, 40, "h264")
        assert info.times == pytest.approx(source.times, abs=1e-4)
        assert info.duration == pytest.approx(source.duration, abs=1e-3)
        assert numbers_of(reader.read(path, range(40))) == list(range(40))
        assert key_frames(path) == [0, 10, 20, 30]


def test_pictures_are_those_of_the_source(tmp_path: Path) -> None:
    source = film(tmp_path / "data" / "val" / "a" / "x.mp4", scene(1, 1, size=(160, 120)))
    film(tmp_path / "data" / "val" / "b" / "y.mp4", scene(2, 2))
    run(tmp_path / "data", tmp_path / "out", settings=Settings(short_side=60))
    before = reader.read(source, [3, 30], short_side=60).float()
    after = reader.read(tmp_path / "out" / "val" / "a" / "x.mp4", [3, 30]).float()
    assert (before - after).abs().mean() < 4


def test_small_videos_keep_their_size_and_odd_sides_lose_a_line(tmp_path: Path) -> None:
    for name, size in (("val/a/x.mp4", (65, 49)), ("val/b/y.mp4", (64, 48))):
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        write(tmp_path / "data" / name, frames=12, size=size)
    run(tmp_path / "data", tmp_path / "out")
    for name in ("val/a/x.mp4", "val/b/y.mp4"):
        info = reader.info(tmp_path / "out" / name)
        assert (info.width, info.height) == (64, 48)


def test_uneven_times_and_rotation_are_kept_upright_and_uneven(tmp_path: Path) -> None:
    times = [0, 0.03, 0.1, 0.4, 0.41, 0.9, 1.0, 1.5, 1.9, 2.0]
    for label in "ab":
        (tmp_path / "data" / "val" / label).mkdir(parents=True)
        write(tmp_path / "data" / "val" / label / f"{label}.mp4", frames=times, size=(96, 48), rotation=90)
    run(tmp_path / "data", tmp_path / "out")
    info = reader.info(tmp_path / "out" / "val" / "a" / "a.mp4")
    assert (info.width, info.height, info.variable_rate) == (96, 48, True)
    assert info.times == pytest.approx(times, abs=1e-4)
    assert numbers_of(reader.read(info.path, range(10))) == list(range(10))


def test_stretches_become_files_of_their_own_in_one_group(tmp_path: Path) -> None:
    write(tmp_path / "long.mp4", frames=90)
    write(tmp_path / "other.avi", frames=30, codec="mpeg4")
    (tmp_path / "list.csv").write_text(
        "path,label,split,start,end\nlong.mp4,a,train,0,1\nlong.mp4,b,val,1.5,2.5\nother.avi,b,train,,\n"
    )
    made = prepare(load(tmp_path / "list.csv"), tmp_path / "out", processes=0)
    table = load(made.table)
    assert [(i.name, i.label, i.split, i.group, i.start, i.end) for i in table.items] == [
        ("long@0-1.mp4", "a", "train", "long.mp4", None, None),
        ("long@1.5-2.5.mp4", "b", "val", "long.mp4", None, None),
        ("other.avi.mp4", "b", "train", "", None, None),
    ]
    frames = [numbers_of(reader.read(i.path, range(reader.info(i.path).frames))) for i in table.items]
    assert frames == [list(range(30)), list(range(45, 75)), list(range(30))]


def test_a_folder_of_images_becomes_a_video(tmp_path: Path) -> None:
    for label in "ab":
        write_images(tmp_path / "data" / "val" / label / f"{label}1", frames=5)
    made = run(tmp_path / "data", tmp_path / "out")
    assert [i.name for i in load(made.table).items] == ["val/a/a1.mp4", "val/b/b1.mp4"]
    assert numbers_of(reader.read(tmp_path / "out" / "val" / "a" / "a1.mp4", range(5))) == list(range(5))


def test_broken_files_are_named_and_left_out_and_damaged_ones_are_named_and_made(tmp_path: Path, data: Path) -> None:
    (data / "bend" / "text.mp4").write_text("not a video")
    torn = film(data / "wave" / "torn.mp4", scene(3, 3))
    content = bytearray(torn.read_bytes())
    start, end = len(content) * 6 // 10, len(content) * 7 // 10
    content[start:end] = b"\xff" * (end - start)
    torn.write_bytes(content)
    made = run(data, tmp_path / "out")
    assert [(broken.key, "not a video" in broken.reason) for broken in made.failed] == [("bend/text.mp4", True)]
    assert [broken.key for broken in made.damaged] == ["wave/torn.mp4"]
    assert made.made == 5
    names = [i.name for i in load(made.table).items]
    assert "bend/text.mp4" not in names and "wave/torn.mp4" in names
    assert reader.info(tmp_path / "out" / "wave" / "torn.mp4").frames == 40


def test_finished_clips_are_kept_and_missing_ones_made(tmp_path: Path, data: Path) -> None:
    first = run(data, tmp_path / "out")
    kept, lost = tmp_path / "out" / "bend" / "0.mp4", tmp_path / "out" / "wave" / "3.mp4"
    before = kept.stat().st_mtime_ns
    lost.unlink()
    again = run(data, tmp_path / "out")
    assert (first.made, again.made, again.kept) == (4, 1, 3)
    assert kept.stat().st_mtime_ns == before and lost.exists()
    assert load(again.table).items == load(first.table).items


def test_other_settings_foreign_folders_and_clashing_names_are_refused(tmp_path: Path, data: Path) -> None:
    run(data, tmp_path / "out")
    with pytest.raises(DataError, match="choose another folder"):
        run(data, tmp_path / "out", settings=Settings(crf=30))
    with pytest.raises(DataError, match="is not empty"):
        run(data, tmp_path)
    with pytest.raises(DataError, match="lies in"):
        run(data, data / "prepared")
    (data / "bend" / "0").mkdir()
    write_images(data / "bend" / "0", frames=3)
    with pytest.raises(DataError, match="would both become"):
        run(data, tmp_path / "new")
    with pytest.raises(ConfigError, match="crf is 60"):
        Settings(crf=60)


def test_a_data_set_of_broken_files_alone_is_an_error(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / "data" / "val" / label).mkdir(parents=True)
        (tmp_path / "data" / "val" / label / "x.mp4").write_text("nothing")
    with pytest.raises(DataError, match="none of the 2 items could be read"):
        run(tmp_path / "data", tmp_path / "out")


def test_an_interrupted_run_leaves_whole_files_only_and_is_taken_up_again(tmp_path: Path) -> None:
    needs.posix()
    for number in range(6):
        path = tmp_path / "data" / "ab"[number % 2] / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, frames=300, size=(192, 144))
    script = (
        "import os, signal\nfrom pathlib import Path\nfrom timesformer.data.manifest import load\n"
        "from timesformer.data.care.prepare import prepare\n"
        "def interrupt(done, total):\n"  # as a terminal does: all processes of the group
        "    if done == 1: os.killpg(0, signal.SIGINT)\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        f"    table, out = load({str(tmp_path / 'data')!r}), Path({str(tmp_path / 'out')!r})\n"
        "    prepare(table, out, processes=2, progress=interrupt)\n"
    )
    (tmp_path / "run.py").write_text(script)
    process = subprocess.Popen([sys.executable, tmp_path / "run.py"], stderr=subprocess.DEVNULL, start_new_session=True)
    out = tmp_path / "out"
    assert process.wait(60) != 0
    finished = sorted(path for path in out.rglob("*") if path.suffix in (".mp4", ".part"))
    assert 1 <= len(finished) < 6 and not any(path.name.startswith(".") for path in finished)
    assert all(reader.count_decodable(path).frames == 300 for path in finished)
    made = run(tmp_path / "data", out)
    assert (made.kept, made.made, made.failed) == (len(finished), 6 - len(finished), ())
    assert json.loads((out / "prepare.json").read_text())["short_side"] == 256


def test_several_processes_make_the_same_files(tmp_path: Path, data: Path) -> None:
    seen: list[tuple[int, int]] = []
    alone = run(data, tmp_path / "alone")
    manifest: Manifest = load(data)
    many = prepare(manifest, tmp_path / "many", processes=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for one, other in zip(load(alone.table).items, load(many.table).items, strict=True):
        assert one.name == other.name and one.path.read_bytes() == other.path.read_bytes()


def test_the_writer_leaves_nothing_behind_when_it_fails(tmp_path: Path) -> None:
    frames = torch.zeros(3, 3, 16, 16, dtype=torch.uint8)
    options = {"preset": "ultrafast"}
    for parts, times, message in (
        ([frames], [0.0, 0.1], "3 frames|more frames"),
        ([frames], [0.0, 0.1, 0.2, 0.3], "3 frames for 4 times"),
        ([], [], "0 frames"),
        ([frames[..., :1]], [0.0, 0.1, 0.2], "at least 2"),
        ([frames], [0.0, float("nan"), 0.2], "time nan"),
    ):
        with pytest.raises(ValueError, match=message):
            writer.write(tmp_path / "x.mp4", parts, times=times, fps=10, options=options)
        assert list(tmp_path.iterdir()) == []


def test_frames_closer_than_the_clock_stay_apart(tmp_path: Path) -> None:
    frames = torch.stack([torch.from_numpy(numbered(n, (64, 48))).permute(2, 0, 1) for n in range(4)])
    path = tmp_path / "x.mp4"
    writer.write(path, [frames[:1], frames[1:]], times=[0, 1e-7, 2e-7, 0.1], fps=30, options={"crf": "18"})
    assert numbers_of(reader.read(path, range(4))) == [0, 1, 2, 3]
