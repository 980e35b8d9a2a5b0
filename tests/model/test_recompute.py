"""What training leaves out, joins or computes twice changes neither results nor gradients."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests import reference
from timesformer.config.model import ModelConfig
from timesformer.model import attention, recompute, schemes
from timesformer.model.attention import GroupAttention
from timesformer.model.recompute import activation_linear, norm_linear
from timesformer.model.schemes import Grid
from timesformer.model.transformer import TimeSformer


@pytest.fixture(autouse=True, params=[False, True], ids=["whole", "pieces"])
def every_tensor_is_worth_it(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recompute, "SMALL", 0)
    if request.param:
        monkeypatch.setattr(recompute, "PIECE", {"cpu": 20, "cuda": 20})
        monkeypatch.setattr(recompute, "WORTH", 2)


def layers(dtype: torch.dtype = torch.float64) -> tuple[nn.LayerNorm, nn.Linear]:
    norm, layer = nn.LayerNorm(8, dtype=dtype), nn.Linear(8, 6, dtype=dtype)
    reference.randomise(nn.Sequential(norm, layer))
    return norm, layer


def gradients(function: Callable[[Tensor], Tensor], tokens: Tensor, *modules: nn.Module) -> list[Tensor]:
    wanted = [tokens, *(value for module in modules for value in module.parameters())]
    return [*torch.autograd.grad(function(tokens).float().logsumexp(-1).sum(), wanted)]


def test_a_linear_of_a_norm_has_the_derivatives_of_finite_differences() -> None:
    norm, layer = layers()
    tokens = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: norm_linear(x, norm, layer), (tokens, *norm.parameters()))
    assert torch.autograd.gradcheck(lambda x, *_: activation_linear(x, nn.GELU(), layer), (tokens, *layer.parameters()))


@pytest.mark.parametrize("half", [False, True])
def test_linears_equal_the_plain_expressions_under_autocast_and_without(half: bool) -> None:
    norm, layer = layers(torch.float32)
    tokens = torch.randn(2, 3, 8, requires_grad=True)
    pairs = [
        (lambda x: norm_linear(x, norm, layer), lambda x: layer(norm(x)), (norm, layer)),
        (lambda x: activation_linear(x, nn.GELU(), layer), lambda x: layer(F.gelu(x)), (layer,)),
    ]
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        for ours, plain, modules in pairs:
            rounding = 0 if recompute.WORTH > 2 else 1e-6  # whole, it is the same product
            torch.testing.assert_close(ours(tokens), plain(tokens), rtol=rounding, atol=rounding)
            found, expected = gradients(ours, tokens, *modules), gradients(plain, tokens, *modules)
            for one, other in zip(found, expected, strict=True):
                assert one.dtype is other.dtype
                torch.testing.assert_close(one, other, rtol=2e-2 if half else 1e-5, atol=2e-2 if half else 1e-5)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", ["divided", "joint", "axial"])
def test_a_checkpointed_model_has_the_gradients_of_a_plain_one(name: str, half: bool) -> None:
    config = replace(reference.VARIANTS[name], drop_path=0.5)
    clips, found = torch.randn(2, 4, 3, 16, 24), []
    for checkpointing in (0, -1):
        model = TimeSformer(config, checkpointing=checkpointing)
        reference.randomise(model)
        model.embedding.patch.weight.requires_grad_(False)  # parts may be frozen
        model.blocks[0].mlp[2].weight.requires_grad_(False)
        torch.manual_seed(3)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = model.train()(clips)
        values = [value for value in model.parameters() if value.requires_grad]
        found.append([logits, *torch.autograd.grad(logits.float().logsumexp(-1).sum(), values, allow_unused=True)])
    for plain, again in zip(*found, strict=True):
        assert (plain is None) == (again is None)
        if plain is not None:
            torch.testing.assert_close(again, plain, rtol=5e-2 if half else 1e-5, atol=5e-2 if half else 1e-5)


def test_a_checkpointed_block_runs_its_mlp_once_and_keeps_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    products: list[int] = []
    linear, model = F.linear, TimeSformer(replace(reference.VARIANTS["divided"], drop_path=0.0), checkpointing=-1)

    def counted(tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        products.append(weight.shape[1])
        return linear(tokens, weight, bias)

    monkeypatch.setattr(F, "linear", counted)
    monkeypatch.setattr(recompute, "PIECE", {"cpu": 2**40, "cuda": 2**40})
    hidden = model.blocks[0].mlp[2].in_features
    model.train()(torch.randn(1, 4, 3, 16, 24)).sum().backward()
    assert products.count(hidden) == len(model.blocks)  # the second linear of each MLP


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("drop_path", [0.0, 0.5])
def test_nobody_sees_what_a_block_did_not_compute_again(early: bool, drop_path: float) -> None:
    model = TimeSformer(replace(reference.VARIANTS["divided"], drop_path=drop_path), checkpointing=-1)
    reference.randomise(model)
    seen: list[list[Tensor]] = [[] for _ in model.blocks]
    for block, found in zip(model.blocks, seen, strict=True):
        block.register_forward_hook(lambda _, __, tokens, found=found: found.append(tokens.detach().clone()))
    with torch.utils.checkpoint.set_checkpoint_early_stop(early):
        loss = model.train()(torch.randn(1, 4, 3, 16, 24)).logsumexp(-1).sum()
    loss.backward()
    for found in seen:
        assert len(found) == (1 if early else 2)
        assert all(torch.equal(found[0], again) for again in found[1:])


def test_only_what_went_in_is_kept() -> None:
    norm, layer = layers()
    tokens = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True)
    given = {value.data_ptr() for value in (tokens, *norm.parameters(), *layer.parameters())}
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda value: kept.append(value.data_ptr()), lambda value: value):
        norm_linear(tokens, norm, layer)
        activation_linear(tokens, nn.GELU(), layer)
    assert kept and set(kept) <= given


def test_frozen_parts_get_no_gradient_and_others_do() -> None:
    norm, layer = layers()
    layer.requires_grad_(False)
    tokens = torch.randn(2, 3, 8, dtype=torch.float64)
    norm_linear(tokens, norm, layer).sum().backward()
    assert norm.weight.grad is not None and layer.weight.grad is None
    layer.requires_grad_(True)
    norm_linear(tokens, norm.requires_grad_(False), layer).sum().backward()
    torch.testing.assert_close(layer.weight.grad, norm(tokens).sum((0, 1)).expand(6, -1))


class Added(nn.Linear):
    """A linear that answers more than its weight says, as LoRA's do."""

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens) + 1


