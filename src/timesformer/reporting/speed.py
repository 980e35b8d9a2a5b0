"""How fast a model is on this machine."""

import time
from dataclasses import dataclass

import torch

from timesformer.model.transformer import TimeSformer

LONGEST, TIMES = 0.3, 5
"""Seconds after which no further pass is timed, and the most passes."""


@dataclass(frozen=True)
class Speed:
    """Passes through a model on this machine."""

    views_per_second: float
    batch: int
    device: str


@torch.inference_mode()
def speed(model: TimeSformer, *, frames: int, size: tuple[int, int]) -> Speed:
    """The fastest of a few passes of random clips where the model is, after one that isn't counted."""
    device = next(model.parameters()).device
    batch = 1 if device.type == "cpu" else 8
    clips = torch.randn(batch, frames, 3, *size, device=device)
    training, _ = model.training, model.eval()
    try:
        taken, begun = [], time.monotonic()
        for number in range(TIMES + 1):
            started = time.monotonic()
            model(clips).cpu()
            if number:
                taken.append(time.monotonic() - started)
            if taken and time.monotonic() - begun > LONGEST:
                break
    finally:
        model.train(training)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return Speed(batch / max(min(taken), 1e-9), batch, name)
