"""Parts of image models that need no counterpart here: they are merged into other tensors, with the same results."""

import math
import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from timesformer.weights.report import WeightsError

SCALED = {"ls1": "attn.proj", "ls2": "mlp.fc2"}
"""The linear layer whose outputs a layer scale multiplies."""
LAYER_SCALE = "layer scale is multiplied into attn.proj and mlp.fc2, with the same results"
NO_PLACE = "the class token has no position (no_embed_class): its row of the position embedding is zero"


def merge_layer_scale(tensors: Mapping[str, Tensor], source: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Multiply layer scales into the linear layers before them, rows of the weight and bias; return a note on it.

    Raises :class:`WeightsError` where a layer scale doesn't fit its linear layer.
    """
    merged = dict(tensors)
    scales = [name for name in tensors if re.fullmatch(r"blocks\.\d{1,18}\.ls[12]\.gamma", name)]
    for name in scales:
        block, scale, _ = name.rsplit(".", 2)
        gamma = merged.pop(name).float()
        for part in ("weight", "bias"):
            target = f"{block}.{SCALED[scale]}.{part}"
            value = merged.get(target)
            if value is None or value.ndim == 0 or gamma.shape != value.shape[:1]:
                raise WeightsError(f"{source}: {name} doesn't fit {target}; get the complete file.")
            merged[target] = value.float() * gamma.reshape(-1, *[1] * (value.ndim - 1))
    return merged, (LAYER_SCALE,) if scales else ()


def merge_bias(tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Merge what DINOv3's files keep beside the bias of qkv: a mask over it, or timm's parts of queries and values.

    Raises :class:`WeightsError` where a mask doesn't fit.
    """
    merged = dict(tensors)
    for name in tensors:
        block, mask, _ = name.partition("attn.qkv.bias_mask")
        bias = merged.get(f"{block}attn.qkv.bias")
        if mask:
            if bias is None or bias.shape != tensors[name].shape:
                raise WeightsError(f"{source}: {name} doesn't fit the bias of qkv; get the complete file.")
            merged[f"{block}attn.qkv.bias"] = torch.where(merged.pop(name) == 1, bias, 0)
        block, query, _ = name.partition("attn.q_bias")
        if query and f"{block}attn.v_bias" in tensors:
            first, last = merged.pop(name), merged.pop(f"{block}attn.v_bias")
            merged.pop(f"{block}attn.k_bias", None)  # stored as zeros
            merged[f"{block}attn.qkv.bias"] = torch.cat([first, torch.zeros_like(first), last])
    return merged


def merge_prefix(
    tensors: Mapping[str, Tensor], grids: Iterable[tuple[int, int]]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Let the position embedding be for the class token and patches alone; return notes on what was merged.

    Registers with a position get it added. A class token without one gets a row of zeros. The distillation token of
    DeiT becomes a register, which it is for all other tokens. ``grids`` are the patch grids that may be expected where
    they aren't square. Tensors of unexpected shapes stay as they are.
    """
    merged = dict(tensors)
    notes: tuple[str, ...] = ()
    position, token = merged.get("pos_embed"), merged.get("cls_token")
    if position is None or token is None or position.ndim != 3 or token.ndim != 3:
        return merged, notes
    if "dist_token" in merged and "reg_token" not in merged:
        merged["reg_token"] = merged.pop("dist_token")
        notes = (
            "distilled DeiT: its distillation token becomes a register token; its own model also averages two heads",
        )
    registers = merged.get("reg_token")
    if registers is not None and (registers.ndim != 3 or registers.shape[::2] != position.shape[::2]):
        return merged, notes
    count = 0 if registers is None else registers.shape[1]
    placed = _placed(position.shape[1], count, [rows * columns for rows, columns in grids])
    if placed == 0:
        merged["pos_embed"] = torch.cat([torch.zeros_like(position[:, :1]), position], dim=1)
        return merged, (*notes, NO_PLACE)
    if placed > 1 and registers is not None:
        merged["reg_token"] = registers.float() + position[:, 1:placed].float()
        merged["pos_embed"] = torch.cat([position[:, :1], position[:, placed:]], dim=1)
    return merged, notes


def _placed(rows: int, registers: int, patches: list[int]) -> int:
    """How many tokens before the patches have a row in a position embedding: usually the class token alone."""
    counts = (1, 0, 1 + registers)
    known = [count for count in counts if rows - count in patches]
    square = [count for count in counts if rows > count and math.isqrt(rows - count) ** 2 == rows - count]
    return (known or square or [1])[0]


def without_other_heads(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...], tuple[str, ...]]:
    """Leave out a head that isn't a linear layer with bias on the class token; return its names, and a note on it."""
    weight, token = tensors.get("head.weight"), tensors.get("cls_token")
    if weight is None or token is None:
        return dict(tensors), (), ()
    if "head.bias" in tensors and (weight.ndim != 2 or weight.shape[1] == token.shape[-1]):
        return dict(tensors), (), ()
    names = tuple(name for name in ("head.weight", "head.bias") if name in tensors)
    kept = {name: value for name, value in tensors.items() if name not in names}
    return kept, names, ("its head isn't a classifier of the class token: left out",)
