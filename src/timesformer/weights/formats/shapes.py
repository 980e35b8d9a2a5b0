"""The config of the model that tensors fit, read off their shapes."""

import math
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from timesformer.config.checks import ConfigError, sides
from timesformer.config.model import ModelConfig, Scheme
from timesformer.weights.formats.settings import Settings
from timesformer.weights.report import WeightsError

OTHER_HEADS = {1280: 16, 1408: 16, 1664: 16}
"""Heads of the image transformers whose heads aren't 64 wide (ViT-H, ViT-g and ViT-G), by width."""
MOCO_SMALL = 384
"""Width of ViT-S, which has 6 heads in most published models and 12 in MoCo v3."""
ROTARY_SIZE = 224
"""Frame size of a model with rotary positions, which fit any, where none is stated."""
NOT_STATED = "heads not stated"
HOW_HEADS = "if that is wrong, give the number: heads=N (--heads N; train: --model.heads N)"


def model_config(
    tensors: Mapping[str, Tensor],
    scheme: Scheme,
    depth: int,
    stated: Settings,
    *,
    size: int | tuple[int, int] | None,
    heads: int | None,
    known_heads: int | None,
    source: str,
) -> tuple[ModelConfig, tuple[str, ...]]:
    """Return the config that tensors fit, and a note on the heads where they are assumed.

    ``heads`` are the caller's; ``known_heads`` are those of a published model that the tensors were recognised as.
    """
    base = stated.ours.model if stated.ours else ModelConfig()
    width = _shape(tensors, "embedding.class_token", 3, source)[2]
    patch = _shape(tensors, "embedding.patch.weight", 4, source)[3]
    hidden = _shape(tensors, "blocks.0.mlp.0.weight", 2, source)[0]
    rotary = stated.model.get("rotary") is True
    frames = stated.clip.get("frames") or (base.frames if stated.ours else 8)
    if "embedding.time" in tensors:
        frames = _shape(tensors, "embedding.time", 3, source)[1]
    classes = _shape(tensors, "head.weight", 2, source)[0] if "head.weight" in tensors else 1
    guess: tuple[str, ...] = ()
    if stated.heads or stated.ours:
        heads = stated.heads or base.heads
    elif heads is None:
        heads = known_heads or _usual_heads(width)
        guess = (_assumed_heads(heads, width, published=known_heads is not None),)
    try:
        known = base.grid if stated.ours else None
        if stated.size and patch:
            known = known or (stated.size[0] // patch, stated.size[1] // patch)
        if rotary and patch:
            height, width_ = sides(size) if size else stated.size or sides(ROTARY_SIZE)
            grid = known or (height // patch, width_ // patch)
        else:
            grid = _grid(_shape(tensors, "embedding.position", 3, source)[1] - 1, patch, known, size, source)
        pixels = (grid[0] * patch, grid[1] * patch)
        return replace(
            base,
            scheme=scheme,
            frames=frames,
            size=base.size if pixels == base.frame_size else pixels[0] if pixels[0] == pixels[1] else pixels,
            patch=patch,
            width=width,
            depth=depth,
            heads=heads,
            mlp_ratio=mlp_ratio(hidden, width, base.mlp_ratio),
            classes=classes,
            registers=tensors["embedding.registers"].shape[1] if "embedding.registers" in tensors else 0,
            norm_pre="norm_pre.weight" in tensors,
            **stated.model,
        ), guess
    except ConfigError as error:
        raise WeightsError(f"{source}: {error}") from error


def _usual_heads(width: int) -> int:
    """Return the usual number of heads for a width: 64 wide, as in published models, or as near as the width allows."""
    usual = OTHER_HEADS.get(width, max(width // 64, 1))
    return next(heads for heads in range(usual, 0, -1) if width % heads == 0)


def _assumed_heads(heads: int, width: int, *, published: bool) -> str:
    """Return the note on an assumed number of heads."""
    other = "; MoCo v3's ViT-S has 12" if width == MOCO_SMALL else ""
    why = ", as in MoCo v3's ViT-S" if published else f", {width // heads} wide{other}"
    return f"{NOT_STATED}: {heads} assumed{why}; {HOW_HEADS}"


def mlp_ratio(hidden: int, width: int, known: float) -> float:
    """Return the ratio that gives a hidden width: the known one if it fits, else the quotient, rounded up if needed."""
    quotient = hidden / width
    candidates = (known, quotient, math.nextafter(quotient, math.inf))
    return next((ratio for ratio in candidates if int(width * ratio) == hidden), quotient)


def _grid(
    patches: int, patch: int, known: tuple[int, int] | None, size: int | tuple[int, int] | None, source: str
) -> tuple[int, int]:
    """Return rows and columns of a position embedding: as described, else square, else those of the wanted size."""
    if known is not None and known[0] * known[1] == patches:
        return known
    side = math.isqrt(max(patches, 0))
    if side * side == patches:
        return side, side
    if isinstance(size, tuple) and patch and (size[0] // patch) * (size[1] // patch) == patches:
        return size[0] // patch, size[1] // patch
    raise WeightsError(
        f"{source} has a position embedding of {patches} patches, which is not a square grid; "
        f"give its frame size as size=(height, width) (--size HEIGHT WIDTH)."
    )


def _shape(tensors: Mapping[str, Tensor], name: str, dimensions: int, source: str) -> tuple[int, ...]:
    """Return the shape of a required tensor; raises :class:`WeightsError` if it is missing or has other dimensions."""
    if name not in tensors:
        raise WeightsError(f"{source} has no {name}, which the backbone needs; get the complete file.")
    shape = tuple(tensors[name].shape)
    if len(shape) != dimensions or 0 in shape:
        raise WeightsError(f"{source}: {name} has shape {list(shape)}; {dimensions} dimensions are needed.")
    return shape
