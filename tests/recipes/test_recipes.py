"""Recipes hold the published settings, build, learn, and cost what they say."""

import math
import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests import made_trainings
from tests.made_trainings import Watcher
from tests.made_weights import random_model, save_official, vit
from timesformer.config.checks import ConfigError
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.training import TrainConfig
from timesformer.data.items import Item
from timesformer.data.manifest import Manifest
from timesformer.model.cost import cost, multiply_adds, parameters
from timesformer.model.transformer import TimeSformer
from timesformer.recipes.paper import LAPTOP, VIT_BASE, VIT_LARGE, VIT_SMALL
from timesformer.recipes.recipe import Recipe
from timesformer.recipes.table import RECIPES, recipe
from timesformer.training.choose.settings import choose
from timesformer.training.loop import train
from timesformer.weights import zoo
from timesformer.weights.formats.source import Source

DOCS = Path(__file__).parents[2] / "docs" / "recipes.md"
IMAGENET = "timm/vit_base_patch16_224.orig_in21k_ft_in1k"
DEIT = "timm/deit_base_patch16_224.fb_in1k"
LARGE = "timm/vit_large_patch16_224.augreg_in21k_ft_in1k"
# frames, rate (None: segments), size, jitter in pixels, flip, classes, start
OFFICIAL = {
    "k400-base": (8, 32, 224, (256, 320), True, 400, IMAGENET),
    "k400-hr": (16, 16, 448, (448, 512), True, 400, IMAGENET),
    "k400-large": (96, 4, 224, (256, 320), True, 400, IMAGENET),
    "k600-base": (8, 32, 224, (256, 320), True, 600, IMAGENET),
    "k600-hr": (16, 16, 448, (448, 512), True, 600, IMAGENET),
    "k600-large": (96, 4, 224, (256, 320), True, 600, IMAGENET),
    "ssv2-base": (8, None, 224, (256, 320), False, 174, IMAGENET),
    "ssv2-hr": (16, None, 448, (448, 512), False, 174, IMAGENET),
    "ssv2-large": (64, None, 224, (256, 320), False, 174, IMAGENET),
    "diving48-base": (8, 32, 224, (256, 320), True, 48, DEIT),
    "diving48-hr": (16, 16, 448, (448, 512), True, 48, DEIT),
    "diving48-large": (96, 4, 224, (256, 320), True, 48, DEIT),
    "howto100m-8": (8, 32, 224, (256, 320), True, 1059, "k400-base"),
    "howto100m-32": (32, 32, 224, (256, 320), True, 1059, "k400-base"),
    "howto100m-64": (64, 32, 224, (256, 320), True, 1059, "k400-base"),
    "howto100m-96": (96, 32, 224, (256, 320), True, 1059, "k400-base"),
}
# how a recipe differs from the base of its data set; None where the paper names no number
VARIANTS: dict[str, dict[str, object]] = {
    "space": {"scheme": "space"},
    "joint": {"scheme": "joint"},
    "local-global": {"scheme": "local_global"},
    "axial": {"scheme": "axial"},
    "position-none": {"position": "none"},
    "position-space": {"position": "space"},
    "space-first": {"order": "space_first"},
    "vit-large": {"width": 1024, "depth": 24, "heads": 16},
    "parallel": {"order": "parallel"},
    "patch32": {"patch": 32},
    "vit-small": {"width": 384, "heads": 6},
}
KINETICS_ONLY = ("parallel", "patch32", "vit-small")
THOUSANDS = {"k400": 240, "k600": 392, "ssv2": 170, "diving48": 16, "howto100m": 85, "mmaction2": 240}
MODERN = ("k400-base-8gpu", "finetune-1gpu", "finetune-small-gpu", "finetune-hr-small-gpu")
SMALL = ("small-scratch-cpu", "small-scratch-gpu", "small-finetune", "small-image")
MMACTION = ("mmaction2-k400-divided", "mmaction2-k400-joint", "mmaction2-k400-space")
PAPER = [name for name in RECIPES if name not in (*MODERN, *SMALL, *MMACTION)]


def test_there_is_a_recipe_for_every_experiment_and_no_other() -> None:
    variants = {f"k400-{variant}" for variant in VARIANTS}
    variants |= {f"ssv2-{variant}" for variant in VARIANTS if variant not in KINETICS_ONLY}
    assert set(RECIPES) == {*OFFICIAL, *variants, *MODERN, *SMALL, *MMACTION}


@pytest.mark.parametrize("name", OFFICIAL)
def test_clips_and_changes_are_those_of_the_released_training(name: str) -> None:
    frames, rate, size, jitter, flip, classes, init = OFFICIAL[name]
    config = recipe(name).config
    clip, augment = config.clip, config.augment
    assert (clip.frames, clip.size, config.model.classes, config.init) == (frames, size, classes, init)
    assert clip.sampling == ("segments" if rate is None else "dense")
    assert rate is None or (clip.rate, clip.fps) == (rate, 30)
    assert tuple(round(bound * size, 6) for bound in augment.jitter) == jitter
    assert (augment.flip, augment.inverse_jitter, augment.crop) == (flip, rate is None, "jitter")
    assert (clip.mean, clip.std, clip.channels) == ((0.45,) * 3, (0.225,) * 3, "rgb")
    assert config.model == ModelConfig(frames=frames, size=size, classes=classes)


