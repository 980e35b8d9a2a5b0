"""What a recipe is: a named training with what it takes and what it is known to give."""

from dataclasses import dataclass

from timesformer.config.training import TrainConfig

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
