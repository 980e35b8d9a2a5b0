"""Every experiment of the paper as a recipe with its published result.

Settings are those of the released training, since the paper's appendix A leaves several open; a result cites its table.
A derived cost scales the paper's 416 V100 hours for Kinetics-400 by multiply-adds per clip and number of training
videos.
"""

from dataclasses import dataclass, replace

from timesformer.config.checks import in_pixels
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.training import AugmentConfig, EngineConfig, OptimConfig, TrainConfig
from timesformer.recipes.recipe import IMAGENET_21K, NODE, Recipe

VIT_SMALL = ModelConfig(width=384, heads=6)
"""ViT-S/16. The paper doesn't specify its small ViT; this is the usual one."""
VIT_BASE = ModelConfig()
"""ViT-B/16, the paper's TimeSformer: 8 frames of 224 px, divided attention."""
VIT_LARGE = ModelConfig(width=1024, depth=24, heads=16)
"""ViT-L/16."""
LAPTOP = ModelConfig(size=128, width=192, depth=6, heads=3, drop_path=0.0, weight_init="scratch")
"""Small enough to train from scratch without a GPU; its 8 x 8 grid suits every scheme."""

OFFICIAL_OPTIM = OptimConfig(
    optimizer="sgd",
    lr=0.005,
    weight_decay=1e-4,
    decay_all=True,
    momentum=0.9,
    schedule="steps",
    milestones=(11, 14),
    epochs=15,
    batch=64,
    accumulate=2,  # one clip at a time on each of 32 GPUs
)
"""Optimiser of the released training. The paper says batch 16; the released configs accumulate to 64."""
OFFICIAL_ENGINE = EngineConfig(precision="fp32")

_IMAGENET_1K = "timm/deit_base_patch16_224.fb_in1k"
_LARGE_21K = "timm/vit_large_patch16_224.augreg_in21k_ft_in1k"
_HIGH = replace(VIT_BASE, frames=16, size=448)
_LONG = replace(VIT_BASE, frames=96)
_NODES = "torchrun --nnodes 4 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 -m timesformer"


@dataclass(frozen=True)
class _Benchmark:
    title: str
    classes: int
    init: str = IMAGENET_21K
    segments: bool = False
    note: str = ""


_K400 = _Benchmark("Kinetics-400", 400)
_K600 = _Benchmark("Kinetics-600", 600)
_SSV2 = _Benchmark(
    "Something-Something V2",
    174,
    segments=True,
    note=" The released weights were trained on BGR frames; this training uses RGB.",
)
_DIVING = _Benchmark(
    "Diving-48",
    48,
    init=_IMAGENET_1K,
    note=" Settings as for Kinetics, but from ImageNet-1K weights, for which the authors recommend DeiT.",
)
_HOWTO = _Benchmark(
    "HowTo100M",
    1059,
    init="k400-base",
    note=" Starts from Kinetics-400 weights (licence CC-BY-NC); your own k400-base training works, too.",
)


def _paper(
    name: str,
    benchmark: _Benchmark,
    model: ModelConfig,
    cost: int | str,
    result: str,
    *,
    rate: int = 32,
    init: str = "",
) -> Recipe:
    """Return the recipe of an experiment of the paper; an integer ``cost`` is derived V100 hours."""
    model = replace(model, classes=benchmark.classes)
    side, segments = model.frame_size[0], benchmark.segments
    config = TrainConfig(
        model=model,
        clip=ClipConfig(frames=model.frames, size=side, rate=rate, sampling="segments" if segments else "dense"),
        augment=AugmentConfig(
            jitter=(1.0, 512 / 448) if side == 448 else (256 / 224, 320 / 224),
            inverse_jitter=segments,
            flip=not segments,
        ),
        optim=OFFICIAL_OPTIM,
        engine=OFFICIAL_ENGINE,
        init=init or benchmark.init,
    )
    return Recipe(
        name=name,
        config=config,
        description=f"{benchmark.title}, {_words(config)}.{benchmark.note}",
        command=f"{_NODES} train DATA --recipe {name} --init {config.init}",
        hardware="32 V100 GPUs on 4 machines",
        cost=cost if isinstance(cost, str) else _derived(cost),
        result=result,
    )


