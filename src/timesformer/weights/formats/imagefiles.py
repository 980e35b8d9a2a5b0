"""Read an image model: its tensors under timm's names with nothing left to merge, and what it states or implies."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from timesformer.config.checks import fits
from timesformer.model.rotary import BASE
from timesformer.weights.formats import settings
from timesformer.weights.formats.files import Raw
from timesformer.weights.formats.images import exact, families, jax, names, refused
from timesformer.weights.formats.images.families import Family
from timesformer.weights.formats.layouts import Layout
from timesformer.weights.formats.settings import Settings
from timesformer.weights.report import WeightsError

ACTIVATIONS = ("gelu", "quick_gelu")
ASSUMED = "normalisation 0.45 / 0.225 assumed, as in the official models that start from image weights"
MAYBE_VIDEO = (
    "no temporal part: taken for an image model; if it is a video model with space attention, pass scheme='space' "
    "(--scheme space; train: --model.scheme space)"
)
MOCO = ("base_encoder", "momentum_encoder")
"""Names of the two models in a file of MoCo v3."""
MOCO_SMALL_HEADS = 12
"""Heads of MoCo v3's ViT-S, whose width of 384 is usually divided into 6 heads."""


@dataclass(frozen=True)
class Image:
    """An image model, ready for our own names."""

    tensors: dict[str, Tensor]
    """Under timm's names, or MMAction2's for its files."""
    settings: Settings
    family: Family
    origin: Mapping[str, str]
    """From the names of tensors that were only renamed to the given names."""
    left_out: tuple[str, ...]
    """Tensors, by their given names, that were left out."""


def read(
    raw: Raw, tensors: Mapping[str, Tensor], layout: Layout | names.ImageLayout, size: tuple[int, int] | None
) -> Image:
    """Read an image model with these plain names; ``size`` is the frame size where the grid isn't square.

    Raises :class:`WeightsError` for architectures that can't be expressed.
    """
    source = str(raw.path)
    refused.by_config(_vision(raw.config), source)
    refused.by_names(tensors, source)
    if any(name.startswith("fc_norm.") for name in tensors):
        raise WeightsError(
            f"{source} has fc_norm: its head uses the average of the patches, which isn't supported; choose a ViT "
            "whose head uses the class token."
        )
    held = raw.held.name if raw.held else ""
    if layout in names.PATTERNS:
        family = (
            families.of_openclip(raw.config, raw.tensors, raw.path.name)
            if layout == "openclip"
            else families.of_transformers(raw.config, layout, raw.tensors)
        )
        stated = _stated_by_transformers(raw, family) if layout != "openclip" else _stated_by_openclip(raw)
        renamed, origin = names.to_timm(tensors, layout)
    else:
        stated = _stated_by_timm(raw.config)
        renamed, origin = names.from_original(tensors)
        family = families.of_timm(raw.config, renamed, raw.tensors, held) if layout == "official" else families.PLAIN
        if raw.container == "arrays":
            stated = replace(stated, heads=jax.jax_heads(raw.tensors))
    facts = {"activation": family.activation, "norm_eps": family.eps, "resize": family.resize} | dict(stated.model)
    if family.rotary:
        _check_rotation(raw, source)
        facts |= {"rotary": True, "resize": "nearest"}
    grids = [side for side in (size, stated.size) if side]
    merged, left_out, notes = _merged(renamed, grids, source)
    clip, assumed = _normalised(stated.clip, family)
    maybe = () if family.recognised else (MAYBE_VIDEO,)
    found = replace(stated, clip=clip, model=facts, notes=(*maybe, *notes, *stated.notes, *family.notes, *assumed))
    return Image(merged, found, family, origin, tuple(origin.get(name, name) for name in left_out))


