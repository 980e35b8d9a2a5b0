"""Random boxes within a frame: training crops, erased boxes, and the box that CutMix pastes."""

import math

import torch
from torch import Tensor

from timesformer.config.checks import sides
from timesformer.config.training import AugmentConfig
from timesformer.video.chance import integer, uniform
from timesformer.video.transforms import is_tall

Box = tuple[int, int, int, int]
"""Top, left, height and width in pixels."""


def jitter_box(
    size: tuple[int, int], crop: int | tuple[int, int], augment: AugmentConfig, generator: torch.Generator
) -> Box:
    """Draw the box of the source that becomes the crop (scale jitter, as in SlowFast and the released code).

    It equals resizing the frames so that their short side is ``augment.jitter`` times that of a square crop, and then
    cropping at random. The box has whole source pixels, so a square crop stays exactly square and every position is
    equally likely.
    """
    shape = sides(crop)
    axis = 1 if is_tall(size, shape) else 0  # the axis along which the crop fits more tightly
    low, high = (bound * shape[axis] for bound in augment.jitter)
    drawn = 1 / uniform(1 / high, 1 / low, generator) if augment.inverse_jitter else uniform(low, high, generator)
    tall, wide = (max(round(side * size[axis] / round(drawn)), 1) for side in shape)
    return _place(size, (tall, wide), generator)


def resized_box(size: tuple[int, int], generator: torch.Generator, aspect: float = 1.0) -> Box:
    """Draw a box of 8 to 100 % of the frame's area and 3/4 to 4/3 of the crop's aspect ratio (``RandomResizedCrop``).

    ``aspect`` is the crop's width / height. If ten draws don't fit into the frame, the box is the largest centred one
    of a permitted aspect ratio.
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
    """Draw a box whose share of the frame is uniform in ``area`` and whose width / height is log-uniform in ``aspect``.

    Returns ``None`` if ten draws don't fit into the frame.
    """
    for _ in range(10):
        pixels = size[0] * size[1] * uniform(*area, generator)
        ratio = math.exp(uniform(math.log(aspect[0]), math.log(aspect[1]), generator))
        height, width = round(math.sqrt(pixels / ratio)), round(math.sqrt(pixels * ratio))
        if 0 < height <= size[0] and 0 < width <= size[1]:
            return _place(size, (height, width), generator)
    return None


def cutmix_box(size: tuple[int, int], share: float, generator: torch.Generator) -> Box:
    """Draw CutMix's box of ``1 - share`` of the frame around a uniform centre, cut at the edges of the frame."""
    spans = []
    for length in size:
        half, centre = int(length * math.sqrt(1 - share)) // 2, integer(length, generator)
        spans.append((max(centre - half, 0), min(centre + half, length)))
    (top, bottom), (left, right) = spans
    return top, left, bottom - top, right - left


def _place(size: tuple[int, int], box: tuple[int, int], generator: torch.Generator) -> Box:
    top, left = (integer(length - side + 1, generator) for length, side in zip(size, box, strict=True))
    return top, left, *box


def cut(frames: Tensor, box: Box) -> Tensor:
    top, left, height, width = box
    return frames[..., top : top + height, left : left + width]
