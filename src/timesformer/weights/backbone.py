"""Load weights to compute features with: no head is needed, and an image model sees every frame by itself."""

import hashlib
from dataclasses import replace
from pathlib import Path

import torch

from timesformer.config.checks import ConfigError
from timesformer.model.transformer import TimeSformer
from timesformer.weights import loading
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.fit.fitting import fit
from timesformer.weights.report import WeightsError


def backbone(
    path_or_name: str | Path,
    *,
    frames: int | None = None,
    size: int | tuple[int, int] | None = None,
    heads: int | None = None,
    key: str = "",
) -> Checkpoint:
    """Load weights as :func:`timesformer.load` does, but with or without a head; an image model stays one.

    An image model gets the scheme "space", whose features are the mean of its own class tokens over the frames, and
    clips of one frame from each of 8 equal segments of the video (``frames`` for another number). Where the weights
    have no head, that of the model is random. Raises :class:`WeightsError`.
    """
    source = loading.read_source(path_or_name, size, heads=heads, key=key)
    config = source.config
    try:
        model = replace(
            config,
            frames=config.frames if frames is None else frames,
            size=size if size is not None else source.clip.size if source.image else config.size,
        )
    except ConfigError as error:
        raise WeightsError(f"{source.name}: {error}") from error
    loaded = fit(source, model, resize=config.resize if source.image else "nearest")
    return replace(loaded, clip=replace(loaded.clip, sampling="segments")) if source.image else loaded


def digest(model: TimeSformer) -> str:
    """A short text that differs between models whose features differ: a hash of all tensors but the head's."""
    found = hashlib.blake2b(digest_size=8)
    for name, value in sorted(model.state_dict().items()):
        if not name.startswith("head."):
            found.update(f"{name} {list(value.shape)}".encode())
            found.update(value.detach().cpu().contiguous().view(torch.uint8).numpy())
    return found.hexdigest()
