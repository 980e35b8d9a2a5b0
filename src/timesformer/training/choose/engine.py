"""Settings of the engine that suit this machine: precision, loader processes, and whether frames are kept in memory."""

import math
import os
import time
from dataclasses import replace
from functools import partial
from typing import Literal

import torch

from timesformer import machine
from timesformer.config.model import ModelConfig
from timesformer.config.training import TrainConfig
from timesformer.data.batches.cache import short_side
from timesformer.data.manifest import Manifest
from timesformer.training.choose import timing
from timesformer.training.choose.survey import Look, frames_beyond, survey
from timesformer.training.engine import arithmetic


def settle(config: TrainConfig, manifest: Manifest, *, gpu: bool, look: Look | None = None) -> TrainConfig:
    """The config with every "auto" of the engine decided for this machine, as a run writes it down.

    ``look`` gives the survey of the videos, if it is needed; without it they are surveyed here.
    """
    engine = config.engine
    if engine.precision == "auto":
        engine = replace(engine, precision=_fastest(config, gpu=gpu))
    if engine.cache == "auto":
        once = config.optim.optimizer == "lbfgs"  # each video is read once, which no cache makes faster
        engine = replace(
            engine, cache="on" if not once and _fits(config, manifest, look or partial(survey, manifest)) else "off"
        )
    if engine.workers < 0:
        cores = machine.cores() // _processes()
        # Without a GPU the model itself keeps the cores busy; cached frames need little work beside it
        engine = replace(engine, workers=0 if engine.cache == "on" and not gpu else max(cores - 1, 1))
    return replace(config, engine=engine)


def _fastest(config: TrainConfig, *, gpu: bool) -> Literal["fp32", "bf16", "fp16"]:
    """The precision that gains time: a GPU's half precision, bfloat16 on a CPU that gains by it, or else float32."""
    if gpu:
        return arithmetic.fastest_on_gpu(config.engine)
    return "bf16" if _fast_bf16(config.model) else "fp32"


def _fast_bf16(model: ModelConfig) -> bool:
    """Whether bfloat16 gains time on this CPU: products must be faster by more than the copies around them take.

    That a processor has instructions for it says little: with those of AVX-512 alone, products of ViT-B were measured
    at twice the speed of float32 on one machine and at half of it on another.
    """
    if not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return False

    def faster() -> bool:
        half, full = _product_seconds(model)
        return 1.3 * half < full

    return timing.remembered(f"bfloat16 for width {model.width} and mlp_ratio {model.mlp_ratio}", faster)


def _product_seconds(model: ModelConfig) -> tuple[float, float]:
    """Time of the MLP's first linear on 512 tokens in bfloat16 and in float32, each the best of seven by turns."""
    tokens, weight = torch.ones(512, model.width), torch.ones(int(model.width * model.mlp_ratio), model.width)
    pairs = [(tokens.to(kind), weight.to(kind)) for kind in (torch.bfloat16, torch.float32)]
    best = [math.inf, math.inf]
    for _ in range(7):
        for number, (tokens, weight) in enumerate(pairs):
            start = time.perf_counter()
            torch.nn.functional.linear(tokens, weight)
            best[number] = min(best[number], time.perf_counter() - start)
    return best[0], best[1]


def _fits(config: TrainConfig, manifest: Manifest, look: Look) -> bool:
    """Whether all frames at the training size take less than an eighth of the memory."""
    seen = look()
    if seen is None:
        return False
    # Upright or not isn't known: the orientation that needs more
    shapes = (round(seen.short_side), round(seen.short_side * seen.aspect))
    side = min(max(short_side(config, size) or seen.short_side for size in (shapes, shapes[::-1])), seen.short_side)
    items, most = manifest.of("train"), machine.memory() / 8 / _processes()
    per_frame = 3 * side * side * seen.aspect
    if len(items) * seen.frames * per_frame >= most:
        return False
    return sum(frames_beyond(items, seen.frames)) * per_frame + len(items) * seen.frames * per_frame < most


def _processes() -> int:
    """Processes that train on this machine, each with workers and frames of its own."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
