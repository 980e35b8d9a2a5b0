"""The facts of a model, a clip and a training, as frozen dataclasses that check themselves.

A config is data: it holds no tensors, touches no files and never repairs a wrong value; it raises
:class:`ConfigError` with the value, the rule and the remedy.
"""

from dataclasses import dataclass, field
from typing import Literal

from timesformer.config.checks import ConfigError as ConfigError
from timesformer.config.checks import at_least, at_most, check_fields, in_pixels
from timesformer.config.checks import require as require
from timesformer.config.model import ClipConfig as ClipConfig
from timesformer.config.model import ModelConfig as ModelConfig
from timesformer.config.model import Scheme as Scheme

Task = Literal["classes", "multilabel", "regression"]


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of training clips, the same for every frame of a clip; evaluation never sees them."""

    crop: Literal["jitter", "resized"] = "jitter"
    """"jitter": short side drawn from a range, then a random crop. "resized": random area and aspect."""
    jitter: tuple[float, float] = (256 / 224, 320 / 224)
    """Range of the short side as multiples of the crop size."""
    inverse_jitter: bool = False
    """Draw the short side uniformly in 1 / side, as the official Something-Something-V2 training does."""
    flip: bool = True
    """Mirror half of the clips left to right; never right where side or direction is the label."""
    colour: float = 0.0
    """Strength of random brightness, contrast and saturation, 0 to 1."""
    rand_augment: int = 0
    """Number of RandAugment operations on each clip."""
    magnitude: int = 9
    """Strength of the RandAugment operations, 0 to 30."""
    erase: float = 0.0
    """Probability of erasing a random box from all frames of a clip."""
    mixup: float = 0.0
    """Mixup: alpha of the beta distribution; 0 is off."""
    cutmix: float = 0.0
    """CutMix: alpha of the beta distribution; 0 is off. With mixup on too, one of the two is drawn for each batch."""

    def __post_init__(self) -> None:
        check_fields(self)
        low, high = self.jitter
        require(1 <= low <= high, f"jitter is {self.jitter}; it must be two numbers from 1 on, the lower one first.")
        for name, value in (("colour", self.colour), ("erase", self.erase)):
            require(0 <= value <= 1, f"{name} is {value}; it must lie between 0 and 1.")
        at_least(0, self, "rand_augment", "mixup", "cutmix")
        at_most(self, rand_augment=100, mixup=10**4, cutmix=10**4)
        require(0 <= self.magnitude <= 30, f"magnitude is {self.magnitude}; it must lie between 0 and 30.")


@dataclass(frozen=True)
class OptimConfig:
    """The optimiser, its schedule and the loss."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or SGD with Nesterov momentum as in the paper's released training."""
    lr: float = 1e-3
    """Peak learning rate, for the whole batch over all processes; nothing scales it behind your back."""
    weight_decay: float = 0.05
    """Weight decay."""
    decay_all: bool = False
    """Decay biases, norms and embeddings too, as the official training does."""
    momentum: float = 0.9
    """Momentum of SGD, or the first beta of AdamW."""
    beta2: float = 0.98
    """Second beta of AdamW: how slowly its mean of squared gradients changes."""
    schedule: Literal["cosine", "steps"] = "cosine"
    """Learning rate after the warm-up: a half cosine to zero, or a tenth at each milestone."""
    milestones: tuple[int, ...] = (11, 14)
    """Epochs at which the steps schedule divides the learning rate by ten."""
    warmup: float = 0.0
    """Epochs of linear warm-up."""
    epochs: int = 15
    """Passes over the training clips."""
    batch: int = 64
    """Clips per optimiser step, over all processes and accumulated parts."""
    accumulate: int = 1
    """Parts that each process splits its share of a batch into, to save memory."""
    clip_grad: float = 0.0
    """Largest norm of the gradient; 0 is off."""
    label_smoothing: float = 0.0
    """Share of the target spread over all classes."""
    class_weights: bool = False
    """Weigh each class by the inverse of its share, so rare classes count as much as common ones."""
    layer_decay: float = 1.0
    """Learning rate factor from each block to the one below it; 1 is off."""
    repeats: int = 1
    """Times that each clip is drawn per epoch, each time changed anew; makes epochs of small data sets worth a look."""
    ema: float = 0.0
    """Decay per step of an exponential average of the weights that is validated and saved instead; 0 is off."""

    def __post_init__(self) -> None:
        check_fields(self)
        at_least(1, self, "epochs", "batch", "accumulate", "repeats")
        at_least(0, self, "weight_decay", "warmup", "clip_grad")
        require(0 < self.lr < float("inf"), f"lr is {self.lr}; it must be above 0, and finite.")
        ordered = list(self.milestones) == sorted(self.milestones)
        require(ordered, f"milestones are {self.milestones}; the earlier epochs come first.")
        require(
            all(epoch >= 0 for epoch in self.milestones),
            f"milestones are {self.milestones}; they count epochs from 0, so none can be negative.",
        )
        require(
            self.batch % self.accumulate == 0,
            f"batch {self.batch} is not divisible by accumulate {self.accumulate}; choose a divisor of the batch.",
        )
        for name in ("momentum", "beta2", "label_smoothing", "ema"):
            value = getattr(self, name)
            require(0 <= value < 1, f"{name} is {value}; it must be at least 0 and below 1.")
        require(0 < self.layer_decay <= 1, f"layer_decay is {self.layer_decay}; it must be above 0 and at most 1.")


