"""Settings survive a file exactly, explain themselves there, and are read strictly."""

import compileall
import shutil
import subprocess
import sys
import tomllib
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import timesformer.config.configfile
from timesformer.config.checks import ConfigError
from timesformer.config.configfile import from_toml, to_toml
from timesformer.config.encode import ADDED
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.training import AugmentConfig, EngineConfig, OptimConfig, TrainConfig
from timesformer.recipes.table import RECIPES

COUNTS = st.integers(1, 2**40)
SHARES = st.floats(0, 1, exclude_max=True)
POSITIVE = st.floats(1e-300, 1e300)
ZERO_OR_MORE = st.floats(0, 1e300)


def triples(values: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[float, ...]]:
    return st.tuples(values, values, values)


@st.composite
def models(draw: st.DrawFn) -> ModelConfig:
    patch, heads = draw(st.integers(1, 64)), draw(st.integers(1, 32))
    sides = [patch * draw(st.integers(1, 16)) for _ in range(2)]
    scheme = draw(st.sampled_from(["space", "joint", "divided", "local_global", "axial"]))
    divided = scheme == "divided"
    return ModelConfig(
        scheme=scheme,
        frames=draw(st.integers(1, 2**10)),
        size=draw(st.sampled_from([sides[0], (sides[0], sides[1])])),
        patch=patch,
        width=heads * draw(st.integers(1, 128)),
        heads=heads,
        mlp_ratio=draw(st.floats(1, 100)),
        classes=draw(st.integers(1, 10**7)),
        drop_path=draw(SHARES),
        order=draw(st.sampled_from(["time_first", "space_first", "parallel"])) if divided else "time_first",
        class_in_time=draw(st.booleans()) if divided else False,
    )


CLIPS = st.builds(
    ClipConfig,
    rate=st.integers(1, 10**6),
    fps=st.floats(0.001, 10**5),
    mean=triples(st.floats(0, 1)),
    std=triples(st.floats(0.001, 1)),
    channels=st.sampled_from(["rgb", "bgr"]),
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9).filter(
    lambda name: name.partition("=")[0].strip() and name.rpartition("=")[2].strip()
)
PAIRS = st.tuples(NAMES, NAMES).map("=".join)
AUGMENTS = st.builds(
    AugmentConfig,
    jitter=st.tuples(st.floats(1, 2), st.floats(2, 1e9)),
    inverse_jitter=st.booleans(),
    flip=st.just(True),
    mirror_labels=st.lists(PAIRS, max_size=3).map(tuple),
    reverse_labels=st.lists(PAIRS, max_size=3).map(tuple),
    colour=SHARES,
    mixup=st.floats(0, 10**4),
    patch_drop=st.floats(0, 1, exclude_max=True),
)
OPTIMS = st.builds(
    OptimConfig,
    optimizer=st.sampled_from(["adamw", "sgd"]),
    lr=POSITIVE,
    weight_decay=ZERO_OR_MORE,
    milestones=st.lists(st.integers(0, 2**62), max_size=5).map(sorted).map(tuple),
    warmup=ZERO_OR_MORE,
    epochs=COUNTS,
    batch=COUNTS,
    ema=SHARES,
)
ENGINES = st.builds(EngineConfig, seed=st.integers(-(2**62), 2**62), cache=st.sampled_from(["auto", "on", "off"]))


@st.composite
def configs(draw: st.DrawFn) -> TrainConfig:
    model, augment = draw(models()), draw(AUGMENTS)
    if model.scheme in ("local_global", "axial") or model.rotary:
        augment = replace(augment, patch_drop=0.0)
    paired = augment.mirror_labels or augment.reverse_labels
    return TrainConfig(
        model=model,
        clip=replace(draw(CLIPS), frames=model.frames, size=model.size),
        augment=augment,
        optim=draw(OPTIMS),
        engine=draw(ENGINES),
        task=draw(st.sampled_from(["classes", "multilabel"] if paired else ["classes", "multilabel", "regression"])),
        init=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=60)),
        freeze=draw(st.sampled_from(["none", "backbone"])),
    )


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_comes_back_exactly(name: str) -> None:
    config = RECIPES[name].config
    assert from_toml(to_toml(config)) == config


