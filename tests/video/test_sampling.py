"""Which frames make a clip."""

import math

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from timesformer.config.model import ClipConfig
from timesformer.video import sampling

FRAMES = st.integers(1, 2000)
FPS = st.one_of(
    st.sampled_from([8.33, 15.0, 24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60.0]), st.floats(0.01, 1000)
)
DENSE = st.builds(ClipConfig, frames=st.integers(1, 32), rate=st.integers(1, 64), fps=st.sampled_from([25.0, 30.0]))
SEGMENTS = st.builds(ClipConfig, frames=st.integers(1, 32), sampling=st.just("segments"))
ANY = st.one_of(DENSE, SEGMENTS)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def span(fps: float, clip: ClipConfig) -> float:
    return clip.rate * clip.frames / clip.fps * fps


def two_stage_decode(start: float, frames: int, fps: float, clip: ClipConfig) -> list[int]:
    """The official procedure on time stamps, literally: decode a range and one frame more, then pick from what came."""
    length = span(fps, clip)
    first, last = int(start * 512), int((start + length - 1) * 512)
    decoded = [frame for frame in range(frames) if first <= frame * 512 <= last]
    decoded += [frame for frame in range(frames) if frame * 512 > last and frame * 512 >= first][:1]
    picks = torch.linspace(0, length - 1, clip.frames).clamp(0, len(decoded) - 1).long()
    return [decoded[pick] for pick in picks]


@pytest.mark.parametrize(
    ("frames", "rate", "expected"),
    [
        (8, 32, [0, 36, 72, 109, 145, 182, 218, 255]),
        (16, 16, list(range(0, 256, 17))),
        (96, 4, [int(index * 383 / 95) for index in range(96)]),
        (64, 32, [int(index * 2047 / 63) for index in range(64)]),
        (1, 32, [0]),
    ],
)
def test_dense_clips_are_the_official_numbers(frames: int, rate: int, expected: list[int]) -> None:
    clip = ClipConfig(frames=frames, rate=rate)
    assert sampling.views(5000, 30.0, clip, placement="official").tolist() == [expected]


def test_a_short_video_repeats_its_last_frame() -> None:
    assert sampling.views(100, 30.0, ClipConfig()).tolist() == [[0, 36, 72, 99, 99, 99, 99, 99]]


@settings(deadline=None)
@given(FRAMES, st.sampled_from([24.0, 25.0, 30000 / 1001, 30.0, 60.0]), DENSE, st.integers(1, 10))
@example(110, 8.33, ClipConfig(frames=96, rate=4), 9)  # a start less than a tick past frame 3
def test_dense_clips_agree_with_the_official_two_stage_decode(
    frames: int, fps: float, clip: ClipConfig, clips: int
) -> None:
    assume(span(fps, clip) >= 1)  # below one frame the official code may decode nothing and fail
    room = max(frames - span(fps, clip), 0)
    starts = [room * index / clips for index in range(clips)]
    expected = [two_stage_decode(start, frames, fps, clip) for start in starts]
    assert sampling.views(frames, fps, clip, clips=clips, placement="official").tolist() == expected


@settings(deadline=None)
@given(FRAMES, FPS, ANY, st.integers(1, 10), st.sampled_from(["middle", "official"]))
def test_clips_lie_in_the_video_run_forward_and_repeat(
    frames: int, fps: float, clip: ClipConfig, clips: int, placement: sampling.Placement
) -> None:
    views = sampling.views(frames, fps, clip, clips=clips, placement=placement)
    training = sampling.training(frames, fps, clip, generator=seeded(clips))
    assert views.shape == (clips, clip.frames) and training.shape == (clip.frames,)
    assert (views.diff(dim=0) >= 0).all()
    for numbers in (*views, training):
        assert numbers.min() >= 0 and numbers.max() < frames and (numbers.diff() >= 0).all()
    assert torch.equal(training, sampling.training(frames, fps, clip, generator=seeded(clips)))


@settings(deadline=None)
@given(FRAMES, FPS, DENSE)
def test_one_dense_clip_lies_in_the_middle(frames: int, fps: float, clip: ClipConfig) -> None:
    numbers, length = sampling.views(frames, fps, clip)[0], span(fps, clip)
    before, after = int(numbers[0]), frames - int(numbers[0]) - length
    if length <= frames:
        assert abs(before - after) <= 2
    else:
        assert before == 0


@settings(deadline=None)
@given(FRAMES, FPS, DENSE, st.integers(2, 10))
def test_several_dense_clips_reach_from_the_first_frame_to_the_last(
    frames: int, fps: float, clip: ClipConfig, clips: int
) -> None:
    numbers = sampling.views(frames, fps, clip, clips=clips)
    assert numbers[0, 0] == 0
    if clip.frames > 1 and span(fps, clip) >= 1:
        assert frames - 1 - numbers[-1, -1] <= 1


def test_official_clips_start_at_equal_shares_of_the_room_and_never_reach_the_end() -> None:
    numbers = sampling.views(556, 30.0, ClipConfig(), clips=3, placement="official")
    assert numbers[:, 0].tolist() == [0, 100, 200]
    assert sampling.views(556, 30.0, ClipConfig(), clips=3)[:, 0].tolist() == [0, 150, 300]


def test_training_starts_cover_all_the_room_evenly() -> None:
    generator = seeded()
    starts = torch.stack([sampling.training(266, 30.0, ClipConfig(), generator=generator)[0] for _ in range(2000)])
    counts = torch.bincount(starts, minlength=11)
    assert len(counts) == 11
    assert (counts[1:] > 140).all()  # 200 each; frame 0 only where the start is cut down to tick 0, as officially


