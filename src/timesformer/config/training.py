"""The settings of a training, as frozen dataclasses that check themselves.

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
    """Augmentation of training clips, the same for all frames of a clip."""

    crop: Literal["jitter", "resized"] = "jitter"
    """"jitter": random short side, then a random crop. "resized": a crop of random area and aspect ratio."""
    jitter: tuple[float, float] = (256 / 224, 320 / 224)
    """Range of the short side as multiples of the crop size."""
    inverse_jitter: bool = False
    """Draw the short side uniformly in 1 / side, as the official Something-Something-V2 training does."""
    flip: bool = True
    """Flip half of the clips horizontally; turn this off where left and right are labels without a pair."""
    mirror_labels: tuple[str, ...] = ()
    """Pairs of classes such as "swipe_left=swipe_right": a flipped clip of one is labelled as the other. Classes
    without a pair keep their label."""
    reverse_labels: tuple[str, ...] = ()
    """Pairs such as "open=close": half of their clips are reversed in time and labelled as the other class. "wave=wave"
    names a class that looks the same reversed. Clips of other classes are never reversed."""
    colour: float = 0.0
    """Strength of colour jitter (brightness, contrast and saturation), 0 to 1."""
    rand_augment: int = 0
    """Number of RandAugment operations for each clip; 0 is off."""
    magnitude: int = 9
    """Strength of the RandAugment operations, 0 to 30."""
    erase: float = 0.0
    """Random erasing: probability that a random box is erased from all frames of a clip."""
    mixup: float = 0.0
    """Mixup: alpha of the beta distribution; 0 is off."""
    cutmix: float = 0.0
    """CutMix: alpha of the beta distribution; 0 is off. With mixup on too, one of the two is drawn for each batch."""
    versions: int = 0
    """Random versions of each video, drawn once, that all epochs take in turn; 0 draws a new one each time. Frozen
    blocks then compute each version once (engine.frozen_cache), without drop path."""
    patch_drop: float = 0.0
    """Share of the patch positions that each step leaves out, in all frames alike (PatchDropout, arXiv 2208.07220), so
    that it takes less time and overfits less. Frozen blocks see all patches. For the schemes space, joint, divided."""

    def __post_init__(self) -> None:
        check_fields(self)
        low, high = self.jitter
        require(1 <= low <= high, f"jitter is {self.jitter}; it must be two numbers from 1 on, the lower one first.")
        for pair in (*self.mirror_labels, *self.reverse_labels):
            joined = all(part.strip() for part in (pair.partition("=")[0], pair.rpartition("=")[2]))
            require(
                "=" in pair and joined,
                f"{pair!r} is no pair of classes; join two class names by =, such as swipe_left=swipe_right.",
            )
        require(
            self.flip or not self.mirror_labels,
            f"mirror_labels is {self.mirror_labels} but flip is off; turn flip on, or leave mirror_labels out.",
        )
        for name, value in (("colour", self.colour), ("erase", self.erase)):
            require(0 <= value <= 1, f"{name} is {value}; it must lie between 0 and 1.")
        at_least(0, self, "rand_augment", "mixup", "cutmix", "versions")
        at_most(self, rand_augment=100, mixup=10**4, cutmix=10**4, versions=10**4)
        require(0 <= self.magnitude <= 30, f"magnitude is {self.magnitude}; it must lie between 0 and 30.")
        require(
            0 <= self.patch_drop < 1, f"patch_drop is {self.patch_drop}; it must be at least 0 and below 1 (0.5: half)."
        )


@dataclass(frozen=True)
class OptimConfig:
    """The optimiser, its schedule and the loss."""

    optimizer: Literal["adamw", "sgd", "lbfgs"] = "adamw"
    """AdamW, SGD with Nesterov momentum as in the paper's released training, or L-BFGS for the head of a frozen model:
    features are computed once, and weight decay is chosen by cross-validation on the training videos."""
    lr: float = 1e-3
    """Peak learning rate for the whole batch over all processes; it is used as given, never scaled."""
    weight_decay: float = 0.05
    """Weight decay."""
    decay_all: bool = False
    """Apply weight decay to biases, LayerNorms and embeddings too, as the official training does."""
    momentum: float = 0.9
    """Momentum of SGD, or the first beta of AdamW."""
    beta2: float = 0.98
    """Second beta of AdamW."""
    schedule: Literal["cosine", "steps"] = "cosine"
    """Learning rate after the warm-up: "cosine" decays to zero; "steps" divides by ten at each milestone."""
    milestones: tuple[int, ...] = (11, 14)
    """Epochs at which the steps schedule divides the learning rate by ten."""
    warmup: float = 0.0
    """Epochs of linear warm-up."""
    epochs: int = 15
    """Passes over the training videos."""
    batch: int = 64
    """Clips per optimiser step, over all processes and accumulated parts."""
    accumulate: int = 1
    """Gradient accumulation: parts that each process splits its share of a batch into, to save memory."""
    clip_grad: float = 0.0
    """Gradient clipping: largest norm of the gradient; 0 is off."""
    label_smoothing: float = 0.0
    """Label smoothing: fraction of the target that is distributed evenly over all classes."""
    class_weights: bool = False
    """Weight the loss by inverse class frequency, so that rare classes count as much as common ones."""
    layer_decay: float = 1.0
    """Layer-wise learning rate decay: factor from each block to the one below it; 1 is off."""
    repeats: int = 1
    """Repeated augmentation: times that each video is drawn per epoch, each time with another random clip."""
    ema: float = 0.0
    """Decay per step of an exponential moving average of the weights, which is validated and saved; 0 is off."""

    def __post_init__(self) -> None:
        check_fields(self)
        at_least(1, self, "epochs", "batch", "accumulate", "repeats")
        at_least(0, self, "weight_decay", "warmup", "clip_grad")
        require(0 < self.lr < float("inf"), f"lr is {self.lr}; it must be above 0, and finite.")
        ordered = list(self.milestones) == sorted(self.milestones)
        require(ordered, f"milestones are {self.milestones}; they must be in ascending order.")
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
    """How the machine is used; apart from rounding, none of these changes what is learned."""

    seed: int = 0
    """Seed of the initial weights, the order of the videos and the augmentation."""
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    """Device that computes; "auto" takes a CUDA GPU, or else Apple's (mps), or else the CPU."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Precision of the model; "auto" is mixed precision where it is faster: bf16, or fp16 on GPUs without bf16."""
    workers: int = -1
    """Data loading processes; -1 chooses by the number of cores."""
    cache: Literal["auto", "on", "off"] = "auto"
    """Keep all decoded frames in memory at the training size; "auto" does so when they fit into an eighth of it."""
    frozen_cache: bool = True
    """Keep what frozen blocks compute for the versions of each video (augment.versions), in memory or on disk."""
    checkpointing: int = 0
    """Gradient checkpointing: blocks, from the first, that are recomputed in the backward pass; -1 is all of them."""
    optimizer_in_backward: bool = False
    """Update each parameter during the backward pass, to save memory; without clip_grad, accumulate and DDP."""
    matmul: Literal["highest", "high", "medium"] = "highest"
    """Precision of float32 matrix products (torch.set_float32_matmul_precision): "high" allows TF32 on GPUs."""
    compile: bool = False
    """Compile the model with torch.compile."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Parallelism over several processes: a full replica each (DDP), or sharded parameters (FSDP2)."""
    save_minutes: float = 10.0
    """Save the state of the training at least this often within an epoch, in minutes."""
    broken_share: float = 0.1
    """Largest fraction of broken videos with which a training continues."""
    clips: int = 1
    """Temporal clips per video in each epoch's validation."""
    crops: int = 1
    """Spatial crops per clip in each epoch's validation."""
    tensorboard: bool = False
    """Also write the metrics of steps and epochs as TensorBoard event files, into the run's folder "tensorboard"."""

    def __post_init__(self) -> None:
        check_fields(self)
        at_least(0, self, "save_minutes")
        at_least(-1, self, "workers", "checkpointing")
        require(0 <= self.broken_share <= 1, f"broken_share is {self.broken_share}; it must lie between 0 and 1.")
        at_least(1, self, "clips")
        require(self.crops in (1, 3), f"crops is {self.crops}; it must be 1 or 3.")


