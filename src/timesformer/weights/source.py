"""Foreign weights understood: tensors under our names, and the model and clips that they were made for."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from timesformer.config import ClipConfig, ConfigError, ModelConfig, Scheme, Task
from timesformer.weights import convert, files, image, metadata, settings
from timesformer.weights.convert import Layout
from timesformer.weights.files import Raw
from timesformer.weights.metadata import Units
from timesformer.weights.report import WeightsError
from timesformer.weights.settings import Settings

TITLES: dict[Layout, str] = {
    "official": "official TimeSformer layout",
    "huggingface": "Hugging Face layout",
    "mmaction2": "MMAction2 layout",
}
OTHER_HEADS = {1280: 16, 1408: 16}
"""Heads of the image transformers whose heads aren't 64 wide (ViT-H and ViT-g), by width."""


@dataclass(frozen=True)
class Source:
    """Weights under our names, with what is known about them."""

    name: str
    layout: str
    tensors: Mapping[str, Tensor]
    config: ModelConfig
    """The model that the tensors fit."""
    clip: ClipConfig
    labels: tuple[str, ...] = ()
    task: Task = "classes"
    about: str = ""
    image: bool = False
    """Whether it is an image model: one attention step, no time."""
    extra: tuple[str, ...] = ()
    """Its tensors, by its own names, that the model has no place for."""
    zero: tuple[str, ...] = ()
    """Tensors that its architecture leaves out and that are zero here, to the same effect."""
    notes: tuple[str, ...] = ()
    units: Units = ()


def understand(raw: Raw, size: int | tuple[int, int] | None = None) -> Source:
    """What raw weights are; ``size`` tells the frame size where the position embedding is no square grid.

    Raises :class:`WeightsError` if the names are no known layout, or a block has tensors that the model can't compute.
    """
    if raw.description:
        return _ours(raw)
    heads: int | None = None
    if raw.container == "arrays":
        if not image.is_jax(raw.tensors):
            raise WeightsError(f"{raw.path} holds arrays that are no vision transformer's; give another file.")
        heads = image.jax_heads(raw.tensors)
        raw = replace(raw, tensors=image.from_jax(raw.tensors))
    tensors, layout = _plain_names(raw)
    is_image = _is_image(raw, tensors, layout)
    notes: tuple[str, ...] = ()
    if is_image:
        tensors, notes = image.without_distillation(tensors)
        notes += image.remarks(tensors, str(raw.path))
    stated = Settings(heads=heads, clip=image.timm_clip(raw.config)) if is_image else _stated(raw, layout)
    scheme = stated.scheme or convert.infer_scheme(tensors, layout)
    depth = convert.depth(tensors, layout)
    renamed, extra = convert.rename(tensors, convert.table(layout, scheme), depth)
    _refuse_other_blocks(extra, layout, str(raw.path))
    renamed, zero = _without_bias(renamed, depth, is_image)
    config, guesses = _model(renamed, scheme, depth, stated, size, str(raw.path))
    clip, assumed = settings.clip_settings(stated, config, str(raw.path))
    wrong_labels: tuple[str, ...] = ()
    if stated.labels and len(stated.labels) != config.classes:
        wrong_labels = (f"{len(stated.labels)} names stated for {config.classes} outputs: left out",)
    if is_image:
        assumed = () if stated.clip else ("normalisation 0.45 / 0.225, as the official models that start from images",)
    return Source(
        name=str(raw.path),
        layout=f"image transformer, {TITLES[layout]}" if is_image else TITLES[layout],
        tensors=renamed,
        config=config,
        clip=clip,
        labels=() if wrong_labels else stated.labels,
        task=stated.ours.task if stated.ours else "classes",
        about=stated.ours.about if stated.ours else "",
        units=stated.ours.units if stated.ours else (),
        image=is_image,
        extra=extra + raw.dropped,
        zero=zero,
        notes=notes + stated.notes + guesses + assumed + wrong_labels,
    )


