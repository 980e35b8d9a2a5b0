import pickle
import random
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import pytest

from tests.made_videos import numbers_of, write, write_images, write_sound
from tests.video.test_reader import ODD, write_moving
from timesformer.video.reader import DamagedVideoWarning, VideoError, count_decodable, info, read, read_noted


def packets_of(path: Path) -> list[tuple[int, int]]:
    """Place and size in bytes of each packet of pictures, in the order of the file."""
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


def wipe(path: Path, *, packet: int) -> Path:
    """Overwrite one packet with zeros and return the path."""
    data = bytearray(path.read_bytes())
    place, size = packets_of(path)[packet]
    data[place : place + size] = bytes(size)
    path.write_bytes(data)
    return path


def write_faststart(path: Path, *, frames: int) -> Path:
    """Write an mp4 with its table of frames in front, which then promises all of them, however early the file ends."""
    made = write_moving(path.with_suffix(".ts"), frames=frames, options={"g": "10", "bf": "0"})
    with av.open(str(made)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return path


def refused(path: Path) -> str:
    """The reason for which nothing can be read; the same for all three doors."""
    with pytest.raises(VideoError) as caught:
        info(path)
    assert str(path) in str(caught.value)
    with pytest.raises(VideoError) as again:
        read(path, [0])
    result = count_decodable(path)
    assert (result.frames, result.expected) == (0, 0)
    assert result.error == caught.value.reason == again.value.reason
    return caught.value.reason


def test_what_is_no_video_is_refused_with_its_reason(tmp_path: Path) -> None:
    empty, text, folder = tmp_path / "empty.mp4", tmp_path / "text.mp4", tmp_path / "folder"
    empty.touch()
    text.write_text("These are words and no pictures.\n" * 50)
    folder.mkdir()
    assert "No such file" in refused(tmp_path / "nothing.mp4")
    assert "not a video" in refused(empty)
    assert "not a video" in refused(text)
    assert "without images" in refused(folder)
    assert "no video stream" in refused(write_sound(tmp_path / "sound.m4a"))
    (folder / "picture.png").write_bytes(b"no picture")
    assert "none of which decodes" in refused(folder)


def test_a_picture_on_the_cover_of_a_song_is_no_video(tmp_path: Path) -> None:
    sound, picture = write_sound(tmp_path / "sound.mp4"), write_images(tmp_path / "cover", frames=1) / "1.png"
    song = tmp_path / "song.mp4"
    with av.open(str(sound)) as one, av.open(str(picture)) as other, av.open(str(song), "w") as target:
        streams = [target.add_stream_from_template(each.streams[0]) for each in (one, other)]
        streams[1].disposition = av.stream.Disposition.attached_pic
        for source, stream in zip((one, other), streams, strict=True):
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
    assert "no video stream" in refused(song)


def test_playlists_do_not_reach_the_network(tmp_path: Path) -> None:
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    refused(playlist)


def test_a_video_error_survives_the_way_between_processes(tmp_path: Path) -> None:
    error = VideoError(tmp_path / "a.mp4", "is broken")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.path, copy.reason, str(copy)) == (error.path, error.reason, f"{tmp_path / 'a.mp4'}: is broken")


def test_numbers_outside_a_video_or_no_integers_are_the_callers_mistake(tmp_path: Path) -> None:
    path = write(tmp_path / "video.mp4", frames=4)
    with pytest.raises(IndexError, match=r"no frame 4; its frames are 0 to 3"):
        read(path, [0, 4])
    with pytest.raises(IndexError, match=r"no frame -1"):
        read(path, [-1])
    with pytest.raises(TypeError, match="must be integers"):
        read(path, [0.5])
    with pytest.raises(ValueError, match="short_side is 0"):
        read(path, [0], short_side=0)


# HEVC marks what refers to a lost frame as corrupt, up to the next key frame; the others don't
@pytest.mark.parametrize(
    ("codec", "suffix", "sound"), [("libx264", ".mp4", 59), ("libx265", ".mp4", 55), ("mpeg4", ".avi", 59)]
)
def test_a_frame_broken_in_the_middle_is_replaced_by_the_nearest_and_named(
    codec: str, suffix: str, sound: int, tmp_path: Path
) -> None:
    options = {"g": "10", "bf": "0"}
    if codec == "libx265":
        options = {"x265-params": "log-level=none:keyint=10:bframes=0:scenecut=0"}
    path = wipe(write_moving(tmp_path / f"broken{suffix}", codec=codec, options=options), packet=25)
    assert info(path).frames == 60
    with pytest.warns(DamagedVideoWarning, match=rf"{path.name}: frames 25 do not decode and frames 24 stand in"):
        assert numbers_of(read(path, [25, 5])) == [24, 5]
    with pytest.warns(DamagedVideoWarning, match=r"frames 26, 28 (lie near damage and may show traces|do not decode)"):
        read(path, [26, 28])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert numbers_of(read(path, [3, 45, 12])) == [3, 45, 12]
    result = count_decodable(path)
    assert (result.frames, result.expected) == (sound, 60)
    assert "Invalid data" in result.error