def test_replaced_layers_are_called_rather_than_read() -> None:
    norm, _ = layers()
    added = Added(8, 6, dtype=torch.float64)
    tokens = torch.randn(2, 3, 8, dtype=torch.float64)
    assert torch.equal(norm_linear(tokens, norm, added), added(norm(tokens)))
    assert torch.equal(activation_linear(tokens, nn.GELU(), added), added(F.gelu(tokens)))
    grid, tokens = Grid(4, 4, 6), torch.randn(1, 97, 16, dtype=torch.float64)
    for name in ("qkv", "proj", "extra"):
        step = GroupAttention(schemes.TIME, width=16, heads=2, extra=True).double()
        reference.randomise(step)
        old, before = getattr(step, name), step(tokens, grid)
        new = Added(old.in_features, old.out_features, dtype=torch.float64)
        new.load_state_dict(old.state_dict())
        setattr(step, name, new)
        changed = step(tokens, grid)
        setattr(step, name, old)
        old.bias.data += 1
        torch.testing.assert_close(changed, step(tokens, grid), rtol=1e-10, atol=1e-10)
        assert (changed - before).abs().max() > 0.1


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", reference.VARIANTS)
def test_a_model_in_training_computes_what_it_does_in_evaluation(
    name: str, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "EXPLICIT_KEYS", 0 if fused else 256)
    monkeypatch.setattr(attention, "MOST_GROUPS", 5)
    model = TimeSformer(replace(reference.VARIANTS[name], drop_path=0.0)).double()
    reference.randomise(model)
    clips = torch.randn(2, 4, 3, 16, 24, dtype=torch.float64)
    found = []
    for training in (False, True):
        model.train(training)
        monkeypatch.setattr(recompute, "SMALL", 0 if training else 2**40)
        used = [value for key, value in model.named_parameters() if not _unseen(model.config, key)]
        logits = model(clips)
        found.append([logits, *torch.autograd.grad(logits.logsumexp(-1).sum(), used)])
    for plain, trained in zip(*found, strict=True):
        torch.testing.assert_close(trained, plain, rtol=1e-9, atol=1e-9)


def _unseen(config: ModelConfig, key: str) -> bool:
    """Parts of a last block that only move patches, which nothing looks at any more."""
    time_ends = config.order != "time_first"
    return time_ends and key.startswith(f"blocks.{config.depth - 1}.steps.time.")


def test_tokens_of_the_last_block_are_all_there_in_evaluation_and_class_tokens_alone_in_training() -> None:
    model = TimeSformer(reference.VARIANTS["divided"])
    shapes = []
    model.blocks[-1].register_forward_hook(lambda _, __, tokens: shapes.append(tokens.shape[1]))
    for training in (False, True):
        model.train(training)(torch.randn(1, 4, 3, 16, 24))
    assert shapes == [1 + 4 * 24, 1]
