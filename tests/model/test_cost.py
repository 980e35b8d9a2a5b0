"""Costs by formula are those of the paper, of the built model, and of what a backward pass really keeps."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests import reference
from timesformer.config.checks import ConfigError
from timesformer.config.model import ModelConfig
from timesformer.model import attention, recompute, schemes
from timesformer.model.cost import cost, keys_per_query, multiply_adds, parameters
from timesformer.model.schemes import Grid
from timesformer.model.transformer import TimeSformer

SIZES = {
    **{f"{name}-B": replace(config, width=768, depth=12, heads=12) for name, config in reference.EVERY.items()},
    "small": ModelConfig(width=384, heads=6),
    "large": ModelConfig(width=1024, depth=24, heads=16),
    "patch-32": ModelConfig(patch=32),
    "thin-mlp": ModelConfig(mlp_ratio=2.7, width=96, heads=3),
    "long": ModelConfig(frames=96),
}
SMALL = {"frames": 4, "size": 64, "patch": 8, "width": 192, "heads": 3, "depth": 4, "classes": 10}


@pytest.mark.parametrize(
    ("scheme", "count"),
    [
        ("space", 85_932_462),
        ("joint", 85_938_606),
        ("divided", 121_392_558),
        ("local_global", 121_392_558),
        ("axial", 156_846_510),
    ],
)
def test_parameters_are_those_of_table_1(scheme: str, count: int) -> None:
    config = ModelConfig(scheme=scheme, classes=174)
    with torch.device("meta"):
        model = TimeSformer(config)
    assert parameters(config) == sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize("name", SIZES)
def test_parameters_by_formula_are_those_of_the_built_model(name: str) -> None:
    with torch.device("meta"):
        model = TimeSformer(SIZES[name])
    assert parameters(SIZES[name]) == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("scheme", "frames", "size", "expected"),
    [
        ("divided", 8, 224, 195.83),
        ("divided", 16, 448, 1702.69),
        ("divided", 96, 224, 2379.86),
        ("joint", 8, 224, 179.56),
        ("space", 8, 224, 140.50),
        ("divided", 8, 448, 850),
        ("joint", 8, 448, 1262),
        ("joint", 96, 224, 8136),
    ],
)
def test_multiply_adds_are_those_of_the_paper(scheme: str, frames: int, size: int, expected: float) -> None:
    billions = multiply_adds(ModelConfig(scheme=scheme), frames=frames, size=size) / 1e9
    assert round(billions, 2 if expected % 1 else 0) == expected


@pytest.mark.parametrize("name", reference.EVERY)
def test_multiply_adds_are_those_of_the_run_model_and_of_copies_of_prefix_tokens(name: str) -> None:
    config = reference.EVERY[name]
    grid = Grid(4, 4, 6)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        TimeSformer(config).eval()(torch.empty(1, 4, 3, 16, 24))
    copies = 0  # linear layers that the paper's count runs for every copy of a prefix token, and the model once
    for step in schemes.steps(config):
        groups = schemes.group_count(step, grid)
        if step.prefix == "shared":
            copies += 3 * (groups - 1)
        elif step.prefix == "keys_only":
            copies += 2 * groups - 3  # the model also computes the query that equation 11 has no use for
    copies *= 1 + config.registers
    expected = multiply_adds(config) - config.depth * config.width**2 * copies
    assert counter.get_total_flops() == 2 * expected


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        (ModelConfig(scheme="space"), {"space": 196 + 1}),
        (ModelConfig(scheme="joint"), {"joint": 1568 + 1}),
        (ModelConfig(), {"time": 8, "space": 196 + 1}),
        (ModelConfig(order="space_first"), {"space": 196 + 1, "time": 8}),
        (ModelConfig(class_in_time=True), {"time": 8 + 1, "space": 196 + 1}),
        (ModelConfig(scheme="local_global"), {"local": 392 + 1, "global": 196 + 1}),
        (ModelConfig(scheme="axial"), {"time": 8, "width": 14 + 1, "height": 14 + 1}),
    ],
)
def test_keys_per_query_are_those_of_the_definitions(config: ModelConfig, keys: dict[str, int]) -> None:
    assert keys_per_query(config) == tuple(keys.items())


def test_keys_of_the_divided_scheme_are_positions_and_frames_at_any_size() -> None:
    for frames, size in ((8, 224), (16, 448), (96, 224)):
        positions = (size // 16) ** 2
        assert sum(count for _, count in keys_per_query(ModelConfig(), frames=frames, size=size)) == (
            positions + frames + 1
        )
        with_class = keys_per_query(ModelConfig(class_in_time=True), frames=frames, size=size)
        assert sum(count for _, count in with_class) == positions + frames + 2


@pytest.mark.parametrize("name", reference.EVERY)
def test_keys_per_query_are_the_columns_of_the_explicit_weights(name: str) -> None:
    config = reference.EVERY[name]
    model, grid = TimeSformer(config), Grid(4, 4, 6)
    tokens = torch.randn(1, schemes.prefix_count(config, grid) + grid.tokens, config.width)
    steps = model.blocks[0].steps
    assert keys_per_query(config) == tuple((step, steps[step].weights(tokens, grid).shape[-1]) for step in steps)


def kept_bytes(config: ModelConfig, *, batch: int, bf16: bool, checkpointing: int = 0) -> int:
    """Bytes of all distinct storages, parameters aside, that a forward pass keeps for the backward pass."""
    model = TimeSformer(config, checkpointing=checkpointing)
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    clips = torch.randn(batch, config.frames, 3, *config.frame_size)
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=bf16),
    ):
        model(clips)
    return sum(storage.nbytes() for storage in kept.values())


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attend as on a GPU, which the estimates are for, and keep all, as there."""
    monkeypatch.setattr(attention, "EXPLICIT_KEYS", 0)
    monkeypatch.setattr(recompute, "SMALL", 2**60)