def test_a_video_whose_first_frames_are_broken_begins_with_the_first_that_decodes(tmp_path: Path) -> None:
    path = wipe(write(tmp_path / "broken.mp4", frames=40, gop=10), packet=0)
    facts = info(path)
    assert facts.frames == 30
    (note,) = facts.notes
    assert re.fullmatch(r"1 parts do not decode \(.*\); frames are numbered without them", note)
    for _ in range(2):  # also where the index is known already
        frames = read_noted(path, [0, 29])
        assert (numbers_of(frames.pixels), frames.notes) == ([10, 39], (note,))
    with pytest.warns(DamagedVideoWarning, match=r"broken\.mp4: 1 parts do not decode .* numbered without them"):
        assert numbers_of(read(path, [0, 29])) == [10, 39]


def test_each_reading_thread_gets_the_notes_of_its_own_video(tmp_path: Path) -> None:
    sound = write(tmp_path / "sound.mp4", frames=20)
    broken = wipe(write(tmp_path / "broken.mp4", frames=20, gop=10), packet=5)
    with ThreadPoolExecutor(4) as threads:
        notes = list(threads.map(lambda path: read_noted(path, [4, 5]).notes, [sound, broken] * 20))
    assert set(notes[::2]) == {()}
    assert set(notes[1::2]) == {("frames 5 do not decode and frames 4 stand in for them",)}


@pytest.mark.parametrize("share", [0.4, 0.7, 0.97])
def test_a_file_that_breaks_off_has_the_frames_that_are_there(share: float, tmp_path: Path) -> None:
    for path in (
        write_faststart(tmp_path / "a.mp4", frames=60),
        write_moving(tmp_path / "b.mkv", options={"g": "10", "bf": "0"}),
        write_moving(tmp_path / "c.avi", codec="mpeg4", options={"g": "10", "qmax": "3"}),
    ):
        data = path.read_bytes()
        there = sum(place + size <= share * len(data) for place, size in packets_of(path))
        path.write_bytes(data[: int(share * len(data))])
        frames = info(path).frames
        assert frames in (there, there - 1)  # a container may give up one frame before its end
        assert numbers_of(read(path, range(frames))) == list(range(frames))


def test_a_file_whose_table_of_frames_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = write_moving(tmp_path / "video.mp4", frames=30, options={})
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"moov") - 4])
    assert "damaged beyond reading" in refused(path)


def test_a_wrong_index_inside_the_file_misleads_no_seek(tmp_path: Path) -> None:
    path = write(tmp_path / "video.avi", frames=100, codec="mpeg4", bframes=2)
    data = bytearray(path.read_bytes())
    table = data.rindex(b"idx1") + 8
    data[table + 16 * 11 : table + 16 * 56] = bytes(16 * 45)
    path.write_bytes(data)
    wanted = [2, 30, 31, 34, 47, 82]
    assert numbers_of(read(path, wanted)) == wanted


def test_broken_images_in_a_folder_are_replaced_and_named(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "frames", frames=8)
    (folder / "5.png").write_bytes((folder / "5.png").read_bytes()[:30])
    with pytest.warns(DamagedVideoWarning, match="frames 4 do not decode and frames 3 stand in"):
        assert numbers_of(read(folder, [4, 5])) == [3, 5]
    result = count_decodable(folder)
    assert (result.frames, result.expected) == (7, 8)
    assert "5.png" in result.error


def test_images_of_two_sizes_are_no_video(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "frames", frames=3)
    (write_images(tmp_path / "other", frames=1, size=(32, 32)) / "1.png").rename(folder / "4.png")
    with pytest.raises(VideoError, match=r"4\.png: is 32x32 but the folder's first image 64x48"):
        read(folder, [3])


@pytest.mark.skipif(not ODD.is_dir(), reason="../shared/data/odd_videos is not there")
def test_the_corrupt_video_of_the_world_names_its_one_lost_frame(capfd: pytest.CaptureFixture[str]) -> None:
    path = ODD / "decord" / "corrupted.mp4"
    assert info(path).frames == 50
    with pytest.warns(DamagedVideoWarning, match=r"corrupted\.mp4: frames 30 do not decode"):
        read(path, [30, 10])
    assert (count_decodable(path).frames, count_decodable(path).expected) == (49, 50)
    assert capfd.readouterr() == ("", "")  # FFmpeg says nothing of its own


@pytest.mark.filterwarnings("ignore::timesformer.video.decoder.container.DamagedVideoWarning")
def test_bytes_changed_anywhere_never_crash_or_hang(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    generator = random.Random(5)
    originals = [
        write(tmp_path / name, codec=codec, bframes=bframes, frames=24)
        for name, codec, bframes in (
            ("a.mp4", "libx264", 2),
            ("a.mkv", "libx264", 2),
            ("a.ts", "libx264", 2),
            ("a.avi", "mpeg4", 2),
            ("a.mpg", "mpeg2video", 0),
            ("a.webm", "libvpx-vp9", 0),
        )
    ]
    readable = 0
    for trial in range(150):
        source = originals[trial % len(originals)]
        data = bytearray(source.read_bytes())
        for _ in range(generator.choice([1, 4, 30])):
            data[generator.randrange(len(data))] = generator.randrange(256)
        if trial % 5 == 0:
            del data[generator.randrange(1, len(data)) :]
        path = tmp_path / f"changed{trial}{source.suffix}"
        path.write_bytes(data)
        result = count_decodable(path)
        try:
            frames = info(path).frames
            assert len(read(path, generator.choices(range(frames), k=3))) == 3
            readable += 1
        except VideoError as error:
            assert error.reason
        assert result.frames <= 24 or not result.error
    assert 30 < readable < 150
    assert capfd.readouterr() == ("", "")
