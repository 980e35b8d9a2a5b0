"""The windows of a timeline: where they lie, which frames they show, and that they are those of the placement whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from timesformer.config.checks import ConfigError
from timesformer.config.model import ClipConfig
from timesformer.video import sampling
from timesformer.video.clock import clock, subtitle
from timesformer.video.views import FrameRange
from timesformer.video.windows import plan, usual_window

DENSE = ClipConfig(frames=8, sampling="dense", rate=32)
SEGMENTS = ClipConfig(frames=8, sampling="segments")
SPAN = 8 * 32 / 30


def shown(frames: int, fps: float = 30.0) -> FrameRange:
    return FrameRange(0, frames, fps, None)


@pytest.mark.parametrize("frames", [1, 100, 255, 256, 400, 511, 512, 1000, 12345])
@pytest.mark.parametrize("fps", [30.0, 25.0, 29.97])
def test_windows_that_do_not_overlap_are_the_clips_of_the_placement_whole(frames: int, fps: float) -> None:
    found = plan(shown(frames, fps), DENSE, window=usual_window(DENSE), every=usual_window(DENSE))
    assert torch.equal(found.numbers, sampling.views(frames, fps, DENSE, placement="whole"))
    assert found.spans.shape == (len(found.numbers), 2)
    assert found.spans.min() >= 0 and float(found.spans.max()) <= frames / fps + 1e-9


def test_windows_of_varying_frame_rate_are_placed_by_time() -> None:
    times = np.concatenate([np.arange(100) / 5, 20 + np.arange(1000) / 50])
    video = FrameRange(0, 1100, 1100 / 40, times)
    whole = sampling.views(1100, 1100 / 40, DENSE, placement="whole", times=times)
    assert torch.equal(plan(video, DENSE, window=SPAN, every=SPAN).numbers, whole)
    found = plan(video, SEGMENTS, window=4.0)
    seconds = torch.from_numpy(times)[found.numbers]
    assert (seconds >= found.spans[:, :1] - 0.21).all() and (seconds <= found.spans[:, 1:] + 0.03).all()
    assert torch.allclose(found.spans[1:-1].diff(dim=0), torch.tensor(found.every, dtype=torch.float64))


@pytest.mark.parametrize("clip", [DENSE, SEGMENTS])
def test_by_default_a_window_shares_half_of_its_frames_with_the_one_before(clip: ClipConfig) -> None:
    found = plan(shown(4000), clip, window=SPAN)
    for before, after in zip(found.numbers[:-2], found.numbers[1:-1], strict=True):
        assert torch.equal(before[4:], after[:4])
    assert (found.numbers[:, 1:] > found.numbers[:, :-1]).all()
    assert float(found.spans[0, 0]) == 0 and float(found.spans[-1, 1]) == pytest.approx(4000 / 30)
    assert 0.49 * SPAN <= found.every <= 0.6 * SPAN


def test_the_first_window_is_the_official_clip_and_a_named_distance_is_kept_exactly() -> None:
    found = plan(shown(2000), DENSE, window=SPAN, every=1.0)
    assert found.numbers[0].tolist() == [0, 36, 72, 109, 145, 182, 218, 255]
    assert torch.equal(found.numbers[1], found.numbers[0] + 30)
    assert found.every == 1.0
    assert found.spans[1].tolist() == pytest.approx([1.0, 1 + SPAN])
    assert found.numbers[-1].tolist()[-1] == 1999


def test_a_named_window_is_as_long_as_its_name_says() -> None:
    found = plan(shown(3000), DENSE, window=2.0, every=2.0)
    assert len(found.numbers) == 50
    assert found.numbers[1].tolist() == [60, 68, 76, 85, 93, 102, 110, 119]
    own = plan(shown(3000), SEGMENTS, window=2.0, every=2.0)
    assert torch.equal(own.numbers[1], 60 + sampling.views(60, 30.0, SEGMENTS)[0])


def test_windows_far_apart_leave_parts_out() -> None:
    found = plan(shown(3000), DENSE, window=2.0, every=30.0)
    assert found.spans[:, 0].tolist() == pytest.approx([0, 98 / 3, 196 / 3, 98])
    assert found.every == pytest.approx(98 / 3)


@pytest.mark.parametrize("clip", [DENSE, SEGMENTS, replace(DENSE, frames=1), replace(SEGMENTS, frames=1)])
@pytest.mark.parametrize("frames", [1, 2, 3, 7, 8, 9, 40, 61, 1000])
@pytest.mark.parametrize("every", [None, 0.01, 0.3, 2.0, 5.0])
def test_frames_exist_and_never_go_back(clip: ClipConfig, frames: int, every: float | None) -> None:
    found = plan(shown(frames), clip, window=2.0, every=every)
    assert found.numbers.shape == (len(found.spans), clip.frames)
    assert found.numbers.min() >= 0 and found.numbers.max() < frames
    assert (found.numbers.diff(dim=1) >= 0).all() and (found.numbers.diff(dim=0) >= 0).all()
    assert (found.spans[:, 1] > found.spans[:, 0]).all() and (found.spans.diff(dim=0) >= 0).all()


@pytest.mark.parametrize(("window", "every"), [(0, None), (float("nan"), None), (1, 0), (1, -2), (1, float("nan"))])
def test_lengths_that_no_window_can_have_are_refused(window: float, every: float | None) -> None:
    with pytest.raises(ConfigError, match="seconds; it must be"):
        plan(shown(100), DENSE, window=window, every=every)


def test_more_windows_than_anybody_can_use_are_refused() -> None:
    with pytest.raises(ConfigError, match="250000 are the limit: raise every"):
        plan(shown(10**6), DENSE, window=1.0, every=0.001)


def test_times_are_written_as_people_and_as_subtitles_write_them() -> None:
    assert [clock(value) for value in (0, 7.46, 59.96, 3727.5)] == ["0:00.0", "0:07.5", "1:00.0", "1:02:07.5"]
    assert subtitle(3727.5, ",") == "01:02:07,500" and subtitle(59.9996, ".") == "00:01:00.000"
