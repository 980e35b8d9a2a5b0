"""Which pixels the model sees in training."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from timesformer.config.model import ClipConfig
from timesformer.config.training import AugmentConfig
from timesformer.video import augment, operations
from timesformer.video.boxes import jitter_box, random_box, resized_box
from timesformer.video.transforms import normalise, resize

CLIP = ClipConfig(size=32)
PLAIN = ClipConfig(size=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
BARE = AugmentConfig(jitter=(1.0, 1.0), flip=False)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(1))


def picture(height: int = 60, width: int = 80) -> torch.Tensor:
    """Float pixels ``(1, 3, h, w)``: whole numbers, smooth but for some noise, in a narrow range of each channel."""
    ramp = torch.linspace(30, 190, height * width).view(1, 1, height, width)
    scale = torch.tensor([1.0, 0.8, 1.2]).view(1, 3, 1, 1)
    return (ramp * scale + noise(1, 3, height, width) / 16).clamp(0, 255).floor()


def as_image(frames: torch.Tensor) -> Image.Image:
    return Image.fromarray(frames[0].permute(1, 2, 0).byte().numpy())


def difference(ours: torch.Tensor, image: Image.Image) -> np.ndarray:
    return np.abs(ours[0].permute(1, 2, 0).numpy() - np.asarray(image, dtype=np.float32))


@given(
    st.tuples(st.integers(4, 80), st.integers(4, 80)),
    st.builds(
        AugmentConfig,
        crop=st.sampled_from(["jitter", "resized"]),
        inverse_jitter=st.booleans(),
        colour=st.sampled_from([0.0, 1.0]),
        rand_augment=st.integers(0, 2),
        magnitude=st.integers(0, 30),
        erase=st.sampled_from([0.0, 1.0]),
    ),
    st.integers(0, 2**32),
)
@settings(deadline=None)
def test_any_frames_and_settings_give_model_input_that_repeats_and_never_flickers(
    size: tuple[int, int], config: AugmentConfig, seed: int
) -> None:
    still = noise(1, 3, *size).expand(3, -1, -1, -1)
    clip, _ = augment.training_clip(still, PLAIN, config, generator=seeded(seed))
    assert clip.shape == (3, 3, 32, 32)
    assert clip.min() > -1e-6 and clip.max() < 1 + 1e-6
    torch.testing.assert_close(clip[1:], clip[:1].expand(2, -1, -1, -1), rtol=0, atol=1e-5)
    assert torch.equal(clip, augment.training_clip(still, PLAIN, config, generator=seeded(seed))[0])


def test_without_changes_a_clip_is_its_resized_centre_or_less() -> None:
    frames = noise(2, 3, 60, 60)
    clip, _ = augment.training_clip(frames, CLIP, BARE, generator=seeded())
    torch.testing.assert_close(clip, normalise(resize(frames, (32, 32)), CLIP))


def test_cropping_before_resizing_is_resizing_before_cropping() -> None:
    # 96 source pixels become 64 when all 180 x 240 become 120 x 160.
    frames = resize(noise(1, 3, 12, 16), (180, 240))
    top, left = 30, 60
    folded = resize(frames[..., top : top + 96, left : left + 96], (64, 64))
    plain = resize(frames, (120, 160))[..., 20:84, 40:104]
    torch.testing.assert_close(folded[..., 1:-1, 1:-1], plain[..., 1:-1, 1:-1], rtol=0, atol=1e-2)
    assert (folded - plain).abs().max() < 8


def test_jitter_draws_every_zoom_of_its_range_and_every_place() -> None:
    config, generator = AugmentConfig(jitter=(1.0, 2.0)), seeded()
    boxes = [jitter_box((16, 20), 16, config, generator) for _ in range(3000)]
    assert {height for _, _, height, _ in boxes} == set(range(8, 17))
    assert all(height == width for _, _, height, width in boxes)
    assert {(top, left) for top, left, height, _ in boxes if height == 12} == {
        (y, x) for y in range(5) for x in range(9)
    }


def test_inverse_jitter_is_uniform_in_the_share_of_the_frame() -> None:
    def mean_side(config: AugmentConfig) -> float:
        generator = seeded()
        return sum(jitter_box((224, 224), 224, config, generator)[2] for _ in range(2000)) / 2000

    uniform = AugmentConfig(jitter=(1.0, 2.0))
    assert mean_side(replace(uniform, inverse_jitter=True)) == pytest.approx(168, abs=2.5)  # the middle of 112 and 224
    assert mean_side(uniform) == pytest.approx(224 * np.log(2), abs=2.5)


@pytest.mark.parametrize("size", [(180, 320), (320, 180), (90, 400), (64, 64)])
def test_a_crop_that_is_not_square_is_cut_in_its_own_aspect_and_as_large_as_it_may_be(size: tuple[int, int]) -> None:
    config, generator = AugmentConfig(jitter=(1.0, 2.0)), seeded()
    boxes = [jitter_box(size, (32, 56), config, generator) for _ in range(1000)]
    assert all(abs(width * 32 / 56 - height) < 1.01 for _, _, height, width in boxes)
    assert all(top + height <= size[0] and left + width <= size[1] for top, left, height, width in boxes)
    whole = min(size[0] / 32, size[1] / 56)  # the zoom at which one axis is seen whole
    zooms = [box[3] / 56 / whole for box in boxes]
    assert max(zooms) == pytest.approx(1, abs=0.02) and min(zooms) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("crop", ["jitter", "resized"])
def test_model_input_has_the_shape_of_the_clip(crop: Literal["jitter", "resized"]) -> None:
    clip, config = replace(CLIP, size=(16, 40)), replace(AugmentConfig(erase=1.0, rand_augment=2), crop=crop)
    for seed in range(20):
        made, _ = augment.training_clip(noise(2, 3, 50, 70), clip, config, generator=seeded(seed))
        assert made.shape == (2, 3, 16, 40) and torch.isfinite(made).all()


def test_resized_boxes_for_a_crop_that_is_not_square_vary_around_its_own_aspect() -> None:
    generator = seeded()
    boxes = [resized_box((300, 400), generator, 16 / 9) for _ in range(1000)]
    aspects = [width / height for _, _, height, width in boxes]
    assert min(aspects) > 16 / 9 * 0.74 and max(aspects) < 16 / 9 * 1.35
    assert resized_box((10, 1000), generator, 2.0) == (0, 486, 10, 27)
    assert resized_box((1000, 10), generator, 2.0) == (496, 0, 7, 10)


def test_resized_boxes_keep_to_their_area_and_aspect() -> None:
    generator = seeded()
    boxes = [resized_box((300, 400), generator) for _ in range(1000)]
    areas = [height * width / 120_000 for _, _, height, width in boxes]
    aspects = [width / height for _, _, height, width in boxes]
    assert min(areas) > 0.075 and 0.9 < max(areas) <= 1
    assert min(aspects) > 0.74 and max(aspects) < 1.35
    assert all(top + height <= 300 and left + width <= 400 for top, left, height, width in boxes)
    small = [random_box((300, 400), (0.1, 0.3), (0.75, 4 / 3), generator) for _ in range(1000)]
    assert np.mean([box[2] * box[3] for box in small if box]) == pytest.approx(0.2 * 120_000, rel=0.02)


def test_a_resized_box_that_fits_nowhere_is_the_centre() -> None:
    assert resized_box((10, 1000), seeded()) == (0, 493, 10, 13)


def test_half_of_the_clips_are_mirrored_and_said_to_be_and_none_without_flip() -> None:
    frames = noise(1, 3, 32, 32)
    plain, _ = augment.training_clip(frames, CLIP, BARE, generator=seeded())
    generator = seeded()
    made = [augment.training_clip(frames, CLIP, replace(BARE, flip=True), generator=generator) for _ in range(200)]
    assert all(torch.equal(clip, plain.flip(-1) if mirrored else plain) for clip, mirrored in made)
    assert 70 < sum(mirrored for _, mirrored in made) < 130
    assert not any(augment.training_clip(frames, CLIP, BARE, generator=generator)[1] for _ in range(20))


def test_training_takes_uint8_pixels_only() -> None:
    with pytest.raises(ValueError, match="must be uint8"):
        augment.training_clip(torch.rand(2, 3, 40, 40), CLIP, BARE, generator=seeded())


@pytest.mark.parametrize("factor", [0.1, 0.7, 1.0, 1.5, 1.9])
@pytest.mark.parametrize(
    ("ours", "enhancer"),
    [
        (operations.brightness, ImageEnhance.Brightness),
        (operations.contrast, ImageEnhance.Contrast),
        (operations.saturation, ImageEnhance.Color),
        (operations.sharpness, ImageEnhance.Sharpness),
    ],
)
def test_colour_changes_agree_with_pillow(
    ours: Callable[[torch.Tensor, float], torch.Tensor], enhancer: Callable[[Image.Image], Any], factor: float
) -> None:
    frames = picture()
    assert difference(ours(frames, factor), enhancer(as_image(frames)).enhance(factor)).max() < 1.8


@pytest.mark.parametrize(
    ("ours", "theirs", "rounding"),
    [
        (operations.equalize, ImageOps.equalize, 0.0),
        (operations.autocontrast, ImageOps.autocontrast, 1.01),
        (lambda frames: operations.posterize(frames, 4), lambda image: ImageOps.posterize(image, 4), 0.0),
        (lambda frames: operations.posterize(frames, 7), lambda image: ImageOps.posterize(image, 7), 0.0),
        (lambda frames: operations.solarize(frames, 100), lambda image: ImageOps.solarize(image, 100), 0.0),
    ],
)
def test_changes_of_levels_agree_with_pillow(
    ours: Callable[[torch.Tensor], torch.Tensor], theirs: Callable[[Image.Image], Image.Image], rounding: float
) -> None:
    assert difference(ours(picture()), theirs(as_image(picture()))).max() <= rounding


def test_one_coloured_frames_survive_equalize_and_autocontrast() -> None:
    flat = torch.full((2, 3, 8, 8), 77.0)
    assert torch.equal(operations.equalize(flat), flat)
    assert torch.equal(operations.autocontrast(flat), flat)


@pytest.mark.parametrize(
    "change", [operations.autocontrast, operations.equalize, lambda frames: operations.contrast(frames, 0.5)]
)
def test_a_clip_changes_like_its_frames_side_by_side_so_a_fade_stays_a_fade(
    change: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    fade = [picture() * share for share in (0.2, 0.6, 1.0)]
    torch.testing.assert_close(torch.cat(list(change(torch.cat(fade)).split(1)), -1), change(torch.cat(fade, -1)))


@pytest.mark.parametrize("degrees", [-30.0, -7.0, 0.0, 12.5, 90.0])
def test_rotation_agrees_with_pillow(degrees: float) -> None:
    frames = picture()
    off = difference(operations.rotate(frames, degrees), as_image(frames).rotate(degrees)) > 0
    assert off.mean() < 0.002


@pytest.mark.parametrize(
    ("name", "amount", "matrix"),
    [
        ("shear_x", 0.6, (1, 0.18, 0, 0, 1, 0)),
        ("shear_y", -1.0, (1, 0, 0, -0.3, 1, 0)),
        ("translate_x", 0.5, (1, 0, -18, 0, 1, 0)),  # 150 / 331 * 80 / 2 = 18.1 px to the right
        ("translate_y", -0.8, (1, 0, 0, 0, 1, 21)),  # 21.75 px up, whole pixels only
    ],
)
def test_shears_and_shifts_agree_with_pillow(name: str, amount: float, matrix: tuple[float, ...]) -> None:
    frames = picture()
    expected = as_image(frames).transform((80, 60), Image.Transform.AFFINE, matrix)
    assert (difference(operations.OPERATIONS[name](frames, amount), expected) > 0).mean() < 0.002


@pytest.mark.parametrize("name", sorted(set(operations.OPERATIONS) - {"autocontrast", "equalize"}))
def test_operations_do_nothing_at_magnitude_zero_and_something_at_thirty(name: str) -> None:
    frames, change = picture(), operations.OPERATIONS[name]
    torch.testing.assert_close(change(frames, 0.0), frames)
    assert torch.equal(change(frames, 1.0), frames) == (name == "identity")


@pytest.mark.parametrize(("magnitude", "bits"), [(0, 8), (9, 7), (15, 6), (30, 4)])
def test_posterize_keeps_the_documented_bits(magnitude: int, bits: int) -> None:
    frames = picture()
    assert torch.equal(operations.OPERATIONS["posterize"](frames, magnitude / 30), operations.posterize(frames, bits))


def test_rand_augment_draws_all_fourteen_operations() -> None:
    generator, frames = seeded(), picture(20, 20)
    results = {operations.rand_augment(frames, 30, generator=generator).sum().item() for _ in range(400)}
    # The signed operations come in two directions; solarize, posterize, identity, autocontrast, equalize in one.
    assert len(operations.OPERATIONS) == 14 and len(results) == 2 * 14 - 5


def test_erasing_blanks_one_box_in_all_frames_with_its_probability() -> None:
    frames, generator = noise(4, 3, 32, 32).clamp(min=120), seeded()
    erasing = replace(BARE, erase=0.25)
    clips = [augment.training_clip(frames, CLIP, erasing, generator=generator)[0] for _ in range(300)]
    erased = [clip == 0 for clip in clips if (clip == 0).any()]
    assert 50 < len(erased) < 100
    for blank in erased:
        assert (blank == blank[:1, :1]).all()
        assert blank[0, 0].sum() == blank[0, 0].any(0).sum() * blank[0, 0].any(1).sum()
        assert 0.015 < blank[0, 0].float().mean() < 0.35


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Clips whose pixels are their number in the batch, and one-hot targets of the same number."""
    return torch.arange(6.0).view(6, 1, 1, 1, 1).expand(6, 2, 3, 16, 20).contiguous(), torch.eye(6)


