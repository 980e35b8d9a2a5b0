import csv
import random
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.made_videos import encode, number_of, numbered, numbers_of, write, write_images
from timesformer.video.decoder.index import index
from timesformer.video.decoder.shots import seek_plan
from timesformer.video.reader import count_decodable, info, read, read_noted

ODD = Path(__file__).parents[3] / "shared" / "data" / "odd_videos"
TABLE = ODD / "index.csv"
ROWS = list(csv.DictReader(TABLE.read_text().splitlines())) if TABLE.is_file() else []
FRAMES = 60


def decode_all(path: Path) -> list[Tensor]:
    """Every frame of the best stream from first to last, by nothing but the decoder, its pixels made square."""
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        assert isinstance(stream, av.VideoStream)
        aspect = stream.sample_aspect_ratio or 1
        decoded = [(frame.to_ndarray(format="rgb24"), frame.rotation) for frame in container.decode(stream)]
    frames = [np.rot90(pixels, round(rotation / 90)).copy() for pixels, rotation in decoded]
    tensors = [torch.from_numpy(frame).permute(2, 0, 1) for frame in frames]
    if abs(aspect - 1) < 0.01:
        return tensors
    assert aspect > 1
    size = (stream.height, round(stream.width * aspect))
    return [
        torch.nn.functional.interpolate(frame[None], size=size, mode="bilinear", antialias=True)[0] for frame in tensors
    ]


def write_moving(path: Path, *, codec: str = "libx264", frames: int = FRAMES, options: dict[str, str]) -> Path:
    """Write numbered frames under a grain that moves, so that a frame decoded from a wrong reference shows."""
    grain = np.random.default_rng(0).integers(-20, 20, (96, 128, 1))
    pictures = [
        np.clip(numbered(number, (128, 96)) + np.roll(grain, 2 * number, axis=1), 0, 255).astype(np.uint8)
        for number in range(frames)
    ]
    steady = {"sc_threshold": "0" if codec == "libx264" else "1000000000"}  # key frames by the clock only
    return encode(path, pictures, [number / 30 for number in range(frames)], codec=codec, options=steady | options)


VIDEOS = {
    "h264_with_bframes.mp4": {"bframes": 3},
    "h264_with_bframes.mkv": {"bframes": 3},
    "h264_in_a_transport_stream.ts": {"bframes": 3},
    "h264_in_avi_without_presentation_times.avi": {"bframes": 2},
    "mpeg4_with_bframes.avi": {"codec": "mpeg4", "bframes": 2},
    "mpeg4_with_bframes.mp4": {"codec": "mpeg4", "bframes": 2},
    "mpeg2_in_a_program_stream.mpg": {"codec": "mpeg2video", "bframes": 2, "fps": 25},
    "hevc.mp4": {"codec": "libx265", "bframes": 2},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "key_frames_only.mp4": {"gop": 1},
    "one_key_frame.mp4": {"gop": 1000, "bframes": 2},
    "odd_sizes.mp4": {"size": (67, 51)},
    "upright_after_a_quarter_turn.mp4": {"rotation": 90},
    "upright_after_a_half_turn.mp4": {"rotation": 180},
    "upright_after_three_quarter_turns.mp4": {"rotation": 270, "bframes": 2},
}


@pytest.mark.parametrize("name", VIDEOS)
def test_every_frame_of_a_made_video_is_found_alone_and_among_others(name: str, tmp_path: Path) -> None:
    options = VIDEOS[name]
    path = write(tmp_path / name, frames=FRAMES, **options)
    facts = info(path)
    width, height = options.get("size", (64, 48))
    assert (facts.frames, facts.height, facts.width) == (FRAMES, height, width)
    assert facts.fps == options.get("fps", 30)
    assert facts.duration == pytest.approx(FRAMES / facts.fps, abs=0.003)
    assert not facts.variable_rate
    assert [number_of(read(path, number)) for number in range(FRAMES)] == list(range(FRAMES))
    shuffled = random.Random(name).choices(range(FRAMES), k=20)
    assert numbers_of(read(path, shuffled)) == shuffled


STREAMS = {
    "gradual refresh in place of key frames.ts": ("libx264", {"g": "30", "x264-params": "intra-refresh=1:keyint=30"}),
    "open groups of pictures.mkv": ("libx264", {"x264-params": "open-gop=1:keyint=10:bframes=3:scenecut=0"}),
    "fields.mp4": ("libx264", {"g": "10", "bf": "2", "x264-params": "interlaced=1"}),
    "open hevc groups.ts": ("libx265", {"x265-params": "open-gop=1:keyint=10:bframes=3:log-level=none"}),
}


