"""Every scheme is masked full attention over the tokens that its definition pairs, and drops whole groups."""

import itertools
from typing import Literal

import pytest
import torch
from torch import Tensor

from tests import reference
from timesformer.config.checks import ConfigError
from timesformer.config.model import ModelConfig
from timesformer.model import attention as attention_module
from timesformer.model import schemes
from timesformer.model.attention import GroupAttention
from timesformer.model.schemes import Grid, Step
from timesformer.model.transformer import Block, TimeSformer

GRID = Grid(4, 2, 6)
STEPS = {
    **{f"{scheme}-{step.name}": step for scheme, steps in schemes.SCHEMES.items() for step in steps},
    "equation-11": schemes.TIME_WITH_CLASS,
}
both_kernels = pytest.mark.parametrize("kernel", ["fused", "explicit"], indirect=True)
every_step = pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)


@pytest.fixture
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attend by one kernel whatever the number of keys, which would choose otherwise."""
    for name in ("EXPLICIT_KEYS", "EXPLICIT_KEYS_BF16"):
        monkeypatch.setattr(attention_module, name, 0 if request.param == "fused" else 10**6)


def attention(step: Step, *, zero_projection: bool = False) -> GroupAttention:
    module = GroupAttention(step, width=8, heads=2, zero_projection=zero_projection).double()
    reference.randomise(module)
    return module


def tokens_for(step: Step, grid: Grid, *, batch: int = 2) -> Tensor:
    prefix = grid.time if step.prefix == "per_group" else 1
    return torch.randn(batch, prefix + grid.tokens, 8, dtype=torch.float64)


@both_kernels
@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("name", reference.EVERY | reference.WIDE_HEADS)
def test_a_model_is_masked_full_attention_over_the_pairs_of_its_definition(name: str) -> None:
    config = (reference.EVERY | reference.WIDE_HEADS)[name]
    model = TimeSformer(config).double().eval()
    reference.randomise(model)
    clips = torch.randn(2, 4, 3, 16, 24, dtype=torch.float64)
    with torch.no_grad():
        expected = [reference.logits(clip, config=config, state=model.state_dict()) for clip in clips]
        torch.testing.assert_close(model(clips), torch.stack(expected), rtol=1e-10, atol=1e-10)


def test_the_reference_tells_the_variants_of_the_divided_scheme_apart() -> None:
    model = TimeSformer(reference.VARIANTS["divided"]).double()
    reference.randomise(model)
    clip = torch.randn(4, 3, 16, 24, dtype=torch.float64)
    names = ("divided", "space_first", "parallel", "class_in_time", "class_in_time_space_first")
    outputs = [reference.logits(clip, config=reference.EVERY[name], state=model.state_dict()) for name in names]
    for one, other in itertools.combinations(outputs, 2):
        assert (one - other).abs().max() > 1e-3


@every_step
def test_grouping_sorts_patches_as_the_definition_does_and_back(step: Step) -> None:
    numbers = torch.arange(GRID.tokens).reshape(1, -1, 1)
    grouped = schemes.group(numbers, step, GRID)
    places = reference.places(GRID.lengths)
    expected = [[places.index(place) for place in members] for members in reference.groups(step.name, GRID.lengths)]
    assert sorted(sorted(members) for members in grouped[0, ..., 0].tolist()) == sorted(expected)
    assert schemes.group_count(step, GRID) == len(expected)
    assert torch.equal(schemes.ungroup(grouped, step, GRID), numbers)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 4, 4), "3 frames: the global step splits them in two, so they must be even; use 4"),
        ((4, 5, 4), "5 patch rows: the local step splits them in two, so they must be even; use 6"),
        ((4, 4, 7), "7 patch columns: the local step splits them in two, so they must be even; use 8"),
    ],
)
def test_local_global_refuses_a_grid_that_it_would_split_unevenly(shape: tuple[int, int, int], message: str) -> None:
    frames, rows, columns = shape
    model = TimeSformer(reference.VARIANTS["local_global"])
    with pytest.raises(ConfigError, match=message):
        model(torch.zeros(1, frames, 3, 4 * rows, 4 * columns))


@pytest.mark.parametrize("scheme", ["space", "joint", "divided", "axial"])
def test_other_schemes_take_odd_grids(scheme: str) -> None:
    model = TimeSformer(ModelConfig(scheme=scheme, **reference.TINY)).eval()
    assert model(torch.randn(1, 3, 3, 20, 28)).isfinite().all()


def output_from_weights(module: GroupAttention, tokens: Tensor, grid: Grid) -> Tensor:
    """The step's residual from its explicit weights: weighted values, class tokens averaged, projected."""
    step, lead = module.step, tokens.shape[1] - grid.tokens
    weights = module.weights(tokens, grid)
    value = module.qkv(module.norm(tokens)).chunk(3, dim=-1)[2]
    values = schemes.group(value[:, lead:], step, grid)
    if step.prefix != "excluded":
        own = (
            value[:, :lead, None]
            if step.prefix == "per_group"
            else value[:, None, :1].expand(-1, values.shape[1], -1, -1)
        )
        values = torch.cat([own, values], dim=2)
    values = values.unflatten(-1, (module.heads, -1)).transpose(2, 3)
    attended = (weights @ values).transpose(2, 3).flatten(3)
    residual = module.proj(attended)
    residual = residual if module.extra is None else module.extra(residual)
    if not step.prefix_attends:
        return torch.cat([torch.zeros_like(tokens[:, :lead]), schemes.ungroup(residual, step, grid)], dim=1)
    first = residual[:, :, 0] if step.prefix == "per_group" else residual[:, :, 0].mean(dim=1, keepdim=True)
    return torch.cat([first, schemes.ungroup(residual[:, :, 1:], step, grid)], dim=1)


