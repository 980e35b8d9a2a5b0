"""What is no video of its own is refused: lists of other files, programs, text, subtitles, and frames beyond bounds."""

import os
import struct
import subprocess
import sys
import tarfile
import zlib
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.made_references import external_track, references
from tests.made_videos import encode, numbered, numbers_of, write, write_images
from timesformer import machine
from timesformer.video import reader
from timesformer.video.decoder import tars
from timesformer.video.decoder.container import MAX_PIXELS
from timesformer.video.decoder.demuxers import PICTURES, VIDEOS
from timesformer.video.reader import VideoError, count_decodable, info, read

REFERRING = {
    "avisynth", "concat", "dash", "data", "dvdvideo", "fbdev", "ffmetadata", "hls", "image2", "image2pipe", "imf",
    "kmsgrab", "lavfi", "libgme", "libmodplug", "libopenmpt", "mlv", "rtp", "rtsp", "sap", "sdp", "srt", "svg_pipe",
    "tty", "vapoursynth", "video4linux2", "v4l2", "vobsub", "webm_dash_manifest", "x11grab",
}  # fmt: skip
"""Demuxers that open other files, addresses or devices, run programs, or draw text."""
SUFFIXES = {"hls": ".m3u8", "dash": ".mpd", "avisynth": ".avs", "vapoursynth": ".vpy", "vobsub": ".idx", "tty": ".txt"}


def refused(path: Path) -> str:
    """The reason for which nothing is read, the same for all doors."""
    with pytest.raises(VideoError) as caught:
        info(path)
    with pytest.raises(VideoError):
        read(path, [0])
    result = count_decodable(path)
    assert (result.frames, result.expected, result.error) == (0, 0, caught.value.reason)
    return caught.value.reason


def packed(tar: Path, *files: Path, prefix: str = "") -> Path:
    """Write a tar file of some files and return it."""
    with tarfile.open(tar, "w") as archive:
        for file in files:
            archive.add(file, prefix + file.name)
    return tar


def decodes_with_ffmpeg(path: Path, **options: str) -> int:
    """Frames that FFmpeg gives without our rules: the proof that a reference leads somewhere."""
    with av.open(str(path), options=options) as container:
        return sum(1 for _ in container.decode(video=0))


def test_no_demuxer_that_is_opened_leads_to_other_files() -> None:
    assert not {*VIDEOS, *PICTURES} & REFERRING


@pytest.mark.parametrize("kind", references("x"))
@pytest.mark.parametrize("how", ["as a video", "under its own suffix", "as an image", "in a tar file"])
def test_text_that_names_a_neighbour_opens_nothing(kind: str, how: str, tmp_path: Path) -> None:
    write(tmp_path / "neighbour.mp4", frames=4)
    text = references("neighbour.mp4")[kind]
    path = tmp_path / (f"x{SUFFIXES.get(kind, '.' + kind)}" if how == "under its own suffix" else "x.mp4")
    if how == "as an image":
        path = tmp_path / "folder" / "001.jpg"
        path.parent.mkdir()
        (tmp_path / "neighbour.mp4").rename(path.parent / "neighbour.mp4")
    path.write_text(text)
    if how == "as an image":
        assert "none of which decodes (001.jpg is not " in refused(path.parent)
    elif how == "in a tar file":
        assert "is not a video" in refused(packed(tmp_path / "x.tar", path, tmp_path / "neighbour.mp4") / path.name)
    else:
        assert "is not a video" in refused(path)


def test_references_that_are_refused_do_lead_somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    video = write(tmp_path / "neighbour.mp4", frames=4)
    texts = references(video.name)
    for kind, name in (("concat", "x.mp4"), ("hls", "x.m3u8"), ("tty", "x.txt")):
        path = tmp_path / name
        path.write_text(texts[kind])
        assert decodes_with_ffmpeg(path) >= 4
        assert "is not a video" in refused(path)
    path = tmp_path / "outside.mp4"
    path.write_bytes(external_track(video))
    assert decodes_with_ffmpeg(path, enable_drefs="1") == 4
    assert "no frame that decodes" in refused(path)
    write_images(tmp_path, frames=3)
    assert decodes_with_ffmpeg(Path("%d.png")) == 3  # a series of images
    assert "No such file" in refused(tmp_path / "%d.png")


def test_a_series_of_images_is_never_read_for_one_name(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "frames", frames=5)
    (folder / "3.png").rename(folder / "%d.png")
    assert sorted(numbers_of(read(folder, range(5)))) == list(range(5))


def test_a_name_in_a_tar_file_that_leads_out_of_it_is_refused(tmp_path: Path) -> None:
    video = write(tmp_path / "outside.mp4", frames=4)
    for prefix in ("../", "a/../../", "/" + str(tmp_path)[1:] + "/", "..\\", "a\\..\\..\\"):
        tar = packed(tmp_path / "x.tar", video)
        with tarfile.open(tar, "w") as archive:
            member = tarfile.TarInfo(prefix + video.name)
            member.size = video.stat().st_size
            with video.open("rb") as file:
                archive.addfile(member, file)
        with pytest.raises(OSError, match="leads out of it"):
            tars.members(tar)
        assert "leads out of it" in refused(tar / "outside.mp4")
    good = packed(tmp_path / "good.tar", video)
    assert info(good / "outside.mp4").frames == 4
    for path in (good / ".." / "outside.mp4", good / "a" / ".." / ".." / "outside.mp4"):
        assert "holds no" in refused(path)