@pytest.mark.parametrize("name", STREAMS)
def test_seeks_give_the_very_pixels_of_decoding_from_the_start(name: str, tmp_path: Path) -> None:
    codec, options = STREAMS[name]
    path = write_moving(tmp_path / name, codec=codec, options=options)
    frames = decode_all(path)
    assert info(path).frames == len(frames) == FRAMES
    for number in range(0, FRAMES, 3):
        assert torch.equal(read(path, number), frames[number])
    table = index(path)
    assert (table.keys[table.starts] <= table.pts).all()


def test_a_packet_that_is_decoded_but_not_shown_is_no_frame(tmp_path: Path) -> None:
    path = write_moving(tmp_path / "video.webm", codec="libvpx", options={"g": "30"})
    with av.open(str(path)) as container:
        packet = bytes(next(packet for packet in container.demux(video=0) if packet.pts == 667))
    data = path.read_bytes()
    path.write_bytes(data.replace(packet, bytes([packet[0] & ~0x10]) + packet[1:]))  # the bit that says "show it"
    assert info(path).frames == FRAMES - 1
    assert numbers_of(read(path, [0, 19, 20, 58])) == [0, 19, 21, 59]


def test_frames_of_a_varying_rate_come_with_their_times(tmp_path: Path) -> None:
    steps = random.Random(0).choices([1 / 60, 1 / 30, 1 / 5], k=FRAMES - 1)
    times = [sum(steps[:number]) for number in range(FRAMES)]
    for suffix in (".mp4", ".mkv"):
        path = write(tmp_path / f"varying{suffix}", frames=times, bframes=2)
        facts = info(path)
        assert facts.variable_rate
        assert np.allclose(facts.times, times, atol=0.0011)
        assert facts.fps == pytest.approx((FRAMES - 1) / times[-1], rel=0.01)
        assert numbers_of(read(path, range(FRAMES))) == list(range(FRAMES))


def test_frames_that_an_edit_list_cuts_off_do_not_count(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.ts", frames=FRAMES, gop=10, bframes=2)
    path = tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.dts is not None]
        start = packets[0].pts + 14 * 3000
        for packet in packets:
            packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, stream
            target.mux(packet)
    shown = numbers_of(read(path, range(info(path).frames)))
    assert shown == list(range(14, 14 + len(shown)))
    assert len(shown) >= FRAMES - 15
    assert number_of(read(path, 20)) == 34


def test_a_stream_joined_from_two_is_read_through_with_one_frame_size(tmp_path: Path) -> None:
    first = write(tmp_path / "first.ts", frames=20, bframes=2)
    pictures = [numbered(number, (96, 64)) for number in range(20, 40)]
    second = encode(tmp_path / "second.ts", pictures, [number / 30 for number in range(20)])
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    assert info(joined).frames == 40
    assert info(joined).fps == pytest.approx(30)
    frames = read_noted(joined, [39, 5, 25])
    assert frames.pixels.shape == (3, 3, 48, 64)
    assert numbers_of(frames.pixels) == [39, 5, 25]
    bars = frames.pixels[:, 0].amax(2)  # 96x64 fit in as 64x43: black above and below
    assert [int((line == 0).sum()) for line in bars] == [5, 0, 5]
    (note,) = frames.notes
    assert note.startswith("frames 25, 39 have 96x64 pixels where the video begins with 64x48")