@both_kernels
@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("zero_projection", [False, True])
@every_step
def test_explicit_weights_reproduce_the_output_and_sum_to_one(step: Step, zero_projection: bool) -> None:
    module, tokens = attention(step, zero_projection=zero_projection), tokens_for(step, GRID)
    weights = module.weights(tokens, GRID)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]), rtol=0, atol=1e-12)
    assert weights.shape[:3] == (2, schemes.group_count(step, GRID), 2)
    torch.testing.assert_close(output_from_weights(module, tokens, GRID), module(tokens, GRID), rtol=0, atol=1e-12)


@every_step
def test_a_dropped_group_drops_its_whole_residual_and_a_kept_one_is_scaled(step: Step) -> None:
    module, tokens = attention(step), tokens_for(step, GRID, batch=1)
    count = schemes.group_count(step, GRID)
    lead = tokens.shape[1] - GRID.tokens
    keep = (torch.arange(count, dtype=torch.float64) % 2 * 2)[None]  # 0, 2, 0, 2, ...
    full = schemes.group(module(tokens, GRID)[:, lead:], step, GRID)
    dropped = schemes.group(module(tokens, GRID, keep)[:, lead:], step, GRID)
    assert torch.equal(dropped[:, ::2], torch.zeros_like(dropped[:, ::2]))
    torch.testing.assert_close(dropped, full * keep[..., None, None])


def test_what_remains_of_a_dropped_group_is_the_bias_of_the_second_projection() -> None:
    module, tokens = attention(schemes.TIME, zero_projection=True), tokens_for(schemes.TIME, GRID)
    residual = module(tokens, GRID, torch.zeros(2, 12, dtype=torch.float64))
    assert module.extra is not None
    torch.testing.assert_close(residual[:, 1:], module.extra.bias.expand(2, GRID.tokens, -1))
    assert not residual[:, :1].any()


@every_step
def test_the_expected_output_under_stochastic_depth_is_the_undropped_output(step: Step) -> None:
    grid, share = Grid(2, 2, 2), 0.7
    module, tokens = attention(step, zero_projection=True), tokens_for(step, grid, batch=1)
    expected = torch.zeros_like(tokens)
    for pattern in itertools.product((0.0, 1.0), repeat=schemes.group_count(step, grid)):
        kept = torch.tensor([pattern], dtype=torch.float64)
        chance = (kept * share + (1 - kept) * (1 - share)).prod()
        expected += chance * module(tokens, grid, kept / share)
    torch.testing.assert_close(expected, module(tokens, grid), rtol=1e-10, atol=1e-10)


