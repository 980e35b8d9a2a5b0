"""Shares of patches: they add up, for every scheme."""

import pytest
import torch

from tests import reference
from timesformer.config.checks import ConfigError
from timesformer.model import relevance
from timesformer.model.transformer import TimeSformer

every_variant = pytest.mark.parametrize("name", reference.EVERY)


def model_of(name: str) -> TimeSformer:
    model = TimeSformer(reference.EVERY[name]).double().eval()
    reference.randomise(model)
    return model


@every_variant
def test_shares_of_a_clip_are_not_negative_and_sum_to_one(name: str) -> None:
    model, clips = model_of(name), torch.randn(2, 4, 3, 16, 24, dtype=torch.float64)
    for found in (
        relevance.rollout(model, clips),
        relevance.of_class(model, clips, torch.tensor([1, 4])),
        relevance.last_attention(model, clips),
    ):
        assert found.patches.shape == (2, 4, 4, 6)
        assert found.patches.min() >= 0
        torch.testing.assert_close(found.patches.sum(dim=(1, 2, 3)) + found.rest, torch.ones(2, dtype=torch.float64))


def test_a_model_in_training_mode_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"call model\.eval\(\) first"):
        relevance.rollout(model_of("divided").train(), torch.randn(1, 4, 3, 16, 24, dtype=torch.float64))


def test_a_head_that_reads_patches_is_refused() -> None:
    model = TimeSformer(reference.WIDE_HEADS["divided_last_blocks"]).eval()
    with pytest.raises(ConfigError, match="starts at the class token alone; train a head with pool 'class_token'"):
        relevance.rollout(model, torch.zeros(1, 4, 3, 16, 24))