def test_a_stream_cut_out_of_a_longer_one_starts_at_its_first_whole_frame(tmp_path: Path) -> None:
    whole = write_moving(tmp_path / "whole.ts", options={"g": "10", "bf": "2"}).read_bytes()
    path = tmp_path / "part.ts"
    path.write_bytes(whole[len(whole) // 3 // 188 * 188 :])
    frames = decode_all(path)
    assert 20 < info(path).frames == len(frames) < FRAMES
    for number in (len(frames) - 1, 0, len(frames) // 2):
        assert torch.equal(read(path, number), frames[number])


@pytest.mark.skipif(not ROWS, reason="../shared/data/odd_videos is not there")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["path"])
def test_odd_videos_from_the_world_read_as_they_decode(row: dict[str, str]) -> None:
    if not row["frames_decoded"].isdigit():
        pytest.skip("this one is broken, see the tests of broken videos")
    path = ODD / row["path"]
    frames = decode_all(path)
    expected = {"torchcodec/nasa_13013.mp4": 390}  # the table counts its first stream, which is not the main one
    assert info(path).frames == expected.get(row["path"], int(row["frames_decoded"])) == len(frames)
    generator = random.Random(row["path"])
    for count in (1, 4):
        numbers = generator.choices(range(len(frames)), k=count)
        assert torch.equal(read(path, numbers), torch.stack([frames[number] for number in numbers]))
    result = count_decodable(path)
    assert (result.frames, result.expected, result.error) == (len(frames), len(frames), "")


def test_the_shape_of_the_numbers_is_the_shape_of_the_clip(tmp_path: Path) -> None:
    path = write(tmp_path / "video.mp4", frames=30)
    numbers = torch.tensor([[29, 0, 7], [7, 7, 12]])
    clips = read(path, numbers)
    assert (clips.shape, clips.dtype) == ((2, 3, 3, 48, 64), torch.uint8)
    assert numbers_of(clips) == numbers.flatten().tolist()
    assert read(path, np.int64(3)).shape == (3, 48, 64)
    assert read(path, torch.empty(0, 8, dtype=torch.long)).shape == (0, 8, 3, 48, 64)


def test_short_sides_shrink_with_antialiasing_and_never_grow(tmp_path: Path) -> None:
    path = write_moving(tmp_path / "video.mp4", frames=5, options={})
    whole = read(path, [1, 4])
    small = read(path, [1, 4], short_side=45)
    assert small.shape == (2, 3, 45, 60)
    expected = torch.nn.functional.interpolate(whole.float(), size=(45, 60), mode="bilinear", antialias=True)
    assert (small.float() - expected).abs().max() < 1
    assert torch.equal(read(path, [1, 4], short_side=96), whole)
    assert torch.equal(read(path, [1, 4], short_side=500), whole)
    upright = write(tmp_path / "upright.mp4", frames=3, size=(48, 96), rotation=90)
    assert read(upright, [0], short_side=20).shape == (1, 3, 40, 20)


def test_colours_come_out_red_green_blue(tmp_path: Path) -> None:
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=np.uint8)
    pictures = [np.broadcast_to(colour, (48, 64, 3)) for colour in colours]
    path = encode(tmp_path / "colours.mp4", pictures, [0, 0.1, 0.2])
    means = read(path, [0, 1, 2]).float().mean((2, 3))
    assert (means - torch.from_numpy(colours).float()).abs().max() < 12


def test_an_unchanged_file_is_indexed_once_and_a_changed_one_again(tmp_path: Path) -> None:
    path = write(tmp_path / "video.mp4", frames=10)
    before = index(path)
    read(path, 3)
    assert index(path) is before
    write(path, frames=20)
    assert info(path).frames == 20


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_folder_of_images_is_a_video_in_the_order_of_their_numbers(suffix: str, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "100%d", frames=12, suffix=suffix)
    (folder / "notes.txt").write_text("not a frame")
    facts = info(folder)
    assert (facts.frames, facts.fps, facts.height, facts.width, facts.duration) == (12, 30, 48, 64, pytest.approx(0.4))
    assert numbers_of(read(folder, [11, 0, 9, 9])) == [11, 0, 9, 9]
    assert read(folder, [2], short_side=24).shape == (1, 3, 24, 32)
    assert count_decodable(folder).frames == 12


def test_names_with_colons_percent_signs_and_spaces_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = write(tmp_path / "made.mp4", frames=4)
    for name in ("http:clip.mp4", "-i %03d é.mp4", "no suffix"):
        made.rename(name)
        made = Path(name)
        assert numbers_of(read(made, [3, 1])) == [3, 1]
        assert count_decodable(made).frames == 4


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(0, FRAMES - 1), min_size=1), st.sampled_from([1, 5, 12, 100]))
def test_stretches_hold_every_wanted_frame_once_and_start_at_or_before_it(
    tmp_path_factory: pytest.TempPathFactory, wanted: set[int], gop: int
) -> None:
    path = tmp_path_factory.getbasetemp() / f"gop{gop}.mp4"
    table = index(path if path.is_file() else write(path, frames=FRAMES, gop=gop, bframes=2 if gop > 1 else 0))
    plan = seek_plan(table, sorted(wanted))
    assert [number for _, numbers in plan for number in numbers] == sorted(wanted)
    assert all(key <= table.starts[numbers[0]] for key, numbers in plan)
    assert [key for key, _ in plan] == sorted({key for key, _ in plan})
