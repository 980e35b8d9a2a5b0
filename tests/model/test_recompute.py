"""What a training step computes again instead of keeping changes neither results nor gradients."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from tests import reference
from timesformer.config.model import ModelConfig
from timesformer.model import attention, recompute
from timesformer.model.transformer import TimeSformer

CLIPS = (2, 4, 3, 16, 24)


@pytest.fixture(autouse=True)
def tokens_of_tiny_models_are_worth_saving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recompute, "SMALL", 0)


def outcome(model: TimeSformer, clips: Tensor, *, half: bool = False) -> list[Tensor | None]:
    """Logits and the gradients of all parameters in training, with the same random numbers each time."""
    torch.manual_seed(3)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        logits = model.train()(clips)
    values = [value for value in model.parameters() if value.requires_grad]
    return [logits, *torch.autograd.grad(logits.float().logsumexp(-1).sum(), values, allow_unused=True)]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", ["space", "divided", "class_in_time"])
def test_kept_or_computed_again_the_gradients_are_the_same_bit_by_bit(
    name: str, half: bool, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "EXPLICIT_KEYS", 0 if fused else 256)
    model = TimeSformer(replace(reference.VARIANTS[name], drop_path=0.5))
    reference.randomise(model)
    model.embedding.patch.weight.requires_grad_(False)  # parts may be frozen
    model.blocks[0].mlp[2].weight.requires_grad_(False)
    clips, found = torch.randn(CLIPS), []
    for checkpointing, small in ((0, 2**60), (0, 0), (1, 0), (-1, 0)):
        model.checkpointing = checkpointing
        monkeypatch.setattr(recompute, "SMALL", small)
        found.append(outcome(model, clips, half=half))
    for plain, *others in zip(*found, strict=True):
        for other in others:
            assert other is plain is None or torch.equal(other, plain)


def products(model: TimeSformer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Inputs of all linear layers that a training step computes, in order."""
    counted: list[int] = []
    linear = F.linear

    def count(tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        after = linear(tokens, weight, bias)  # a second run may end before
        counted.append(weight.shape[1])
        return after

    monkeypatch.setattr(F, "linear", count)
    model.train()(torch.randn(CLIPS)).sum().backward()
    return counted


def test_a_checkpointed_block_runs_the_last_product_of_its_mlp_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = TimeSformer(replace(reference.VARIANTS["divided"], drop_path=0.0), checkpointing=-1)
    hidden = model.blocks[0].mlp[2].in_features
    assert products(model, monkeypatch).count(hidden) == len(model.blocks)


def test_only_training_on_a_cpu_with_many_tokens_computes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = TimeSformer(reference.VARIANTS["divided"]), torch.zeros(1, 97, 16)
    block = model.blocks[0]
    assert recompute.how(block.train(), tokens, whole=False) is not block
    assert recompute.how(block, tokens.to("meta"), whole=False) is block
    assert recompute.how(block.eval(), tokens, whole=False) is block
    assert recompute.how(block, tokens, whole=True) is not block
    monkeypatch.setattr(recompute, "SMALL", tokens.numel() + 1)
    assert recompute.how(block.train(), tokens, whole=False) is block
    with torch.no_grad():
        assert recompute.how(block, tokens, whole=True) is block


class Casts(TorchDispatchMode):
    """Counts casts to another precision."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._to_copy.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("checkpointing", [0, -1])
def test_autocast_keeps_no_copies_of_a_blocks_weights(checkpointing: int) -> None:
    model = TimeSformer(reference.VARIANTS["divided"], checkpointing=checkpointing).train()
    layer = nn.Linear(16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(1, 16))
        model(torch.randn(CLIPS))
        with Casts() as casts:
            layer(torch.randn(1, 16))
    assert casts.count == 3  # tokens, weight and bias; the last two would be kept


class Added(nn.Linear):
    """A linear layer that adds to what its weight gives, as LoRA's do."""

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens) + ramp(self)


def ramp(layer: nn.Linear) -> Tensor:
    """A different number for each output, since LayerNorm takes away what is added to all."""
    return torch.linspace(0, 1, layer.out_features, dtype=layer.weight.dtype)


def test_replaced_layers_are_called() -> None:
    model = TimeSformer(replace(reference.VARIANTS["divided"], drop_path=0.0)).double().train()
    reference.randomise(model)
    clips = torch.randn(CLIPS, dtype=torch.float64)
    step = model.blocks[0].steps["time"]
    for name in ("qkv", "proj", "extra"):
        old, before = getattr(step, name), model(clips)
        new = Added(old.in_features, old.out_features, dtype=torch.float64)
        new.load_state_dict(old.state_dict())
        setattr(step, name, new)
        changed = model(clips)
        setattr(step, name, old)
        old.bias.data += ramp(old)
        torch.testing.assert_close(changed, model(clips), rtol=1e-10, atol=1e-10)
        assert (changed - before).abs().max() > 1e-3


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", reference.VARIANTS)
def test_a_model_in_training_computes_what_it_does_in_evaluation(
    name: str, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "EXPLICIT_KEYS", 0 if fused else 256)
    monkeypatch.setattr(attention, "MOST_GROUPS", 5)
    model = TimeSformer(replace(reference.VARIANTS[name], drop_path=0.0)).double()
    reference.randomise(model)
    clips = torch.randn(CLIPS, dtype=torch.float64)
    found = []
    for training in (False, True):
        model.train(training)
        used = [value for key, value in model.named_parameters() if not _unseen(model.config, key)]
        logits = model(clips)
        found.append([logits, *torch.autograd.grad(logits.logsumexp(-1).sum(), used)])
    for plain, trained in zip(*found, strict=True):
        torch.testing.assert_close(trained, plain, rtol=1e-9, atol=1e-9)


def _unseen(config: ModelConfig, key: str) -> bool:
    """Parts of a last block that only move patches, which nothing looks at any more."""
    time_ends = config.order != "time_first"
    return time_ends and key.startswith(f"blocks.{config.depth - 1}.steps.time.")


def test_all_tokens_leave_the_last_block_in_evaluation_and_prefix_tokens_alone_in_training() -> None:
    model = TimeSformer(reference.VARIANTS["divided"])
    shapes = []
    model.blocks[-1].register_forward_hook(lambda _, __, tokens: shapes.append(tokens.shape[1]))
    for training in (False, True):
        model.train(training)(torch.randn(1, 4, 3, 16, 24))
    assert shapes == [1 + 4 * 24, 1]
