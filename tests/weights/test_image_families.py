"""Every family of image models gives its own code's features, from its own files, at its own size and at another."""

import json
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
from timesformer.weights.report import WeightsError

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
    "dinov3_vit": Kind("DINOv3ViTModel", "DINOv3ViTConfig", 16, IMAGENET, {"num_register_tokens": 4}, 1e-5),
    "clip_vision_model": Kind("CLIPVisionModel", "CLIPVisionConfig", 32, CLIP, {"image_size": 96}, 1e-5),
}


def features_of(model: nn.Module, images: Tensor) -> Tensor:
    """The normalised class token of a model of transformers: (b, 3, h, w) -> (b, d)."""
    name = type(model).__name__
    with torch.no_grad():
        if name.upper().startswith("DINO"):
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


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["deit", "dinov2_with_registers", "dinov3_vit", "clip_vision_model"])
def test_every_scheme_starts_from_every_family_and_a_still_clip_has_the_images_features(
    name: str, scheme: Scheme, tmp_path: Path
) -> None:
    kind = KINDS[name]
    model = kind.make()
    model.save_pretrained(tmp_path)  # type: ignore[operator]
    size = 4 * kind.patch
    loaded = load(tmp_path, scheme=scheme, frames=8, classes=3, size=size)
    images = images_of(size)
    with torch.no_grad():
        assert loaded.model(images[:, None].expand(-1, 8, -1, -1, -1)).isfinite().all()
    if scheme in ("space", "divided"):
        assert differ(loaded, features_of(model, images), images, frames=8) < 1e-5


@pytest.mark.parametrize(
    ("model", "config", "more"),
    [
        ("ViTForImageClassification", "ViTConfig", {}),
        ("DeiTForImageClassification", "DeiTConfig", {}),
        ("Dinov2ForImageClassification", "Dinov2Config", {"mlp_ratio": 2}),
    ],
)
def test_a_classifier_of_the_class_token_is_kept_with_its_labels_and_another_is_left_out(
    model: str, config: str, more: dict[str, Any], tmp_path: Path
) -> None:
    labels = {0: "cat", 1: "dog", 2: "owl"}
    made = getattr(transformers, model)(
        getattr(transformers, config)(**{**SHAPE, "patch_size": 16, "id2label": labels, **more})
    )
    randomise(made)
    made.eval().save_pretrained(tmp_path)
    images = images_of(48)
    loaded = load(tmp_path, scheme="space", frames=1, classes=3)
    assert loaded.report is not None
    if model.startswith("Dinov2"):  # a classifier of the class token beside the average of the patches
        assert {"classifier.weight", "classifier.bias"} <= set(loaded.report.unused)
        assert any("isn't a classifier of the class token" in note for note in loaded.report.notes)
        return
    assert loaded.labels == ("cat", "dog", "owl") and loaded.report.unused == ()
    with torch.no_grad():
        expected = made(images).logits
        assert (loaded.model(images[:, None]) - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("model", ["CLIPModel", "CLIPVisionModelWithProjection"])
def test_of_a_clip_model_the_image_part_is_taken_also_from_several_files(model: str, tmp_path: Path) -> None:
    made = clip(model)
    made.save_pretrained(tmp_path, max_shard_size="40KB")  # type: ignore[operator]
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    vision: Any = made.vision_model
    images = images_of(96)
    loaded = load(tmp_path, scheme="space", frames=1, classes=2)
    with torch.no_grad():
        assert differ(loaded, vision(images).pooler_output, images) < 1e-5
    assert loaded.model.config.activation == "quick_gelu" and loaded.model.config.norm_pre
    assert loaded.report is not None and "visual_projection.weight" in loaded.report.unused


def clip(model: str = "CLIPModel", act: str = "quick_gelu") -> nn.Module:
    """A small CLIP with random values in every tensor."""
    vision = {**SHAPE, "patch_size": 32, "image_size": 96, "projection_dim": 16, "hidden_act": act}
    text = {**SHAPE, "vocab_size": 20, "num_hidden_layers": 1, "projection_dim": 16}
    config = (
        transformers.CLIPConfig(vision_config=vision, text_config=text, projection_dim=16)
        if model == "CLIPModel"
        else transformers.CLIPVisionConfig(**vision)
    )
    made: nn.Module = getattr(transformers, model)(config)
    randomise(made)
    return made.eval()


def test_size_and_normalisation_are_those_of_the_preprocessor(tmp_path: Path) -> None:
    KINDS["dinov2"].make().save_pretrained(tmp_path)  # type: ignore[operator]
    stated = {
        "size": {"shortest_edge": 64},
        "crop_size": {"height": 56, "width": 56},
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.4, 0.5, 0.6],
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(stated))
    loaded = load(tmp_path, classes=2)
    assert (loaded.clip.mean, loaded.clip.std, loaded.clip.size) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 56)
    assert loaded.model.config.size == 56 and loaded.model.config.resize == "smooth"
    assert loaded.report is not None and not any("px" in note or "rate" in note for note in loaded.report.notes)
    assert [change.rule for change in loaded.report.resized] == ["bicubic in 2-D"]
    assert any("layer scale is multiplied" in note for note in loaded.report.notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_act": "relu"}, "hidden_act 'relu'; only gelu and quick_gelu"),
        ({"num_attention_heads": "many"}, "num_attention_heads 'many'"),
        ({"layer_norm_eps": -1.0}, r"layer_norm_eps -1\.0"),
        ({"use_swiglu_ffn": True}, "SwiGLU"),
        ({"model_type": "beit"}, "relative position biases"),
    ],
)
def test_what_a_config_states_and_cannot_be_computed_is_refused(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    KINDS["vit"].make().save_pretrained(tmp_path)  # type: ignore[operator]
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(WeightsError, match=words):
        load(tmp_path, classes=2)


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data/weights/dinov2-small is not there")
def test_the_published_dinov2_gives_the_features_of_transformers() -> None:
    model = transformers.Dinov2Model.from_pretrained(REAL).eval()
    for size in (None, 112):
        loaded = load(REAL, scheme="divided", frames=2, classes=2, size=size)
        images = images_of(size or 224)
        assert loaded.clip.mean == IMAGENET and loaded.clip.size == (size or 224)
        assert loaded.clip.rate == 32  # that of models of 224 px, not of 518
        assert differ(loaded, features_of(model, images), images, frames=2) < 1e-5