def factors(block: Block, part: str, grid: Grid) -> Tensor:
    """What training multiplies one part of a block by at each patch of 256 clips: (b, t, h, w)."""
    reference.randomise(block)
    for name, parameter in block.named_parameters():
        last = (".proj." in name or ".extra." in name) if name.startswith("steps") else "mlp.2" in name
        if last and part not in name:
            parameter.data.zero_()
        if ".extra.bias" in name:
            parameter.data.zero_()
    torch.manual_seed(0)
    tokens = torch.randn(256, 1 + grid.tokens, 16)
    full = (block.eval()(tokens, grid) - tokens)[:, 1:]
    change = (block.train()(tokens, grid) - tokens)[:, 1:]
    return ((change * full).sum(-1) / full.square().sum(-1)).round(decimals=3).unflatten(1, grid.lengths)


def test_stochastic_depth_is_drawn_by_position_in_time_by_frame_in_space_and_by_clip_in_the_mlp() -> None:
    block, grid = Block(reference.VARIANTS["divided"], 0.5), Grid(4, 2, 3)
    time, space, mlp = (factors(block, part, grid) for part in ("steps.time", "steps.space", "mlp"))
    assert torch.equal(time, time[:, :1].expand_as(time))
    assert torch.equal(space, space[:, :, :1, :1].expand_as(space))
    assert torch.equal(mlp, mlp[:, :1, :1, :1].expand_as(mlp))
    for drawn, units in ((time[:, 0].flatten(1), 6), (space[:, :, 0, 0], 4), (mlp[:, :1, 0, 0], 1)):
        assert drawn.shape[1] == units and drawn.unique().tolist() == [0, 2] and 0.8 < drawn.mean() < 1.2
        assert units == 1 or (drawn.any(1) & ~drawn.all(1)).any()  # units of one clip are drawn apart


def test_stochastic_depth_grows_from_zero_and_is_off_in_evaluation() -> None:
    model = TimeSformer(ModelConfig(**{**reference.TINY, "depth": 3, "drop_path": 0.2}))
    assert [block.drop_path for block in model.blocks] == pytest.approx([0, 0.1, 0.2])
    clips = torch.randn(1, 4, 3, 16, 24)
    assert torch.equal(model.eval()(clips), model(clips))
    reference.randomise(model)
    assert not torch.equal(model.train()(clips), model(clips))


@pytest.mark.parametrize("name", reference.EVERY)
def test_a_caller_sees_the_tokens_before_each_step_and_computes_the_attention(name: str) -> None:
    model = TimeSformer(reference.EVERY[name]).double().eval()
    reference.randomise(model)
    clips = torch.randn(2, 4, 3, 16, 24, dtype=torch.float64)
    seen: list[tuple[GroupAttention, Tensor]] = []
    weights: list[Tensor] = []

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        weights.append(attention_module.attention_weights(query, key))
        return weights[-1] @ value

    features = model.features(clips, attend=attend, before_step=lambda step, tokens, _: seen.append((step, tokens)))
    torch.testing.assert_close(features, model.features(clips), rtol=1e-10, atol=1e-10)
    assert [step for step, _ in seen] == [step for block in model.blocks for step in block.steps.values()]
    embedded = model.embedding(clips)[0]
    assert torch.equal(seen[0][1], embedded if model.norm_pre is None else model.norm_pre(embedded))
    for (step, tokens), found in zip(seen, weights, strict=True):
        torch.testing.assert_close(step.weights(tokens, Grid(4, 4, 6)), found)
    assert torch.autograd.grad(features.sum(), weights[0])[0].any()  # relevance needs the gradients of weights


@pytest.mark.parametrize("prefix", ["shared", "keys_only", "per_group"])
def test_a_step_takes_any_number_of_prefix_tokens(prefix: Literal["shared", "keys_only", "per_group"]) -> None:
    step = Step("space", "same", "all", "all", prefix=prefix)
    module = attention(step)
    count = 3 * GRID.time if prefix == "per_group" else 3
    tokens = torch.randn(2, count + GRID.tokens, 8, dtype=torch.float64)
    residual = module(tokens, GRID)
    assert residual.shape == tokens.shape
    first = GRID.rows * GRID.columns
    own = tokens[:, :3]  # those of the first frame, or all
    alone = module(torch.cat([own, tokens[:, count : count + first]], dim=1), Grid(1, GRID.rows, GRID.columns))
    torch.testing.assert_close(alone[:, 3:], residual[:, count : count + first], rtol=1e-10, atol=1e-10)
    if prefix == "per_group":
        torch.testing.assert_close(alone[:, :3], residual[:, :3], rtol=1e-10, atol=1e-10)