def test_mixup_blends_clips_and_targets_alike() -> None:
    clips, targets = batch()
    for seed in range(20):
        mixed, blend = augment.mix(clips, targets, AugmentConfig(mixup=0.8), generator=seeded(seed))
        torch.testing.assert_close(blend.sum(1), torch.ones(6))
        torch.testing.assert_close(mixed, (blend @ torch.arange(6.0)).view(6, 1, 1, 1, 1).expand_as(mixed))


def test_cutmix_pastes_one_box_in_all_frames_and_blends_targets_by_its_area() -> None:
    clips, targets = batch()
    for seed in range(20):
        mixed, blend = augment.mix(clips, targets, AugmentConfig(cutmix=1.0), generator=seeded(seed))
        for index in range(6):
            own = mixed[index] == index
            assert (own == own[:1, :1]).all()
            assert own.float().mean().item() == pytest.approx(blend[index, index].item(), abs=1e-6)
            assert torch.equal(mixed[index].mean((0, 1)).unique(), torch.nonzero(blend[index]).flatten().float())


def test_with_both_alphas_either_is_drawn() -> None:
    clips, targets = batch()
    generator = seeded()
    mixed = [augment.mix(clips, targets, AugmentConfig(mixup=1, cutmix=1), generator=generator)[0] for _ in range(100)]
    whole = sum(torch.equal(item, item.round()) for item in mixed)
    assert 25 < whole < 75


