"""Every family of image models gives its own code's features, from its own files, at its own size and at another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.made_weights import randomise
from timesformer.config.model import Scheme
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.loading import load

transformers = pytest.importorskip("transformers")
REAL = Path(__file__).parents[3] / "shared" / "data" / "weights" / "dinov2-small"
SHAPE: dict[str, Any] = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 96,
    "image_size": 48,
}
IMAGENET, CLIP = (0.485, 0.456, 0.406), (0.48145466, 0.4578275, 0.40821073)
SCHEMES: tuple[Scheme, ...] = ("space", "joint", "divided", "local_global", "axial")


@dataclass(frozen=True)
class Kind:
    """A kind of transformers' image models."""

    model: str
    config: str
    patch: int
    mean: tuple[float, float, float]
    more: dict[str, Any]
    eps: float = 1e-12
    prefix: str = ""

    def make(self) -> nn.Module:
        """A small model with random values in every tensor."""
        settings = {**SHAPE, "patch_size": self.patch, **self.more}
        model: nn.Module = getattr(transformers, self.model)(getattr(transformers, self.config)(**settings))
        randomise(model)
        return model.eval()


KINDS = {
    "vit": Kind("ViTModel", "ViTConfig", 16, (0.5, 0.5, 0.5), {}),
    "vit_without_bias": Kind("ViTModel", "ViTConfig", 8, (0.5, 0.5, 0.5), {"qkv_bias": False}),
    "deit": Kind("DeiTModel", "DeiTConfig", 16, IMAGENET, {}),
    "vit_mae": Kind("ViTMAEModel", "ViTMAEConfig", 16, IMAGENET, {"mask_ratio": 0.0}),
    "vit_msn": Kind("ViTMSNModel", "ViTMSNConfig", 8, IMAGENET, {}, 1e-6),
    "dinov2": Kind("Dinov2Model", "Dinov2Config", 14, IMAGENET, {"mlp_ratio": 2, "image_size": 70}, 1e-6),
    "dinov2_with_registers": Kind(
        "Dinov2WithRegistersModel",
        "Dinov2WithRegistersConfig",
        14,
        IMAGENET,
        {"mlp_ratio": 2, "image_size": 70, "num_register_tokens": 4},
        1e-6,
    ),
    "clip_vision_model": Kind("CLIPVisionModel", "CLIPVisionConfig", 32, CLIP, {"image_size": 96}, 1e-5),
}


def features_of(model: nn.Module, images: Tensor) -> Tensor:
    """The normalised class token of a model of transformers: (b, 3, h, w) -> (b, d)."""
    name = type(model).__name__
    with torch.no_grad():
        if name.startswith("Dinov2"):
            return model(images).last_hidden_state[:, 0]
        found = model(images, interpolate_pos_encoding=True)
    return found.pooler_output if name.startswith("CLIP") else found.last_hidden_state[:, 0]


def images_of(side: int, wide: int | None = None) -> Tensor:
    return torch.randn(2, 3, side, wide or side, generator=torch.Generator().manual_seed(3))


def differ(loaded: Checkpoint, expected: Tensor, images: Tensor, frames: int = 1) -> float:
    """Largest difference of features from clips of one repeated image, relative to their size."""
    with torch.no_grad():
        ours = loaded.model.features(images[:, None].expand(-1, frames, -1, -1, -1))
    return float((ours - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", list(KINDS))
def test_a_folder_of_transformers_gives_its_models_features_at_its_own_size_and_at_others(
    name: str, tmp_path: Path
) -> None:
    kind = KINDS[name]
    model = kind.make()
    model.save_pretrained(tmp_path)  # type: ignore[operator]
    native, patch = kind.more.get("image_size", SHAPE["image_size"]), kind.patch
    for size in (native, (2 * patch, 3 * patch), 4 * patch):
        loaded = load(tmp_path, scheme="space", frames=1, classes=3, size=size)
        height, width = (size, size) if isinstance(size, int) else size
        images = images_of(height, width)
        assert differ(loaded, features_of(model, images), images) < 1e-5
        assert loaded.model.config.frame_size == (height, width)
    assert loaded.model.config.norm_eps == kind.eps
    assert loaded.model.config.heads == 3
    assert loaded.clip.mean == kind.mean