@given(configs())
@settings(deadline=None, max_examples=60)
def test_any_settings_come_back_exactly_and_with_their_types(config: TrainConfig) -> None:
    back = from_toml(to_toml(config))
    assert back == config
    assert repr(back) == repr(config)


def test_the_text_holds_every_field_under_its_sentence() -> None:
    text = to_toml(TrainConfig())
    parsed = tomllib.loads(text)
    expected = {field.name for field in fields(TrainConfig)}
    assert set(parsed) == expected
    lines = text.splitlines()
    for field in fields(TrainConfig):
        default = getattr(TrainConfig(), field.name)
        names = [inner.name for inner in fields(default)] if is_dataclass(default) else []
        names = [name for name in names if name not in ADDED.get(type(default).__name__, ())]
        assert not names or set(parsed[field.name]) == set(names)
        for name in names or [field.name]:
            places = [place for place, line in enumerate(lines) if line.startswith(f"{name} = ")]
            assert places
            assert all(lines[place - 1].startswith("# ") for place in places)
    assert "# Number of blocks.\ndepth = 12\n" in text
    assert max(map(len, lines)) <= 120


def test_fields_that_earlier_files_lack_are_written_where_they_differ_from_their_defaults() -> None:
    assert not set(ADDED["ModelConfig"]) & set(tomllib.loads(to_toml(TrainConfig()))["model"])
    model = ModelConfig(
        rotary=True, registers=4, norm_pre=True, activation="quick_gelu", norm_eps=1e-12, pool="last_blocks"
    )
    config = TrainConfig(model=model)
    text = to_toml(config)
    assert from_toml(text) == config
    assert "as in DINOv2 with registers" in text and "registers = 4\nnorm_pre" not in text
    assert set(ADDED["ModelConfig"]) <= set(tomllib.loads(text)["model"])


def test_settings_left_out_have_their_defaults() -> None:
    assert from_toml("") == TrainConfig()
    assert from_toml("[optim]\nepochs = 3\n") == TrainConfig(optim=OptimConfig(epochs=3))


