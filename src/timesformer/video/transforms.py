"""Evaluation transforms: resize, crop and normalise. Deterministic, on tensors.

Pixels are 0 to 255 until :func:`normalise`. Resizing is bilinear with antialiasing, on float pixels. The released
code resizes without antialiasing, so pixels differ slightly from its own where frames are reduced.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from timesformer.config.checks import sides
from timesformer.config.model import ClipConfig

ONE_CROP = 256 / 224
"""Size of the resized frame relative to a single centre crop, as in the released code."""

_PART = 2**20  # values resized at once: bounds the float copies, and halves the time of a clip of 96 HD frames
WHOLE = 2**22
"""Resized frames of more pixels are computed only where they are cropped: 1 x 3000 would become 256 x 768000."""


def resize(frames: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize frames ``(..., c, h, w)`` to a height and width; returns float pixels 0 to 255."""
    if frames.shape[-2:] == shape:
        return frames.float()
    flat = frames.reshape(-1, *frames.shape[-3:])
    parts = flat.split(max(_PART // math.prod(flat.shape[1:]), 1))
    # Decoders give channels last; changing the layout of bytes is cheaper than interpolating floats in that layout.
    floats = (part.contiguous().float() for part in parts)
    resized = [F.interpolate(part, shape, mode="bilinear", antialias=True) for part in floats]
    return torch.cat(resized).reshape(*frames.shape[:-2], *shape)


def covering(size: tuple[int, int], crop: tuple[int, int]) -> tuple[int, int]:
    """Return the smallest height and width with the aspect ratio of ``size`` that contain the crop; rounded down."""
    (height, width), (tall, wide) = size, crop
    if is_tall(size, crop):
        return height * wide // width, wide
    return tall, width * tall // height


def is_tall(size: tuple[int, int], crop: tuple[int, int]) -> bool:
    """Whether frames are taller than the crop in proportion, so that their width limits the resizing."""
    return size[0] * crop[1] > size[1] * crop[0]


def normalise(frames: Tensor, clip: ClipConfig) -> Tensor:
    """Normalise RGB pixels 0 to 255, uint8 or float, ``(..., c, h, w)``: ``(pixel / 255 - mean) / std``.

    Channels are reversed first for models trained on BGR; mean and std are in the model's order.
    """
    if clip.channels == "bgr":
        frames = frames.flip(-3)
    mean, std = (torch.tensor(values, device=frames.device)[:, None, None] for values in (clip.mean, clip.std))
    return (frames * (1 / (255 * std))).sub_(mean / std)


def crops(frames: Tensor, size: int | tuple[int, int], count: int) -> Tensor:
    """Crop every clip, ``(v, t, c, h, w) -> (v * count, t, c, *size)``; crops of one clip are adjacent.

    One crop is the centre crop. Three lie along the axis that exceeds the crop by more pixels: left, centre, right, or
    top, centre, bottom; frames of the crop's size give the same crop three times. The paper says "top-left, center,
    bottom-right", but its released code does this.
    """
    height, width = frames.shape[-2:]
    tall, wide = sides(size)
    places = _corners((height, width), (tall, wide), count)
    return torch.stack([frames[..., y : y + tall, x : x + wide] for y, x in places], dim=1).flatten(0, 1)


def _corners(size: tuple[int, int], crop: tuple[int, int], count: int) -> list[tuple[int, int]]:
    """Return the top and left of each crop."""
    (height, width), (tall, wide) = size, crop
    if count not in (1, 3):
        raise ValueError(f"{count} crops; a clip has 1 (centre) or 3 (along its longer axis).")
    down, right = height - tall, width - wide  # pixels outside the crop
    if min(down, right) < 0:
        raise ValueError(f"frames of {height}x{width} are smaller than a crop of {tall}x{wide}; resize them first.")
    top, left = math.ceil(down / 2), math.ceil(right / 2)
    if count == 1:
        return [(top, left)]
    if down > right:
        return [(0, left), (top, left), (down, left)]
    return [(top, 0), (top, left), (top, right)]


def eval_views(frames: Tensor, clip: ClipConfig, *, crops: int = 1) -> Tensor:
    """Return model input for evaluation, uint8 ``(v, t, c, h, w)`` -> float ``(v * crops, t, c, *clip.frame_size)``.

    View i is crop ``i % crops`` of clip ``i // crops``. With three crops, the short side of the frames is resized to
    that of a square crop; with one, to 256/224 of it. Both are as in the released code.
    """
    check_pixels(frames)
    clips, length = frames.shape[:2]
    views = eval_frames(frames.flatten(0, 1), clip, crops=crops)
    return views.unflatten(1, (clips, length)).transpose(0, 1).flatten(0, 1)


def eval_frames(frames: Tensor, clip: ClipConfig, *, crops: int = 1, whole: int = WHOLE) -> Tensor:
    """Apply :func:`eval_views` to single frames, uint8 ``(n, c, h, w)`` -> float ``(crops, n, c, *clip.frame_size)``.

    Only a few frames are held as floats at once, and only the cropped part of very wide or very tall ones, which is
    that of resized frames of more than ``whole`` pixels.
    """
    check_pixels(frames)
    tall, wide = clip.frame_size
    full, places = _plan((frames.shape[-2], frames.shape[-1]), clip, crops)
    views = torch.empty(crops, *frames.shape[:2], tall, wide)
    together = max(_PART // max(math.prod(frames.shape[1:]), 1), 1)
    for start in range(0, len(frames), together):
        part = frames[start : start + together]
        if math.prod(full) <= whole:
            resized = resize(part, full)
            pieces = [resized[..., y : y + tall, x : x + wide] for y, x in places]
        else:
            pieces = [_piece(part, full, (y, x, tall, wide)) for y, x in places]
        for view, piece in zip(views, pieces, strict=True):
            view[start : start + together] = normalise(piece, clip)
    return views


def areas(size: tuple[int, int], clip: ClipConfig, *, crops: int = 1) -> list[tuple[float, float, float, float]]:
    """Where the crops of :func:`eval_frames` lie in a frame of a height and width: top, left, height and width each.

    In pixels of the frame, which need not be whole ones. Crops may be the same, such as all three of a square frame.
    """
    full, places = _plan(size, clip, crops)
    down, across = (side / resized for side, resized in zip(size, full, strict=True))
    tall, wide = clip.frame_size
    return [(y * down, x * across, tall * down, wide * across) for y, x in places]


def _plan(size: tuple[int, int], clip: ClipConfig, crops: int) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """Return the size to which frames are resized, and the top and left of each crop in them."""
    tall, wide = clip.frame_size
    room = (tall, wide) if crops == 3 else (round(tall * ONE_CROP), round(wide * ONE_CROP))
    full = covering(size, room)
    return full, _corners(full, (tall, wide), crops)


def _piece(frames: Tensor, full: tuple[int, int], box: tuple[int, int, int, int]) -> Tensor:
    """Return the box (top, left, height, width) of frames resized to ``full``, without computing the rest."""
    top, left, tall, wide = box
    height, width = frames.shape[-2:]
    first_row, rows = _weights(height, full[0], range(top, top + tall))
    first_column, columns = _weights(width, full[1], range(left, left + wide))
    seen = frames[..., first_row : first_row + rows.shape[1], first_column : first_column + columns.shape[1]]
    return rows @ seen.float() @ columns.T


def _weights(length: int, new: int, wanted: range) -> tuple[int, Tensor]:
    """Return the interpolation weights for resizing a line of ``length`` pixels to ``new``, for the ``wanted`` ones.

    Returns the first source pixel with a weight, and one row of weights for each wanted pixel: the triangle filter of
    antialiased bilinear resizing, as in torch and Pillow.
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
    """Raise ``ValueError`` unless frames are uint8 with three channels: floats between 0 and 1 would look black."""
    if frames.dtype != torch.uint8 or frames.shape[-3] != 3:
        raise ValueError(
            f"frames are {frames.dtype} of shape {tuple(frames.shape)}; they must be uint8 RGB pixels (..., 3, h, w): "
            "convert them first, or use normalise() on float pixels 0 to 255."
        )