@dataclass(frozen=True)
class EngineConfig:
    """How the machine is used; none of these changes what is learned, but for rounding."""

    seed: int = 0
    """Seed of weights, order and augmentation."""
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    """Device that computes; "auto" takes a CUDA GPU, or else Apple's (mps), or else the CPU."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of the model; "auto" takes half precision where it is faster: bf16, or fp16 on a GPU without it."""
    workers: int = -1
    """Loader processes; -1 chooses by the number of cores."""
    cache: Literal["auto", "on", "off"] = "auto"
    """Keep all decoded frames in memory at the training size; "auto" does so when they fit into an eighth of it."""
    checkpointing: int = 0
    """Blocks, from the first, computed again in the backward pass: less memory, up to a third more time; -1 is all."""
    optimizer_in_backward: bool = False
    """Update each parameter once its gradient is there and drop that: less memory; no clip_grad, accumulate or DDP."""
    matmul: Literal["highest", "high", "medium"] = "highest"
    """Precision of float32 matrix products (torch.set_float32_matmul_precision): "high" allows TF32 on GPUs."""
    compile: bool = False
    """Compile the model with torch.compile."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """How several processes share the work: whole copies (DDP) or sharded parameters (FSDP2)."""
    save_minutes: float = 10.0
    """Longest time between two saved states within an epoch."""
    broken_share: float = 0.1
    """Largest share of broken videos that a run goes on with."""
    clips: int = 1
    """Temporal clips per video in each epoch's validation."""
    crops: int = 1
    """Spatial crops per clip in each epoch's validation."""
    tensorboard: bool = False
    """Write the measures of steps and epochs as TensorBoard event files, too, into the run's folder "tensorboard"."""

    def __post_init__(self) -> None:
        check_fields(self)
        at_least(0, self, "save_minutes")
        at_least(-1, self, "workers", "checkpointing")
        require(0 <= self.broken_share <= 1, f"broken_share is {self.broken_share}; it must lie between 0 and 1.")
        at_least(1, self, "clips")
        require(self.crops in (1, 3), f"crops is {self.crops}; it must be 1 or 3.")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training. A run writes it as config.toml; `--config` with that file repeats the run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    clip: ClipConfig = field(default_factory=ClipConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    task: Task = "classes"
    """One class per video, any number of labels per video, or numbers to predict."""
    key: str = ""
    """Which of several models in the file of `init`, such as "teacher" or "state_dict_ema"; empty takes the usual."""
    init: str = ""
    """Weights to start from: a path or a published name; empty starts from nothing."""
    freeze: Literal["none", "backbone"] = "none"
    """Parts of the model that keep their initial weights."""
    frozen_blocks: int = 0
    """Blocks, from the first, that keep their initial weights, and the embedding below them with them."""
    lora: int = 0
    """Rank of the adapters that learn in place of the attention weights of `init` (LoRA); 0 is off."""

    def __post_init__(self) -> None:
        check_fields(self)
        require(
            self.clip.frame_size == self.model.frame_size and self.clip.frames == self.model.frames,
            f"clips are {self.clip.frames} frames of {in_pixels(self.clip.size)} but the model is for "
            f"{self.model.frames} frames of {in_pixels(self.model.size)}; set model.frames, model.size and "
            "clip.frames, clip.size alike.",
        )
        require(
            0 <= self.frozen_blocks <= self.model.depth,
            f"frozen_blocks is {self.frozen_blocks}; it must lie between 0 and the depth, {self.model.depth}.",
        )
        require(self.lora >= 0, f"lora is {self.lora}; a rank must be at least 1 (8 is a good one), 0 is off.")
        require(
            not self.lora or bool(self.init),
            f"lora {self.lora} adapts weights that are there already; name them with init, or leave lora out.",
        )
        for name, value in (("freeze", self.freeze), ("frozen_blocks", self.frozen_blocks)):
            require(
                not self.lora or value in ("none", 0),
                f"lora {self.lora} and {name} {value!r} both say what learns; leave one of them out.",
            )
