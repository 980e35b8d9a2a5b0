"""Every field of every config checks itself, and says the value, the rule and what was probably meant."""

from dataclasses import fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from timesformer.config.checks import ConfigError, nearest, wanted
from timesformer.config.configfile import from_toml, to_toml
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.training import AugmentConfig, EngineConfig, OptimConfig, TrainConfig
from timesformer.data import manifest
from timesformer.inference.scoring import Scoring
from timesformer.model import cost
from timesformer.model.transformer import TimeSformer
from timesformer.tasks.table import fuse
from timesformer.video import sampling
from timesformer.weights import loading
from timesformer.weights.formats import writing
from timesformer.weights.report import WeightsError

CONFIGS: tuple[Any, ...] = (
    ModelConfig,
    ClipConfig,
    AugmentConfig,
    OptimConfig,
    EngineConfig,
    TrainConfig,
    Scoring,
)
FIELDS = [(kind, field.name, get_type_hints(kind)[field.name]) for kind in CONFIGS for field in fields(kind)]
CHOICES = [(kind, name, hint) for kind, name, hint in FIELDS if get_origin(hint) is Literal]


def ids(entry: object) -> str | None:
    return entry.__name__ if isinstance(entry, type) else entry if isinstance(entry, str) else ""


@pytest.mark.parametrize(("kind", "name", "hint"), CHOICES, ids=ids)
def test_a_choice_that_does_not_exist_is_refused_with_the_choices_and_the_nearest(
    kind: Any, name: str, hint: object
) -> None:
    options = get_args(hint)
    for option in options:
        for typo in (f"{option}x", f" {option.upper()}-", f"{option[:2]}x{option[2:]}"):
            with pytest.raises(ConfigError) as caught:
                kind(**{name: typo})
            text = str(caught.value)
            assert text.startswith(f"{name} is {typo!r}; it must be one of {', '.join(map(repr, options))}; did you")
            assert repr(option) in text.rpartition("did you mean ")[2]
    for wrong in (None, 1, True, ["a"], b"x", np.array(options), object):
        with pytest.raises(ConfigError, match=rf"^{name} is .*; it must be one of "):
            kind(**{name: wrong})


@pytest.mark.parametrize(("kind", "name", "hint"), FIELDS, ids=ids)
def test_a_value_of_another_type_is_refused_with_what_is_wanted(kind: Any, name: str, hint: Any) -> None:
    never: list[Any] = [object(), {}, b"8", torch.tensor(8), np.int64(8), np.arange(2), float("nan"), [None], (1, "1")]
    if hint in (int, float) or get_origin(hint) is tuple:
        never += ["8", "0.5", True, None, float("inf"), -float("inf"), 2**4000]
    if hint is int:
        never += [8.0, 0.5, 2**63, -(2**64)]
    if hint is bool:
        never += [1, 0, "true", None]
    if hint is str:
        never += [1, None]
    for value in never:
        with pytest.raises(ConfigError, match=rf"^{name} is .*; it must be "):
            kind(**{name: value})


ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**31, 2**63 - 1, -(2**63), 10**9, 10**400, 1e308, 1e-308])
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=4)
    | st.lists(st.integers() | st.floats() | st.text(max_size=3), max_size=4)
    | st.lists(st.integers() | st.floats() | st.booleans(), max_size=4).map(tuple)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
)


@given(st.sampled_from(CONFIGS), st.data())
@settings(deadline=None, max_examples=400)
def test_no_value_of_any_kind_ends_in_anything_but_a_config_or_its_error(kind: Any, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from([field.name for field in fields(kind)]), unique=True, max_size=4))
    values = {name: data.draw(ANYTHING) for name in names}
    try:
        config = kind(**values)
    except ConfigError as error:
        assert len(str(error)) < 600
        return
    hash(config)
    if isinstance(config, TrainConfig):
        assert from_toml(to_toml(config)) == config


@pytest.mark.parametrize(
    ("value", "options", "meant"),
    [
        ("space-time", ("none", "space", "space_time"), "space_time"),
        ("Space Time", ("none", "space", "space_time"), "space_time"),
        ("space-first", ("time_first", "space_first", "parallel"), "space_first"),
        ("segment", ("dense", "segments"), "segments"),
        ("divded", ("space", "joint", "divided", "local_global", "axial"), "divided"),
        ("divided_space_time", ("space", "joint", "divided", "local_global", "axial"), "divided"),
        ("space_only", ("space", "joint", "divided", "local_global", "axial"), "space"),
        ("bfloat16", ("auto", "fp32", "bf16"), "bf16"),
        ("AdamW", ("adamw", "sgd"), "adamw"),
        ("", ("adamw", "sgd"), None),
        ("zebra", ("adamw", "sgd"), None),
    ],
)
def test_what_was_meant_is_found_by_spelling_by_length_and_by_likeness(
    value: str, options: tuple[str, ...], meant: str | None
) -> None:
    assert nearest(value, options) == meant
    assert (f"did you mean {meant!r}?" in wanted(Literal.__getitem__(options), value)) == (meant is not None)


