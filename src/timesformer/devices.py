"""Where a model computes and in which numbers, by the names that people use for them."""

import torch

from timesformer.checks import ConfigError, choice

Precision = torch.dtype | str | None
"""A type of autocast, its name ("bf16", "fp16"), or "fp32" and None for the model's own."""
PRECISIONS: dict[str, torch.dtype | None] = {
    "fp32": None,
    "float32": None,
    "bf16": torch.bfloat16,
    "bfloat16": torch.bfloat16,
    "fp16": torch.float16,
    "float16": torch.float16,
    "half": torch.float16,
}


def pick_device(device: torch.device | str | None = None) -> torch.device:
    """The device that is asked for; None and "auto" take a CUDA GPU, or else Apple's, or else the CPU.

    "gpu" is either of the GPUs. Raises ConfigError for a device that is unknown or that this machine lacks.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    present = [name for name, here in there.items() if here]
    if device is None or device == "auto":
        return torch.device(present[0])
    if device == "gpu":
        if present[0] == "cpu":
            raise ConfigError("device is 'gpu', but torch finds no GPU on this machine; leave it out, or name 'cpu'.")
        return torch.device(present[0])
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(
            f"device is {device!r}; name 'cpu', 'cuda', 'cuda:1', 'mps', or 'gpu' for any GPU."
        ) from error
    if not there.get(found.type, True):
        raise ConfigError(f"device is {str(found)!r}, which torch does not find here; it finds {', '.join(present)}.")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ConfigError(f"device is {str(found)!r}, but there are {count} GPUs: 'cuda:0' to 'cuda:{count - 1}'.")
    return found


def autocast_type(precision: Precision) -> torch.dtype | None:
    """The type of autocast for a precision, None for the model's own numbers. Raises ConfigError for what is none."""
    if precision is None or precision is torch.float32:
        return None
    if isinstance(precision, str) and precision in PRECISIONS:
        return PRECISIONS[precision]
    if precision in (torch.bfloat16, torch.float16):
        return precision
    choice("precision", precision, ("fp32", "bf16", "fp16"))
    raise ConfigError(f"precision is {precision!r}; it must be 'fp32', 'bf16' or 'fp16'.")
