"""Made weights in foreign layouts, spelled out name by name and independent of the tables under test."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from timesformer.config.model import ModelConfig, Scheme
from timesformer.model.transformer import TimeSformer

SMALL = ModelConfig(frames=4, size=32, patch=8, width=64, depth=2, heads=1, mlp_ratio=1.5, classes=5)
"""One head of 64, as wide as the official models', so that it can be inferred."""
KINETICS_CFG = """DATA:
  CROP_SIZE: 224
  MEAN:
  - 0.45
  - 0.44
  - 0.43
  NUM_FRAMES: 4
  SAMPLING_RATE: 16
  STD: [0.225, 0.226, 0.227]
  TARGET_FPS: 25
  TRAIN_CROP_SIZE: 32
MODEL:
  ARCH: vit
TIMESFORMER:
  ATTENTION_TYPE: {attention}
  PRETRAINED_MODEL: ''
TRAIN:
  BATCH_SIZE: 8
  DATASET: kinetics
"""
ATTENTION = {"divided": "divided_space_time", "joint": "joint_space_time", "space": "space_only"}


def random_model(config: ModelConfig = SMALL, seed: int = 0) -> TimeSformer:
    """A model with random values in every tensor, extra linears and time embeddings too."""
    model = TimeSformer(config).eval()
    randomise(model, seed)
    return model


def randomise(model: nn.Module, seed: int = 0) -> None:
    """Random values of a size at which every tensor has a say in the logits, well above rounding."""
    generator = torch.Generator().manual_seed(seed)
    for value in model.parameters():
        spread = value[0].numel() ** -0.5 if value.ndim in (2, 4) else 0.5
        value.data = spread * torch.randn(value.shape, generator=generator)


def random_clips(config: ModelConfig = SMALL, frames: int | None = None) -> Tensor:
    """Two clips for a config's model."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, frames or config.frames, 3, *config.frame_size, generator=generator)


def same_logits(left: nn.Module, right: nn.Module, config: ModelConfig = SMALL) -> bool:
    """Whether two models give bit for bit the same logits."""
    clips = random_clips(config)
    with torch.no_grad():
        return torch.equal(left(clips), right(clips))


def official(model: TimeSformer) -> dict[str, Tensor]:
    """A model's tensors under the official names, without the ``model.`` prefix."""
    ours = model.state_dict()
    theirs = {
        "cls_token": ours["embedding.class_token"],
        "pos_embed": ours["embedding.position"],
    }
    if "embedding.time" in ours:
        theirs["time_embed"] = ours["embedding.time"]
    main = {"divided": "space", "joint": "joint", "space": "space"}[model.config.scheme]
    for part in ("weight", "bias"):
        theirs[f"patch_embed.proj.{part}"] = ours[f"embedding.patch.{part}"]
        theirs[f"norm.{part}"] = ours[f"norm.{part}"]
        theirs[f"head.{part}"] = ours[f"head.{part}"]
        for i in range(model.config.depth):
            block = f"blocks.{i}"
            theirs[f"{block}.norm1.{part}"] = ours[f"{block}.steps.{main}.norm.{part}"]
            theirs[f"{block}.attn.qkv.{part}"] = ours[f"{block}.steps.{main}.qkv.{part}"]
            theirs[f"{block}.attn.proj.{part}"] = ours[f"{block}.steps.{main}.proj.{part}"]
            theirs[f"{block}.norm2.{part}"] = ours[f"{block}.norm.{part}"]
            theirs[f"{block}.mlp.fc1.{part}"] = ours[f"{block}.mlp.0.{part}"]
            theirs[f"{block}.mlp.fc2.{part}"] = ours[f"{block}.mlp.2.{part}"]
            if model.config.scheme == "divided":
                theirs[f"{block}.temporal_norm1.{part}"] = ours[f"{block}.steps.time.norm.{part}"]
                theirs[f"{block}.temporal_attn.qkv.{part}"] = ours[f"{block}.steps.time.qkv.{part}"]
                theirs[f"{block}.temporal_attn.proj.{part}"] = ours[f"{block}.steps.time.proj.{part}"]
                theirs[f"{block}.temporal_fc.{part}"] = ours[f"{block}.steps.time.extra.{part}"]
    return theirs


