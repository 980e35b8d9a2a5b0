"""The settings of a model and of its clips, which are stored with its weights."""

from dataclasses import dataclass
from typing import Literal

from timesformer.config.checks import at_least, at_most, check_fields, require, sides
from timesformer.config.limits import FRAMES, SIDE, check_clip, check_normalisation, check_parameters, check_tokens

Scheme = Literal["space", "joint", "divided", "local_global", "axial"]
LAST_BLOCKS = 4
"""Blocks that a head reads with the pool "last_blocks"."""
REGISTERS = 64
"""Largest number of register tokens; published models have 4 or 8."""


@dataclass(frozen=True)
class ModelConfig:
    """The architecture of the transformer, without anything about its training and data."""

    scheme: Scheme = "divided"
    """Attention scheme (paper, section 3, figure 1)."""
    frames: int = 8
    """Frames per clip, for which the time embedding is stored; it is resized for other counts."""
    size: int | tuple[int, int] = 224
    """Frame size in pixels that the position embedding is stored for: one number, or height and width."""
    patch: int = 16
    """Side of a square patch in pixels."""
    width: int = 768
    """Embedding dimension of a token."""
    depth: int = 12
    """Number of blocks."""
    heads: int = 12
    """Attention heads; must divide the width."""
    mlp_ratio: float = 4.0
    """Hidden width of the MLP as a multiple of the width."""
    classes: int = 400
    """Outputs of the head."""
    drop_path: float = 0.1
    """Stochastic depth rate of the last block; it grows linearly from zero in the first."""
    position: Literal["none", "space", "space_time"] = "space_time"
    """Position embeddings (paper, table 4); the space scheme never has a time embedding."""
    order: Literal["time_first", "space_first", "parallel"] = "time_first"
    """Order of the attention steps in the divided scheme (paper, section 4.7); other schemes have one order."""
    class_in_time: bool = False
    """Let patches attend to the class token in temporal attention too (equation 11); published weights don't."""
    weight_init: Literal["image", "scratch"] = "image"
    """Initialisation: "image" (std 0.02, temporal parts zero) before loading image weights, else "scratch" (Xavier)."""
    resize: Literal["nearest", "smooth"] = "nearest"
    """Interpolation of embeddings for another grid or frame count: nearest, as in the released code, or smooth."""
    rotary: bool = False
    """Rotate queries and keys by the patches' rows and columns, as DINOv3 does, instead of adding a position embedding;
    the time embedding stays."""
    registers: int = 0
    """Register tokens beside the class token, as in DINOv2 with registers; they attend wherever the class token does,
    and have no position."""
    norm_pre: bool = False
    """Apply a LayerNorm to the tokens before the first block, as CLIP does."""
    activation: Literal["gelu", "quick_gelu"] = "gelu"
    """Activation of the MLP: GELU, or x * sigmoid(1.702 x), with which OpenAI's CLIP was trained."""
    norm_eps: float = 1e-6
    """Epsilon of every LayerNorm: 1e-6 in timm, DINOv2 and TimeSformer, 1e-5 in CLIP, 1e-12 in Hugging Face's ViT."""
    pool: Literal["class_token", "last_blocks"] = "class_token"
    """What the head reads: the class token after the last block, or for each of the last four blocks the class token,
    the mean patch, and the standard deviation over frames of their mean patches, which suits a frozen backbone."""

    def __post_init__(self) -> None:
        check_fields(self)
        at_least(1, self, "frames", "patch", "width", "depth", "heads", "classes")
        require(self.mlp_ratio > 0, f"mlp_ratio is {self.mlp_ratio}; it must be above 0.")
        at_most(self, frames=FRAMES, patch=SIDE, width=2**16, depth=1000, classes=10**7, mlp_ratio=100)
        at_least(0, self, "registers")
        at_most(self, registers=REGISTERS)
        require(1e-15 <= self.norm_eps <= 0.1, f"norm_eps is {self.norm_eps}; it must be above 0: from 1e-15 to 0.1.")
        hidden = int(self.width * self.mlp_ratio)
        require(hidden >= 1, f"mlp_ratio is {self.mlp_ratio}; width {self.width} needs at least {1 / self.width:.2g}.")
        require(
            self.width % self.heads == 0,
            f"width {self.width} is not divisible by heads {self.heads}; choose heads that divide the width.",
        )
        require(
            not self.rotary or self.width // self.heads % 4 == 0,
            f"width {self.width} in {self.heads} heads is {self.width // self.heads} dimensions each; rotary needs a "
            "multiple of 4: choose another number of heads.",
        )
        require(
            self.depth >= self.read_blocks,
            f"depth is {self.depth}, but pool 'last_blocks' reads {LAST_BLOCKS} blocks; use pool 'class_token'.",
        )
        for side in self.frame_size:
            require(
                side >= self.patch and side % self.patch == 0,
                f"size {side} is not divisible by patch {self.patch}; "
                f"choose {max(side // self.patch, 1) * self.patch} or {(max(side // self.patch, 1) + 1) * self.patch}.",
            )
        check_tokens(self.frames, self.size, self.patch)
        tokens = self.grid[0] * self.grid[1] + self.frames + self.registers
        rest = self.width * (tokens + 3 * self.patch**2) + self.feature_width * self.classes
        check_parameters(width=self.width, depth=self.depth, mlp_ratio=self.mlp_ratio, rest=rest)
        require(0 <= self.drop_path < 1, f"drop_path is {self.drop_path}; it must be at least 0 and below 1.")
        require(
            self.scheme == "divided" or (self.order == "time_first" and not self.class_in_time),
            f"order and class_in_time are for the divided scheme, not {self.scheme!r}; leave them out or use it.",
        )

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return sides(self.size)

    @property
    def grid(self) -> tuple[int, int]:
        """Patch rows and columns."""
        height, width = self.frame_size
        return height // self.patch, width // self.patch

    @property
    def read_blocks(self) -> int:
        """Blocks, counted from the last, whose tokens the head reads."""
        return LAST_BLOCKS if self.pool == "last_blocks" else 1

    @property
    def feature_width(self) -> int:
        """Numbers that the head reads."""
        return 3 * LAST_BLOCKS * self.width if self.pool == "last_blocks" else self.width

    @property
    def has_position_embedding(self) -> bool:
        """Whether the class token and patches carry a position embedding."""
        return self.position != "none" and not self.rotary

    @property
    def has_time_embedding(self) -> bool:
        """Whether patches carry a time embedding."""
        return self.position == "space_time" and self.scheme != "space"


