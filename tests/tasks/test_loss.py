"""What training minimises and how: losses against torch's own, groups and rates of the optimiser, averaged weights."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from timesformer.config.checks import ConfigError
from timesformer.config.model import ModelConfig
from timesformer.config.training import OptimConfig
from timesformer.model.transformer import TimeSformer
from timesformer.tasks import table
from timesformer.tasks.table import TABLE
from timesformer.training.engine import optimiser

TINY = ModelConfig(frames=2, size=16, patch=8, width=16, depth=3, heads=2, classes=5)
LOGITS = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([0, 1, 2, 3, 4, 1])


def losses(targets: Tensor, optim: OptimConfig = OptimConfig(), weights: Tensor | None = None) -> Tensor:  # noqa: B008
    return TABLE["classes"].losses(LOGITS, table.dense(targets, 5), optim, weights)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_with_smoothing_is_torchs(smoothing: float) -> None:
    optim = OptimConfig(label_smoothing=smoothing)
    expected = F.cross_entropy(LOGITS, CLASSES, label_smoothing=smoothing, reduction="none")
    torch.testing.assert_close(losses(CLASSES, optim), expected)


def test_mixed_targets_give_the_mixed_loss() -> None:
    one_hot = F.one_hot(CLASSES, 5).float()
    mixed = 0.3 * one_hot + 0.7 * one_hot.flip(0)
    expected = 0.3 * losses(CLASSES) + 0.7 * losses(CLASSES.flip(0))
    torch.testing.assert_close(losses(mixed), expected)


def test_class_weights_are_torchs_weights_and_let_classes_count_alike() -> None:
    weights = table.class_weights((30, 10, 5, 5, 0))
    torch.testing.assert_close(weights, torch.tensor([50 / 120, 50 / 40, 50 / 20, 50 / 20, 0.0]))
    totals = weights * torch.tensor([30, 10, 5, 5, 0])
    assert totals[:4].tolist() == pytest.approx([12.5] * 4) and float(totals.sum()) == 50
    expected = F.cross_entropy(LOGITS, CLASSES, weight=weights, reduction="none")
    torch.testing.assert_close(losses(CLASSES, weights=weights), expected)


def test_several_labels_are_binary_cross_entropy_and_numbers_absolute_error() -> None:
    targets = torch.randint(2, (6, 5), generator=torch.Generator().manual_seed(1)).float()
    each = F.binary_cross_entropy_with_logits(LOGITS, targets, reduction="none")
    optim, weights = OptimConfig(), torch.tensor([1.0, 2.0, 0.0, 1.0, 1.0])
    torch.testing.assert_close(TABLE["multilabel"].losses(LOGITS, targets, optim), each.mean(1))
    torch.testing.assert_close(TABLE["multilabel"].losses(LOGITS, targets, optim, weights), (each * weights).mean(1))
    numbers = torch.randn(6, 5, generator=torch.Generator().manual_seed(2)).double()
    expected = F.l1_loss(LOGITS, numbers.float(), reduction="none").mean(1)
    torch.testing.assert_close(TABLE["regression"].losses(LOGITS, table.dense(numbers, 5), optim), expected)


def test_half_precision_logits_lose_nothing_more() -> None:
    halved = TABLE["classes"].losses(LOGITS.bfloat16(), F.one_hot(CLASSES, 5).float(), OptimConfig())
    torch.testing.assert_close(halved, F.cross_entropy(LOGITS.bfloat16().float(), CLASSES, reduction="none"))


def named(model: nn.Module, optimizer: torch.optim.Optimizer, setting: str) -> dict[str, float]:
    """A setting of every parameter's group by the parameter's name."""
    names = {id(value): name for name, value in model.named_parameters()}
    return {names[id(value)]: group[setting] for group in optimizer.param_groups for value in group["params"]}


def test_biases_norms_and_embeddings_are_not_decayed_unless_all_are() -> None:
    model = TimeSformer(TINY)
    optim = OptimConfig(weight_decay=0.3)
    decays = named(model, optimiser.build(model, optim, depth=3), "weight_decay")
    assert decays.keys() == dict(model.named_parameters()).keys()
    free = {name for name, decay in decays.items() if decay == 0}
    assert {decay for name, decay in decays.items() if name not in free} == {0.3}
    expected = {name for name in decays if name.endswith(".bias") or ".norm." in name or name.startswith("norm.")}
    assert free == expected | {"embedding.class_token", "embedding.position", "embedding.time"}
    every = named(model, optimiser.build(model, replace(optim, decay_all=True), depth=3), "weight_decay")
    assert set(every.values()) == {0.3}


def test_layer_decay_slows_each_block_by_a_factor_from_the_head_down() -> None:
    model = TimeSformer(TINY)
    optimizer = optimiser.build(model, OptimConfig(lr=1.0, layer_decay=0.5), depth=3)
    optimiser.set_rate(optimizer, 0.8)
    rates = named(model, optimizer, "lr")
    for name, rate in rates.items():
        power = 4 if name.startswith("embedding.") else 3 - int(name.split(".")[1]) if "blocks." in name else 0
        assert rate == pytest.approx(0.8 * 0.5**power), name
    assert set(named(model, optimiser.build(model, OptimConfig(), depth=3), "scale").values()) == {1.0}


def test_registers_and_the_norm_before_the_blocks_are_treated_as_embeddings_are() -> None:
    model = TimeSformer(replace(TINY, registers=2, norm_pre=True))
    optimizer = optimiser.build(model, OptimConfig(weight_decay=0.3, layer_decay=0.5), depth=3)
    decays, scales = (named(model, optimizer, setting) for setting in ("weight_decay", "scale"))
    for name in ("embedding.registers", "norm_pre.weight", "norm_pre.bias"):
        assert (decays[name], scales[name]) == (0, 0.5**4)
    optimiser.freeze(model, "none", blocks=1)
    free = {name for name, value in model.named_parameters() if value.requires_grad}
    assert not any(name.startswith(("embedding.", "norm_pre.", "blocks.0.")) for name in free)


def test_sgd_is_nesterov_and_adamw_takes_momentum_as_its_first_beta() -> None:
    model = TimeSformer(TINY)
    sgd = optimiser.build(model, OptimConfig(optimizer="sgd", momentum=0.7), depth=3)
    assert isinstance(sgd, torch.optim.SGD)
    assert {(group["nesterov"], group["momentum"]) for group in sgd.param_groups} == {(True, 0.7)}
    adam = optimiser.build(model, OptimConfig(momentum=0.7), depth=3)
    assert isinstance(adam, torch.optim.AdamW) and {group["betas"][0] for group in adam.param_groups} == {0.7}
    plain = optimiser.build(model, OptimConfig(optimizer="sgd", momentum=0.0), depth=3)
    assert not plain.param_groups[0]["nesterov"]


def test_a_frozen_backbone_leaves_the_head_to_learn() -> None:
    model = TimeSformer(TINY)
    optimiser.freeze(model, "backbone")
    assert named(model, optimiser.build(model, OptimConfig(), depth=3), "lr").keys() == {"head.weight", "head.bias"}
    model.head.requires_grad_(False)
    with pytest.raises(ConfigError, match="every parameter is frozen"):
        optimiser.build(model, OptimConfig(), depth=3)


def rates(optim: OptimConfig, *, per_epoch: int) -> list[float]:
    steps = per_epoch * optim.epochs
    return [optimiser.rate(step, steps=steps, per_epoch=per_epoch, optim=optim) for step in range(steps)]


def test_cosine_warms_up_linearly_peaks_and_ends_near_zero() -> None:
    found = rates(OptimConfig(lr=2.0, warmup=1.5, epochs=10), per_epoch=20)
    assert found[:30] == pytest.approx([2.0 * (step + 1) / 31 for step in range(30)])
    assert found[30] == 2.0 == max(found)
    assert found[115] == pytest.approx(1.0)
    assert all(one > other for one, other in pairwise(found[30:]))
    assert 0 < found[-1] < 2e-3


def test_steps_divide_by_ten_at_each_milestone() -> None:
    found = rates(OptimConfig(lr=1.0, schedule="steps", milestones=(2, 3), epochs=5, warmup=0.5), per_epoch=4)
    assert found == pytest.approx([1 / 3, 2 / 3] + [1.0] * 6 + [0.1] * 4 + [0.01] * 8)


def test_a_warm_up_longer_than_the_training_never_ends() -> None:
    found = rates(OptimConfig(lr=1.0, warmup=10, epochs=2), per_epoch=3)
    assert found == pytest.approx([(step + 1) / 31 for step in range(6)])


def test_the_average_follows_quickly_at_first_and_slowly_later() -> None:
    value = torch.zeros(3)
    mean = [torch.ones(3)]
    kept = 1.0
    for step in range(200):
        optimiser.average(mean, [value], decay=0.9, step=step)
        kept *= min(0.9, (step + 1) / (step + 10))
        assert float(mean[0][0]) == pytest.approx(kept, rel=1e-4)