def test_mixing_repeats_and_leaves_its_arguments_alone() -> None:
    clips, targets = batch()
    both = AugmentConfig(mixup=0.5, cutmix=0.5)
    for seed in range(10):
        first, second = (augment.mix(clips, targets, both, generator=seeded(seed)) for _ in range(2))
        assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert all(torch.equal(kept, fresh) for kept, fresh in zip((clips, targets), batch(), strict=True))


def test_nothing_is_mixed_when_both_are_off_and_whole_number_targets_are_named() -> None:
    clips, targets = batch()
    same, blend = augment.mix(clips, targets, AugmentConfig(), generator=seeded())
    assert same is clips and blend is targets
    with pytest.raises(ValueError, match=r"targets are torch\.int64; mixing needs float"):
        augment.mix(clips, targets.long(), AugmentConfig(mixup=1.0), generator=seeded())


def test_patch_drop_draws_its_share_of_the_positions_in_order() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [augment.places(AugmentConfig(patch_drop=0.75), (4, 6), generator=generator) for _ in range(200)]
    assert all(len(one) == 6 and one.diff().gt(0).all() for one in drawn)
    counts = torch.cat(drawn).bincount(minlength=24)
    assert counts.min() > 20 and counts.max() < 85  # 50 each on average
    assert len(augment.places(AugmentConfig(patch_drop=0.99), (2, 2), generator=generator)) == 1