@dataclass(frozen=True)
class ClipConfig:
    """How a clip is sampled from a video and turned into model input; it is stored with the weights."""

    frames: int = 8
    """Frames per clip."""
    sampling: Literal["dense", "segments"] = "dense"
    """"dense": frames at a fixed interval. "segments": one frame from each of equal parts of the whole video."""
    rate: int = 32
    """Dense sampling only: a clip spans frames x rate frames of a video at `fps` frames per second."""
    fps: float = 30.0
    """Frame rate that `rate` refers to; videos at another frame rate are sampled to match it."""
    seconds: float = 0.0
    """Segments only: median length in seconds of the videos that were learned from, which timelines take for their
    windows; 0 is unknown."""
    size: int | tuple[int, int] = 224
    """Size in pixels of the crop that is the model's input: the side of a square, or height and width."""
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    """Mean of each colour channel, for pixels between 0 and 1."""
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    """Standard deviation of each colour channel, for pixels between 0 and 1."""
    channels: Literal["rgb", "bgr"] = "rgb"
    """Order of the colour channels that the model was trained with."""

    def __post_init__(self) -> None:
        check_fields(self)
        at_least(1, self, "frames", "rate")
        require(min(self.frame_size) >= 1, f"size is {self.size}; it must be at least 1.")
        at_most(self, frames=FRAMES, rate=10**6)
        check_clip(self.frames, self.size)
        require(0.001 <= self.fps <= 10**5, f"fps is {self.fps}; it must be above 0: from 0.001 to 100,000.")
        require(0 <= self.seconds <= 10**6, f"seconds is {self.seconds}; it must be from 0 (unknown) to 1,000,000.")
        check_normalisation(self.mean, self.std)

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width in pixels of the crop."""
        return sides(self.size)
