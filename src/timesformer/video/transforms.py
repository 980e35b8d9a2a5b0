"""Which pixels the model sees in evaluation: resize, crop, normalise. Pure tensors, nothing random.

Pixels are 0 to 255 until :func:`normalise`. Resizing is bilinear with antialiasing, on float pixels. The released
code resizes without antialiasing, so pixels differ a little from its own where frames shrink.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from timesformer.config.checks import sides
from timesformer.config.model import ClipConfig

ONE_CROP = 256 / 224
"""Size of frames as a multiple of the crop's where there is one centre crop, as in the released code."""

_PART = 2**20  # values resized at once: bounds the float copies, and halves the time of a clip of 96 HD frames
_WHOLE = 2**22
"""Pixels of a resized frame up to which it is made as a whole and then cropped. A frame of 1 x 3000 pixels would become
one of 256 x 768000."""


def resize(frames: Tensor, shape: tuple[int, int]) -> Tensor:
    """Frames ``(..., c, h, w)`` at another height and width, as float pixels 0 to 255."""
    if frames.shape[-2:] == shape:
        return frames.float()
    flat = frames.reshape(-1, *frames.shape[-3:])
    parts = flat.split(max(_PART // math.prod(flat.shape[1:]), 1))
    # Decoders give channels last; changing the layout of bytes is cheaper than interpolating floats in that layout.
    floats = (part.contiguous().float() for part in parts)
    resized = [F.interpolate(part, shape, mode="bilinear", antialias=True) for part in floats]
    return torch.cat(resized).reshape(*frames.shape[:-2], *shape)


def covering(size: tuple[int, int], crop: tuple[int, int]) -> tuple[int, int]:
    """Smallest height and width in the proportion of ``size`` that a crop fits into, the looser one rounded down."""
    (height, width), (tall, wide) = size, crop
    if is_tall(size, crop):
        return height * wide // width, wide
    return tall, width * tall // height


def is_tall(size: tuple[int, int], crop: tuple[int, int]) -> bool:
    """Whether frames are taller than the crop in proportion, so that their width says how far they can shrink."""
    return size[0] * crop[1] > size[1] * crop[0]


def normalise(frames: Tensor, clip: ClipConfig) -> Tensor:
    """Model input from RGB pixels 0 to 255, uint8 or float, ``(..., c, h, w)``: ``(pixel / 255 - mean) / std``.

    Models trained on BGR get their channels turned round first; mean and std are in the model's order.
    """
    if clip.channels == "bgr":
        frames = frames.flip(-3)
    mean, std = (torch.tensor(values, device=frames.device)[:, None, None] for values in (clip.mean, clip.std))
    return (frames * (1 / (255 * std))).sub_(mean / std)


def crops(frames: Tensor, size: int | tuple[int, int], count: int) -> Tensor:
    """Crops of every clip, ``(v, t, c, h, w) -> (v * count, t, c, *size)``, those of one clip in a row.

    One crop is the centre. Three lie along the axis that exceeds the crop by more pixels: left, centre, right, or top,
    centre, bottom; frames of the crop's size give the same crop thrice. The paper's "top-left, center, bottom-right" is
    not what its code does; this is.
    """
    height, width = frames.shape[-2:]
    tall, wide = sides(size)
    places = _corners((height, width), (tall, wide), count)
    return torch.stack([frames[..., y : y + tall, x : x + wide] for y, x in places], dim=1).flatten(0, 1)


def _corners(size: tuple[int, int], crop: tuple[int, int], count: int) -> list[tuple[int, int]]:
    """Top and left of each crop of frames of a size."""
    (height, width), (tall, wide) = size, crop
    if count not in (1, 3):
        raise ValueError(f"{count} crops; a clip has 1 (centre) or 3 (along its longer axis).")
    down, right = height - tall, width - wide  # pixels that the crop leaves over
    if min(down, right) < 0:
        raise ValueError(f"frames of {height}x{width} are smaller than a crop of {tall}x{wide}; resize them first.")
    top, left = math.ceil(down / 2), math.ceil(right / 2)
    if count == 1:
        return [(top, left)]
    if down > right:
        return [(0, left), (top, left), (down, left)]
    return [(top, 0), (top, left), (top, right)]


def eval_views(frames: Tensor, clip: ClipConfig, *, crops: int = 1) -> Tensor:
    """Model input for evaluation, uint8 ``(v, t, c, h, w)`` -> float ``(v * crops, t, c, *clip.frame_size)``.

    View i is crop ``i % crops`` of clip ``i // crops``. With three crops frames become just large enough for the crop
    (a square one: their short side becomes ``clip.size``), with one 256/224 of that, both as in the released code.
    """
    check_pixels(frames)
    clips, length = frames.shape[:2]
    views = eval_frames(frames.flatten(0, 1), clip, crops=crops)
    return views.unflatten(1, (clips, length)).transpose(0, 1).flatten(0, 1)


def eval_frames(frames: Tensor, clip: ClipConfig, *, crops: int = 1) -> Tensor:
    """What :func:`eval_views` makes of each frame, uint8 ``(n, c, h, w)`` -> float ``(crops, n, c, *clip.frame_size)``.

    No more than a few frames are held as floats at their resized size, and of very long or very tall ones only what
    the crops show.
    """
    check_pixels(frames)
    tall, wide = clip.frame_size
    room = (tall, wide) if crops == 3 else (round(tall * ONE_CROP), round(wide * ONE_CROP))
    full = covering((frames.shape[-2], frames.shape[-1]), room)
    places = _corners(full, (tall, wide), crops)
    views = torch.empty(crops, *frames.shape[:2], tall, wide)
    together = max(_PART // max(math.prod(frames.shape[1:]), 1), 1)
    for start in range(0, len(frames), together):
        part = frames[start : start + together]
        if math.prod(full) <= _WHOLE:
            whole = resize(part, full)
            pieces = [whole[..., y : y + tall, x : x + wide] for y, x in places]
        else:
            pieces = [_piece(part, full, (y, x, tall, wide)) for y, x in places]
        for view, piece in zip(views, pieces, strict=True):
            view[start : start + together] = normalise(piece, clip)
    return views


def _piece(frames: Tensor, full: tuple[int, int], box: tuple[int, int, int, int]) -> Tensor:
    """The part (top, left, height, width) of frames resized to ``full``, without the rest, as float pixels."""
    top, left, tall, wide = box
    height, width = frames.shape[-2:]
    first_row, rows = _weights(height, full[0], range(top, top + tall))
    first_column, columns = _weights(width, full[1], range(left, left + wide))
    seen = frames[..., first_row : first_row + rows.shape[1], first_column : first_column + columns.shape[1]]
    return rows @ seen.float() @ columns.T


def _weights(length: int, new: int, wanted: range) -> tuple[int, Tensor]:
    """What places of a line of ``length`` pixels add to those ``wanted`` of the ``new`` ones it is resized to.

    The first place that adds anything, and a row for each that is wanted: the triangle filter of antialiased bilinear
    resizing, as torch and Pillow apply it.
    """
    scale = length / new
    support = max(scale, 1.0)
    centres = (torch.arange(wanted.start, wanted.stop, dtype=torch.float64) + 0.5) * scale
    low = (centres - support + 0.5).floor().clamp(min=0)
    high = (centres + support + 0.5).floor().clamp(max=length)
    first, last = int(low.min()), int(high.max())
    places = torch.arange(first, last, dtype=torch.float64)
    weights = (1 - ((places + 0.5 - centres[:, None]) / support).abs()).clamp(min=0)
    weights *= (places >= low[:, None]) & (places < high[:, None])
    return first, (weights / weights.sum(dim=1, keepdim=True)).float()


def check_pixels(frames: Tensor) -> None:
    """Raise ``ValueError`` unless frames are uint8 in three channels: floats between 0 and 1 would pass as black."""
    if frames.dtype != torch.uint8 or frames.shape[-3] != 3:
        raise ValueError(
            f"frames are {frames.dtype} of shape {tuple(frames.shape)}; they must be uint8 RGB pixels (..., 3, h, w): "
            "convert them first, or use normalise() on float pixels 0 to 255."
        )
