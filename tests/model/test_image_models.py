"""What image models other than the paper's need: register tokens, a LayerNorm before the blocks, CLIP's activation."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from transformers.activations import ACT2FN

from tests import reference
from timesformer.config.model import ModelConfig
from timesformer.model.transformer import QuickGELU, TimeSformer


@pytest.mark.parametrize("weight_init", ["image", "scratch"])
def test_registers_start_as_in_dinov2_and_the_norm_before_the_blocks_starts_as_a_plain_one(weight_init: Any) -> None:
    config = ModelConfig(depth=1, width=384, heads=6, registers=4, norm_pre=True, weight_init=weight_init)
    model = TimeSformer(config)
    assert model.embedding.registers is not None and model.norm_pre is not None
    assert model.embedding.registers.shape == (1, 4, 384)
    assert model.embedding.registers.detach().std() == pytest.approx(1e-6, rel=0.15)
    assert (model.norm_pre.weight == 1).all() and not model.norm_pre.bias.any()


def test_what_image_models_need_adds_nothing_to_a_model_without_it() -> None:
    plain, other = (TimeSformer(reference.EVERY[name]) for name in ("divided", "divided_like_clip"))
    added = other.state_dict().keys() - plain.state_dict().keys()
    assert added == {"embedding.registers", "norm_pre.weight", "norm_pre.bias"}
    assert plain.state_dict().keys() <= other.state_dict().keys()
    norms = [module for module in other.modules() if isinstance(module, nn.LayerNorm)]
    assert len(norms) == 2 + 2 * 3 and {module.eps for module in norms} == {other.config.norm_eps}


def test_quick_gelu_is_that_of_transformers_and_its_gradient_too() -> None:
    hidden = torch.linspace(-9, 9, 999, dtype=torch.float64, requires_grad=True)
    ours, theirs = QuickGELU()(hidden), ACT2FN["quick_gelu"](hidden)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(each.sum(), hidden)[0] for each in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("needs", [{}, *reference.OTHER_IMAGE_MODELS.values()], ids=["", *reference.OTHER_IMAGE_MODELS])
@pytest.mark.parametrize("order", ["time_first", "space_first", "parallel"])
def test_started_from_an_image_model_the_divided_scheme_equals_the_space_scheme_for_a_static_clip(
    order: Any, needs: dict[str, Any]
) -> None:
    space = TimeSformer(replace(reference.VARIANTS["space"], **needs)).double().eval()
    reference.randomise(space)
    divided = TimeSformer(replace(reference.VARIANTS["divided"], order=order, **needs)).double().eval()
    state = space.state_dict()
    copied = {name.replace(".space.", ".time."): value for name, value in state.items() if ".space." in name}
    assert not divided.load_state_dict({**state, **copied}, strict=False).unexpected_keys
    static = torch.randn(2, 1, 3, 16, 24, dtype=torch.float64).expand(-1, 4, -1, -1, -1)
    torch.testing.assert_close(divided(static), space(static), rtol=0, atol=1e-12)
    moving = static + torch.randn(4, 1, 1, 1, dtype=torch.float64)
    assert (divided(moving) - space(moving)).abs().max() > 1e-6  # the class token meets the other frames in each block
