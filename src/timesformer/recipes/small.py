"""Trainings for small data sets: the defaults of `train`, with and without pretrained weights."""

from dataclasses import replace

from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.training import AugmentConfig, OptimConfig, TrainConfig
from timesformer.recipes.recipe import Recipe

_SMALL_OPTIM = OptimConfig(lr=5e-4, warmup=2.0, epochs=25, batch=16, clip_grad=1.0, label_smoothing=0.1, repeats=2)
SMALL_CPU = TrainConfig(
    model=ModelConfig(size=48, patch=8, width=128, depth=4, heads=4, drop_path=0.0, weight_init="scratch"),
    clip=ClipConfig(size=48, sampling="segments"),
    augment=AugmentConfig(jitter=(1.0, 1.18), colour=0.2),
    optim=_SMALL_OPTIM,
)
"""Default of `train` without weights and without a GPU."""
SMALL_GPU = replace(
    SMALL_CPU,
    model=replace(SMALL_CPU.model, frames=16, size=64, width=192, depth=6, heads=6),
    clip=replace(SMALL_CPU.clip, frames=16, size=64),
    optim=replace(_SMALL_OPTIM, epochs=98),
)
"""Default of `train` without weights, with a GPU."""
SMALL_FINETUNE = TrainConfig(
    augment=AugmentConfig(jitter=(1.0, 1.25), colour=0.2),
    optim=replace(_SMALL_OPTIM, lr=5e-5, epochs=98, layer_decay=0.75),
    init="k400-base",
)
"""Default of `train` with weights (ViT-B here; model and clip settings are those of the weights)."""
SMALL_IMAGE = TrainConfig(
    model=ModelConfig(
        frames=16, size=112, patch=14, width=384, depth=12, heads=6, drop_path=0.0, resize="smooth", classes=10
    ),
    clip=ClipConfig(frames=16, size=112, sampling="segments", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    augment=AugmentConfig(jitter=(1.0, 1.25), colour=0.2, versions=4, patch_drop=0.5),
    optim=replace(_SMALL_OPTIM, lr=1.5e-4, epochs=21),
    frozen_blocks=10,
    init="dinov2-small",
)
"""Default of `train` with an image model (DINOv2 ViT-S here; the model's sizes are those of the weights)."""
_PICKED = (
    "`train` uses it by default. The number of epochs is for about 300 clips; `train` adapts it to yours, as it does "
    "flipping and class weights"
)
_FOUND = (
    "Small models learn from few clips with: Xavier initialisation (with the usual std of 0.02 they stayed at chance "
    "level), sine-wave embeddings, patches of 8 px (16 px hide the motion), segments that cover the whole of short "
    "videos, more steps rather than larger batches, and pixels normalised by the mean and standard deviation of the "
    "data, which `train` measures (gestures10: 55 %, against 38 % with the usual 0.45 and 0.225, which are given here)."
)
SMALL = (
    Recipe(
        name="small-scratch-cpu",
        config=SMALL_CPU,
        description=f"Trains on few clips of your own from scratch. {_PICKED}. {_FOUND}",
        command="timesformer train DATA",
        hardware="1 CPU of any kind",
        cost="4 to 14 minutes on one core (measured on 48 to 326 clips: 500 to 1,000 steps of 16 clips)",
        result="53.3 % top-1 (gestures10; 82.6 % on tankwagon, 100.0 % on weizmann4; measured over 3 seeds; the "
        "largest classes have 15.9 %, 70.7 % and 25.0 %)",
    ),
    Recipe(
        name="small-scratch-gpu",
        config=SMALL_GPU,
        description="As small-scratch-cpu where there is a GPU: wider, deeper, 16 frames of 64 px, more steps.",
        command="timesformer train DATA",
        hardware="1 GPU with 4 GB",
        cost="2.5e10 operations per clip (derived)",
        result="none published; not measured",
    ),
    Recipe(
        name="small-finetune",
        config=SMALL_FINETUNE,
        description=f"Fine-tunes weights of any model, here ViT-B, on few clips of your own. {_PICKED}. Low learning "
        "rate with layer-wise decay; ten times the rate without decay for --lora and for models narrower than "
        "384. --freeze backbone fits the head at once.",
        command="timesformer train DATA --init k400-base",
        hardware="1 GPU with 24 GB",
        cost="1.2e12 operations per clip (derived)",
        result="none published; depends on the data and the weights",
    ),
    Recipe(
        name="small-image",
        config=SMALL_IMAGE,
        description="Trains the last two blocks of an image model, and time attention in them, on few clips of your "
        f"own, without a GPU. {_PICKED}. What the blocks below compute is kept for four versions of each clip, "
        "16 frames give time to learn, and each step sees half of the patches.",
        command="timesformer train DATA --init dinov2-small",
        hardware="1 CPU of any kind",
        cost="3e11 operations per step of 16 clips (derived)",
        result="none published; depends on the data and the weights",
    ),
)
