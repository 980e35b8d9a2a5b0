"""Image models that a TimeSformer can't express are refused with the reason and the nearest model that it can."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.made_weights import vit
from timesformer.weights.formats.images import refused
from timesformer.weights.image_models import IMAGE_MODELS
from timesformer.weights.loading import load
from timesformer.weights.report import WeightsError

transformers = pytest.importorskip("transformers")
TINY: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
PATCHES = {"image_size": 32, "patch_size": 8}


@pytest.mark.parametrize(
    ("model", "settings", "words"),
    [
        ("Beit", {**TINY, **PATCHES, "use_relative_position_bias": True}, "relative position biases"),
        ("SiglipVision", {**TINY, **PATCHES}, "no class token"),
        ("IJepa", {**TINY, **PATCHES}, "no class token"),
        ("Swin", {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2]}, "windows"),
        (
            "Hiera",
            {"image_size": [224, 224], "embed_dim": 8, "depths": [1] * 4, "num_heads": [1] * 4},
            "windows or stages",
        ),
        ("Dinov2", {**TINY, **PATCHES, "use_swiglu_ffn": True}, "SwiGLU"),
        ("DINOv3ViT", {**TINY, **PATCHES, "use_gated_mlp": True}, "SwiGLU"),
    ],
)
@pytest.mark.parametrize("with_config", [True, False])
def test_models_of_transformers_are_refused_with_the_reason_in_a_folder_and_as_a_bare_file(
    model: str, settings: dict[str, Any], words: str, with_config: bool, tmp_path: Path
) -> None:
    made = getattr(transformers, f"{model}Model")(getattr(transformers, f"{model}Config")(**settings))
    made.save_pretrained(tmp_path)
    path = tmp_path if with_config else (tmp_path / "model.safetensors").rename(tmp_path / "weights")
    with pytest.raises(WeightsError, match=f"{words}.*; start from .* instead"):
        load(path, classes=2)


def without(tensors: dict[str, Tensor], *names: str) -> dict[str, Tensor]:
    return {name: value for name, value in tensors.items() if name not in names}


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({**vit(), "blocks.0.attn.relative_position_bias_table": torch.ones(9, 1)}, "relative position biases"),
        ({**vit(), "blocks.0.mlp.w12.weight": torch.ones(9, 9)}, "SwiGLU"),
        ({**vit(), "blocks.0.attn.q_norm.weight": torch.ones(64)}, "normalises queries and keys"),
        ({**vit(), "rope.freqs_cis": torch.ones(9)}, "rotary"),
        (without(vit(), "cls_token"), "no class token"),
        (without(vit(), "pos_embed"), "without position embedding"),
        ({"layers.0.blocks.0.attn.qkv.weight": torch.ones(9, 9)}, "windows"),
    ],
)
def test_bare_files_are_refused_by_the_names_of_their_tensors(
    tensors: dict[str, Tensor], words: str, tmp_path: Path
) -> None:
    torch.save(tensors, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match=words):
        load(tmp_path / "model.pth", classes=2)


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        ("beit_base_patch16_224", "relative"),
        ("swin_base_patch4_window7_224", "windows"),
        ("eva02_base_patch14_224", "rotary"),
        ("vit_base_patch16_siglip_224", "no class token"),
    ],
)
def test_timms_folders_are_refused_by_their_architecture(architecture: str, words: str, tmp_path: Path) -> None:
    torch.save(vit(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": architecture}))
    with pytest.raises(WeightsError, match=f"{architecture} model: .*{words}"):
        load(tmp_path, classes=2)


def test_the_named_alternatives_are_listed_image_models() -> None:
    names = {model.name for model in IMAGE_MODELS}
    obstacles = [*refused.BY_TYPE.values(), *refused.BY_ARCHITECTURE.values(), *(pair[1] for pair in refused.BY_NAME)]
    assert {name for obstacle in obstacles for name in obstacle.nearest.split(" or ")} <= names