def _ours(raw: Raw) -> Source:
    description = metadata.from_json(raw.description, str(raw.path))
    return Source(
        name=str(raw.path),
        layout="timesformer checkpoint",
        tensors=raw.tensors,
        config=description.model,
        clip=description.clip,
        labels=description.labels,
        task=description.task,
        about=description.about,
        units=description.units,
    )


def _plain_names(raw: Raw) -> tuple[dict[str, Tensor], Layout]:
    """Tensors by a layout's plain names, whatever wrapper's prefix they carried, and the layout."""
    tensors = dict(raw.tensors)
    for prefix in ("module.", "model."):
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    if any(name.startswith("transformer_layers.") for name in tensors):
        tensors = {f"backbone.{name}": value for name, value in tensors.items()}
    if any(name.startswith("encoder.layer.") for name in tensors) and "embeddings.cls_token" in tensors:
        tensors = {f"timesformer.{name}": value for name, value in tensors.items()}
    layout = convert.recognise(tensors)
    if layout is None or any(".steps." in name for name in tensors):
        names = ", ".join(f"{name:.60}" for name in list(tensors)[:3]) or "none"
        raise WeightsError(
            f"{raw.path} has tensor names of no known layout ({names}); known are timesformer's own files, official "
            ".pyth, Hugging Face, MMAction2, and image transformers of timm, DeiT and the JAX release."
        )
    return tensors, layout


def _is_image(raw: Raw, tensors: Mapping[str, Tensor], layout: Layout) -> bool:
    """An image model has no time part and isn't wrapped or described as a TimeSformer of the space scheme."""
    if convert.infer_scheme(tensors, layout) != "space":
        return False
    if layout == "official":
        return raw.wrapper != "model_state" and not any(name.startswith("model.") for name in raw.tensors)
    return layout == "mmaction2" and not any(name.startswith("backbone.") for name in raw.tensors)


def _stated(raw: Raw, layout: Layout) -> Settings:
    """Everything that lies beside a video model's tensors and says something about them."""
    if layout == "huggingface":
        return settings.from_hugging_face(raw.config, raw.processor, str(raw.path))
    if layout == "mmaction2":
        return Settings(clip={"mean": [0.5] * 3, "std": [0.5] * 3, "rate": 32}, labels=_meta_labels(raw.beside))
    text = raw.beside.get("cfg")
    if isinstance(text, str):
        return settings.from_cfg(text, str(raw.path))
    return Settings(notes=("no cfg text: settings inferred from the tensors",))


def _meta_labels(beside: Mapping[Any, Any]) -> tuple[str, ...]:
    """Class names in an MMAction2 file's meta, where it has them."""
    meta = beside.get("meta")
    if not isinstance(meta, dict):
        return ()
    inner = meta.get("dataset_meta")
    names = inner.get("classes") if isinstance(inner, dict) else meta.get("CLASSES")
    if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return ()


def _refuse_other_blocks(extra: tuple[str, ...], layout: Layout, source: str) -> None:
    """Raise if a block holds tensors that the model has no place for: leaving them out would change every result."""
    foreign = [name for name in extra if re.match(convert.BLOCK[layout], name)]
    if foreign:
        raise WeightsError(
            f"{source} has {len(foreign)} block tensors that a TimeSformer has no place for, such as {foreign[0]:.80}; "
            "it is another architecture: choose plain ViT or TimeSformer weights."
        )


