"""Trainings as one would do them today: on one machine, on one's own clips, and on few clips from nothing."""

from dataclasses import dataclass, replace

from timesformer.config import AugmentConfig, ClipConfig, EngineConfig, ModelConfig, OptimConfig, TrainConfig

IMAGENET_21K = "timm/vit_base_patch16_224.orig_in21k_ft_in1k"
NODE = "torchrun --nproc-per-node 8 -m timesformer"


@dataclass(frozen=True)
class Recipe:
    """A training by name, with what it takes and what it is known to give."""

    name: str
    config: TrainConfig
    """Everything that decides the training."""
    description: str
    command: str
    """The exact command; DATA and HOST (address of the first machine) are yours to fill in."""
    hardware: str
    """Machines that the command is written for."""
    cost: str
    """GPU hours or arithmetic, and whether published or derived."""
    result: str
    """Published accuracy in percent and its source, or that there is none."""


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
    "Your own clips, from Kinetics-400 weights (licence CC-BY-NC; name others with --init). AdamW, cosine, layer-wise "
    "decay, mild mixup and CutMix, bfloat16. Add --augment.no-flip where left and right matter."
)

_SMALL_OPTIM = OptimConfig(lr=5e-4, warmup=2.0, epochs=25, batch=16, clip_grad=1.0, label_smoothing=0.1, repeats=2)
SMALL_CPU = TrainConfig(
    model=ModelConfig(size=48, patch=8, width=128, depth=4, heads=4, drop_path=0.0, start="scratch"),
    clip=ClipConfig(size=48, sampling="segments"),
    augment=AugmentConfig(jitter=(1.0, 1.18), colour=0.2),
    optim=_SMALL_OPTIM,
)
"""What `train` starts from without weights and without a GPU."""
SMALL_GPU = replace(
    SMALL_CPU,
    model=replace(SMALL_CPU.model, frames=16, size=64, width=192, depth=6, heads=6),
    clip=replace(SMALL_CPU.clip, frames=16, size=64),
    optim=replace(_SMALL_OPTIM, epochs=98),
)
"""What `train` starts from without weights, with a GPU."""
SMALL_FINETUNE = TrainConfig(
    augment=AugmentConfig(jitter=(1.0, 1.25), colour=0.2),
    optim=replace(_SMALL_OPTIM, lr=5e-5, epochs=98, layer_decay=0.75),
    init="k400-base",
)
"""What `train` starts from with weights (ViT-B here; it takes model and clips from the weights)."""
_PICKED = (
    "`train` picks this by itself; the length here suits some 300 clips, and `train` fits it to yours, as it does "
    "the mirror and the weights of unequal classes"
)
_FOUND = (
    "What made narrow models learn from few clips: linears drawn by Xavier's rule (at the usual 0.02 they never left "
    "chance), embeddings that start as sine waves, patches of 8 px (those of 16 px hide the motion), short videos seen "
    "whole in segments, more steps rather than larger batches, and pixels scaled to the data's own mean and spread, "
    "which `train` measures (on gestures10 55 % against 38 % with the usual 0.45 and 0.225, which stand here)."
)
MODERN = (
    Recipe(
        name="k400-base-8gpu",
        config=_K400_8GPU,
        description="Kinetics-400 on one machine as one would train today: AdamW, cosine, layer-wise decay, mixup and "
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
        description=f"{_OWN_DATA} As finetune-1gpu, in less memory: blocks are recomputed, two clips at a time.",
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
    Recipe(
        name="small-scratch-cpu",
        config=SMALL_CPU,
        description=f"Few clips of your own, from nothing. {_PICKED}. {_FOUND}",
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
        description=f"Few clips of your own, from weights of any model, here ViT-B. {_PICKED}. Low learning rate, "
        "lower blocks slower; ten times the rate, all blocks alike, for --lora and --freeze backbone, and for models "
        "narrower than 384.",
        command="timesformer train DATA --init k400-base",
        hardware="1 GPU with 24 GB",
        cost="1.2e12 operations per clip (derived)",
        result="none published; depends on the data and the weights",
    ),
)
