"""The views of a video: the right frames of the right stretch, with the pixels of a full-size read."""

import warnings
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.made_videos import numbers_of, write
from timesformer.config import ClipConfig
from timesformer.video import reader, transforms, views
from timesformer.video.reader import DamagedVideoWarning, VideoError, VideoInfo
from timesformer.video.views import noting_damage, read_views, stretch

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
    with pytest.raises(VideoError, match=r"ends after 6\.000 s, before its stretch from 7 s"):
        read_views(path, clip, start=7, end=8)


def test_many_large_clips_are_read_in_parts_without_changing_a_pixel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "v.mp4", frames=30)
    whole = read_views(path, CLIP, clips=5)
    asked: list[int] = []
    read = reader.read
    monkeypatch.setattr(reader, "read", lambda path, numbers: asked.append(len(numbers)) or read(path, numbers))
    read_views(path, CLIP, clips=5)
    monkeypatch.setattr(views, "_AT_ONCE", 2 * 4 * 3 * 64 * 48)
    assert torch.equal(read_views(path, CLIP, clips=5), whole)
    monkeypatch.setattr(views, "_AT_ONCE", 1)
    assert torch.equal(read_views(path, CLIP, clips=5), whole)
    assert asked == [5, 2, 2, 1, 1, 1, 1, 1, 1]


def test_a_stretch_holds_the_frames_whose_time_lies_in_it() -> None:
    video = with_times(*(number / 10 for number in range(50)))
    assert stretch(video, None, None) == (0, 50)
    assert stretch(video, 1.0, 2.0) == (10, 10)
    assert stretch(video, 1.01, 2.01) == (11, 10)
    assert stretch(video, 4.5, 99.0) == (45, 5)
    assert stretch(video, None, 0.3) == (0, 3)
    assert stretch(video, 0.7 + 1e-9, 1.1 - 1e-9) == (7, 4)
    uneven = with_times(0, 0.1, 1.5, 1.6)
    assert stretch(uneven, 0.1, 1.5) == (1, 1)


def test_a_stretch_shorter_than_a_frame_is_the_frame_shown() -> None:
    video = with_times(0.0, 1.0, 2.0)
    assert stretch(video, 1.2, 1.4) == (1, 1)
    assert stretch(video, 0.0, 0.0005) == (0, 1)
    assert stretch(video, 2.05, 9.0) == (2, 1)


def test_impossible_stretches_are_refused() -> None:
    video = with_times(0.0, 0.1)
    with pytest.raises(VideoError, match="before its stretch"):
        stretch(video, 0.2, 0.3)
    for start, end in ((-1.0, 1.0), (1.0, 1.0), (0.1, 0.05), (None, 0.0)):
        with pytest.raises(ValueError, match="start must be at least 0 and below end"):
            stretch(video, start, end)


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
        first, count = stretch(video, start, end)
        assert count >= 1 and first >= 0 and first + count <= video.frames
        inside = [number for number, time in enumerate(times) if start - 0.001 <= time < (end or 1e9) - 0.001]
        assert not inside or list(range(first, first + count)) == inside
        found += inside
    assert found == list(range(video.frames))


def test_damage_is_noted_once_and_other_warnings_pass() -> None:
    with pytest.warns(UserWarning, match="something else") as told, noting_damage() as notes:
        warnings.warn("frame 3 is lost", DamagedVideoWarning, stacklevel=1)
        warnings.warn("frame 3 is lost", DamagedVideoWarning, stacklevel=1)
        warnings.filterwarnings("default", category=UserWarning, message="something else")
        warnings.warn("something else", UserWarning, stacklevel=1)
    assert (notes, len(told)) == (["frame 3 is lost"], 1)
