"""The tensor names of transformers' and OpenCLIP's image models, as timm's names, which all image models share here."""

import re
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from timesformer.weights.formats.images.jax import join_attention
from timesformer.weights.report import WeightsError

ImageLayout = Literal["vit", "clip", "openclip"]
"""Names of image models: transformers' ViT and its relatives, transformers' CLIP, and OpenCLIP."""

WITH_HEAD = re.compile(r"(?:vit|deit|dinov2|dinov2_with_registers)\.$")
"""Prefix of transformers' backbones, beside which their classifier is stored."""
PATTERNS: dict[ImageLayout, tuple[str, str]] = {
    "vit": (
        r"embeddings\.cls_token$",
        r"(?:(?:encoder\.|model\.)?layer|layers)\.\d{1,18}\.attention\.(?:attention\.query|q_proj)\.",
    ),
    "clip": (r"embeddings\.class_embedding$", r"encoder\.layers\.\d{1,18}\.self_attn\."),
    "openclip": (r"class_embedding$", r"transformer\.resblocks\.\d{1,18}\."),
}
"""The name of a layout's class token, which text models lack, and the pattern of its block names."""

BLOCKS: dict[ImageLayout, str] = {
    "vit": r"(?:(?:encoder\.|model\.)?layer|layers)\.(\d{1,18})\.",
    "clip": r"encoder\.layers\.(\d{1,18})\.",
    "openclip": r"transformer\.resblocks\.(\d{1,18})\.",
}
TRUNKS: dict[ImageLayout, dict[str, str]] = {
    "vit": {
        "embeddings.cls_token": "cls_token",
        "embeddings.position_embeddings": "pos_embed",
        "embeddings.register_tokens": "reg_token",
        "embeddings.distillation_token": "dist_token",
        "embeddings.patch_embeddings.projection": "patch_embed.proj",
        "embeddings.patch_embeddings": "patch_embed.proj",
        "layernorm": "norm",
        "classifier": "head",
    },
    "clip": {
        "embeddings.class_embedding": "cls_token",
        "embeddings.position_embedding.weight": "pos_embed",
        "embeddings.patch_embedding": "patch_embed.proj",
        "pre_layrnorm": "norm_pre",  # so spelled in transformers
        "post_layernorm": "norm",
    },
    "openclip": {
        "class_embedding": "cls_token",
        "positional_embedding": "pos_embed",
        "conv1": "patch_embed.proj",
        "ln_pre": "norm_pre",
        "ln_post": "norm",
    },
}
INNER: dict[ImageLayout, dict[str, str]] = {
    "vit": {
        "layernorm_before": "norm1",
        "layernorm_after": "norm2",
        "attention.attention.query": "attn.query",
        "attention.attention.key": "attn.key",
        "attention.attention.value": "attn.value",
        "attention.output.dense": "attn.proj",
        "attention.q_proj": "attn.query",  # in the memory of transformers 5, and in state dicts saved from it
        "attention.k_proj": "attn.key",
        "attention.v_proj": "attn.value",
        "attention.o_proj": "attn.proj",
        "intermediate.dense": "mlp.fc1",
        "output.dense": "mlp.fc2",
        "mlp.up_proj": "mlp.fc1",
        "mlp.down_proj": "mlp.fc2",
        "layer_scale1.lambda1": "ls1.gamma",
        "layer_scale2.lambda1": "ls2.gamma",
    },
    "clip": {
        "layer_norm1": "norm1",
        "layer_norm2": "norm2",
        "self_attn.q_proj": "attn.query",
        "self_attn.k_proj": "attn.key",
        "self_attn.v_proj": "attn.value",
        "self_attn.out_proj": "attn.proj",
    },
    "openclip": {
        "ln_1": "norm1",
        "ln_2": "norm2",
        "attn.in_proj_weight": "attn.qkv.weight",
        "attn.in_proj_bias": "attn.qkv.bias",
        "attn.out_proj": "attn.proj",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
        "ls_1.gamma": "ls1.gamma",
        "ls_2.gamma": "ls2.gamma",
    },
}
ORIGINAL = {"register_tokens": "reg_token", "storage_tokens": "reg_token"}
"""Names of the original DINOv2 and DINOv3 code that timm spells otherwise."""


def to_timm(tensors: Mapping[str, Tensor], layout: ImageLayout) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return an image model's tensors under timm's names, and the mapping from these to the given names.

    Queries, keys and values become one tensor, and CLIP's class token and positions get timm's dimensions. Other
    tensors keep their names, in blocks with timm's prefix of the block. Raises :class:`WeightsError` for two tensors
    of the same name.
    """
    names = {name: _timm_name(name, layout) for name in tensors}
    return _renamed(tensors, names)


def from_original(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return tensors in the names of an original DINOv2 or DeiT III file under timm's names, as :func:`to_timm`.

    DINOv2's training code numbers its blocks by chunk and block, ``blocks.0.3.``; the second number is the block's.
    """
    names: dict[str, str] = {}
    for name in tensors:
        short = re.sub(r"^blocks\.\d{1,18}\.(\d{1,18}\.)", r"blocks.\1", ORIGINAL.get(name, name))
        names[name] = re.sub(r"^(blocks\.\d{1,18}\.)gamma_([12])$", r"\1ls\2.gamma", short)
    return _renamed(tensors, names)


def _renamed(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    origin = {new: old for old, new in names.items()}
    if len(origin) < len(names):
        twice = next(new for old, new in names.items() if origin[new] != old)
        raise WeightsError(f"the weights have two tensors for {twice:.80}; save the model again.")
    renamed = {new: _shaped(tensors[old], new) for old, new in names.items()}
    return join_attention(_with_key_bias(renamed)), origin


def _with_key_bias(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add a zero bias of the keys where only queries and values have one, as in DINOv3; it has no effect anyway."""
    filled = dict(tensors)
    for name, value in tensors.items():
        block, query, _ = name.partition("attn.query.bias")
        if query and f"{block}attn.value.bias" in tensors:
            filled.setdefault(f"{block}attn.key.bias", torch.zeros_like(value))
    return filled


def _timm_name(name: str, layout: ImageLayout) -> str:
    text = re.sub(rf"^{WITH_HEAD.pattern.removesuffix('$')}", "", name) if layout == "vit" else name
    if block := re.match(BLOCKS[layout], text):
        return f"blocks.{block[1]}.{_look_up(text[block.end() :], INNER[layout])}"
    return _look_up(text, TRUNKS[layout])


def _look_up(name: str, table: Mapping[str, str]) -> str:
    """Replace a whole name, or one in front of "weight" or "bias", as a table says."""
    stem, dot, part = name.rpartition(".")
    if name in table:
        return table[name]
    return f"{table[stem]}.{part}" if dot and stem in table and part in ("weight", "bias") else name


def _shaped(value: Tensor, name: str) -> Tensor:
    """Give CLIP's class token (d,) and positions (n, d) the three dimensions of timm's."""
    if name == "cls_token" and value.ndim == 1:
        return value[None, None]
    return value[None] if name == "pos_embed" and value.ndim == 2 else value