def test_segments_are_the_official_numbers() -> None:
    clip = ClipConfig(frames=8, sampling="segments")
    # (21 - 1) / 8 = 2.5: borders 0, 2 (2.5 to even), 5, 8 (7.5), 10, 12 (12.5), 15, 18 (17.5), 20; middles cut down
    assert sampling.views(21, 30.0, clip).tolist() == [[1, 3, 6, 9, 11, 13, 16, 19]]


def test_training_segments_draw_every_frame_of_a_part_and_both_borders() -> None:
    clip, generator = ClipConfig(frames=4, sampling="segments"), seeded()
    draws = torch.stack([sampling.training(13, 30.0, clip, generator=generator) for _ in range(400)])
    assert [sorted(set(column.tolist())) for column in draws.T] == [
        [0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9], [9, 10, 11, 12],
    ]  # fmt: skip


@settings(deadline=None)
@given(st.integers(1, 10), st.integers(1, 16), st.integers(0, 50))
def test_segment_clips_differ_where_parts_are_long_enough(clips: int, parts: int, extra: int) -> None:
    clip = ClipConfig(frames=parts, sampling="segments")
    numbers = sampling.views(parts * (clips + 1) + 1 + extra, 30.0, clip, clips=clips)
    assert (numbers.diff(dim=0) > 0).all()
    assert (numbers[0, 1:] >= numbers[-1, :-1]).all()


def test_official_segment_clips_repeat_the_middle() -> None:
    clip = ClipConfig(frames=8, sampling="segments")
    single = sampling.views(60, 30.0, clip)
    assert torch.equal(sampling.views(60, 30.0, clip, clips=3, placement="official"), single.repeat(3, 1))


@pytest.mark.parametrize(("frames", "clips"), [(8, 48), (32, 12), (64, 6), (96, 4)])
def test_whole_takes_as_many_clips_as_the_paper(frames: int, clips: int) -> None:
    assert len(sampling.whole(410 * 30, 30.0, ClipConfig(frames=frames))) == clips


@settings(deadline=None)
@given(FRAMES, FPS, DENSE)
@example(384, 24.0, ClipConfig(rate=12))  # five clips but for rounding
def test_whole_never_overlaps_and_leaves_less_than_one_clip_out(frames: int, fps: float, clip: ClipConfig) -> None:
    numbers, length = sampling.whole(frames, fps, clip), span(fps, clip)
    assert frames / length - len(numbers) < 1 - 1e-7
    if length >= 1:
        assert (numbers[1:, 0] > numbers[:-1, -1]).all()
    assert numbers.min() >= 0 and numbers.max() < frames


def test_whole_takes_one_clip_where_the_video_is_short_or_cut_in_segments() -> None:
    assert sampling.whole(20, 30.0, ClipConfig()).shape == (1, 8)
    assert sampling.whole(2000, 30.0, ClipConfig(sampling="segments")).shape == (1, 8)


@pytest.mark.parametrize(("frames", "fps"), [(0, 30.0), (10, 0.0), (10, -1.0), (10, math.nan), (10, math.inf)])
def test_impossible_videos_are_named(frames: int, fps: float) -> None:
    with pytest.raises(ValueError, match=r"frames is 0|fps is"):
        sampling.views(frames, fps, ClipConfig())
    with pytest.raises(ValueError, match=r"frames is 0|fps is"):
        sampling.training(frames, fps, ClipConfig(), generator=seeded())


def test_no_clips_is_an_error() -> None:
    with pytest.raises(ValueError, match="clips is 0; a video needs at least 1"):
        sampling.views(10, 30.0, ClipConfig(), clips=0)


def uneven(seed: int, frames: int) -> torch.Tensor:
    return torch.rand(frames, generator=seeded(seed), dtype=torch.float64).mul(0.2).add(0.004).cumsum(0)


@settings(deadline=None)
@given(st.integers(0, 99), st.integers(1, 300), ANY, st.integers(1, 10), st.sampled_from(["middle", "official"]))
def test_clips_by_time_lie_in_the_video_and_run_forward(
    seed: int, frames: int, clip: ClipConfig, clips: int, placement: sampling.Placement
) -> None:
    times = uneven(seed, frames)
    planned = sampling.views(frames, 9.0, clip, clips=clips, placement=placement, times=times)
    drawn = sampling.training(frames, 9.0, clip, generator=seeded(seed), times=times)
    assert planned.shape == (clips, clip.frames) and drawn.shape == (clip.frames,)
    for numbers in (*planned, drawn):
        assert numbers.min() >= 0 and numbers.max() < frames and (numbers.diff() >= 0).all()
    longest = sampling.whole(max(round((float(times[-1] - times[0]) + 1 / 9) * clip.fps), 1), clip.fps, clip)
    assert sampling.views(frames, 9.0, clip, placement="whole", times=times).shape == longest.shape


@settings(deadline=None)
@given(st.integers(1, 500), ANY, st.integers(1, 4))
def test_by_time_and_by_number_agree_where_the_rate_is_that_of_the_clip(
    frames: int, clip: ClipConfig, clips: int
) -> None:
    times = torch.arange(frames, dtype=torch.float64) / clip.fps + 100
    by_time = sampling.views(frames, clip.fps, clip, clips=clips, times=times)
    assert torch.equal(by_time, sampling.views(frames, clip.fps, clip, clips=clips))


def test_times_that_can_not_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"times have the shape \(2,\); a video of 3 frames needs one for each"):
        sampling.views(3, 30.0, ClipConfig(), times=[0, 1])
    for times in ([0.0, 2.0, 1.0], [0.0, 1.0, math.nan]):
        with pytest.raises(ValueError, match="times go back or are not finite"):
            sampling.training(3, 30.0, ClipConfig(), generator=seeded(), times=times)
