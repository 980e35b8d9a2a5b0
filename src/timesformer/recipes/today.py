"""Current trainings on one machine: Kinetics-400, and fine-tuning its weights on your own clips."""

from dataclasses import replace

from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.training import AugmentConfig, EngineConfig, OptimConfig, TrainConfig
from timesformer.recipes.recipe import IMAGENET_21K, NODE, Recipe

_SMOOTH = ModelConfig(resize="smooth")
_K400_8GPU = TrainConfig(
    model=_SMOOTH,
    augment=AugmentConfig(rand_augment=2, erase=0.25, mixup=0.8, cutmix=1.0),
    optim=OptimConfig(lr=5e-4, warmup=5.0, epochs=30, batch=256, clip_grad=1.0, label_smoothing=0.1, layer_decay=0.75),
    engine=EngineConfig(precision="bf16"),
    init=IMAGENET_21K,
)
_FINETUNE = TrainConfig(
    model=_SMOOTH,
    augment=AugmentConfig(mixup=0.2, cutmix=0.2),
    optim=OptimConfig(
        lr=2e-4, warmup=1.0, epochs=20, batch=16, accumulate=2, clip_grad=1.0, label_smoothing=0.1, layer_decay=0.75
    ),
    engine=EngineConfig(precision="bf16"),
    init="k400-base",
)
_OWN_DATA = (
    "Fine-tunes Kinetics-400 weights (licence CC-BY-NC; choose others with --init) on your own clips. AdamW, cosine, "
    "layer-wise decay, mild mixup and CutMix, bfloat16. Add --augment.no-flip where left and right matter."
)
TODAY = (
    Recipe(
        name="k400-base-8gpu",
        config=_K400_8GPU,
        description="Kinetics-400 on one machine with a current recipe: AdamW, cosine, layer-wise decay, mixup and "
        "CutMix, label smoothing, bfloat16.",
        command=f"{NODE} train DATA --recipe k400-base-8gpu --init {IMAGENET_21K}",
        hardware="8 GPUs with 40 GB on one machine",
        cost="about 19 A100 hours (derived: 30 epochs at 40 % of the peak in bfloat16, decoding aside)",
        result="none published; not run",
    ),
    Recipe(
        name="finetune-1gpu",
        config=_FINETUNE,
        description=_OWN_DATA,
        command="timesformer train DATA --recipe finetune-1gpu --init k400-base",
        hardware="1 GPU with 16 GB",
        cost="1.2e12 operations per clip (derived)",
        result="none published; depends on the data",
    ),
    Recipe(
        name="finetune-small-gpu",
        config=replace(
            _FINETUNE,
            optim=replace(_FINETUNE.optim, accumulate=8),
            engine=replace(_FINETUNE.engine, checkpointing=-1),
        ),
        description=f"{_OWN_DATA} As finetune-1gpu with less memory: gradient checkpointing, two clips at a time.",
        command="timesformer train DATA --recipe finetune-small-gpu --init k400-base",
        hardware="1 GPU with 6 GB",
        cost="1.6e12 operations per clip (derived)",
        result="none published; meant to match finetune-1gpu",
    ),
    Recipe(
        name="finetune-hr-small-gpu",
        config=replace(
            _FINETUNE,
            model=replace(_SMOOTH, frames=16, size=448),
            clip=ClipConfig(frames=16, rate=16, size=448),
            augment=replace(_FINETUNE.augment, jitter=(1.0, 512 / 448)),
            optim=replace(_FINETUNE.optim, accumulate=16),
            engine=replace(_FINETUNE.engine, checkpointing=-1),
            init="k400-hr",
        ),
        description=f"{_OWN_DATA} As finetune-small-gpu at high resolution: 16 frames of 448 px, one clip at a time.",
        command="timesformer train DATA --recipe finetune-hr-small-gpu --init k400-hr",
        hardware="1 GPU with 6 GB",
        cost="1.4e13 operations per clip (derived)",
        result="none published; depends on the data",
    ),
)
