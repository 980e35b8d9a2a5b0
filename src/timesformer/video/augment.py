"""Which pixels the model sees in training: random crop, flip, colour, RandAugment, erasing, and mixing within a batch.

Every change is drawn once and made to all frames of a clip alike, also where it depends on the pixels (contrast,
autocontrast and equalize look at the whole clip), so that nothing flickers and a fade stays a fade. All chance comes
from the given CPU generator: the same state gives the same clip. Pixels are floats 0 to 255 until they are normalised.
The operations and their strengths are those documented for torchvision v2 (``RandAugment``, ``RandomErasing``,
``RandomResizedCrop``, ``ColorJitter``); on a single frame they agree with Pillow's to within its rounding.
"""

import math
import random
from collections.abc import Callable

import torch
from torch import Tensor

from timesformer.config.checks import sides
from timesformer.config.model import ClipConfig
from timesformer.config.training import AugmentConfig
from timesformer.video.transforms import check_pixels, is_tall, normalise, resize

Box = tuple[int, int, int, int]
"""Top, left, height and width in pixels."""


def training_clip(frames: Tensor, clip: ClipConfig, augment: AugmentConfig, *, generator: torch.Generator) -> Tensor:
    """Model input from one clip, randomly changed: uint8 ``(t, c, h, w)`` -> float ``(t, c, *clip.frame_size)``.

    The crop is cut from the source frames and only that region is resized, once: the same picture as resizing all
    and cropping then, but for antialiasing at the rim. Erased boxes hold the mean colour.
    """
    check_pixels(frames)
    size = (frames.shape[-2], frames.shape[-1])
    crop = clip.frame_size
    jitter = augment.crop == "jitter"
    box = jitter_box(size, crop, augment, generator) if jitter else resized_box(size, generator, crop[1] / crop[0])
    pixels = resize(_cut(frames, box), crop)
    if augment.flip and _uniform(0, 1, generator) < 0.5:
        pixels = pixels.flip(-1)
    if augment.colour:
        pixels = colour_jitter(pixels, augment.colour, generator=generator)
    for _ in range(augment.rand_augment):
        pixels = rand_augment(pixels, augment.magnitude, generator=generator)
    model_input = normalise(pixels, clip)
    if augment.erase and _uniform(0, 1, generator) < augment.erase:
        hole = random_box(crop, (0.02, 0.33), (0.3, 3.3), generator)
        if hole is not None:
            _cut(model_input, hole).zero_()
    return model_input


