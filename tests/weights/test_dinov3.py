"""DINOv3 in transformers' format gives its own features, from a folder or a bare file, in every scheme."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import DINOv3ViTConfig, DINOv3ViTModel

from tests.made_weights import randomise
from timesformer.weights.loading import load
from timesformer.weights.report import WeightsError


def made(**changes: Any) -> DINOv3ViTModel:
    settings = {
        "image_size": 48, "patch_size": 8, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3,
        "intermediate_size": 96, "num_register_tokens": 4,
    }  # fmt: skip
    model = DINOv3ViTModel(DINOv3ViTConfig(**settings | changes)).eval()
    randomise(model)
    return model


@pytest.mark.parametrize("size", [48, (16, 40)])
@torch.no_grad()
def test_a_folder_gives_its_models_features_at_its_own_size_and_another(size: Any, tmp_path: Path) -> None:
    model = made()
    model.save_pretrained(tmp_path)
    loaded = load(tmp_path, scheme="space", frames=1, classes=3, size=size)
    images = torch.randn(2, 3, *loaded.model.config.frame_size)
    torch.testing.assert_close(
        loaded.model.features(images[:, None]), model(images).pooler_output, rtol=1e-5, atol=1e-5
    )
    config = loaded.model.config
    assert (config.rotary, config.registers, config.norm_eps, config.heads) == (True, 4, 1e-5, 3)
    assert loaded.clip.mean == (0.485, 0.456, 0.406)
    assert loaded.report is not None and loaded.report.unused == ("embeddings.mask_token",)


@pytest.mark.parametrize("scheme", ["space", "divided"])
@torch.no_grad()
def test_a_still_clip_gives_the_image_models_features(scheme: Any, tmp_path: Path) -> None:
    model = made()
    torch.save(model.state_dict(), tmp_path / "model.pth")
    loaded = load(tmp_path / "model.pth", scheme=scheme, frames=3, classes=3, size=32, heads=3)
    images = torch.randn(2, 3, 32, 32)
    features = loaded.model.features(images[:, None].expand(-1, 3, -1, -1, -1))
    torch.testing.assert_close(features, model(images).pooler_output, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scheme", ["joint", "local_global", "axial"])
def test_every_other_scheme_starts_from_it(scheme: Any, tmp_path: Path) -> None:
    made().save_pretrained(tmp_path)
    model: nn.Module = load(tmp_path, scheme=scheme, frames=2, classes=3).model
    assert model(torch.randn(1, 2, 3, 48, 48)).isfinite().all()


def test_a_gated_mlp_and_another_base_are_refused(tmp_path: Path) -> None:
    made(use_gated_mlp=True).save_pretrained(tmp_path / "gated")
    with pytest.raises(WeightsError, match="its MLP is a SwiGLU"):
        load(tmp_path / "gated", classes=3)
    made().save_pretrained(tmp_path / "other")
    path = tmp_path / "other" / "config.json"
    stated = json.loads(path.read_text())
    path.write_text(json.dumps(stated | {"rope_theta": 50.0} | {"rope_parameters": None}))
    with pytest.raises(WeightsError, match="another base than 100"):
        load(tmp_path / "other", classes=3)