@pytest.mark.parametrize("name", PAPER)
def test_the_solver_is_that_of_the_released_training(name: str) -> None:
    config = recipe(name).config
    optim, augment = config.optim, config.augment
    assert (optim.optimizer, optim.lr, optim.momentum, optim.weight_decay) == ("sgd", 0.005, 0.9, 1e-4)
    assert (optim.decay_all, optim.schedule, optim.milestones, optim.epochs) == (True, "steps", (11, 14), 15)
    assert (optim.batch, optim.warmup, optim.clip_grad, optim.label_smoothing) == (64, 0, 0, 0)
    assert (optim.layer_decay, optim.ema, optim.class_weights, optim.repeats) == (1, 0, False, 1)
    assert (augment.colour, augment.rand_augment, augment.erase, augment.mixup, augment.cutmix) == (0,) * 5
    assert (config.model.drop_path, config.model.weight_init, config.engine.precision) == (0.1, "image", "fp32")


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_ablation_changes_one_thing_of_its_base(variant: str) -> None:
    for data in ("k400",) if variant in KINETICS_ONLY else ("k400", "ssv2"):
        base, changed = recipe(f"{data}-base").config, recipe(f"{data}-{variant}").config
        assert changed == replace(base, model=replace(base.model, **VARIANTS[variant]), init=changed.init)
        assert (changed.init == base.init) == (variant not in ("vit-large", "patch32", "vit-small"))


def test_the_mmaction2_recipes_differ_in_normalisation_decay_clipping_and_milestones() -> None:
    for name, base in zip(MMACTION, ("k400-base", "k400-joint", "k400-space"), strict=True):
        ours, theirs = recipe(base).config, recipe(name).config
        optim = replace(ours.optim, milestones=(5, 10), clip_grad=40, decay_all=False, accumulate=1)
        half = (0.5, 0.5, 0.5)
        assert theirs == replace(ours, optim=optim, clip=replace(ours.clip, mean=half, std=half))


def test_parameters_are_those_published() -> None:
    table_1 = {"space": 85.9, "joint": 85.9, "base": 121.4, "local-global": 121.4, "axial": 156.8}
    for variant, millions in table_1.items():
        assert round(parameters(recipe(f"ssv2-{variant}").config.model) / 1e6, 1) == millions
    for name, millions in zip(MMACTION, (122, 86.11, 86.11), strict=True):
        assert round(parameters(recipe(name).config.model) / 1e6, 2 if millions % 1 else 0) == millions


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_builds_its_model(name: str) -> None:
    config = recipe(name).config
    with torch.device("meta"):
        model = TimeSformer(config.model, checkpointing=config.engine.checkpointing)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters(config.model)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return made_trainings.table(tmp_path_factory.mktemp("made") / "data")


def tiny(config: TrainConfig) -> TrainConfig:
    """A config with eight frames of two by two patches, two classes, and one head of 64, as wide as the usual ones."""
    side = 2 * config.model.patch
    model = replace(config.model, frames=8, size=side, width=64, depth=2, heads=1, classes=2)
    engine = replace(config.engine, workers=0, cache="off")
    engine = replace(engine, precision="fp32" if engine.precision == "auto" else engine.precision)
    init = config.init if config.init in ("", "k400-base") else "image"
    clip, frozen = replace(config.clip, frames=8, size=side), min(config.frozen_blocks, 1)
    return replace(config, model=model, clip=clip, engine=engine, init=init, frozen_blocks=frozen)


def made_start(settings: TrainConfig, folder: Path) -> str:
    """Weights of the kind that a tiny config starts from, or none."""
    small = replace(ModelConfig(size=settings.model.size, patch=settings.model.patch), width=64, depth=2, heads=1)
    if settings.init == "k400-base":
        return str(save_official(random_model(small), folder / "video.pyth"))
    if settings.init:
        torch.save(vit(small), folder / "image.pth")
    return str(folder / "image.pth") if settings.init else ""


DISTINCT = {tiny(entry.config): name for name, entry in RECIPES.items()}


@pytest.mark.parametrize("settings", DISTINCT, ids=DISTINCT.values())
def test_every_recipe_that_differs_in_more_than_size_trains_from_its_kind_of_weights(
    settings: TrainConfig, data: Manifest, tmp_path: Path
) -> None:
    watcher = Watcher({("step", 2): made_trainings.signalled(signal.SIGTERM)})
    settings = replace(settings, init=made_start(settings, tmp_path))
    outcome = train(data, settings, tmp_path / "run", display=watcher)
    assert outcome.stopped == signal.SIGTERM and all(map(math.isfinite, watcher.losses))
    assert len(watcher.losses) == 2 and watcher.losses[0] != watcher.losses[1]


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in SMALL])
def test_a_command_names_its_recipe_start_and_machines(name: str) -> None:
    entry = recipe(name)
    config, command = entry.config, entry.command
    assert f"train DATA --recipe {name} --init {config.init}" in command
    machines = int((re.search(r"--nnodes (\d+)", command) or ("", 1))[1])
    gpus = machines * int((re.search(r"--nproc-per-node (\d+)", command) or ("", 1))[1])
    assert entry.hardware.startswith(f"{gpus} ")
    assert "machines" not in entry.hardware or f"on {machines} machines" in entry.hardware
    assert config.optim.batch % (gpus * config.optim.accumulate) == 0
    assert zoo.find(config.init) or re.fullmatch(r"timm/[\w.]+", config.init)
    assert f"patch{config.model.patch}_" in config.init or zoo.find(config.init)


