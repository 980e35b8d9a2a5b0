"""Interpret foreign weights: their tensors under our names, and the model and clip settings that they were made for."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.training import Task
from timesformer.weights import checkpoint, metadata
from timesformer.weights.checkpoint import MOST_BLOCKS
from timesformer.weights.formats import contents, detect, imagefiles, layouts
from timesformer.weights.formats.clips import clip_settings
from timesformer.weights.formats.files import Raw
from timesformer.weights.formats.images import jax
from timesformer.weights.formats.images import names as image_names
from timesformer.weights.formats.images.names import ImageLayout
from timesformer.weights.formats.layouts import Layout
from timesformer.weights.formats.shapes import NOT_STATED, model_config
from timesformer.weights.metadata import TargetStats
from timesformer.weights.report import WeightsError

TITLES: dict[Layout, str] = {
    "official": "official TimeSformer layout",
    "huggingface": "Hugging Face layout",
    "mmaction2": "MMAction2 layout",
}

NO_HEAD = "no head: there are features, but no classes"


@dataclass(frozen=True)
class Source:
    """Weights under our names, with their model, clip settings and labels."""

    name: str
    layout: str
    tensors: Mapping[str, Tensor]
    config: ModelConfig
    """The config of the model that the tensors fit."""
    clip: ClipConfig
    labels: tuple[str, ...] = ()
    task: Task = "classes"
    about: str = ""
    image: bool = False
    """Whether it is an image model: one attention step, no temporal attention."""
    antialias: bool = False
    """Whether its own code resizes its position embedding with antialiasing, where ``config.resize`` is "smooth"."""
    unused: tuple[str, ...] = ()
    """Tensors, by their own names, that the model doesn't have."""
    zero: tuple[str, ...] = ()
    """Biases that the source architecture doesn't have and that are zero here, which is equivalent."""
    notes: tuple[str, ...] = ()
    states_heads: bool = True
    """Whether the weights state the number of heads, which can't be inferred from shapes."""
    target_stats: TargetStats = ()


def understand(raw: Raw, *, size: int | tuple[int, int] | None = None, heads: int | None = None) -> Source:
    """Interpret raw weights; ``size`` is the frame size where the position embedding is not a square grid.

    ``heads`` is the number of attention heads where the weights don't state it. Raises :class:`WeightsError` if the
    names are of no known layout, for an architecture that can't be expressed, or if other heads are stated.
    """
    if raw.description:
        return _checked(_ours(raw), heads)
    source = str(raw.path)
    tensors, own = _plain(raw)
    taken = set(own.values())
    beside = [name for name in raw.tensors if own and name not in taken]
    layout: Layout | ImageLayout = raw.held.layout if raw.held else "official"
    image = None
    if raw.container == "arrays" or detect.is_image(raw, tensors, layout):
        image = imagefiles.read(raw, tensors, layout, size if isinstance(size, tuple) else None)
    names: Layout = "official" if layout in image_names.PATTERNS else layout  # type: ignore[assignment]
    stated = image.settings if image else detect.stated(raw, names)
    tensors = image.tensors if image else tensors
    scheme = stated.scheme or layouts.infer_scheme(tensors, names)
    depth = _depth(tensors, names, source)
    table = layouts.table(names, scheme) + (layouts.IMAGE if image else ())
    renamed, extra = layouts.rename(tensors, table, depth)
    _refuse_other_blocks(extra, names, source)
    renamed, zero = _without_bias(renamed, depth, image is not None)
    known = imagefiles.moco_heads(raw.held.name, tensors) if image and raw.held else None
    config, guess = model_config(
        renamed, scheme, depth, stated, size=size, heads=heads, known_heads=known, source=source
    )
    clip, assumed = clip_settings(stated, config, source, image=image is not None)
    wrong_labels: tuple[str, ...] = ()
    if stated.labels and len(stated.labels) != config.classes:
        wrong_labels = (f"{len(stated.labels)} names stated for {config.classes} outputs: not used",)
    found = Source(
        name=source,
        layout=f"image transformer, {image.family.title or TITLES[names]}" if image else TITLES[names],
        tensors=renamed,
        config=config,
        clip=clip,
        labels=() if wrong_labels else stated.labels,
        task=stated.ours.task if stated.ours else "classes",
        about=stated.ours.about if stated.ours else "",
        target_stats=stated.ours.target_stats if stated.ours else (),
        image=image is not None,
        antialias=image is not None and image.family.antialias,
        unused=(*_given_names(extra, image, own), *beside, *raw.dropped),
        zero=zero,
        notes=(raw.held.notes if raw.held else ()) + stated.notes + guess + assumed + wrong_labels,
        states_heads=bool(stated.heads or stated.ours),
    )
    return _checked(found, heads)


