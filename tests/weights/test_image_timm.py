"""Folders of timm give the features of timm's own models; skipped where timm isn't installed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.made_weights import randomise
from tests.weights.test_image_families import differ, images_of
from timesformer.weights.loading import load

timm = pytest.importorskip("timm", exc_type=ImportError)
TINY: dict[str, Any] = {"depth": 2, "embed_dim": 96, "num_heads": 3, "num_classes": 5}


@pytest.mark.parametrize(
    ("architecture", "patch"),
    [
        ("vit_base_patch16_224", 16),
        ("vit_base_patch8_224", 8),
        ("vit_small_patch14_dinov2", 14),
        ("vit_small_patch14_reg4_dinov2", 14),
        ("vit_small_patch16_dinov3", 16),
        ("vit_small_patch16_dinov3_qkvb", 16),
        ("deit3_base_patch16_224", 16),
        ("deit_base_distilled_patch16_224", 16),
        ("vit_base_patch16_clip_224", 16),
        ("vit_base_patch32_clip_quickgelu_224", 32),
    ],
)
def test_features_equal_those_of_timm_at_its_own_size_and_at_another(
    architecture: str, patch: int, tmp_path: Path
) -> None:
    size, other = 5 * patch, 3 * patch
    model = timm.create_model(architecture, img_size=size, **TINY).eval()
    randomise(model)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, tmp_path / "model.safetensors")
    stated = {name: model.pretrained_cfg[name] for name in ("mean", "std")} | {"input_size": [3, size, size]}
    (tmp_path / "config.json").write_text(json.dumps({"architecture": architecture, "pretrained_cfg": stated}))
    resized = timm.create_model(architecture, img_size=other, **TINY).eval()
    tensors = model.state_dict()
    if "pos_embed" in tensors:
        filtered = timm.models.vision_transformer.checkpoint_filter_fn
        tensors = filtered(dict(tensors), resized, interpolation="bicubic", antialias=True)
    resized.load_state_dict(tensors)
    for theirs, side in ((model, size), (resized, other)):
        loaded = load(tmp_path, scheme="space", frames=1, classes=5, size=side, heads=3)
        images = images_of(side)
        with torch.no_grad():
            found = theirs.forward_features(images)
        found = found[0] if isinstance(found, tuple) else found
        assert differ(loaded, found[:, 0], images) < 1e-5
        assert loaded.clip.mean == tuple(stated["mean"])
