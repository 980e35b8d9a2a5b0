"""Which pixels the model sees in evaluation."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from timesformer.config.model import ClipConfig
from timesformer.video import transforms

PLAIN = ClipConfig(size=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def coordinates(height: int, width: int) -> torch.Tensor:
    """Frames ``(1, 1, 3, h, w)`` that carry each pixel's row and column as its colours."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns, rows]).to(torch.uint8)[None, None]


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(120, 160, (64, 85)), (160, 120, (85, 64)), (32, 50, (64, 100)), (64, 200, (64, 200)), (90, 90, (64, 64))],
)
def test_the_short_side_is_exact_and_the_long_side_rounded_down(
    height: int, width: int, expected: tuple[int, int]
) -> None:
    assert transforms.covering((height, width), (64, 64)) == expected


def test_resizing_agrees_with_pillow_to_its_rounding() -> None:
    frames = noise(2, 3, 90, 121)
    ours = transforms.resize(frames, (40, 64))
    for frame, picture in zip(frames, ours, strict=True):
        image = Image.fromarray(frame.permute(1, 2, 0).numpy()).resize((64, 40), Image.Resampling.BILINEAR)
        assert np.abs(picture.permute(1, 2, 0).numpy() - np.asarray(image, dtype=np.float32)).max() < 1.01


def test_frames_of_the_right_size_keep_their_pixels() -> None:
    frames = noise(2, 3, 64, 80)
    resized = transforms.resize(frames, (64, 80))
    assert resized.dtype == torch.float32
    assert torch.equal(resized, frames.float())


def test_large_clips_resized_in_parts_equal_each_frame_alone() -> None:
    frames = noise(5, 3, 400, 600)
    alone = torch.stack([transforms.resize(frame, (32, 48)) for frame in frames])
    assert torch.equal(transforms.resize(frames, (32, 48)), alone)


def test_the_decoder_s_memory_layout_changes_no_pixel() -> None:
    frames = noise(4, 90, 120, 3).permute(0, 3, 1, 2)
    expected = transforms.resize(frames.contiguous(), (48, 64))
    torch.testing.assert_close(transforms.resize(frames, (48, 64)), expected)


def test_pixels_are_normalised_to_the_clip_s_mean_and_deviation() -> None:
    clip = ClipConfig(mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3))
    frames = noise(2, 3, 8, 8)
    expected = (frames / 255 - torch.tensor(clip.mean).view(3, 1, 1)) / torch.tensor(clip.std).view(3, 1, 1)
    torch.testing.assert_close(transforms.normalise(frames, clip), expected)
    torch.testing.assert_close(transforms.normalise(frames.float(), clip), expected)


def test_bgr_models_get_blue_first_and_their_own_means() -> None:
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    clip = ClipConfig(channels="bgr", mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0))
    torch.testing.assert_close(transforms.normalise(red, clip).flatten(), torch.tensor([-0.1, -0.2, 0.7]))


def test_normalising_leaves_its_argument_alone() -> None:
    frames = noise(1, 3, 4, 4).float()
    before = frames.clone()
    transforms.normalise(frames, ClipConfig())
    assert torch.equal(frames, before)


@pytest.mark.parametrize(
    ("height", "width", "corners"),
    [
        (32, 61, [(0, 0), (0, 15), (0, 29)]),  # ceil(29 / 2) = 15
        (61, 32, [(0, 0), (15, 0), (29, 0)]),
        (35, 61, [(2, 0), (2, 15), (2, 29)]),
        (32, 32, [(0, 0), (0, 0), (0, 0)]),
        (40, 40, [(4, 0), (4, 4), (4, 8)]),
    ],
)
def test_three_crops_lie_along_the_longer_axis(height: int, width: int, corners: list[tuple[int, int]]) -> None:
    views = transforms.crops(coordinates(height, width), 32, 3)
    assert views.shape == (3, 1, 3, 32, 32)
    assert [tuple(view[0, :2, 0, 0].tolist()) for view in views] == corners


@pytest.mark.parametrize(
    ("height", "width", "corners"),
    [
        (32, 81, [(0, 0), (0, 16), (0, 32)]),  # 16:9 frames, wider still than the crop
        (50, 60, [(0, 6), (9, 6), (18, 6)]),  # wider than high, but the crop leaves more of the height over
        (32, 49, [(0, 0), (0, 0), (0, 0)]),
    ],
)
def test_three_crops_that_are_not_square_lie_along_the_axis_with_more_left_over(
    height: int, width: int, corners: list[tuple[int, int]]
) -> None:
    views = transforms.crops(coordinates(height, width), (32, 49), 3)
    assert views.shape == (3, 1, 3, 32, 49)
    assert [tuple(view[0, :2, 0, 0].tolist()) for view in views] == corners


