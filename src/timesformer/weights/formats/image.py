"""Image transformers: timm and DeiT files, and the arrays of the original JAX release."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from timesformer.config.checks import fits
from timesformer.weights.report import WeightsError


def is_jax(names: Mapping[str, Tensor]) -> bool:
    """Whether arrays are those of a vision transformer of the original JAX release."""
    return any(name.endswith("embedding/kernel") for name in names)


def from_jax(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the original release's arrays to timm's names, with kernels transposed and q, k and v concatenated."""
    prefix = next(name for name in arrays if name.endswith("embedding/kernel"))[: -len("embedding/kernel")]
    tensors: dict[str, Tensor] = {}
    for name, value in arrays.items():
        short = name.removeprefix(prefix)
        if short == "embedding/kernel":
            tensors["patch_embed.proj.weight"] = _dimensions(value, 4, name).permute(3, 2, 0, 1)
        elif short in JAX_TRUNK:
            tensors[JAX_TRUNK[short]] = value.T if short == "head/kernel" else value
        elif match := re.match(r"Transformer/encoderblock_(\d{1,18})/(.+)", short):
            _block_tensor(tensors, f"blocks.{match[1]}.", match[2], value)
        else:
            tensors[name] = value
    return _join(tensors)


JAX_TRUNK = {
    "embedding/bias": "patch_embed.proj.bias",
    "cls": "cls_token",
    "Transformer/posembed_input/pos_embedding": "pos_embed",
    "Transformer/encoder_norm/scale": "norm.weight",
    "Transformer/encoder_norm/bias": "norm.bias",
    "head/kernel": "head.weight",
    "head/bias": "head.bias",
}
JAX_BLOCK = {
    "LayerNorm_0/scale": "norm1.weight",
    "LayerNorm_0/bias": "norm1.bias",
    "LayerNorm_2/scale": "norm2.weight",
    "LayerNorm_2/bias": "norm2.bias",
    "MlpBlock_3/Dense_0/kernel": "mlp.fc1.weight",
    "MlpBlock_3/Dense_0/bias": "mlp.fc1.bias",
    "MlpBlock_3/Dense_1/kernel": "mlp.fc2.weight",
    "MlpBlock_3/Dense_1/bias": "mlp.fc2.bias",
    "MultiHeadDotProductAttention_1/out/kernel": "attn.proj.weight",
    "MultiHeadDotProductAttention_1/out/bias": "attn.proj.bias",
}


def _block_tensor(tensors: dict[str, Tensor], block: str, name: str, value: Tensor) -> None:
    """Convert one array of a block: heads are concatenated, kernels become (out, in)."""
    if name == "MultiHeadDotProductAttention_1/out/kernel":  # (heads, d / heads, d)
        tensors[f"{block}attn.proj.weight"] = _dimensions(value, 3, name).flatten(0, 1).T
    elif name in JAX_BLOCK:
        tensors[block + JAX_BLOCK[name]] = value.T if name.endswith("kernel") and value.ndim == 2 else value
    elif match := re.fullmatch(r"MultiHeadDotProductAttention_1/(query|key|value)/(kernel|bias)", name):
        part = "weight" if match[2] == "kernel" else "bias"
        flat = _dimensions(value, 3, name).flatten(1).T if part == "weight" else value.flatten()
        tensors[f"{block}attn.{match[1]}.{part}"] = flat
    else:
        tensors[block + name] = value


def _join(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Concatenate queries, keys and values of each block, where all three exist with equal shapes."""
    joined = dict(tensors)
    for name in tensors:
        if match := re.fullmatch(r"(blocks\.\d+\.attn\.)query\.(weight|bias)", name):
            parts = [f"{match[1]}{which}.{match[2]}" for which in ("query", "key", "value")]
            if all(part in tensors and tensors[part].shape == tensors[name].shape for part in parts):
                joined[f"{match[1]}qkv.{match[2]}"] = torch.cat([joined.pop(part) for part in parts])
    return joined


def _dimensions(value: Tensor, count: int, name: str) -> Tensor:
    if value.ndim != count:
        raise WeightsError(f"{name} has shape {list(value.shape)}; {count} dimensions are needed: get the file again.")
    return value


def jax_heads(arrays: Mapping[str, Tensor]) -> int | None:
    """Return the number of heads, from the shape of the original release's kernels: (d, heads, d / heads)."""
    kernels = (value for name, value in arrays.items() if name.endswith("query/kernel") and value.ndim == 3)
    return next((kernel.shape[1] for kernel in kernels), None)


def without_distillation(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Remove a distilled DeiT's second token from the position embedding, and return a note if there was one."""
    position = tensors.get("pos_embed")
    if "dist_token" not in tensors or position is None or position.ndim != 3 or position.shape[1] < 3:
        return dict(tensors), ()
    kept = torch.cat([position[:, :1], position[:, 2:]], dim=1)
    return {**tensors, "pos_embed": kept}, ("distilled DeiT: row 1 of pos_embed, the distillation token's, left out",)


def remarks(tensors: Mapping[str, Tensor], source: str) -> tuple[str, ...]:
    """Return notes on the tensors of an image model.

    Raises :class:`WeightsError` for a model that pools its patches instead of using its class token.
    """
    if any(name.startswith("fc_norm.") for name in tensors):
        raise WeightsError(
            f"{source} has fc_norm: its head uses the average of the patches, which isn't supported; choose a ViT "
            "whose head uses the class token."
        )
    notes = [
        "no temporal part: taken for an image model; if it is a video model with space attention, pass scheme='space' "
        "(--scheme space; train: --model.scheme space)"
    ]
    if any(name.startswith("norm_pre.") for name in tensors):
        notes.append("norm_pre, a LayerNorm before the blocks, is left out: features differ from the image model's")
    return tuple(notes)


MOCO = ("base_encoder", "momentum_encoder")
"""Names of the two models in a file of MoCo v3."""
MOCO_SMALL_HEADS = 12
"""Heads of MoCo v3's ViT-S, whose width of 384 is usually divided into 6 heads."""


def moco_heads(model: str, tensors: Mapping[str, Tensor]) -> int | None:
    """Return the heads of MoCo v3's ViT-S, recognised by its width and the name of the model in the file, or None."""
    is_small = "cls_token" in tensors and tensors["cls_token"].shape[-1] == 384
    return MOCO_SMALL_HEADS if is_small and set(MOCO) & set(model.split(".")) else None


def timm_heads(config: Mapping[str, Any]) -> int | None:
    """Return the number of heads in a timm folder's config.json, if it differs from the architecture's."""
    stated = config.get("model_args")
    heads: Any = stated.get("num_heads") if isinstance(stated, dict) else None
    return heads if fits(heads, int) and heads > 0 else None


def timm_remarks(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return notes on settings in a timm folder's config.json that are not supported here."""
    name = config.get("architecture")
    if not isinstance(name, str) or "quickgelu" not in name:
        return ()
    return (f"architecture {name:.60}: GELU is computed here, so features differ from the image model's",)


def timm_clip(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the normalisation in a timm folder's config.json."""
    stated = config.get("pretrained_cfg", config)
    if not isinstance(stated, dict):
        return {}
    return {name: stated[name] for name in ("mean", "std") if name in stated}