def _without_bias(tensors: dict[str, Tensor], depth: int, is_image: bool) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Zero biases for architectures that leave them out altogether (qkv_bias=False; the patch bias of CLIP)."""
    filled = dict(tensors)
    steps = {name.split(".")[3] for name in tensors if ".steps." in name}
    lacking = [
        f"blocks.{block}.steps.{step}.qkv.bias"
        for step in steps
        if not any(name.endswith(f".steps.{step}.qkv.bias") for name in tensors)
        for block in range(depth)
    ]
    if is_image and "embedding.patch.bias" not in tensors:
        lacking.append("embedding.patch.bias")
    zero = [name for name in lacking if f"{name.removesuffix('bias')}weight" in tensors]
    for name in zero:
        weight = tensors[f"{name.removesuffix('bias')}weight"]
        filled[name] = weight.new_zeros(weight.shape[:1])
    return filled, tuple(zero)


def _model(
    tensors: Mapping[str, Tensor],
    scheme: Scheme,
    depth: int,
    stated: Settings,
    size: int | tuple[int, int] | None,
    source: str,
) -> tuple[ModelConfig, tuple[str, ...]]:
    """The config that tensors fit, and notes on what they don't show."""
    base = stated.ours.model if stated.ours else ModelConfig()
    width = _shape(tensors, "embedding.class_token", 3, source)[2]
    patch = _shape(tensors, "embedding.patch.weight", 4, source)[3]
    hidden = _shape(tensors, "blocks.0.mlp.0.weight", 2, source)[0]
    position = _shape(tensors, "embedding.position", 3, source)[1]
    frames = stated.clip.get("frames") or (base.frames if stated.ours else 8)
    if "embedding.time" in tensors:
        frames = _shape(tensors, "embedding.time", 3, source)[1]
    classes = _shape(tensors, "head.weight", 2, source)[0] if "head.weight" in tensors else 1
    heads = stated.heads or (base.heads if stated.ours else OTHER_HEADS.get(width, max(width // 64, 1)))
    guess = () if stated.heads or stated.ours else (f"heads not stated: {heads} assumed, {width // heads} wide",)
    try:
        grid = _grid(position - 1, patch, base.grid if stated.ours else None, size, source)
        pixels = (grid[0] * patch, grid[1] * patch)
        return replace(
            base,
            scheme=scheme,
            frames=frames,
            size=base.size if pixels == base.frame_size else pixels[0] if pixels[0] == pixels[1] else pixels,
            patch=patch,
            width=width,
            depth=depth,
            heads=heads,
            mlp_ratio=_mlp_ratio(hidden, width, base.mlp_ratio),
            classes=classes,
        ), guess
    except ConfigError as error:
        raise WeightsError(f"{source}: {error}") from error


def _mlp_ratio(hidden: int, width: int, known: float) -> float:
    """The ratio that gives a hidden width: the known one if it does, else the quotient, rounded up where it must be."""
    quotient = hidden / width
    candidates = (known, quotient, math.nextafter(quotient, math.inf))
    return next((ratio for ratio in candidates if int(width * ratio) == hidden), quotient)


def _grid(
    patches: int, patch: int, known: tuple[int, int] | None, size: int | tuple[int, int] | None, source: str
) -> tuple[int, int]:
    """Rows and columns of a position embedding: as described, else square, else as the wanted size has them."""
    if known is not None and known[0] * known[1] == patches:
        return known
    side = math.isqrt(max(patches, 0))
    if side * side == patches:
        return side, side
    if isinstance(size, tuple) and patch and (size[0] // patch) * (size[1] // patch) == patches:
        return size[0] // patch, size[1] // patch
    unplaced = side * side + 2 * side == patches
    hint = "; if it is a timm model whose class token has no place (no_embed_class), choose another" if unplaced else ""
    raise WeightsError(
        f"{source} has a position embedding of {patches} patches, which is no square grid; "
        f"give the size that it was made for as size=(height, width) (--size HEIGHT WIDTH){hint}."
    )


def _shape(tensors: Mapping[str, Tensor], name: str, dimensions: int, source: str) -> tuple[int, ...]:
    """Shape of a tensor that must be there; raises :class:`WeightsError` if it isn't, or has other dimensions."""
    if name not in tensors:
        raise WeightsError(f"{source} lacks {name}; a tensor of the backbone can't be made up: get the whole file.")
    shape = tuple(tensors[name].shape)
    if len(shape) != dimensions or 0 in shape:
        raise WeightsError(f"{source}: {name} has shape {list(shape)}; {dimensions} dimensions are needed.")
    return shape


def load_source(path: Any, size: int | tuple[int, int] | None = None) -> Source:
    """The weights at a path, understood."""
    return understand(files.open_weights(path), size)