def test_a_whole_number_serves_where_a_fraction_is_meant_and_not_the_other_way() -> None:
    lr = from_toml("[optim]\nlr = 1\n").optim.lr
    assert (lr, type(lr)) == (1.0, float)
    with pytest.raises(ConfigError, match=r"optim\.epochs is 3\.0; it must be a whole number"):
        from_toml("[optim]\nepochs = 3.0\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr = 3", r"^lr is unknown; did you mean optim\.lr\?"),
        ("[optim]\nlearnrate = 1", r"^optim\.learnrate is unknown; there are optimizer, lr, "),
        ("[optim]\nepoch = 1", r"^optim\.epoch is unknown; did you mean optim\.epochs\?"),
        ("[optim]\nlearning_rate = 1e-3", r"^optim\.learning_rate is unknown; did you mean optim\.lr\?"),
        ("[optim]\nbatch_size = 8", r"^optim\.batch_size is unknown; did you mean optim\.batch\?"),
        ("[optim]\nflip = false", r"^optim\.flip is unknown; did you mean augment\.flip\?"),
        ("[modle]\nwidth = 3", r"^modle is unknown; did you mean model\?"),
        ("zzz = 1", r"^zzz is unknown; there are model, clip, .*, init, freeze, frozen_blocks, lora\."),
        ("[optim]\nlr = 'x'", r"^optim\.lr is 'x'; it must be a finite number\."),
        ("[optim]\nwarmup = nan", r"^optim\.warmup is nan; it must be a finite"),
        ("[optim]\nlr = true", r"^optim\.lr is True; it must be a finite"),
        (f"[optim]\nlr = 1{'0' * 400}", r"^optim\.lr is 10+; it must be a finite"),
        ("[optim]\nbatch = true", r"^optim\.batch is True; it must be a whole number\."),
        ("[optim]\nmilestones = [1, 2.5]", r"^optim\.milestones\[1\] is 2\.5; it must be a whole number\."),
        ("[optim]\nmilestones = 3", r"^optim\.milestones is 3; it must be an array of whole numbers"),
        ("[model]\nscheme = 'dividd'", r"^model\.scheme is 'dividd'; it must be one of .*; did you mean 'divided'\?"),
        ("[model]\nscheme = 1", r"^model\.scheme is 1; it must be one of 'space', .*'axial'\."),
        ("[model]\nsize = [1, 2, 3]", r"^model\.size is \[1, 2, 3\]; it must be an array of 2 whole numbers"),
        ("[clip]\nmean = [1, 2]", r"^clip\.mean is \[1, 2\]; it must be an array of 3 numbers"),
        ("[engine]\ncompile = 1", r"^engine\.compile is 1; it must be true or false\."),
        ("init = 3", r"^init is 3; it must be a text in quotes\."),
        ("model = 3", r"^model is 3; it must be a section: \[its name\]"),
        ("[[model]]", r"^model is \[\{\}\]; it must be a section"),
        ("[init]", r"^init is a table; it must be a text"),
        ("[model]\nmlp_ratio = -1.0", r"^\[model\] mlp_ratio is -1\.0; it must be above 0\."),
        ("[augment]\nmixup = -1.0", r"^\[augment\] mixup is -1\.0; it must be at least 0\."),
        ("[augment]\npatch_drop = 1.0", r"^\[augment\] patch_drop is 1\.0; it must be at least 0 and below 1"),
        ("[optim]\nmilestones = [-1, 11]", r"^\[optim\] milestones are \(-1, 11\); they count epochs from 0"),
        ("[optim]\nmilestones = [14, 11]", r"^\[optim\] milestones are \(14, 11\); they must be in ascending order\."),
        ("[engine]\ncheckpointing = -2", r"^\[engine\] checkpointing is -2; it must be at least -1\."),
        ("frozen_blocks = 13", r"^frozen_blocks is 13; it must lie between 0 and the depth, 12\."),
        ("[model]\nwidth = 100", r"^\[model\] width 100 is not divisible by heads 12; choose"),
        ("[model]\nframes = 16", r"^clips are 8 frames of 224 px but the model is for 16 frames"),
        ("[model]\nsize = [224, 448]", r"^clips are 8 frames of 224 px but the model is for 8 frames of 224 x 448 px"),
        ("init = ", r"^the config is not valid TOML: .*line 1.*|at end of document"),
        ("a = " + "[" * 100_000, r"^the config is not valid TOML: "),
        ("a = 1" + "0" * 5000, r"^the config is not valid TOML: "),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_with_a_remedy(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_toml(text)


@given(st.sampled_from(list(RECIPES)), st.integers(0, 10_000), st.integers(0, 12), st.text(max_size=6))
@settings(deadline=None, max_examples=100)
def test_damaged_text_is_read_or_refused_but_never_breaks(name: str, at: int, cut: int, put: str) -> None:
    text = to_toml(RECIPES[name].config)
    at %= len(text)
    try:
        config = from_toml(text[:at] + put + text[at + cut :])
    except ConfigError as error:
        assert str(error)
    else:
        assert isinstance(config, TrainConfig)


def test_a_name_that_no_file_can_hold_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"init is 'a\\udcff', which is not valid Unicode; rename the file"):
        to_toml(TrainConfig(init="a\udcff"))


def test_a_package_without_source_writes_the_same_settings_without_sentences(tmp_path: Path) -> None:
    package = tmp_path / "timesformer"
    package.mkdir()
    (package / "__init__.py").touch()
    ours = Path(timesformer.config.configfile.__file__).parent
    shutil.copy(ours.parent / "errors.py", package)
    shutil.copytree(ours, package / "config")
    compileall.compile_dir(package, quiet=1, legacy=True)
    for source in package.rglob("*.py"):
        source.unlink()
    code = (
        "from timesformer.config import training, configfile as c; print(c.__file__); "
        "print(c.to_toml(training.TrainConfig()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    where, _, text = done.stdout.partition("\n")
    assert Path(where).suffix == ".pyc"
    assert from_toml(text) == TrainConfig()
    assert "# Number of blocks." not in text
