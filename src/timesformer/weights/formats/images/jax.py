"""The arrays of the original JAX release of ViT, under timm's names."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

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
    return join_attention(tensors)


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


def join_attention(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
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