@pytest.mark.usefixtures("fused")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("scheme", reference.STEPS)
def test_the_activation_estimate_is_within_a_twentieth_of_what_each_clip_keeps(scheme: str, precision: str) -> None:
    config = ModelConfig(scheme=scheme, **SMALL)
    bf16 = precision == "bf16"  # its copies of the weights don't grow with the batch, so a difference leaves them out
    kept = kept_bytes(config, batch=3, bf16=bf16) - kept_bytes(config, batch=2, bf16=bf16)
    assert cost(config, precision=precision).activations == pytest.approx(kept, rel=0.05)


@pytest.mark.usefixtures("fused")
def test_checkpointing_keeps_one_block_and_the_tokens_before_each() -> None:
    config = ModelConfig(**SMALL)
    between = kept_bytes(config, batch=1, bf16=False, checkpointing=-1)
    one, two = (kept_bytes(replace(config, depth=depth, drop_path=0.0), batch=1, bf16=False) for depth in (1, 2))
    estimate = cost(config)
    assert estimate.checkpointed == pytest.approx(between + two - one, rel=0.1)
    assert estimate.checkpointed < estimate.activations / 2


@pytest.mark.parametrize("most", [0, 256])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("scheme", reference.STEPS)
def test_the_estimate_for_a_cpu_is_within_a_twentieth_of_what_each_clip_keeps_there(
    scheme: str, precision: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "EXPLICIT_KEYS", most)
    monkeypatch.setattr(recompute, "SMALL", 0)  # this model is small, those that the estimate is for are not
    config = ModelConfig(scheme=scheme, **SMALL)
    bf16 = precision == "bf16"
    kept = kept_bytes(config, batch=3, bf16=bf16) - kept_bytes(config, batch=2, bf16=bf16)
    estimate = cost(config, precision=precision)
    assert estimate.activations_on_cpu == pytest.approx(kept, rel=0.05)
    assert estimate.activations_on_cpu < 0.8 * estimate.activations


def test_a_cost_gathers_the_single_formulas_at_other_frames_and_sizes() -> None:
    config = ModelConfig(scheme="axial")
    one = cost(config, frames=16, size=(224, 448))
    assert (one.parameters, one.multiply_adds) == (
        parameters(config),
        multiply_adds(config, frames=16, size=(224, 448)),
    )
    assert one.keys == (("time", 16), ("width", 29), ("height", 15))
    assert one.activations == pytest.approx(4 * cost(config).activations, rel=0.01)


@pytest.mark.parametrize(
    ("config", "frames", "size", "message"),
    [
        (ModelConfig(), 8, 230, "size 230 is not divisible by patch 16; choose 224 or 240"),
        (ModelConfig(), 0, 224, "frames is 0; it must be at least 1"),
        (ModelConfig(scheme="local_global"), 7, 224, "7 frames: the global step splits them in two"),
    ],
)
def test_a_size_that_does_not_divide_has_no_cost(config: ModelConfig, frames: int, size: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cost(config, frames=frames, size=size)
