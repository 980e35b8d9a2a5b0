"""Targets of items as tensors."""

import torch
from torch import Tensor

from timesformer.config.tasks import FACTS
from timesformer.data.items import Item
from timesformer.data.manifest import Manifest


def target(manifest: Manifest, item: Item) -> Tensor:
    """Return an item's target: class number (), float32 (outputs,) for several labels, float64 (outputs,) for numbers.

    Numbers are float64 because large ones such as times of day differ only after the mean is subtracted.
    """
    return torch.tensor(manifest.target(item), dtype=torch.float64 if FACTS[manifest.task].numeric else None)