def mix(clips: Tensor, targets: Tensor, augment: AugmentConfig, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mixup or CutMix of a batch with itself in random order: clips ``(b, t, c, h, w)``, targets ``(b, classes)``.

    Mixup (Zhang et al., 2018) blends whole clips; CutMix (Yun et al., 2019) pastes one box, the same in all frames.
    Float targets are blended by the share of each clip that is seen. One share is drawn for the batch. With both
    alphas at 0 the batch comes back as it is.
    """
    if not (augment.mixup or augment.cutmix):
        return clips, targets
    if not targets.is_floating_point():
        raise ValueError(
            f"targets are {targets.dtype}; mixing needs float targets (b, classes): one-hot encode labels."
        )
    cut = augment.cutmix > 0 and (augment.mixup == 0 or _uniform(0, 1, generator) < 0.5)
    share = _beta(augment.cutmix if cut else augment.mixup, generator)
    order = torch.randperm(len(clips), generator=generator)
    other = clips[order.to(clips.device)]
    if cut:
        height, width = clips.shape[-2:]
        box = _cutmix_box((height, width), share, generator)
        clips = clips.clone()
        _cut(clips, box).copy_(_cut(other, box))
        share = 1 - box[2] * box[3] / (height * width)
    else:
        clips = torch.lerp(other, clips, share)
    return clips, torch.lerp(targets[order.to(targets.device)], targets, share)


# Boxes


def jitter_box(
    size: tuple[int, int], crop: int | tuple[int, int], augment: AugmentConfig, generator: torch.Generator
) -> Box:
    """Box of the source that becomes the crop when frames are resized to ``augment.jitter`` times what it needs.

    For a square crop that is: their short side is drawn from ``augment.jitter`` times the crop's. Sides and place are
    whole source pixels, so the aspect of a square is kept exactly and every place is equally likely.
    """
    shape = sides(crop)
    axis = 1 if is_tall(size, shape) else 0  # where the frame has least room for the crop
    low, high = (bound * shape[axis] for bound in augment.jitter)
    drawn = 1 / _uniform(1 / high, 1 / low, generator) if augment.inverse_jitter else _uniform(low, high, generator)
    tall, wide = (max(round(side * size[axis] / round(drawn)), 1) for side in shape)
    return _place(size, (tall, wide), generator)


def resized_box(size: tuple[int, int], generator: torch.Generator, aspect: float = 1.0) -> Box:
    """Box of 8 to 100 % of the frame and of 3/4 to 4/3 the crop's aspect, as ``RandomResizedCrop`` draws a square's.

    ``aspect`` is the crop's width / height. Where ten tries find none that fits, the largest centre box of a permitted
    aspect.
    """
    box = random_box(size, (0.08, 1.0), (3 / 4 * aspect, 4 / 3 * aspect), generator)
    if box is not None:
        return box
    height, width = size
    tall = min(height, max(round(width * 4 / 3 / aspect), 1))
    wide = min(width, max(round(height * 4 / 3 * aspect), 1))
    return (height - tall) // 2, (width - wide) // 2, tall, wide


def random_box(
    size: tuple[int, int], area: tuple[float, float], aspect: tuple[float, float], generator: torch.Generator
) -> Box | None:
    """Box whose share of the frame is uniform in ``area`` and whose width / height is log-uniform in ``aspect``.

    ``None`` where ten tries found none that fits into the frame.
    """
    for _ in range(10):
        pixels = size[0] * size[1] * _uniform(*area, generator)
        ratio = math.exp(_uniform(math.log(aspect[0]), math.log(aspect[1]), generator))
        height, width = round(math.sqrt(pixels / ratio)), round(math.sqrt(pixels * ratio))
        if 0 < height <= size[0] and 0 < width <= size[1]:
            return _place(size, (height, width), generator)
    return None


def _cutmix_box(size: tuple[int, int], share: float, generator: torch.Generator) -> Box:
    """Box of ``1 - share`` of the frame around a uniform centre, cut off at the frame's edge."""
    spans = []
    for length in size:
        half, centre = int(length * math.sqrt(1 - share)) // 2, _integer(length, generator)
        spans.append((max(centre - half, 0), min(centre + half, length)))
    (top, bottom), (left, right) = spans
    return top, left, bottom - top, right - left


def _place(size: tuple[int, int], box: tuple[int, int], generator: torch.Generator) -> Box:
    top, left = (_integer(length - side + 1, generator) for length, side in zip(size, box, strict=True))
    return top, left, *box


def _cut(frames: Tensor, box: Box) -> Tensor:
    top, left, height, width = box
    return frames[..., top : top + height, left : left + width]


# Colour and shape, on float pixels 0 to 255, (t, 3, h, w)


def colour_jitter(frames: Tensor, strength: float, *, generator: torch.Generator) -> Tensor:
    """Brightness, contrast and saturation times a factor of 1 - strength to 1 + strength each, in random order."""
    changes = (brightness, contrast, saturation)
    for index in torch.randperm(len(changes), generator=generator).tolist():
        frames = changes[index](frames, _uniform(1 - strength, 1 + strength, generator))
    return frames


def rand_augment(frames: Tensor, magnitude: int, *, generator: torch.Generator) -> Tensor:
    """One operation of RandAugment (Cubuk et al., 2020), each of the 14 equally likely, in either direction."""
    operation = OPERATIONS[list(OPERATIONS)[_integer(len(OPERATIONS), generator)]]
    return operation(frames, magnitude / 30 * (1 - 2 * _integer(2, generator)))


def brightness(frames: Tensor, factor: float) -> Tensor:
    """Pixels times the factor."""
    return (frames * factor).clamp_(0, 255)


def contrast(frames: Tensor, factor: float) -> Tensor:
    """Distance from the mean grey of the clip times the factor."""
    return torch.lerp(_grey(frames).mean(), frames, factor).clamp_(0, 255)


def saturation(frames: Tensor, factor: float) -> Tensor:
    """Distance from each pixel's own grey times the factor."""
    return torch.lerp(_grey(frames), frames, factor).clamp_(0, 255)


def sharpness(frames: Tensor, factor: float) -> Tensor:
    """Distance from the smoothed frame times the factor; the outermost pixels stay as they are."""
    if min(frames.shape[-2:]) < 3:
        return frames
    # The kernel 1 1 1, 1 5 1, 1 1 1 over 13 as shifted sums: ten times as fast as a convolution on a CPU.
    rows = frames[..., :-2, :] + frames[..., 1:-1, :] + frames[..., 2:, :]
    box = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = frames.clone()
    smooth[..., 1:-1, 1:-1] = box.add_(frames[..., 1:-1, 1:-1], alpha=4).div_(13)
    return torch.lerp(smooth, frames, factor).clamp_(0, 255)


def posterize(frames: Tensor, bits: int) -> Tensor:
    """Only the upper bits of each pixel."""
    step = 2 ** (8 - bits)
    return (frames / step).floor_() * step


def solarize(frames: Tensor, threshold: float) -> Tensor:
    """Pixels at or above the threshold inverted."""
    return torch.where(frames >= threshold, 255 - frames, frames)


def autocontrast(frames: Tensor) -> Tensor:
    """Each channel of the clip stretched to 0 to 255; a channel of one value stays."""
    low, high = frames.amin((0, 2, 3), keepdim=True), frames.amax((0, 2, 3), keepdim=True)
    return torch.where(high > low, (frames - low) * (255 / (high - low).clamp(min=1e-6)), frames)


def equalize(frames: Tensor) -> Tensor:
    """Each channel of the clip with its histogram spread evenly, on pixels rounded to whole numbers."""
    channels = []
    for channel in frames.round().int().unbind(1):
        levels = channel.flatten()
        counts = torch.bincount(levels, minlength=256)
        step = (len(levels) - int(counts[levels.max()])) // 255
        table = ((counts.cumsum(0) - counts + step // 2) // max(step, 1)).clamp(max=255).to(frames.dtype)
        channels.append(table.index_select(0, levels).view_as(channel) if step else channel)
    return torch.stack(channels, 1)


def warp(frames: Tensor, matrix: tuple[float, float, float, float], offset: tuple[float, float]) -> Tensor:
    """Frames whose pixel (x, y) shows the source at ``matrix @ (x, y) + offset``, pixel centres at halves.

    The nearest pixel is taken, and black outside, as in torchvision's RandAugment and Pillow's ``transform``.
    """
    height, width = frames.shape[-2:]
    y = torch.arange(height, device=frames.device)[:, None] + 0.5
    x = torch.arange(width, device=frames.device) + 0.5
    column = (matrix[0] * x + matrix[1] * y + offset[0]).floor().long()
    row = (matrix[2] * x + matrix[3] * y + offset[1]).floor().long()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    index = torch.where(inside, row * width + column, 0).flatten()
    planes = frames.reshape(-1, height * width)
    return planes.gather(1, index.expand(len(planes), -1)).view_as(frames).mul_(inside)


def rotate(frames: Tensor, degrees: float) -> Tensor:
    """Frames turned anticlockwise about their centre."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    y, x = frames.shape[-2] / 2, frames.shape[-1] / 2
    return warp(frames, (cos, -sin, sin, cos), (x - cos * x + sin * y, y - sin * x - cos * y))


OPERATIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "identity": lambda frames, amount: frames,
    "autocontrast": lambda frames, amount: autocontrast(frames),
    "equalize": lambda frames, amount: equalize(frames),
    "rotate": lambda frames, amount: rotate(frames, 30 * amount),
    "solarize": lambda frames, amount: solarize(frames, 255 * (1 - abs(amount))),
    "color": lambda frames, amount: saturation(frames, 1 + 0.9 * amount),
    "posterize": lambda frames, amount: posterize(frames, 8 - round(4 * abs(amount))),
    "contrast": lambda frames, amount: contrast(frames, 1 + 0.9 * amount),
    "brightness": lambda frames, amount: brightness(frames, 1 + 0.9 * amount),
    "sharpness": lambda frames, amount: sharpness(frames, 1 + 0.9 * amount),
    "shear_x": lambda frames, amount: warp(frames, (1, 0.3 * amount, 0, 1), (0, 0)),
    "shear_y": lambda frames, amount: warp(frames, (1, 0, 0.3 * amount, 1), (0, 0)),
    "translate_x": lambda frames, amount: warp(frames, (1, 0, 0, 1), (-int(150 / 331 * frames.shape[-1] * amount), 0)),
    "translate_y": lambda frames, amount: warp(frames, (1, 0, 0, 1), (0, -int(150 / 331 * frames.shape[-2] * amount))),
}
"""RandAugment's operations by name; the amount runs from -1 to 1, and both ends are magnitude 30."""


# Chance


def _grey(frames: Tensor) -> Tensor:
    """Brightness of each pixel, ``(t, 1, h, w)``, in the weights of ITU-R 601."""
    red, green, blue = frames.unbind(-3)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).unsqueeze(-3)


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def _integer(count: int, generator: torch.Generator) -> int:
    """A number from 0 to count - 1."""
    return int(torch.randint(count, (), generator=generator))


def _beta(alpha: float, generator: torch.Generator) -> float:
    """A draw from Beta(alpha, alpha); torch's own takes no generator, so the standard library's is seeded from it."""
    return random.Random(_integer(2**62, generator)).betavariate(alpha, alpha)
