"""What a training step computes again instead of keeping changes neither results nor gradients."""

from collections.abc import Callable
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


def compared(model: TimeSformer, clips: Tensor, monkeypatch: pytest.MonkeyPatch, *, half: bool = False) -> float:
    """The largest relative difference that economical blocks make, of the logits and of any parameter's gradient."""
    found = []
    for small in (2**60, 0):
        monkeypatch.setattr(recompute, "SMALL", small)
        found.append(outcome(model, clips, half=half))
    differences = [0.0]
    for plain, other in zip(*found, strict=True):
        assert (plain is None) == (other is None)
        if plain is not None and other is not None:
            assert plain.dtype is other.dtype
            differences.append(((other - plain).norm() / plain.norm().clamp_min(1e-30)).item())
    return max(differences)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", reference.EVERY)
def test_economical_blocks_have_the_results_and_gradients_of_plain_ones(
    name: str, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "EXPLICIT_KEYS", 0 if fused else 256)
    model = TimeSformer(replace(reference.EVERY[name], drop_path=0.5))
    reference.randomise(model)
    clips = torch.randn(CLIPS)
    assert compared(model, clips, monkeypatch, half=True) < 0.05
    assert compared(model, clips, monkeypatch) < 2e-6
    assert compared(model.double(), clips.double(), monkeypatch) < 1e-12


@pytest.mark.parametrize("name", ["divided", "class_in_time"])
def test_few_tokens_pass_the_zero_initialised_projection_by_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = TimeSformer(replace(reference.VARIANTS[name], drop_path=0.5, width=128)).double()
    reference.randomise(model)
    assert compared(model, torch.randn(1, 4, 3, 8, 8, dtype=torch.float64), monkeypatch) < 1e-12


@pytest.mark.parametrize("frozen", ["embedding", "blocks.0", "weight", "bias", "norm", "mlp.2.weight", "qkv"])
def test_frozen_parameters_get_no_gradient_and_the_others_the_same(
    frozen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = TimeSformer(replace(reference.VARIANTS["divided"], drop_path=0.5)).double()
    reference.randomise(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(frozen not in name)
    assert compared(model, torch.randn(CLIPS, dtype=torch.float64), monkeypatch) < 1e-12


def test_economical_blocks_have_first_derivatives_only() -> None:
    model = TimeSformer(reference.VARIANTS["divided"]).train()
    weight = model.blocks[0].mlp[0].weight
    (gradient,) = torch.autograd.grad(model(torch.randn(CLIPS)).sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_attention_of_a_caller_and_a_look_at_the_steps_work_in_training() -> None:
    model, calls = TimeSformer(reference.VARIANTS["divided"]).train(), []

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        calls.append("attend")
        return attention.explicit(query, key, value)

    model.features(torch.randn(CLIPS), attend=attend)
    model.features(torch.randn(CLIPS), before_step=lambda step, *_: calls.append(step.step.name))
    assert calls == ["attend"] * 4 + ["time", "space"] * 2


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


def test_autocast_keeps_no_copies_of_a_checkpointed_blocks_weights() -> None:
    model = TimeSformer(reference.VARIANTS["divided"], checkpointing=-1).train()
    layer = nn.Linear(16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(1, 16))
        model(torch.randn(CLIPS))
        with Casts() as casts:
            layer(torch.randn(1, 16))
    assert casts.count == 3  # tokens, weight and bias; the last two would be kept


def hooked(block: nn.Module) -> None:
    block.mlp[1].register_forward_hook(lambda *_: None)


def without_bias(block: nn.Module) -> None:
    block.steps["time"].proj = nn.Linear(16, 16, bias=False)


def with_parameters_in_the_activation(block: nn.Module) -> None:
    block.mlp[1] = nn.PReLU()


def with_a_longer_mlp(block: nn.Module) -> None:
    block.mlp.append(nn.Dropout())


def replaced(block: nn.Module) -> None:
    block.steps["space"].qkv = Added(16, 48)


def compiled(block: nn.Module) -> None:
    block.compile(backend="eager")


@pytest.mark.parametrize(
    "change", [hooked, without_bias, with_parameters_in_the_activation, with_a_longer_mlp, replaced, compiled]
)
def test_a_block_that_is_not_plain_is_called_itself(change: Callable[[nn.Module], None]) -> None:
    block, tokens = TimeSformer(reference.VARIANTS["divided"]).blocks[0].train(), torch.zeros(1, 97, 16)
    assert recompute.how(block, tokens, whole=False) is not block
    change(block)
    assert recompute.how(block, tokens, whole=False) is block


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
