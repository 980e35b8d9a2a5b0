"""Which stream of a file is read, and in which order where its clock starts again."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tests.made_videos import numbered, numbers_of, with_streams
from timesformer.video.reader import count_decodable, info, read, read_noted

MORE = Path(__file__).parents[3] / "shared" / "data" / "odd_more"
has_more = pytest.mark.skipif(not MORE.is_dir(), reason="../shared/data/odd_more is not there")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_main_stream_is_read_and_not_a_thumbnail_before_it(suffix: str, tmp_path: Path) -> None:
    path = with_streams(tmp_path / f"v{suffix}", [999], list(range(30)), sizes=[(160, 120), (64, 48)])
    facts = info(path)
    assert (facts.frames, facts.width, facts.height, facts.codec) == (30, 64, 48, "h264")
    assert facts.notes == ("holds 2 video streams, of which stream 1, the main one, is read",)
    assert numbers_of(read(path, [29, 0, 13])) == [29, 0, 13]
    assert read_noted(path, [0]).notes == ()  # nothing is wrong with it
    assert (count_decodable(path).frames, count_decodable(path).error) == (30, "")


def restarted(path: Path, *clocks: float, gap: int = 0) -> Path:
    """Recordings of 20 numbered frames each, put end to end; the clock of each starts at its own time, in seconds."""
    data = b""
    for number, start in enumerate(clocks):
        part = path.with_name(f"part{number}.ts")
        with av.open(str(part), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"g": "10", "bf": "2", "sc_threshold": "0"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.time_base = Fraction(1, 90000)
            for each in range(20):
                frame = av.VideoFrame.from_ndarray(numbered(20 * number + each, (64, 48)), format="rgb24")
                frame.pts, frame.time_base = round((start + each / 25) * 90000) + each % 2 * gap, Fraction(1, 90000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        data += part.read_bytes()
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("clocks", [(0.0, 0.008), (0.0, 0.0), (10.0, 3.0), (0.0, 0.4, 0.1), (5.0, 6.0, 5.4)])
def test_recordings_joined_end_to_end_are_read_one_after_another(clocks: tuple[float, ...], tmp_path: Path) -> None:
    path = restarted(tmp_path / "joined.ts", *clocks)
    count = 20 * len(clocks)
    facts = info(path)
    assert (facts.frames, facts.fps, facts.duration) == (count, 25, pytest.approx(count / 25))
    assert not facts.variable_rate and facts.notes == ()
    frames = read_noted(path, range(count))
    assert numbers_of(frames.pixels) == list(range(count)) and frames.notes == ()
    for number in range(0, count, 7):
        assert torch.equal(read(path, number), frames.pixels[number])
    whole = count_decodable(path)
    assert (whole.frames, whole.expected, whole.error) == (count, count, "")


def test_a_jittering_clock_that_starts_again_keeps_the_rate(tmp_path: Path) -> None:
    facts = info(restarted(tmp_path / "joined.ts", 0, 0.3, gap=300))
    assert (facts.frames, facts.fps) == (40, pytest.approx(25, rel=0.01))


def test_recordings_whose_clock_goes_on_stay_in_the_order_of_time(tmp_path: Path) -> None:
    facts = info(restarted(tmp_path / "joined.ts", 0, 0.8, 1.6))
    assert (facts.frames, facts.fps, facts.variable_rate) == (60, 25, False)
    assert np.allclose(facts.times, np.arange(60) / 25, atol=1e-4)


@has_more
def test_the_joined_camera_recording_of_the_field_is_whole() -> None:
    path = MORE / "cam_joined_700.ts"
    facts = info(path)
    assert (facts.frames, facts.duration, facts.notes) == (120, pytest.approx(4.8), ())
    assert (count_decodable(path).frames, count_decodable(path).error) == (120, "")
    with av.open(str(path)) as container:
        frames = [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert torch.equal(read(path, range(120)).permute(0, 2, 3, 1), torch.stack(frames))
    assert info(MORE / "thumbfirst.mp4").frames == 25
