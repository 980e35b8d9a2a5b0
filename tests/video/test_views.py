"""The views of a video: the right frames of the right time range, with the pixels of a full-size read."""

import resource
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.made_videos import numbers_of, write
from timesformer.config.model import ClipConfig
from timesformer.video import memory, reader, sampling, transforms
from timesformer.video.reader import VideoError, VideoInfo
from timesformer.video.views import frame_range, frames_between, planned, portions, read_views

CLIP = ClipConfig(frames=4, rate=2, size=64, mean=(0, 0, 0), std=(1, 1, 1))


def shown(clips: torch.Tensor) -> list[int]:
    """Numbers that the frames of model input carry, flattened; they need whole frames and CLIP's mean and std."""
    return numbers_of(clips * 255)


def with_times(*times: float) -> VideoInfo:
    """A video of which only the times count; its last frame is shown for a tenth of a second."""
    return VideoInfo(Path("v.mp4"), len(times), 10.0, 8, 8, times[-1] + 0.1, "h264", False, times)


def test_views_are_the_clips_of_the_plan_each_with_its_crops_in_a_row(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", frames=20, size=(64, 64))
    clips = read_views(path, CLIP, clips=3, crops=3)
    assert clips.shape == (9, 4, 3, 64, 64)
    # a clip spans 8 of 20 frames: it starts at 0, 6 and 12; each has three crops, alike as the frames are square
    assert shown(clips) == [*[0, 2, 4, 7] * 3, *[6, 8, 10, 13] * 3, *[12, 14, 16, 19] * 3]
    official = read_views(path, CLIP, clips=1, crops=3, placement="official")
    assert shown(official) == [0, 2, 4, 7] * 3
    assert shown(read_views(path, CLIP, crops=3)) == [6, 8, 10, 13] * 3


def test_pixels_are_those_of_a_read_at_full_size(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", frames=8, size=(96, 70))
    clip = ClipConfig(frames=3, sampling="segments", size=32, channels="bgr")
    for crops in (1, 3):
        expected = transforms.eval_views(reader.read(path, [[1, 3, 6]]), clip, crops=crops)
        assert torch.equal(read_views(path, clip, crops=crops), expected)


def test_a_stretch_is_seen_as_a_video_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", frames=60, fps=10, size=(64, 64))
    clip = ClipConfig(frames=4, rate=1, fps=10, size=64, mean=(0, 0, 0), std=(1, 1, 1))
    assert shown(read_views(path, clip, crops=3, start=2.0, end=3.0))[:4] == [23, 24, 25, 26]
    assert shown(read_views(path, clip, crops=3, start=5.7))[:4] == [57, 58, 59, 59]
    assert shown(read_views(path, clip, crops=3, end=0.2))[:4] == [0, 1, 1, 1]
    with pytest.raises(VideoError, match=r"ends after 6\.000 s, before its time range from 7 s"):
        read_views(path, clip, start=7, end=8)


def test_many_large_clips_are_read_in_portions_without_changing_a_pixel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "v.mp4", frames=30)
    numbers = planned(reader.info(path), CLIP, clips=5)
    whole = read_views(path, CLIP, clips=5, crops=3)
    asked: list[int] = []
    read = reader.read_noted
    monkeypatch.setattr(reader, "read_noted", lambda path, numbers: asked.append(len(numbers)) or read(path, numbers))
    clip = 3 * 4 * 4 * 3 * 64 * 64
    # at most as many decoded frames at once as fit into the bytes of a portion
    cases = ((2**30, [15], 18), (2 * clip, [6, 6, 3], 8), (3 * 3 * 48 * 64, [3] * 5, 3), (1, [3] * 5, 1))
    for most, sizes, frames in cases:
        asked.clear()
        parts = list(portions(path, numbers, CLIP, crops=3, most=most))
        assert torch.equal(torch.cat([part.views for part in parts]), whole)
        assert [len(part.views) for part in parts] == sizes
        assert [part.left for part in parts] == [15 - sum(sizes[: place + 1]) for place in range(len(sizes))]
        assert max(asked) == frames


def test_a_stretch_holds_the_frames_whose_time_lies_in_it() -> None:
    video = with_times(*(number / 10 for number in range(50)))
    assert frames_between(video, None, None) == (0, 50)
    assert frames_between(video, 1.0, 2.0) == (10, 10)
    assert frames_between(video, 1.01, 2.01) == (11, 10)
    assert frames_between(video, 4.5, 99.0) == (45, 5)
    assert frames_between(video, None, 0.3) == (0, 3)
    assert frames_between(video, 0.7 + 1e-9, 1.1 - 1e-9) == (7, 4)
    uneven = with_times(0, 0.1, 1.5, 1.6)
    assert frames_between(uneven, 0.1, 1.5) == (1, 1)


def test_a_stretch_shorter_than_a_frame_is_the_frame_shown() -> None:
    video = with_times(0.0, 1.0, 2.0)
    assert frames_between(video, 1.2, 1.4) == (1, 1)
    assert frames_between(video, 0.0, 0.0005) == (0, 1)
    assert frames_between(video, 2.05, 9.0) == (2, 1)


def test_impossible_stretches_are_refused() -> None:
    video = with_times(0.0, 0.1)
    with pytest.raises(VideoError, match="before its time range"):
        frames_between(video, 0.2, 0.3)
    for start, end in ((-1.0, 1.0), (1.0, 1.0), (0.1, 0.05), (None, 0.0)):
        with pytest.raises(ValueError, match="start must be at least 0 and below end"):
            frames_between(video, start, end)


@given(
    st.lists(st.integers(5, 3000), min_size=1, max_size=20),
    st.lists(st.integers(1, 20_000), min_size=1, max_size=6, unique=True),
)
def test_stretches_that_touch_share_no_frame_and_lose_none(gaps: list[int], cuts: list[int]) -> None:
    times = [0.0]
    for gap in gaps:
        times.append(times[-1] + gap / 1000)
    video = with_times(*times)
    borders = [0.0, *(cut / 1000 for cut in sorted(cuts) if cut / 1000 < video.duration - 0.002)]
    found: list[int] = []
    for start, end in pairwise([*borders, None]):
        first, count = frames_between(video, start, end)
        assert count >= 1 and first >= 0 and first + count <= video.frames
        inside = [number for number, time in enumerate(times) if start - 0.001 <= time < (end or 1e9) - 0.001]
        assert not inside or list(range(first, first + count)) == inside
        found += inside
    assert found == list(range(video.frames))


def dynamic(folder: Path) -> Path:
    """Two seconds of 5 frames a second, then two of 50."""
    times = [number / 5 for number in range(10)] + [2 + number / 50 for number in range(100)]
    return write(folder / "dynamic.mp4", frames=times, size=(64, 64))


def test_clips_of_a_varying_rate_last_as_long_as_they_are_meant_to(tmp_path: Path) -> None:
    path = dynamic(tmp_path)
    info = reader.info(path)
    assert info.variable_rate
    clip = ClipConfig(frames=8, rate=4, size=64)
    span = 8 * 4 / 30
    shown_at = torch.tensor(info.times)[planned(info, clip, clips=3)]
    starts = torch.tensor([0.0, (4 - span) / 2, 4 - span])
    wanted = starts[:, None] + torch.linspace(0, span - 1 / 30, 8)
    # a frame of the slow part is on the screen for 0.2 s
    assert ((wanted - shown_at) < 0.2 + 0.04).all() and ((shown_at - wanted) < 0.04).all()
    assert float(shown_at[2, -1]) > 3.9
    segments = ClipConfig(frames=8, sampling="segments", size=64)
    middles = torch.tensor(info.times)[planned(info, segments)[0]]
    assert (middles - torch.tensor([0.2, 0.6, 1.2, 1.6, 2.25, 2.75, 3.25, 3.75])).abs().max() < 0.03
    assert shown(read_views(path, replace(CLIP, sampling="segments"), crops=3))[:4] == [2, 7, 35, 85]


def test_time_ranges_of_a_varying_rate_are_placed_by_time(tmp_path: Path) -> None:
    info = reader.info(dynamic(tmp_path))
    slow, quick = frame_range(info, 0.0, 2.0), frame_range(info, 2.0, 4.0)
    assert (slow.first, slow.frames, round(slow.fps, 3)) == (0, 10, 5.0)
    assert (quick.first, quick.frames, round(quick.fps)) == (10, 100, 50)
    clip = ClipConfig(frames=4, rate=15, size=64)  # 2 s
    for start in (0.0, 2.0):
        times = torch.tensor(info.times)[planned(info, clip, start=start, end=start + 2.0)[0]]
        assert (times - start - torch.tensor([0.0, 0.64, 1.3, 1.95])).abs().max() < 0.25


def test_a_constant_rate_is_planned_by_number_as_ever(tmp_path: Path) -> None:
    info = reader.info(write(tmp_path / "v.mp4", frames=40, fps=30000 / 1001))
    assert frame_range(info).times is None
    expected = sampling.views(40, info.fps, CLIP, clips=3)
    assert torch.equal(planned(info, CLIP, clips=3), expected)


def test_memory_that_runs_out_is_the_error_of_the_video(tmp_path: Path) -> None:
    for error in (
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."),
    ):
        with pytest.raises(VideoError, match=r"v\.mp4: takes more memory than there is"), memory.error_for("v.mp4"):
            raise error
    with pytest.raises(VideoError, match="takes more memory"), memory.error_for("v.mp4"):
        torch.empty(2**60, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="another"), memory.error_for("v.mp4"):
        raise RuntimeError("another")
    with pytest.raises(VideoError, match=r"needs 5\.7 GiB for 8 frames of 16000x16000 pixels, more than the 4 GiB"):
        memory.check_frames("v.gif", 8, (16000, 16000))
    memory.check_frames("v.mp4", 96, (2160, 3840))


def test_very_long_frames_take_no_more_memory_than_their_crops(tmp_path: Path) -> None:
    path = write(tmp_path / "thin.avi", frames=4, size=(3000, 2), codec="ffv1")
    clip = ClipConfig(frames=4, sampling="segments", size=224)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_views(path, clip, crops=3).shape == (3, 4, 3, 224, 224)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB; whole frames took over 6 GB