def mmaction(model: TimeSformer) -> dict[str, Tensor]:
    """A model's tensors under MMAction2's names."""
    theirs: dict[str, Tensor] = {}
    for name, value in official(model).items():
        head, _, rest = name.partition(".")
        if head == "blocks":
            number, _, inner = rest.partition(".")
            layer = f"backbone.transformer_layers.layers.{number}."
            theirs[layer + _mmaction_block(inner, model.config.scheme)] = value
        elif head == "head":
            theirs[f"cls_head.fc_cls.{rest}"] = value
        else:
            theirs[f"backbone.{name.replace('proj', 'projection')}"] = value
    return theirs


def _mmaction_block(name: str, scheme: Scheme) -> str:
    stem, _, part = name.rpartition(".")
    if scheme == "divided":
        names = {
            "temporal_norm1": "attentions.0.norm.",
            "temporal_attn.qkv": "attentions.0.attn.in_proj_",
            "temporal_attn.proj": "attentions.0.attn.out_proj.",
            "temporal_fc": "attentions.0.temporal_fc.",
            "norm1": "attentions.1.norm.",
            "attn.qkv": "attentions.1.attn.in_proj_",
            "attn.proj": "attentions.1.attn.out_proj.",
            "norm2": "ffns.0.norm.",
        }
    else:
        names = {
            "norm1": "norms.0.",
            "attn.qkv": "attentions.0.attn.in_proj_",
            "attn.proj": "attentions.0.attn.out_proj.",
            "norm2": "norms.1.",
        }
    names |= {"mlp.fc1": "ffns.0.layers.0.0.", "mlp.fc2": "ffns.0.layers.1."}
    return names[stem] + part


def save_official(model: TimeSformer, path: Path, *, cfg: str | None = None, legacy: bool = False) -> Path:
    """A .pyth as the official training saves it."""
    content = {
        "epoch": 14,
        "model_state": {f"model.{name}": value for name, value in official(model).items()},
        "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]},
        "cfg": KINETICS_CFG.format(attention=ATTENTION[model.config.scheme]) if cfg is None else cfg,
    }
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def vit(config: ModelConfig = SMALL) -> dict[str, Tensor]:
    """An image transformer's tensors under timm's names."""
    return official(random_model(ModelConfig(**{**vars(config), "scheme": "space"})))


def jax_arrays(tensors: dict[str, Tensor], heads: int) -> dict[str, np.ndarray]:
    """timm's tensors as the arrays of the original JAX release."""
    width = tensors["cls_token"].shape[-1]
    arrays = {
        "cls": tensors["cls_token"],
        "embedding/kernel": tensors["patch_embed.proj.weight"].permute(2, 3, 1, 0),
        "embedding/bias": tensors["patch_embed.proj.bias"],
        "Transformer/posembed_input/pos_embedding": tensors["pos_embed"],
        "Transformer/encoder_norm/scale": tensors["norm.weight"],
        "Transformer/encoder_norm/bias": tensors["norm.bias"],
        "head/kernel": tensors["head.weight"].T,
        "head/bias": tensors["head.bias"],
    }
    for i in range(sum(name.endswith("norm1.weight") for name in tensors)):
        ours, theirs = f"blocks.{i}.", f"Transformer/encoderblock_{i}/"
        attention = f"{theirs}MultiHeadDotProductAttention_1/"
        for which, weight, bias in zip(
            ("query", "key", "value"),
            tensors[f"{ours}attn.qkv.weight"].chunk(3),
            tensors[f"{ours}attn.qkv.bias"].chunk(3),
            strict=True,
        ):
            arrays[f"{attention}{which}/kernel"] = weight.T.reshape(width, heads, -1)
            arrays[f"{attention}{which}/bias"] = bias.reshape(heads, -1)
        arrays[f"{attention}out/kernel"] = tensors[f"{ours}attn.proj.weight"].T.reshape(heads, -1, width)
        arrays[f"{attention}out/bias"] = tensors[f"{ours}attn.proj.bias"]
        for number, norm in ((0, "norm1"), (2, "norm2")):
            arrays[f"{theirs}LayerNorm_{number}/scale"] = tensors[f"{ours}{norm}.weight"]
            arrays[f"{theirs}LayerNorm_{number}/bias"] = tensors[f"{ours}{norm}.bias"]
        for number, layer in ((0, "fc1"), (1, "fc2")):
            arrays[f"{theirs}MlpBlock_3/Dense_{number}/kernel"] = tensors[f"{ours}mlp.{layer}.weight"].T
            arrays[f"{theirs}MlpBlock_3/Dense_{number}/bias"] = tensors[f"{ours}mlp.{layer}.bias"]
    return {name: value.numpy() for name, value in arrays.items()}