def _given_names(extra: Iterable[str], image: imagefiles.Image | None, own: Mapping[str, str]) -> list[str]:
    """Return the file's names of tensors that the model doesn't have."""
    plain = [*(image.origin.get(name, name) for name in extra), *image.left_out] if image else list(extra)
    return [own.get(name, name) for name in plain]


def _plain(raw: Raw) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Return the chosen model's tensors under its layout's plain names, and the mapping from these to the file's."""
    if raw.container == "arrays":
        if not jax.is_jax(raw.tensors):
            raise WeightsError(f"{raw.path} holds arrays that are not a vision transformer's; give another file.")
        return jax.from_jax(raw.tensors), {}
    return contents.plain(raw.tensors, raw.held, str(raw.path)) if raw.held else (dict(raw.tensors), {})


def _checked(source: Source, heads: int | None) -> Source:
    """Return the source after checking that its tensors fit its config.

    Raises :class:`WeightsError` where it states other heads than ``heads``, and for missing tensors or wrong shapes.
    """
    if heads is not None and heads != source.config.heads:
        raise WeightsError(
            f"{source.name} states {source.config.heads} heads, not {heads}; with other heads the results would be "
            "wrong: leave heads out."
        )
    checkpoint.check(source.config, source.tensors, source.name, head="head.weight" in source.tensors)
    checkpoint.check_labels(source.labels, source.config.classes)
    return source


def _depth(tensors: Mapping[str, Tensor], layout: Layout, source: str) -> int:
    """Return the number of blocks; raises :class:`WeightsError` where one is missing, or where there are too many."""
    numbers = {int(found[1]) for name in tensors if (found := re.match(layouts.BLOCK[layout], name))}
    if max(numbers, default=0) >= MOST_BLOCKS:
        raise WeightsError(f"{source} has {max(numbers) + 1} blocks; at most {MOST_BLOCKS} are supported.")
    absent = [number for number in range(max(numbers, default=-1) + 1) if number not in numbers]
    if absent:
        raise WeightsError(f"{source} has no block {absent[0]} of {max(numbers) + 1}; get the complete file.")
    return len(numbers)


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
        target_stats=description.target_stats,
    )


def _refuse_other_blocks(extra: tuple[str, ...], layout: Layout, source: str) -> None:
    """Raise if a block has tensors that the model doesn't have: without them every result would be different."""
    foreign = [name for name in extra if re.match(layouts.BLOCK[layout], name)]
    if foreign:
        raise WeightsError(
            f"{source} has {len(foreign)} block tensors that a TimeSformer doesn't have, such as {foreign[0]:.80}; "
            "it is another architecture: choose plain ViT or TimeSformer weights."
        )


def _without_bias(tensors: dict[str, Tensor], depth: int, is_image: bool) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Add zero biases for architectures without them (qkv_bias=False; the patch embedding of CLIP)."""
    filled = dict(tensors)
    steps = {name.split(".")[3] for name in tensors if ".steps." in name}
    missing = [
        f"blocks.{block}.steps.{step}.qkv.bias"
        for step in steps
        if not any(name.endswith(f".steps.{step}.qkv.bias") for name in tensors)
        for block in range(depth)
    ]
    if is_image and "embedding.patch.bias" not in tensors:
        missing.append("embedding.patch.bias")
    zero = [name for name in missing if f"{name.removesuffix('bias')}weight" in tensors]
    for name in zero:
        weight = tensors[f"{name.removesuffix('bias')}weight"]
        filled[name] = weight.new_zeros(weight.shape[:1])
    return filled, tuple(zero)


def without_head(source: Source) -> Source:
    """Return a source that has no head with one output of zeros, by which a checkpoint says that it has no head."""
    head = {"head.weight": torch.zeros(1, source.config.width), "head.bias": torch.zeros(1)}
    return replace(
        source,
        tensors={**source.tensors, **head},
        config=replace(source.config, classes=1),
        zero=(*source.zero, *head),
        notes=(*source.notes, NO_HEAD),
    )


def without_guess(source: Source) -> Source:
    """Return the source without the note on assumed heads, for weights whose heads are known from elsewhere."""
    return replace(source, notes=tuple(note for note in source.notes if not note.startswith(NOT_STATED)))