def test_frames_become_just_large_enough_for_a_crop_of_any_shape() -> None:
    assert transforms.covering((1080, 1920), (224, 398)) == (224, 398)
    assert transforms.covering((1080, 1920), (224, 416)) == (234, 416)
    assert transforms.covering((1920, 1080), (224, 398)) == (707, 398)
    frames = noise(1, 2, 3, 60, 100)
    wide = replace(PLAIN, size=(32, 40))
    (left, _, right) = transforms.eval_views(frames, wide, crops=3)
    resized = transforms.normalise(transforms.resize(frames, (32, 53)), wide)
    assert torch.equal(left, resized[0, ..., :40]) and torch.equal(right, resized[0, ..., 13:])
    resized = transforms.normalise(transforms.resize(frames, (37, 61)), wide)  # 32 and 40 times 256/224
    assert torch.equal(transforms.eval_views(frames, wide), resized[..., 3:35, 11:51])


def test_a_square_is_the_same_as_one_number_and_as_height_and_width() -> None:
    frames = noise(2, 2, 3, 40, 70)
    for crops in (1, 3):
        two = transforms.eval_views(frames, replace(PLAIN, size=(32, 32)), crops=crops)
        assert torch.equal(transforms.eval_views(frames, PLAIN, crops=crops), two)


def test_one_crop_is_the_centre() -> None:
    (view,) = transforms.crops(coordinates(37, 61), 32, 1)
    assert view[0, :2, 0, 0].tolist() == [math.ceil(5 / 2), math.ceil(29 / 2)]


def test_views_go_clip_by_clip_and_crop_by_crop() -> None:
    frames = noise(2, 4, 3, 32, 61)
    views = transforms.eval_views(frames, PLAIN, crops=3)
    assert views.shape == (6, 4, 3, 32, 32)
    for index, view in enumerate(views):
        left = (0, 15, 29)[index % 3]
        torch.testing.assert_close(view, frames[index // 3, ..., left : left + 32] / 255)


def test_one_view_shows_the_centre_of_frames_a_seventh_larger() -> None:
    frames = noise(2, 4, 3, 100, 150)
    resized = transforms.resize(frames, (37, 55))  # 32 * 256 / 224 = 36.57; 150 * 37 / 100 = 55.5
    expected = transforms.normalise(resized[..., 3:35, 12:44], PLAIN)
    torch.testing.assert_close(transforms.eval_views(frames, PLAIN), expected)


@pytest.mark.parametrize("crops", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (9, 200), (200, 9), (1, 1)])
def test_any_frame_size_gives_views_of_the_model_s_size(size: tuple[int, int], crops: int) -> None:
    assert transforms.eval_views(noise(1, 2, 3, *size), PLAIN, crops=crops).shape == (crops, 2, 3, 32, 32)
    wide = replace(PLAIN, size=(16, 40))
    assert transforms.eval_views(noise(1, 2, 3, *size), wide, crops=crops).shape == (crops, 2, 3, 16, 40)


def test_wrong_pixels_counts_and_sizes_are_named() -> None:
    with pytest.raises(ValueError, match=r"torch\.float32 .* must be uint8"):
        transforms.eval_views(torch.rand(1, 2, 3, 40, 40), PLAIN)
    with pytest.raises(ValueError, match=r"\(1, 2, 1, 40, 40\); they must be"):
        transforms.eval_views(noise(1, 2, 1, 40, 40), PLAIN)
    with pytest.raises(ValueError, match="2 crops; a clip has 1"):
        transforms.eval_views(noise(1, 2, 3, 40, 40), PLAIN, crops=2)
    with pytest.raises(ValueError, match="20x40 are smaller than a crop of 32"):
        transforms.crops(noise(1, 2, 3, 20, 40), 32, 1)


@pytest.mark.parametrize(("height", "width"), [(2, 300), (300, 2), (1, 700), (500, 30), (90, 160), (700, 400)])
@pytest.mark.parametrize("crops", [1, 3])
def test_a_crop_made_alone_has_the_pixels_of_the_whole_frame_resized(height: int, width: int, crops: int) -> None:
    frames = noise(6, 3, height, width)
    whole = transforms.eval_frames(frames, PLAIN, crops=crops, whole=2**40)
    alone = transforms.eval_frames(frames, PLAIN, crops=crops, whole=0)
    torch.testing.assert_close(alone, whole, atol=2e-4, rtol=0)


@pytest.mark.parametrize("crops", [1, 3])
@pytest.mark.parametrize("size", [(90, 160), (160, 90), (64, 64), (75, 61)])
def test_areas_are_where_the_crops_lie_in_the_frame(size: tuple[int, int], crops: int) -> None:
    clip = ClipConfig(frames=1, size=32, mean=(0, 0, 0), std=(1, 1, 1))
    rows, columns = (torch.arange(side, dtype=torch.float32) for side in size)
    frame = torch.stack([rows[:, None].expand(size), columns.expand(size), torch.zeros(size)]).to(torch.uint8)[None]
    views = transforms.eval_frames(frame, clip, crops=crops)[:, 0] * 255
    for view, (top, left, tall, wide) in zip(views, transforms.areas(size, clip, crops=crops), strict=True):
        middle = [top + tall / 2 - 0.5, left + wide / 2 - 0.5]
        assert view[:2].mean(dim=(1, 2)).tolist() == pytest.approx(middle, abs=0.6)
        assert 0 <= top <= top + tall <= size[0] + 1e-6 and 0 <= left <= left + wide <= size[1] + 1e-6
    assert len(set(transforms.areas((64, 64), clip, crops=3))) == 1