def _words(config: TrainConfig) -> str:
    """Describe the model and clips of an experiment."""
    model, clip = config.model, config.clip
    size = f"{ {384: 'ViT-S', 768: 'ViT-B', 1024: 'ViT-L'}[model.width] }/{model.patch}"
    order = {"time_first": "", "space_first": ", space before time", "parallel": ", time and space in parallel"}
    position = {"none": ", no position embedding", "space": ", position embedding for space only", "space_time": ""}
    sampling = "from equal segments" if clip.sampling == "segments" else f"at rate {clip.rate}"
    return (
        f"{model.scheme.replace('_', '-')} attention, {size}{order[model.order]}{position[model.position]}, "
        f"{clip.frames} frames of {in_pixels(clip.size)} {sampling}"
    )


def _derived(hours: int) -> str:
    return f"about {hours:,} V100 hours (derived from the 416 of k400-base)"


def _mmaction(name: str, model: ModelConfig, hours: int, result: str) -> Recipe:
    """Return a recipe of Kinetics-400 with MMAction2's settings, as far as they exist here."""
    like = _paper(name, _K400, model, hours, f"{result} (MMAction2, 1 clip x 3 crops)")
    config = replace(
        like.config,
        clip=replace(like.config.clip, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        optim=replace(OFFICIAL_OPTIM, decay_all=False, milestones=(5, 10), clip_grad=40.0, accumulate=1),
    )
    return replace(
        like,
        config=config,
        description=f"{like.description} MMAction2's settings. Differences: it also decays biases and norms, samples "
        "every 32nd frame exactly, and starts from its own conversion of the image weights.",
        command=f"{NODE} train DATA --recipe {name} --init {config.init}",
        hardware="8 V100 GPUs with 32 GB on one machine",
    )


_VIEWS = "1 clip x 3 crops"
_PAPER = (
    _paper("k400-base", _K400, VIT_BASE, "416 V100 hours (published, table 2: 13.0 hours on 32 GPUs)",
           f"78.0 top-1, 93.7 top-5 (table 5, {_VIEWS}); released weights 77.9, 93.2"),
    _paper("k400-hr", _K400, _HIGH, 3600,
           f"79.7 top-1, 94.4 top-5 (table 5, {_VIEWS}); released weights 79.6, 94.0", rate=16),
    _paper("k400-large", _K400, _LONG, 5100,
           f"80.7 top-1, 94.7 top-5 (table 5, {_VIEWS}); released weights 80.6, 94.7", rate=4),
    _paper("k600-base", _K600, VIT_BASE, 680, "79.1 top-1, 94.4 top-5 (table 6)"),
    _paper("k600-hr", _K600, _HIGH, 5900, "81.8 top-1, 95.8 top-5 (table 6)", rate=16),
    _paper("k600-large", _K600, _LONG, 8300, "82.2 top-1, 95.6 top-5 (table 6)", rate=4),
    _paper("ssv2-base", _SSV2, VIT_BASE, 290, "59.5 top-1 (table 3); released weights 59.1, top-5 85.6"),
    _paper("ssv2-hr", _SSV2, _HIGH, 2600, "62.5 top-1 (table 3; 62.2 from ImageNet-1K); released weights 61.8, 86.9"),
    _paper("ssv2-large", _SSV2, replace(VIT_BASE, frames=64), 2400,
           "62.3 top-1 with 96 frames (table 3; 62.4 from ImageNet-1K); released weights, of 64 frames, 62.0, 87.5"),
    _paper("diving48-base", _DIVING, VIT_BASE, 28, "74.9 top-1 (table 7)"),
    _paper("diving48-hr", _DIVING, _HIGH, 240, "78.0 top-1 (table 7)", rate=16),
    _paper("diving48-large", _DIVING, _LONG, 340, "81.0 top-1 (table 7)", rate=4),
    _paper("howto100m-8", _HOWTO, VIT_BASE, 150, "56.8 top-1 (table 8, 48 clips averaged)"),
    _paper("howto100m-32", _HOWTO, replace(VIT_BASE, frames=32), 590, "61.2 top-1 (table 8, 12 clips averaged)"),
    _paper("howto100m-64", _HOWTO, replace(VIT_BASE, frames=64), 1200, "62.2 top-1 (table 8, 6 clips averaged)"),
    _paper("howto100m-96", _HOWTO, _LONG, 1800, "62.6 top-1 (table 8, 4 clips averaged)"),
)  # fmt: skip
_SCHEMES = (
    _paper("k400-space", _K400, replace(VIT_BASE, scheme="space"), 300, "76.9 top-1 (table 1)"),
    _paper("k400-joint", _K400, replace(VIT_BASE, scheme="joint"), 380, "77.4 top-1 (table 1)"),
    _paper("k400-local-global", _K400, replace(VIT_BASE, scheme="local_global"), 440, "75.9 top-1 (table 1)"),
    _paper("k400-axial", _K400, replace(VIT_BASE, scheme="axial"), 540, "73.5 top-1 (table 1)"),
    _paper("ssv2-space", _SSV2, replace(VIT_BASE, scheme="space"), 210, "36.6 top-1 (table 1)"),
    _paper("ssv2-joint", _SSV2, replace(VIT_BASE, scheme="joint"), 270, "58.5 top-1 (table 1)"),
    _paper("ssv2-local-global", _SSV2, replace(VIT_BASE, scheme="local_global"), 310, "56.3 top-1 (table 1)"),
    _paper("ssv2-axial", _SSV2, replace(VIT_BASE, scheme="axial"), 380, "56.2 top-1 (table 1)"),
)
_ABLATIONS = (
    _paper("k400-position-none", _K400, replace(VIT_BASE, position="none"), 416, "75.4 top-1 (table 4)"),
    _paper("k400-position-space", _K400, replace(VIT_BASE, position="space"), 416, "77.8 top-1 (table 4)"),
    _paper("ssv2-position-none", _SSV2, replace(VIT_BASE, position="none"), 290, "45.8 top-1 (table 4)"),
    _paper("ssv2-position-space", _SSV2, replace(VIT_BASE, position="space"), 290, "52.5 top-1 (table 4)"),
    _paper("k400-space-first", _K400, replace(VIT_BASE, order="space_first"), 416,
           "0.5 % below k400-base (section 4.7)"),
    _paper("ssv2-space-first", _SSV2, replace(VIT_BASE, order="space_first"), 290,
           "0.5 % below ssv2-base (section 4.7)"),
    _paper("k400-parallel", _K400, replace(VIT_BASE, order="parallel"), 416, "0.4 % below k400-base (section 4.7)"),
    _paper("k400-patch32", _K400, replace(VIT_BASE, patch=32), 100, "about 3 % below k400-base (section 4.7)",
           init="timm/vit_base_patch32_224.augreg_in21k_ft_in1k"),
    _paper("k400-vit-small", _K400, VIT_SMALL, 110, "about 5 % below k400-base (section 4.7)",
           init="timm/vit_small_patch16_224.augreg_in21k_ft_in1k"),
    _paper("k400-vit-large", _K400, VIT_LARGE, 1500, "1 % below k400-base (section 4.7)",
           init=_LARGE_21K),
    _paper("ssv2-vit-large", _SSV2, VIT_LARGE, 1000, "1 % below ssv2-base (section 4.7)",
           init=_LARGE_21K),
)  # fmt: skip
_MMACTION = (
    _mmaction("mmaction2-k400-divided", VIT_BASE, 416, "77.69 top-1, 93.45 top-5"),
    _mmaction("mmaction2-k400-joint", replace(VIT_BASE, scheme="joint"), 380, "76.95 top-1, 93.28 top-5"),
    _mmaction("mmaction2-k400-space", replace(VIT_BASE, scheme="space"), 300, "76.93 top-1, 92.88 top-5"),
)

PAPER = (*_PAPER, *_SCHEMES, *_ABLATIONS, *_MMACTION)
"""The paper's experiments in its order, then MMAction2's trainings of three of them."""