def _merged(
    tensors: Mapping[str, Tensor], sizes: list[tuple[int, int]], source: str
) -> tuple[dict[str, Tensor], tuple[str, ...], tuple[str, ...]]:
    """Merge what needs no counterpart; return the tensors, the names of those left out, and notes."""
    merged, scaled = exact.merge_layer_scale(exact.merge_bias(tensors, source), source)
    kernel = merged.get("patch_embed.proj.weight")
    patch = kernel.shape[-1] if kernel is not None and kernel.ndim == 4 else 0
    grids = [(height // patch, width // patch) for height, width in sizes if patch]
    merged, placed = exact.merge_prefix(merged, grids)
    merged, left_out, other = exact.without_other_heads(merged)
    return merged, left_out, (*scaled, *placed, *other)


def _check_rotation(raw: Raw, source: str) -> None:
    """Raise :class:`WeightsError` if rotary positions aren't those that DINOv3 computes with a base of 100."""
    base = raw.config.get("rope_theta", BASE)
    periods = next((value for name, value in raw.tensors.items() if name.endswith("rope_embed.periods")), None)
    same = base == BASE
    if periods is not None and periods.ndim == 1:
        wanted = BASE ** (torch.arange(len(periods)) / len(periods))
        same &= torch.allclose(periods.float(), wanted, rtol=0.01)
    if not same:
        raise WeightsError(
            f"{source} has rotary positions with another base than {BASE:g}, as DINOv3 has; choose a published DINOv3, "
            "or dinov2-base."
        )


def _normalised(stated: Mapping[str, Any], family: Family) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return clip settings with the family's normalisation where none is stated, and a note on it."""
    if "mean" in stated and "std" in stated:
        return dict(stated), ()
    if family.normalisation is None:
        return dict(stated), (ASSUMED,)
    mean, std = (list(values) for values in family.normalisation)
    numbers = ", ".join(f"{value:.3g}" for value in mean)
    note = f"no normalisation stated: that of {family.title} is assumed, mean {numbers}"
    return {**stated, "mean": mean, "std": std}, (note,)


def _vision(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the image model's part of a config.json of CLIP, or the whole."""
    inner = config.get("vision_config")
    return {"model_type": config.get("model_type")} | inner if isinstance(inner, dict) else config


def _stated_by_transformers(raw: Raw, family: Family) -> Settings:
    """Return what a folder of transformers states; raises :class:`WeightsError` for what can't be computed."""
    config, source = _vision(raw.config), str(raw.path)
    facts: dict[str, Any] = {}
    if not config:
        return Settings()
    activation = config.get("hidden_act", family.activation)
    if activation not in ACTIVATIONS:
        raise WeightsError(
            f"{source} has hidden_act {activation!r:.40}; only {' and '.join(ACTIVATIONS)} can be computed: choose "
            "another model (`timesformer zoo` lists image models)."
        )
    eps = config.get("layer_norm_eps", family.eps)
    if not fits(eps, float) or not 0 < eps < 1:
        raise WeightsError(f"{source} has layer_norm_eps {eps!r:.40}; it must be a number between 0 and 1.")
    heads = config.get("num_attention_heads", 12)
    if not fits(heads, int) or heads < 1:
        raise WeightsError(f"{source} has num_attention_heads {heads!r:.40}; it must be a whole number above 0.")
    facts |= {"activation": activation, "norm_eps": float(eps)}
    labels, unreadable = settings.class_names(config.get("id2label"))
    return Settings(
        heads=heads,
        clip=settings.normalisation(raw.processor) | _crop(raw.processor),
        labels=labels,
        size=settings.pixels(config.get("image_size", 224), source),
        model=facts,
        notes=unreadable,
    )


def _crop(processor: Mapping[str, Any]) -> dict[str, Any]:
    """Return the size that a preprocessor crops images to, or resizes them to."""
    whole = processor.get("size") if processor.get("do_resize", True) else None
    crop = processor.get("crop_size") if processor.get("do_center_crop", "crop_size" in processor) else None
    found = _sides(crop) or _sides(whole)
    return {} if found is None else {"size": found[0] if found[0] == found[1] else list(found)}


def _sides(stated: object) -> tuple[int, int] | None:
    """Return the height and width of a preprocessor's size: a number, or a dict with one or two of them."""
    named: Any = stated
    if isinstance(stated, dict):
        named = [stated.get(name, stated.get("shortest_edge")) for name in ("height", "width")]
    sides = named if isinstance(named, list) else [named, named]
    if len(sides) == 2 and all(fits(side, int) and 0 < side < 2**16 for side in sides):
        return sides[0], sides[1]
    return None


def _stated_by_openclip(raw: Raw) -> Settings:
    """Return what an open_clip_config.json states: heads, image size and normalisation."""
    model, cut = raw.config.get("model_cfg"), raw.config.get("preprocess_cfg")
    vision: Any = model.get("vision_cfg") if isinstance(model, dict) else None
    vision = vision if isinstance(vision, dict) else {}
    width, each = vision.get("width", 768), vision.get("head_width", 64)
    known = vision and fits(width, int) and fits(each, int) and each > 0
    clip = {name: cut[name] for name in ("mean", "std") if name in cut} if isinstance(cut, dict) else {}
    size = _sides(vision.get("image_size"))
    return Settings(heads=width // each or None if known else None, clip=clip, size=size)


def _stated_by_timm(config: Mapping[str, Any]) -> Settings:
    """Return what the config.json of a timm folder states: normalisation, input size, and perhaps heads."""
    stated = config.get("pretrained_cfg", config)
    stated = stated if isinstance(stated, dict) else {}
    clip = {name: stated[name] for name in ("mean", "std") if name in stated}
    arguments = config.get("model_args")
    heads: Any = arguments.get("num_heads") if isinstance(arguments, dict) else None
    size = stated.get("input_size")
    sides = _sides(size[1:]) if isinstance(size, list) and len(size) == 3 else None
    if sides is not None:
        clip["size"] = sides[0] if sides[0] == sides[1] else list(sides)
    return Settings(heads=heads if fits(heads, int) and heads > 0 else None, clip=clip, size=sides)


def moco_heads(model: str, tensors: Mapping[str, Tensor]) -> int | None:
    """Return the heads of MoCo v3's ViT-S, recognised by its width and the name of the model in the file, or None."""
    is_small = "cls_token" in tensors and tensors["cls_token"].shape[-1] == 384
    return MOCO_SMALL_HEADS if is_small and set(MOCO) & set(model.split(".")) else None
