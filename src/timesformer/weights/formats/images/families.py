"""The families of image models, and what is known about each beside its tensors."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from timesformer.weights.formats.images.names import ImageLayout

Normalisation = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Mean and standard deviation of each colour channel, for pixels between 0 and 1."""
IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP: Normalisation = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
HALF: Normalisation = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Family:
    """Image models of one kind, and what their own code computes where a file doesn't state it."""

    title: str
    normalisation: Normalisation | None = None
    """Taken where the source states none; None: that of the official TimeSformer weights."""
    eps: float = 1e-6
    """Epsilon of every LayerNorm."""
    activation: Literal["gelu", "quick_gelu"] = "gelu"
    resize: Literal["nearest", "smooth"] = "smooth"
    """Interpolation of the position embedding: bicubic ("smooth"), or nearest, as the official TimeSformer code does
    with plain ViT weights."""
    antialias: bool = False
    """Whether the bicubic interpolation has antialiasing."""
    rotary: bool = False
    """Whether queries and keys are rotated, as in DINOv3, instead of a position embedding."""
    recognised: bool = True
    """Whether it can't be a video model of the space scheme instead."""
    notes: tuple[str, ...] = ()


HUGGING_FACE: dict[str, Family] = {
    "vit": Family("ViT of transformers", HALF, 1e-12),
    "deit": Family("DeiT of transformers", IMAGENET, 1e-12),
    "vit_mae": Family("MAE of transformers", IMAGENET, 1e-12),
    "vit_msn": Family("MSN of transformers", IMAGENET),
    "dinov2": Family("DINOv2 of transformers", IMAGENET),
    "dinov2_with_registers": Family("DINOv2 with registers of transformers", IMAGENET, antialias=True),
    "dinov3_vit": Family("DINOv3 of transformers", IMAGENET, 1e-5, rotary=True),
    "clip": Family("CLIP of transformers", CLIP, 1e-5, "quick_gelu"),
}
"""By the ``model_type`` of config.json."""
HUGGING_FACE["clip_vision_model"] = HUGGING_FACE["clip"]

GELU = (
    "no activation stated: GELU is assumed; if it was trained with QuickGELU (OpenAI, DFN, MetaCLIP), put its "
    "open_clip_config.json, or timm's config.json, beside the weights"
)
QUICK_GELU = (
    "QuickGELU, as the file's name says (quickgelu or openai); if it was trained with GELU, put its "
    "open_clip_config.json beside the weights"
)
OFFSET = (
    "its own code interpolates positions with an offset of 0.1 patches; here the sizes alone count, as in transformers"
)
PLAIN = Family("", resize="nearest", recognised=False)
TIMM = Family("timm", antialias=True)
TIMM_CLIP = Family("CLIP of timm", CLIP, 1e-5, antialias=True)
OPEN_CLIP = Family("OpenCLIP", CLIP, 1e-5, antialias=True)
OPENAI = Family("CLIP of OpenAI", CLIP, 1e-5, "quick_gelu", antialias=True)
DINO = Family("DINO", IMAGENET, notes=(OFFSET,))
DINOV2 = Family("DINOv2", IMAGENET, notes=(OFFSET,))
DINOV2_REGISTERS = Family("DINOv2 with registers", IMAGENET, antialias=True)
DINOV3 = Family("DINOv3", IMAGENET, 1e-5, rotary=True)
MAE = Family("MAE", IMAGENET)
DEIT3 = Family("DeiT III", IMAGENET)

OPENAI_MARKS = {"input_resolution", "context_length", "vocab_size"}
"""Entries of OpenAI's own files, which OpenCLIP's lack."""


def of_transformers(config: Mapping[str, Any], layout: ImageLayout, names: Collection[str]) -> Family:
    """Return the family of a model with transformers' names: by its config.json, or else by its tensors."""
    stated = config.get("model_type")
    if isinstance(stated, str) and stated in HUGGING_FACE:
        return HUGGING_FACE[stated]
    if layout == "clip":
        return HUGGING_FACE["clip"]
    if not any(name.endswith("position_embeddings") for name in names):
        return HUGGING_FACE["dinov3_vit"]
    if any("layer_scale1" in name for name in names):
        registers = any(name.endswith("register_tokens") for name in names)
        return HUGGING_FACE["dinov2_with_registers" if registers else "dinov2"]
    if any(name.endswith("distillation_token") for name in names):
        return HUGGING_FACE["deit"]
    if any("decoder.decoder_layers." in name for name in names):
        return HUGGING_FACE["vit_mae"]
    eps = "no config.json: LayerNorm's epsilon of 1e-12 is assumed"
    return Family("ViT of transformers", None, 1e-12, notes=(eps,))


def of_openclip(config: Mapping[str, Any], names: Collection[str], file: str) -> Family:
    """Return the family of a model with OpenCLIP's names, by its open_clip_config.json or OpenAI's own entries.

    Where neither is there, the name of the ``file`` says it, as in "ViT-B-16-quickgelu-openai.pt".
    """
    stated = config.get("model_cfg")
    if isinstance(stated, dict):
        return OPENAI if stated.get("quick_gelu") is True else OPEN_CLIP
    if set(names) >= OPENAI_MARKS:
        return OPENAI
    if re.search(r"quick_?gelu|openai", file.lower()):
        return Family(OPEN_CLIP.title, CLIP, 1e-5, "quick_gelu", antialias=True, notes=(QUICK_GELU,))
    return Family(OPEN_CLIP.title, CLIP, 1e-5, antialias=True, notes=(GELU,))


def of_timm(config: Mapping[str, Any], tensors: Mapping[str, Tensor], names: Collection[str], held: str) -> Family:
    """Return the family of a model with timm's names, which the original files of DINO, MAE and DeiT share.

    ``names`` are those of all tensors of the file, and ``held`` is the name of the chosen model in it.
    """
    architecture = config.get("architecture")
    if isinstance(architecture, str):
        if "pos_embed" not in tensors:
            return DINOV3
        return _of_architecture(architecture, config.get("model_args"), "norm_pre.weight" in tensors)
    if "norm_pre.weight" in tensors:
        return Family(TIMM_CLIP.title, CLIP, 1e-5, antialias=True, notes=(GELU,))
    if any(re.fullmatch(r"blocks\.\d{1,18}\.ls1\.gamma", name) for name in tensors):
        return _with_layer_scale(tensors)
    if any(name.split(".")[-1] == "decoder_pos_embed" for name in names):
        return MAE
    if any(".head.mlp." in f".{name}" for name in names) and {"teacher", "student"} & set(held.split(".")):
        return DINO
    return PLAIN


def _of_architecture(architecture: str, arguments: object, is_clip: bool) -> Family:
    """Return timm's family of an architecture; CLIP's have a LayerNorm before the blocks."""
    family = TIMM_CLIP if is_clip else TIMM
    changed = arguments.get("act_layer") if isinstance(arguments, dict) else None
    if "quickgelu" in architecture or changed in ("quick_gelu", "quickgelu"):
        return Family(family.title, family.normalisation, family.eps, "quick_gelu", antialias=True)
    return family


def _with_layer_scale(tensors: Mapping[str, Tensor]) -> Family:
    """Return the family of a bare file with layer scale: patches of 14 px or a mask token are DINOv2's."""
    patch = tensors.get("patch_embed.proj.weight")
    if "pos_embed" not in tensors:
        return DINOV3
    dinov2 = "mask_token" in tensors or (patch is not None and patch.shape[-1] == 14)
    if not dinov2:
        return DEIT3
    return DINOV2_REGISTERS if "reg_token" in tensors else DINOV2