def test_the_small_recipes_are_what_train_picks_for_300_clips_and_tell_the_figures_of_the_readme() -> None:
    items = tuple(Item(Path(f"{number}.mp4"), "ab"[number % 2], "train") for number in range(300))
    table, wanted = Manifest(Path(), items, ("a", "b")), recipe("small-image").config
    image = replace(wanted.model, scheme="space", frames=8, size=518, resize="nearest"), replace(wanted.clip, size=224)
    sources = {
        "small-finetune": Source("k400-base", "", {}, ModelConfig(), ClipConfig()),
        "small-image": Source("dinov2-small", "", {}, *image, image=True),
    }
    for name in SMALL:
        entry = recipe(name)
        assert entry.command == "timesformer train DATA" + f" --init {entry.config.init}" * bool(entry.config.init)
        picked = choose(table, gpu="1 GPU" in entry.hardware, source=sources.get(name)).config
        assert picked == replace(entry.config, model=replace(entry.config.model, classes=2), init="")
    figures = re.findall(r"([\d.]+) %", recipe("small-scratch-cpu").result)
    text = (DOCS.parent.parent / "README.md").read_text("utf-8")
    assert len(figures) == 6 and all(f" {figure}%" in text for figure in figures)


def clip_work(entry: Recipe) -> float:
    """Arithmetic operations that training on one clip takes: a forward pass and twice as much backward."""
    passes = 4 if entry.config.engine.checkpointing else 3
    return passes * 2 * multiply_adds(entry.config.model)


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in (*MODERN, *SMALL)])
def test_derived_hours_follow_multiply_adds_and_videos(name: str) -> None:
    entry = recipe(name)
    hours = re.match(r"(about )?([\d,]+) V100 hours \((published|derived)", entry.cost)
    assert hours is not None
    assert (hours[3] == "published") == (name == "k400-base")
    share = multiply_adds(entry.config.model) / multiply_adds(VIT_BASE) * THOUSANDS[name.split("-")[0]] / 240
    assert int(hours[2].replace(",", "")) == pytest.approx(416 * share, rel=0.04)


def test_the_modern_costs_follow_from_arithmetic() -> None:
    hours = 240_000 * 30 * clip_work(recipe("k400-base-8gpu")) / (0.4 * 312e12) / 3600
    assert f"about {hours:.0f} A100 hours" in recipe("k400-base-8gpu").cost
    for name in (*MODERN[1:], "small-scratch-gpu", "small-finetune"):
        assert recipe(name).cost.startswith(f"{clip_work(recipe(name)):.1e} operations per clip".replace("e+", "e"))


@pytest.mark.parametrize("name", [name for name in RECIPES if " GB" in recipe(name).hardware])
def test_a_step_fits_the_stated_gpus_by_formula_with_room_to_spare(name: str) -> None:
    entry = recipe(name)
    optim, engine = entry.config.optim, entry.config.engine
    found = re.match(r"(\d+) .*GPUs? with (\d+) GB", entry.hardware)
    assert found is not None
    at_once = optim.batch // optim.accumulate // int(found[1])
    half = engine.precision != "fp32"  # "auto" takes half precision on GPUs with so much memory
    need = cost(entry.config.model, precision="bf16" if half else "fp32")
    each = need.checkpointed if engine.checkpointing else need.activations
    assert 16 * need.parameters + at_once * each < 0.75 * int(found[2]) * 1e9


def test_the_sizes_are_those_of_the_vision_transformers_and_the_laptop_is_light() -> None:
    assert [round(parameters(size) / 1e6, 1) for size in (VIT_SMALL, VIT_BASE, VIT_LARGE)] == [30.7, 121.6, 429.7]
    schemes = ("space", "joint", "divided", "local_global", "axial")
    work = [multiply_adds(replace(LAPTOP, scheme=scheme)) for scheme in schemes]
    assert work == sorted(work) and work[-1] < 3e9


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("k400-bsae", "did you mean k400-base"), ("ssv2_hr", "did you mean ssv2-hr"), ("zzz", "there are k400-base, k4")],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=f"recipe '{name}' is unknown; {remedy}"):
        recipe(name)


def test_the_page_shows_every_recipe_as_it_is() -> None:
    text = DOCS.read_text("utf-8")
    for entry in RECIPES.values():
        assert f"| `{entry.name}` | {entry.description} | {entry.cost} | {entry.result} |" in text
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", text, re.M)) == set(RECIPES)


def test_the_pages_example_runs() -> None:
    example = re.search(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.S)
    assert example is not None
    exec(example[1], {})