def test_functions_with_choices_refuse_others_too() -> None:
    clip, logits = ClipConfig(), torch.zeros(1, 1, 2)
    for wrong in (
        lambda: sampling.views(30, 30.0, clip, placement="center"),  # type: ignore[arg-type]
        lambda: fuse(logits, "classes", "logit"),  # type: ignore[arg-type]
        lambda: cost.cost(ModelConfig(), precision="float32"),  # type: ignore[arg-type]
        lambda: manifest.load("nowhere", task="multi-label"),  # type: ignore[arg-type]
        lambda: manifest.load("nowhere", missing="skip"),  # type: ignore[arg-type]
        lambda: writing.write(None, "out", to="hugging-face"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigError, match="it must be one of "):
            wrong()
    with pytest.raises(WeightsError, match=r"^resize is 'smoth'; it must be one of .*; did you mean 'smooth'\?"):
        loading.load("nowhere", resize="smoth")  # type: ignore[arg-type]


def test_lists_are_as_good_as_tuples_and_numpy_s_floats_as_good_as_python_s() -> None:
    config = ModelConfig(size=[224, 448])  # type: ignore[arg-type]
    assert config == ModelConfig(size=(224, 448)) and hash(config) == hash(ModelConfig(size=(224, 448)))
    assert OptimConfig(milestones=[3, 5]) == OptimConfig(milestones=(3, 5))  # type: ignore[arg-type]
    trained = TrainConfig(optim=OptimConfig(lr=np.float64(0.003)))
    assert from_toml(to_toml(trained)) == trained


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: ModelConfig(frames=10**9), r"frames is 1000000000; it must be at most 65,536"),
        (lambda: ModelConfig(depth=20_000), r"depth is 20000; it must be at most 1,000"),
        (lambda: ModelConfig(width=2**16, heads=1, depth=1000), r"has at least [\d,]+ parameters; at most"),
        (lambda: ModelConfig(frames=60_000, size=448), r"60000 frames of 448 px are 47,040,000 patches"),
        (lambda: ModelConfig(size=2**14, patch=1), r"2,147,483,648 patches of 1 px; at most 16,777,216"),
        (lambda: ModelConfig(classes=10**9), r"classes is 1000000000; it must be at most 10,000,000"),
        (lambda: ModelConfig(mlp_ratio=1e300), r"mlp_ratio is 1e\+300; it must be at most 100"),
        (lambda: ModelConfig(mlp_ratio=1e-300), r"mlp_ratio is 1e-300; width 768 needs at least 0.0013"),
        (lambda: ModelConfig(size=(224, 2**40)), r"7,696,581,394,432 patches of 16 px"),
        (lambda: ModelConfig(size=(224, -16)), r"size -16 is not divisible by patch 16"),
        (lambda: ModelConfig(registers=-1), r"registers is -1; it must be at least 0"),
        (lambda: ModelConfig(registers=65), r"registers is 65; it must be at most 64"),
        (lambda: ModelConfig(norm_eps=0.0), r"norm_eps is 0.0; it must be above 0: from 1e-15 to 0.1"),
        (lambda: ModelConfig(norm_eps=1.0), r"norm_eps is 1.0; it must be above 0: from 1e-15 to 0.1"),
        (lambda: ModelConfig(activation="relu"), r"activation is 'relu'; it must be one of 'gelu', 'quick_gelu'"),
        (lambda: ClipConfig(frames=10**9), r"frames is 1000000000; it must be at most"),
        (lambda: ClipConfig(size=2**60), r"at most 16,384 px a side"),
        (lambda: ClipConfig(frames=60_000, size=1000), r"2,147,483,648 px a clip are supported"),
        (lambda: ClipConfig(size=(0, 5)), r"size is \(0, 5\); it must be at least 1"),
        (lambda: ClipConfig(fps=1e-308), r"fps is 1e-308; it must be above 0: from 0.001"),
        (lambda: ClipConfig(rate=10**9), r"rate is 1000000000; it must be at most 1,000,000"),
        (lambda: ClipConfig(mean=(123.0, 117.0, 104.0)), r"mean is \(123.0, .*: divide values for 0 to 255 by 255"),
        (lambda: ClipConfig(mean=(123, 117, 104)), r"must lie between 0 and 1"),
        (lambda: ClipConfig(std=(58.4, 57.1, 57.4)), r"std is \(58.4, .* from 0.001 to 1.*divide"),
        (lambda: ClipConfig(std=(0.0, 0.2, 0.2)), r"every channel must be above 0"),
        (lambda: AugmentConfig(rand_augment=10**9), r"rand_augment is 1000000000; it must be at most 100"),
        (lambda: AugmentConfig(jitter=(2.0, 1.0)), r"jitter is \(2.0, 1.0\)"),
    ],
)  # fmt: skip
def test_extremes_are_refused_by_stated_limits(wrong: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        wrong()


def test_what_is_published_and_what_is_far_larger_stays_within_the_limits() -> None:
    ModelConfig(scheme="joint", frames=96, size=448)
    ModelConfig(width=6144, depth=48, heads=48, classes=21_841)  # 22 thousand million numbers
    ModelConfig(frames=4096, size=(1088, 1920), patch=32)
    ClipConfig(frames=900, size=(1080, 1920), mean=(0.0, 0.5, 1.0), std=(1 / 255, 0.5, 1.0))
    wide = replace(TrainConfig().model, size=(224, 448))
    assert TrainConfig(model=wide, clip=ClipConfig(size=(224, 448))).clip.frame_size == (224, 448)
    assert TrainConfig(clip=ClipConfig(size=(224, 224))).clip.frame_size == TrainConfig().model.frame_size


def test_a_model_of_a_wrong_scheme_cannot_be_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"^scheme is 'divded'.* did you mean 'divided'\?"):
        TimeSformer(replace(ModelConfig(), scheme="divded"))  # type: ignore[arg-type]
