"""Rotary positions are DINOv3's: features equal transformers' model, at the native size and at others."""

from dataclasses import replace

import pytest
import torch
from transformers import DINOv3ViTConfig, DINOv3ViTModel

from tests import reference
from timesformer.config.checks import ConfigError
from timesformer.config.model import ModelConfig
from timesformer.model.rotary import rotate
from timesformer.model.schemes import Grid
from timesformer.model.transformer import TimeSformer

NAMES = {  # theirs -> ours, in the order that they are replaced
    "embeddings.patch_embeddings.": "embedding.patch.",
    "embeddings.cls_token": "embedding.class_token",
    "embeddings.register_tokens": "embedding.registers",
    "model.layer.": "blocks.",
    "layer.": "blocks.",
    "norm1.": "steps.space.norm.",
    "norm2.": "norm.",
    "attention.o_proj.": "steps.space.proj.",
    "mlp.up_proj.": "mlp.0.",
    "mlp.down_proj.": "mlp.2.",
}


def ours_from(theirs: DINOv3ViTModel, config: ModelConfig) -> TimeSformer:
    """Our model with the weights of transformers', layer scale multiplied in."""
    state = dict(theirs.state_dict())
    state.pop("embeddings.mask_token")
    tensors = {}
    for block in range(config.depth):
        name = next(key for key in state if f"layer.{block}.norm1.weight" in key).removesuffix("norm1.weight")
        for part in ("weight", "bias"):
            each = [state.pop(f"{name}attention.{letter}_proj.{part}", torch.zeros(config.width)) for letter in "qkv"]
            tensors[f"blocks.{block}.steps.space.qkv.{part}"] = torch.cat(each)
        for scale, linear in (("layer_scale1", "attention.o_proj"), ("layer_scale2", "mlp.down_proj")):
            factor = state.pop(f"{name}{scale}.lambda1")
            state[f"{name}{linear}.weight"] = state[f"{name}{linear}.weight"] * factor[:, None]
            state[f"{name}{linear}.bias"] = state[f"{name}{linear}.bias"] * factor
    for name, value in state.items():
        for their_part, our_part in NAMES.items():
            name = name.replace(their_part, our_part)
        tensors[name] = value
    model = TimeSformer(config).eval()
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert (set(missing), unexpected) == ({"head.weight", "head.bias"}, [])
    return model


@pytest.mark.parametrize("size", [(32, 32), (40, 24)])
@torch.no_grad()
def test_features_equal_transformers_dinov3_with_random_weights(size: tuple[int, int]) -> None:
    theirs = DINOv3ViTModel(
        DINOv3ViTConfig(
            image_size=32, patch_size=8, hidden_size=32, num_hidden_layers=3, num_attention_heads=2,
            intermediate_size=64, num_register_tokens=4,
        )
    ).eval()  # fmt: skip
    reference.randomise(theirs)
    config = ModelConfig(
        scheme="space", frames=1, size=32, patch=8, width=32, depth=3, heads=2, mlp_ratio=2.0, rotary=True, registers=4,
        norm_eps=1e-5, classes=3,
    )  # fmt: skip
    images = torch.randn(2, 3, *size)
    features = ours_from(theirs, config).features(images[:, None])
    torch.testing.assert_close(features, theirs(images).pooler_output, rtol=1e-5, atol=1e-5)


def test_scores_depend_on_the_distance_between_patches_alone() -> None:
    query, key = torch.randn(2, 16, dtype=torch.float64)
    grid = Grid(2, 4, 6)
    mixed = torch.cat([query, key, key]).expand(1, 1 + grid.tokens, -1)
    first, rotated = rotate(mixed, grid, heads=2)[0].split([1, grid.tokens])
    assert torch.equal(first, mixed[0, :1]) and torch.equal(rotated[:, 32:], mixed[0, 1:, 32:])
    places = rotated.unflatten(0, grid.lengths)
    scores = [(places[0, y, x, :16] @ places[1, y + 1, x + 2, 16:32]).item() for y in range(3) for x in range(4)]
    assert max(scores) - min(scores) < 1e-12
    assert abs(scores[0] - (places[0, 0, 0, :16] @ places[1, 2, 2, 16:32]).item()) > 1e-3


def test_a_rotary_model_has_no_position_embedding_but_a_time_embedding() -> None:
    embedding = TimeSformer(replace(reference.VARIANTS["divided"], rotary=True)).embedding
    assert embedding.position is None and embedding.time is not None


def test_heads_that_four_does_not_divide_cannot_be_rotary() -> None:
    with pytest.raises(ConfigError, match="width 12 in 2 heads is 6 dimensions each; rotary needs a multiple of 4"):
        ModelConfig(width=12, heads=2, rotary=True)
