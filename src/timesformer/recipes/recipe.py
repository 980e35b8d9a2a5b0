"""The definition of a recipe: a named training config with its command, cost and expected result."""

from dataclasses import dataclass

from timesformer.config.training import TrainConfig

IMAGENET_21K = "timm/vit_base_patch16_224.orig_in21k_ft_in1k"
NODE = "torchrun --nproc-per-node 8 -m timesformer"


@dataclass(frozen=True)
class Recipe:
    """A named training config with its command, cost and expected result."""

    name: str
    config: TrainConfig
    """All settings of the training."""
    description: str
    command: str
    """The exact command; replace DATA, and HOST by the address of the first machine."""
    hardware: str
    """The hardware that the command is for."""
    cost: str
    """GPU hours or operations, and whether published or derived."""
    result: str
    """Published accuracy in percent with its source, or a note that there is none."""