def test_sizes_in_a_tar_file_that_can_not_be_true_are_refused(tmp_path: Path) -> None:
    video = write(tmp_path / "a.mp4", frames=4)
    for number, field in enumerate((b"\xff" * 11 + b"\xfe", b"\x80" + b"\x7f" * 11, b"not octal!!\0")):
        tar = packed(tmp_path / f"{number}.tar", video)
        data = bytearray(tar.read_bytes())
        data[124:136] = field
        data[148:156] = b"%06o\0 " % (sum(data[:148]) + sum(data[156:512]) + 8 * 32)
        tar.write_bytes(data)
        assert "damaged, cut off or no tar file" in refused(tar / "a.mp4")


def test_a_single_picture_is_said_to_be_one(tmp_path: Path) -> None:
    picture = write_images(tmp_path / "frames", frames=1, suffix=".jpg") / "1.jpg"
    facts = info(picture)
    assert (facts.frames, facts.notes) == (1, ("is a single picture: every frame of its clips is that one",))
    assert info(write(tmp_path / "v.mp4", frames=2)).notes == ()


def gif(width: int, height: int) -> bytes:
    """A GIF of three frames of one pixel each, which claims a screen of any size."""
    frame = b"\x21\xf9\x04\x04\x0a\0\0\0," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + frame * 3 + b";"


def png(width: int, height: int) -> bytes:
    """A PNG that claims any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def test_frames_beyond_the_limit_are_refused_before_they_take_memory(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, data in (
        ("bomb.gif", gif(16000, 16000)),
        ("bomb.png", png(16000, 16000)),
        ("bomb.ppm", b"P6\n20000 20000\n255\n" + bytes(1000)),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        assert "more than 67 million pixels" in refused(path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "1.png").write_bytes(png(16000, 16000))
    assert "more than 67 million pixels" in refused(tmp_path / "folder")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
    (tmp_path / "fine.gif").write_bytes(gif(160, 100))
    assert read(tmp_path / "fine.gif", [0, 2]).shape == (2, 3, 100, 160)


def test_pixels_that_become_square_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "wide.mp4", frames=3, aspect=Fraction(2))
    data = path.read_bytes()
    place = data.index(b"pasp") + 4
    path.write_bytes(data[:place] + struct.pack(">II", 60000, 1) + data[place + 8 :])
    assert MAX_PIXELS < 64 * 60000 * 48
    assert "3840000x48 pixels; 67 million pixels are the limit" in refused(path)


def test_a_read_that_takes_more_than_its_share_of_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / "v.mp4", (numbered(n, (1024, 512)) for n in range(2)), [0, 0.1])
    numbers = [0, 1] * 100
    assert read(path, numbers).shape[0] == 200
    monkeypatch.setattr(machine, "memory", lambda: 2**29)
    with pytest.raises(VideoError, match=r"200 frames of 1024x512 pixels are 0\.3 GB, more than half of the 0\.5 GB"):
        read(path, numbers)
    assert read(path, numbers, short_side=100).shape[0] == 200


SHORT_OF_MEMORY = """
import resource, sys
from timesformer.video import reader
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
reader.read(sys.argv[1], [0])
resource.setrlimit(resource.RLIMIT_AS, (size + 300 * 2**20, resource.RLIM_INFINITY))
try:
    reader.read(sys.argv[1], [0] * 800)
except reader.VideoError as error:
    print(error.reason)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are set as on Linux")
def test_memory_that_runs_out_is_an_error_of_the_video(tmp_path: Path) -> None:
    path = encode(tmp_path / "v.mp4", (numbered(n, (1024, 512)) for n in range(2)), [0, 0.1])
    result = subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY, str(path)], capture_output=True, text=True, env=os.environ, check=True
    )
    assert result.stdout == "takes more memory than there is: 800 frames of 1024x512 pixels are 1.3 GB\n"


def test_names_that_are_not_utf8_or_look_like_something_else_are_read(tmp_path: Path) -> None:
    made = write(tmp_path / "made.mp4", frames=4)
    folder = os.fsencode(tmp_path)
    for name in (b"caf\xe9.mp4", b"line\nbreak.mp4", b"return\r.mp4", b"fd:0", b"concat:a|b", b"x" * 251 + b".mp4"):
        try:
            path = Path(os.fsdecode(folder + b"/" + name))
            made = made.rename(path)
        except OSError:
            continue  # this file system takes no such name
        assert numbers_of(reader.read(made, [3, 1])) == [3, 1]
        assert count_decodable(made).frames == 4
    images = write_images(Path(os.fsdecode(folder + b"/bilder\xff")), frames=2)
    assert numbers_of(read(images, [1])) == [1]
