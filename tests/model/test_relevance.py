"""Relevance is the product of dense matrices over all tokens, and of the attention weights that the model uses."""

import pytest
import torch
from torch import Tensor

from tests import reference, reference_relevance
from tests.reference_relevance import DenseStep
from timesformer.config.checks import ConfigError
from timesformer.model import contributions, relevance
from timesformer.model.transformer import TimeSformer

every_variant = pytest.mark.parametrize("name", reference.EVERY)
CLASSES = torch.tensor([1, 4])


@pytest.fixture(params=[2**24, 1], ids=["whole", "query_by_query"])
def portions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All queries of a group at once, and one at a time."""
    monkeypatch.setattr(contributions, "MOST_WEIGHTS", request.param)


def model_of(name: str) -> TimeSformer:
    model = TimeSformer(reference.EVERY[name]).double().eval()
    reference.randomise(model)
    return model


def clips(*, seed: int = 0) -> Tensor:
    return torch.randn(2, 4, 3, 16, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def dense(model: TimeSformer, clip: Tensor) -> tuple[Tensor, list[list[DenseStep]], list[int]]:
    state = {name: value.detach() for name, value in model.state_dict().items()}
    state["embedding.class_token"].requires_grad_()  # so that the weights are part of a graph
    return reference_relevance.run(clip, config=model.config, state=state)


def shares(found: relevance.Relevance, number: int) -> tuple[Tensor, Tensor]:
    return found.patches[number].flatten(), found.rest[number]


def same(found: relevance.Relevance, number: int, expected: Tensor) -> None:
    patches, rest = shares(found, number)
    prefix = len(expected) - len(patches)
    torch.testing.assert_close(patches, expected[prefix:], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(rest, expected[:prefix].sum(), rtol=1e-9, atol=1e-12)


@every_variant
@pytest.mark.usefixtures("portions")
def test_rollout_is_the_product_of_dense_matrices_of_contributions(name: str) -> None:
    model, batch = model_of(name), clips()
    found = relevance.rollout(model, batch)
    for number, clip in enumerate(batch):
        logits, blocks, read = dense(model, clip)
        torch.testing.assert_close(model(clip[None])[0], logits, rtol=1e-10, atol=1e-10)
        sources = [[reference_relevance.by_norm(one) for one in steps] for steps in blocks]
        expected = reference_relevance.product(blocks, sources, read, parallel=model.config.order == "parallel")
        same(found, number, expected)


@every_variant
def test_relevance_of_a_class_takes_half_from_weights_times_their_gradients(name: str) -> None:
    model, batch = model_of(name), clips()
    found = relevance.of_class(model, batch, CLASSES)
    for number, clip in enumerate(batch):
        logits, blocks, read = dense(model, clip)
        own = int(CLASSES[number])
        odds = logits[own] - torch.cat([logits[:own], logits[own + 1 :]]).logsumexp(dim=0)
        of = iter(torch.autograd.grad(odds, [one.weights for steps in blocks for one in steps]))
        sources = [[reference_relevance.for_class(one, next(of)) for one in steps] for steps in blocks]
        expected = reference_relevance.product(blocks, sources, read, parallel=model.config.order == "parallel")
        same(found, number, expected)


def test_a_time_step_that_adds_nothing_has_no_part_in_relevance() -> None:
    model, batch = model_of("divided"), clips()
    for block in model.blocks:
        torch.nn.init.zeros_(block.steps["time"].extra.weight)  # type: ignore[index,union-attr,arg-type]
    with_time = relevance.rollout(model, batch), relevance.of_class(model, batch, CLASSES)
    for block in model.blocks:
        for layer in ("qkv", "proj"):  # whatever its weights are
            getattr(block.steps["time"], layer).weight.data.normal_()  # type: ignore[index,union-attr]
    other = relevance.rollout(model, batch), relevance.of_class(model, batch, CLASSES)
    for one, two in zip(with_time, other, strict=True):
        torch.testing.assert_close(one.patches, two.patches, rtol=1e-9, atol=1e-12)


def test_attention_between_frames_is_the_mean_of_the_dense_weights() -> None:
    for name in ("joint", "divided", "local_global", "axial", "class_in_time", "joint_like_clip"):
        model, batch = model_of(name), clips()
        found = relevance.time_attention(model, batch)
        assert found.shape == (2, 2, 2, 4, 4)
        for number, clip in enumerate(batch):
            _, blocks, _ = dense(model, clip)
            for block, steps in enumerate(blocks):
                across = [steps[index] for index in range(len(steps)) if name == "local_global" or index == 0]
                parts = [one.weights[:, -96:, -96:].unflatten(2, (4, 24)).sum(dim=3) for one in across]
                expected = torch.stack([part.unflatten(1, (4, 24)).mean(dim=2) for part in parts]).mean(dim=0)
                torch.testing.assert_close(found[block, number], expected, rtol=1e-9, atol=1e-12)


def test_the_space_scheme_has_no_attention_between_frames() -> None:
    with pytest.raises(ConfigError, match="no attention between frames; use a model of another scheme"):
        relevance.time_attention(model_of("space"), clips())


@pytest.mark.parametrize("name", ["space", "joint", "divided", "space_first", "axial", "joint_like_dinov3"])
def test_last_attention_is_the_class_tokens_row_of_the_last_space_step(name: str) -> None:
    model, batch = model_of(name), clips()
    found = relevance.last_attention(model, batch)
    for number, clip in enumerate(batch):
        _, blocks, read = dense(model, clip)
        one = blocks[-1][0] if name == "space_first" else blocks[-1][-1]
        rows = one.copy[:, read].sum(dim=1)
        same(found, number, (rows / rows.sum()) @ one.weights.mean(dim=0) @ one.copy)


@every_variant
def test_shares_of_a_clip_are_not_negative_and_sum_to_one(name: str) -> None:
    model, batch = model_of(name), clips()
    for found in (
        relevance.rollout(model, batch),
        relevance.of_class(model, batch, CLASSES),
        relevance.last_attention(model, batch),
    ):
        assert found.patches.shape == (2, 4, 4, 6)
        assert found.patches.min() >= 0
        torch.testing.assert_close(found.patches.sum(dim=(1, 2, 3)) + found.rest, torch.ones(2, dtype=torch.float64))


def test_a_model_in_training_mode_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"call model\.eval\(\) first"):
        relevance.rollout(model_of("divided").train(), clips())


def test_a_head_that_reads_patches_is_refused() -> None:
    model = TimeSformer(reference.WIDE_HEADS["divided_last_blocks"]).eval()
    with pytest.raises(ConfigError, match="starts at the class token alone; train a head with pool 'class_token'"):
        relevance.rollout(model, torch.zeros(1, 4, 3, 16, 24))
