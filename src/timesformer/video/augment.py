"""Training clips: random crop, flip, colour jitter, RandAugment, erasing; mixup, CutMix and patch drop of a batch.

The random parameters are drawn once for a clip and applied to all its frames alike. Operations that depend on the
pixels (contrast, autocontrast, equalize) use statistics of the whole clip, so that frames don't flicker. All random
numbers come from the given CPU generator: the same state gives the same clip. Pixels are floats 0 to 255 until they are
normalised. The operations and their strengths are those documented for torchvision v2 (``RandAugment``,
``RandomErasing``, ``RandomResizedCrop``, ``ColorJitter``); on a single frame they agree with Pillow's within rounding.
"""

import torch
from torch import Tensor

from timesformer.config.model import ClipConfig
from timesformer.config.training import AugmentConfig
from timesformer.video.boxes import cut, cutmix_box, jitter_box, random_box, resized_box
from timesformer.video.chance import beta, uniform
from timesformer.video.operations import colour_jitter, rand_augment
from timesformer.video.transforms import check_pixels, normalise, resize


def training_clip(
    frames: Tensor, clip: ClipConfig, augment: AugmentConfig, *, generator: torch.Generator
) -> tuple[Tensor, bool]:
    """Augment one clip into model input: uint8 ``(t, c, h, w)`` -> float ``(t, c, *clip.frame_size)``.

    Also returns whether the clip was mirrored, which may change its label.

    The crop is taken from the source frames and only that region is resized. Apart from antialiasing at the border,
    this equals resizing the frames and then cropping. Erased boxes are filled with the mean colour.
    """
    check_pixels(frames)
    size = (frames.shape[-2], frames.shape[-1])
    crop = clip.frame_size
    jitter = augment.crop == "jitter"
    box = jitter_box(size, crop, augment, generator) if jitter else resized_box(size, generator, crop[1] / crop[0])
    pixels = resize(cut(frames, box), crop)
    mirrored = augment.flip and uniform(0, 1, generator) < 0.5
    if mirrored:
        pixels = pixels.flip(-1)
    if augment.colour:
        pixels = colour_jitter(pixels, augment.colour, generator=generator)
    for _ in range(augment.rand_augment):
        pixels = rand_augment(pixels, augment.magnitude, generator=generator)
    model_input = normalise(pixels, clip)
    if augment.erase and uniform(0, 1, generator) < augment.erase:
        hole = random_box(crop, (0.02, 0.33), (0.3, 3.3), generator)
        if hole is not None:
            cut(model_input, hole).zero_()
    return model_input, mirrored


def mix(clips: Tensor, targets: Tensor, augment: AugmentConfig, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mix a batch with a permutation of itself: clips ``(b, t, c, h, w)``, float targets ``(b, classes)``.

    Mixup (Zhang et al., 2018) blends whole clips; CutMix (Yun et al., 2019) pastes one box, the same in all frames.
    Targets are blended in proportion to the pixels. One ratio is drawn for the batch. With both alphas at 0 the batch
    is returned unchanged.
    """
    if not (augment.mixup or augment.cutmix):
        return clips, targets
    if not targets.is_floating_point():
        raise ValueError(
            f"targets are {targets.dtype}; mixing needs float targets (b, classes): one-hot encode labels."
        )
    pastes = augment.cutmix > 0 and (augment.mixup == 0 or uniform(0, 1, generator) < 0.5)
    share = beta(augment.cutmix if pastes else augment.mixup, generator)
    order = torch.randperm(len(clips), generator=generator)
    other = clips[order.to(clips.device)]
    if pastes:
        height, width = clips.shape[-2:]
        box = cutmix_box((height, width), share, generator)
        clips = clips.clone()
        cut(clips, box).copy_(cut(other, box))
        share = 1 - box[2] * box[3] / (height * width)
    else:
        clips = torch.lerp(other, clips, share)
    return clips, torch.lerp(targets[order.to(targets.device)], targets, share)


def places(augment: AugmentConfig, grid: tuple[int, int], *, generator: torch.Generator) -> Tensor:
    """The patch positions that a step sees, in order: int64 (m,), at least one; all but a share ``patch_drop``."""
    count = grid[0] * grid[1]
    kept = max(round(count * (1 - augment.patch_drop)), 1)
    return torch.randperm(count, generator=generator)[:kept].sort().values
