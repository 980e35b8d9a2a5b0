"""The model equals another implementation, starts as the paper says, and is right at any size or refuses it."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import TimesformerConfig, TimesformerForVideoClassification

from tests import reference
from timesformer.config.checks import ConfigError
from timesformer.config.model import ModelConfig, Scheme
from timesformer.model.embeddings import resize_position, resize_time
from timesformer.model.transformer import TimeSformer

THEIRS = {"space": "space_only", "joint": "joint_space_time", "divided": "divided_space_time"}
every_variant = pytest.mark.parametrize("name", reference.EVERY)


def build(config: ModelConfig, *, seed: int = 0, checkpointing: int = 0) -> TimeSformer:
    """A model in double precision with a random value in every parameter."""
    model = TimeSformer(config, checkpointing=checkpointing).double().eval()
    reference.randomise(model, seed=seed)
    return model


def clips_for(config: ModelConfig, *, batch: int = 2) -> Tensor:
    return torch.randn(batch, config.frames, 3, *config.frame_size, dtype=torch.float64)


def outputs_of_blocks(model: TimeSformer, clips: Tensor) -> list[Tensor]:
    """The embedded tokens, then those after each block."""
    found = [model.embedding(clips)[0]]
    hooks = [block.register_forward_hook(lambda _, __, tokens: found.append(tokens)) for block in model.blocks]
    model(clips)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("scheme", THEIRS)
@torch.no_grad()
def test_every_tensor_equals_transformers(scheme: str) -> None:
    theirs = TimesformerForVideoClassification(
        TimesformerConfig(
            image_size=32, patch_size=8, num_frames=3, hidden_size=24, num_hidden_layers=3, num_attention_heads=4,
            intermediate_size=96, attention_type=THEIRS[scheme], num_labels=7,
        )
    ).eval()  # fmt: skip
    reference.randomise(theirs)
    config = ModelConfig(scheme=scheme, frames=3, size=32, patch=8, width=24, depth=3, heads=4, classes=7)
    ours = TimeSformer(config).eval()
    state = theirs.state_dict()
    ours.load_state_dict({name: state.pop(reference.transformers_name(name)) for name in ours.state_dict()})
    assert not state
    clips = torch.randn(2, 3, 3, 32, 32)
    output = theirs(clips, output_hidden_states=True)
    for mine, tokens in zip(outputs_of_blocks(ours, clips), output.hidden_states, strict=True):
        if scheme == "space":  # (b*t, 1 + n, d): each frame is a row, and has a class token
            tokens = tokens.unflatten(0, (2, 3))
            expected = torch.cat([tokens[:, :, 0], tokens[:, :, 1:].flatten(1, 2)], dim=1)
        else:  # (b, 1 + n*t, d): time runs fastest
            patches = tokens[:, 1:].unflatten(1, (16, 3)).transpose(1, 2).flatten(1, 2)
            expected = torch.cat([tokens[:, :1], patches], dim=1)
        torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-5)
    logits = output.logits
    if scheme == "space":  # theirs has a row per frame; features are averaged over frames before the norm
        first = output.hidden_states[-1][:, 0].unflatten(0, (2, 3)).mean(dim=1)
        logits = theirs.classifier(theirs.timesformer.layernorm(first))
    torch.testing.assert_close(ours(clips), logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [(8, 16, [i // 2 for i in range(16)]), (96, 8, list(range(0, 96, 12))), (8, 12, [i * 8 // 12 for i in range(12)])],
)
def test_the_time_embedding_is_resized_to_the_nearest_frame(old: int, new: int, expected: list[int]) -> None:
    time = torch.arange(old, dtype=torch.float32).reshape(1, old, 1)
    assert resize_time(time, new, smooth=False).flatten().tolist() == expected


def test_the_position_embedding_is_resized_to_the_nearest_place_in_two_dimensions() -> None:
    position = torch.arange(-1, 196, dtype=torch.float32).reshape(1, 197, 1)
    resized = resize_position(position, (14, 14), (28, 28), smooth=False).flatten().tolist()
    assert resized == [-1, *(14 * (y // 2) + x // 2 for y in range(28) for x in range(28))]


def test_smooth_resizing_keeps_the_class_row_and_a_ramp_a_ramp() -> None:
    ramp = torch.arange(1.0, 9.0).reshape(1, 8, 1)
    steps = resize_time(ramp, 16, smooth=True).flatten().diff()
    assert torch.allclose(steps[1:-1], torch.full((13,), 0.5)) and (steps >= 0).all()
    plane = torch.cat([torch.full((1, 1, 1), 99.0), ramp[:, :, None].expand(1, 8, 6, 1).flatten(1, 2)], dim=1)
    resized = resize_position(plane, (8, 6), (16, 12), smooth=True).flatten()
    rows = resized[1:].reshape(16, 12)
    assert resized[0] == 99 and torch.allclose(rows, rows[:, :1].expand(16, 12), atol=1e-5)
    assert torch.allclose(rows[4:12, 0].diff(), torch.full((7,), 0.5), atol=0.1)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(sorted(reference.EVERY)),
    lengths=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 7)),
)
def test_any_size_equals_a_model_built_for_it_with_resized_embeddings(name: str, lengths: tuple[int, int, int]) -> None:
    stored = reference.EVERY[name]
    frames, rows, columns = (2 * n for n in lengths) if stored.scheme == "local_global" else lengths
    there = replace(stored, frames=frames, size=(4 * rows, 4 * columns))
    model, built = build(stored), build(there)
    state = model.state_dict()
    if "embedding.position" in state:
        places = [1 + 6 * (y * 4 // rows) + x * 6 // columns for y in range(rows) for x in range(columns)]
        state["embedding.position"] = state["embedding.position"][:, [0, *places]]
    if "embedding.time" in state:
        state["embedding.time"] = state["embedding.time"][:, [t * 4 // frames for t in range(frames)]]
    built.load_state_dict(state)
    clips = clips_for(there)
    torch.testing.assert_close(model(clips), built(clips), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        (torch.zeros(1, 4, 3, 18, 24), r"4 frames of 18 x 24 px; .* multiples of the patch size 4: .* 16 x 24"),
        (torch.zeros(1, 4, 3, 16, 2), r"4 frames of 16 x 2 px; .* multiples of the patch size 4: .* 16 x 4"),
        (torch.zeros(1, 0, 3, 16, 24), r"0 frames of 16 x 24 px; there must be a frame"),
        (torch.zeros(4, 3, 16, 24), r"shape \(4, 3, 16, 24\); they must be \(batch, frames, 3, height, width\)"),
        (torch.zeros(1, 3, 4, 16, 24), r"shape \(1, 3, 4, 16, 24\); they must be \(batch, frames, 3, height, width\)"),
        (torch.zeros(1, 4, 3, 16, 24, dtype=torch.uint8), r"are torch.uint8; they must be normalised floats"),
    ],
)
def test_clips_that_do_not_fit_are_refused_with_value_rule_and_remedy(clips: Tensor, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TimeSformer(reference.VARIANTS["divided"])(clips)


def test_a_model_starts_as_the_paper_says() -> None:
    torch.manual_seed(0)
    model = TimeSformer(ModelConfig(depth=2, width=384, heads=6))
    seen = set()
    for name, parameter in model.named_parameters():
        values = parameter.detach()
        if ("time" in name and "embedding" in name) or ".extra." in name:
            seen.add("zero")
            assert not values.any(), name
        elif name.startswith("embedding.patch"):  # a convolution's own start: uniform within 1 / sqrt(fan in)
            seen.add("patch")
            assert values.abs().max() <= 768**-0.5 and values.std() > 0.5 * 768**-0.5
        elif name.endswith("bias"):
            assert not values.any(), name
        elif "norm" in name:
            seen.add("norm")
            assert (values == 1).all()
        else:  # linear weights, class token, position embedding
            seen.add(name.split(".")[1] if name.startswith("embedding") else "linear")
            assert values.std() == pytest.approx(0.02, rel=0.15) and abs(values.mean()) < 0.003, name
    assert seen == {"zero", "patch", "norm", "linear", "class_token", "position"}


def test_from_scratch_the_time_embedding_and_second_projections_do_not_start_at_zero() -> None:
    for scheme, count in (("divided", 1), ("local_global", 1), ("axial", 2)):
        model = TimeSformer(ModelConfig(scheme=scheme, weight_init="scratch", depth=1, width=384, heads=6))
        weights = [value for name, value in model.named_parameters() if name.endswith("extra.weight")]
        assert len(weights) == count and all(0.01 < value.std() < 0.1 for value in weights)
        assert model.embedding.time is not None and model.embedding.time.std() > 0.1


def test_a_fresh_model_sees_the_order_of_frames_only_when_started_from_scratch() -> None:
    clips = clips_for(reference.VARIANTS["divided"])
    for start, sees in (("image", False), ("scratch", True)):
        torch.manual_seed(0)
        model = TimeSformer(replace(reference.VARIANTS["divided"], weight_init=start)).double().eval()
        assert ((model(clips) - model(clips.flip(1))).abs().max() > 1e-9) == sees


@every_variant
def test_features_are_what_the_head_sees(name: str) -> None:
    model = build(reference.EVERY[name])
    clips = clips_for(model.config)
    features = model.features(clips)
    assert features.shape == (2, 16) and model(clips).shape == (2, 5)
    assert torch.equal(model.head(features), model(clips))


@every_variant
def test_clips_of_a_batch_do_not_touch_each_other(name: str) -> None:
    model = build(reference.EVERY[name])
    clips = clips_for(model.config, batch=3).requires_grad_()
    model(clips)[1].sum().backward()
    assert clips.grad is not None and clips.grad[1].any() and not clips.grad[[0, 2]].any()
    torch.testing.assert_close(model(clips)[1:2], model(clips[1:2]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("drop_path", [0.0, 0.4])
@every_variant
def test_checkpointing_gives_the_same_gradients(name: str, drop_path: float) -> None:
    config = replace(reference.EVERY[name], drop_path=drop_path)
    clips, gradients = clips_for(config).float(), []
    for checkpointing in (0, 1, -1):
        model = build(config, checkpointing=checkpointing).float().train()
        torch.manual_seed(3)
        model(clips).logsumexp(dim=-1).sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, *recomputed in zip(*gradients, strict=True):
        for again in recomputed:
            torch.testing.assert_close(again, plain, rtol=1e-6, atol=1e-6)


@every_variant
def test_half_precision_follows_single_precision_and_no_default_changes(name: str) -> None:
    default = torch.get_default_dtype()
    config = reference.EVERY[name]
    model, clips = TimeSformer(config).eval(), clips_for(config).float()
    exact = model(clips)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(clips)
    half = model.bfloat16()(clips.bfloat16())
    assert exact.dtype is torch.float32 and half.dtype is torch.bfloat16
    for rounded in (mixed, half):
        assert (rounded - exact).norm() < 0.05 * exact.norm()
    assert torch.get_default_dtype() is default


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("name", [*reference.STEPS, "space_first", "parallel", "class_in_time", "divided_like_dinov3"])
@pytest.mark.usefixtures("fresh_compiler")
@torch.no_grad()
def test_a_model_compiles_whole_and_equals_itself(name: str) -> None:
    model = build(replace(reference.EVERY[name], depth=1))
    clips = clips_for(model.config)
    whole = torch.compile(model, fullgraph=True, backend="aot_eager")(clips)
    torch.testing.assert_close(whole, model(clips), rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("fresh_compiler")
def test_training_compiles_whole_and_gives_the_same_gradients() -> None:
    model = build(replace(reference.VARIANTS["divided"], depth=1)).train()
    clips = clips_for(model.config)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    gradients = [
        torch.autograd.grad(run(clips).logsumexp(dim=-1).sum(), list(model.parameters())) for run in (model, compiled)
    ]
    for eager, whole in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, eager, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("fresh_compiler")
def test_stochastic_depth_and_checkpointing_compile_whole() -> None:
    model = build(replace(reference.VARIANTS["divided"], drop_path=0.5), checkpointing=-1).train()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    compiled(clips_for(model.config)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler's own imports
@pytest.mark.usefixtures("fresh_compiler")
def test_the_default_compiler_gives_the_same_output() -> None:
    model = build(replace(reference.VARIANTS["divided"], depth=1)).float()
    clips = clips_for(model.config).float()
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(model, fullgraph=True)(clips), model(clips), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["divided", "space", "space_position", "no_position"])
def test_tokens_stay_float32_under_autocast_with_any_position_embedding(name: str) -> None:
    model = TimeSformer(reference.EVERY[name])
    seen: list[torch.dtype] = []
    for block in model.blocks:
        block.register_forward_hook(lambda _, __, tokens: seen.append(tokens.dtype))
    for training in (False, True):
        with torch.autocast("cpu", torch.bfloat16):
            model.train(training)(torch.randn(2, 4, 3, 16, 24))
    assert set(seen) == {torch.float32}


@pytest.mark.parametrize("scheme", ["space", "joint", "divided"])
@torch.no_grad()
def test_a_model_can_see_some_patch_positions_alone(scheme: Scheme) -> None:
    config = ModelConfig(scheme=scheme, frames=3, size=(16, 24), patch=8, width=24, depth=3, heads=4, classes=7)
    model, clips = build(config), clips_for(config)
    places = torch.tensor([0, 2, 5])
    wanted = [reference.logits(clip, config=config, state=model.state_dict(), seen=places.tolist()) for clip in clips]
    torch.testing.assert_close(model(clips, places=places), torch.stack(wanted), rtol=1e-10, atol=1e-10)
    assert torch.equal(model(clips, places=torch.arange(6)), model(clips))


@torch.no_grad()
def test_steps_that_add_nothing_can_be_left_out() -> None:
    config = ModelConfig(frames=3, size=16, patch=8, width=24, depth=3, heads=4, classes=7)
    model, clips = build(config), clips_for(config)
    for block in model.blocks[:2]:
        for value in block.steps["time"].extra.parameters():
            torch.nn.init.zeros_(value)
    wanted = model(clips)
    model.leave_out_idle_steps(3)
    assert [block.steps["time"].idle for block in model.blocks] == [True, True, False]
    assert not any(block.steps["space"].idle for block in model.blocks)
    assert torch.equal(model(clips), wanted)
