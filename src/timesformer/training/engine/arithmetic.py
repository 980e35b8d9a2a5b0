"""Device and precision of a training."""

from typing import Literal

import torch

from timesformer.config.checks import ConfigError
from timesformer.config.training import EngineConfig, TrainConfig
from timesformer.machine import autocast_type, pick_device


def device(engine: EngineConfig, *, number: int = 0) -> torch.device:
    """The device that settings ask for; "auto" takes a CUDA GPU, or else Apple's (mps), or else the CPU.

    ``number`` is the process's own among those of this machine. Raises ConfigError where there is no such device.
    """
    found = pick_device(engine.device)
    return pick_device(f"cuda:{number}") if found.type == "cuda" else found


def on_gpu(engine: EngineConfig) -> bool:
    """Whether these settings compute on a CUDA GPU."""
    return device(engine).type == "cuda"


def fastest_on_gpu(engine: EngineConfig) -> Literal["fp32", "bf16", "fp16"]:
    """The precision that suits the CUDA GPU: bfloat16 from Ampere on, float16 on Volta and Turing (V100, T4).

    Older GPUs gain nothing by half precision, and neither does what float16 can't serve (:func:`check`).
    """
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    tensor_cores = torch.cuda.get_device_capability() >= (7, 0)
    return "fp16" if tensor_cores and not engine.optimizer_in_backward and engine.parallel == "ddp" else "fp32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The autocast context of a precision; "auto" that was not decided is float32."""
    half = None if precision == "auto" else autocast_type(precision)
    return torch.autocast(device.type, dtype=half or torch.bfloat16, enabled=half is not None)


def scaler(device: torch.device, precision: str) -> torch.amp.GradScaler:
    """A gradient scaler, which keeps float16 gradients from underflow; it does nothing in other precisions."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


def check(config: TrainConfig, *, processes: int) -> None:
    """Raise ConfigError for settings that float16's scaled gradients can't meet."""
    engine = config.engine
    if engine.precision != "fp16":
        return
    if engine.optimizer_in_backward:
        raise ConfigError(
            "precision fp16 needs all gradients before a step, and optimizer_in_backward keeps none; "
            "leave one of them out, or use --engine.precision bf16."
        )
    if processes > 1 and engine.parallel == "fsdp":
        raise ConfigError("precision fp16 works with --engine.parallel ddp, not with fsdp; use ddp, or bf16.")