@dataclass(frozen=True)
class TrainConfig:
    """All settings of a training. A run writes them to config.toml; `--config` with that file repeats the run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    clip: ClipConfig = field(default_factory=ClipConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    task: Task = "classes"
    """One class per video, any number of labels per video, or numbers to predict."""
    key: str = ""
    """Which model to take from an `init` file that holds several, such as "teacher"; empty takes the usual one."""
    init: str = ""
    """Pretrained weights to start from: a path or a published name; empty trains from scratch."""
    freeze: Literal["none", "backbone"] = "none"
    """Parts of the model that are not trained."""
    frozen_blocks: int = 0
    """Blocks, from the first, that are not trained, along with the embeddings below them."""
    lora: int = 0
    """LoRA: rank of the adapters that are trained in place of the attention weights of `init`; 0 is off."""

    @property
    def frozen_depth(self) -> int:
        """Blocks, from the first, in which nothing is trained, nor in the embeddings below them; 0 for none."""
        return self.model.depth if self.freeze == "backbone" else self.frozen_blocks

    @property
    def kept_depth(self) -> int:
        """Blocks, from the first, that are frozen and below all that the head reads."""
        return min(self.frozen_depth, self.model.depth - self.model.read_blocks + 1)

    def __post_init__(self) -> None:
        check_fields(self)
        require(
            self.clip.frame_size == self.model.frame_size and self.clip.frames == self.model.frames,
            f"clips are {self.clip.frames} frames of {in_pixels(self.clip.size)} but the model is for "
            f"{self.model.frames} frames of {in_pixels(self.model.size)}; set model.frames, model.size and "
            "clip.frames, clip.size alike.",
        )
        for name in ("mirror_labels", "reverse_labels") if self.task == "regression" else ():
            pairs = getattr(self.augment, name)
            require(not pairs, f"{name} is {pairs}, but a regression predicts numbers, not classes; leave it out.")
        require(
            0 <= self.frozen_blocks <= self.model.depth,
            f"frozen_blocks is {self.frozen_blocks}; it must lie between 0 and the depth, {self.model.depth}.",
        )
        model = self.model
        require(
            not self.augment.patch_drop or (model.scheme in ("space", "joint", "divided") and not model.rotary),
            f"patch_drop is {self.augment.patch_drop}, but {'rotary' if model.rotary else model.scheme} attention "
            "needs whole rows and columns of patches; leave it out.",
        )
        require(
            self.lora >= 0, f"lora is {self.lora}; it must be a rank of at least 1 (8 is a good start), or 0 for off."
        )
        require(
            not self.lora or bool(self.init),
            f"lora {self.lora} adapts pretrained weights; name them with init, or leave lora out.",
        )
        if self.optim.optimizer == "lbfgs":
            require(
                self.freeze == "backbone" and self.optim.epochs == 1,
                f"optimizer lbfgs fits the head alone, at once, but freeze is {self.freeze!r} and epochs "
                f"{self.optim.epochs}; set freeze 'backbone' and optim.epochs 1, or choose another optimizer.",
            )
            require(
                self.engine.parallel == "ddp",
                "optimizer lbfgs needs the whole model in each process, but parallel is 'fsdp'; leave it out.",
            )
        for name, value in (("freeze", self.freeze), ("frozen_blocks", self.frozen_blocks)):
            require(
                not self.lora or value in ("none", 0),
                f"lora {self.lora} and {name} {value!r} both choose what is trained; leave one of them out.",
            )
