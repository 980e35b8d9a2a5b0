"""Load weights of every supported format: a path or a published name in, a checkpoint with a report out."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack, get_type_hints

from timesformer.config.checks import ConfigError, choice, in_pixels
from timesformer.config.model import ModelConfig, Scheme
from timesformer.weights import fetch, image_models, runs, zoo
from timesformer.weights import labels as label_files
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.fit.embeddings import POSITION_RULES, Resize
from timesformer.weights.fit.fitting import fit
from timesformer.weights.fit.outputs import Outputs, rows
from timesformer.weights.formats.files import open_weights
from timesformer.weights.formats.source import TITLES, Source, understand, without_guess, without_head
from timesformer.weights.report import WeightsError


class Wanted(TypedDict, total=False):
    """Optional settings of :func:`load` for a model that differs from the weights."""

    frames: int | None
    size: int | tuple[int, int] | None
    classes: int | None
    scheme: Scheme | None
    heads: int | None


def load(
    path_or_name: str | Path,
    *,
    key: str = "",
    resize: Resize | None = None,
    labels: str | Path | None = None,
    **wanted: Unpack[Wanted],
) -> Checkpoint:
    """Load a model with its clip settings and labels, from any supported format; its ``report`` lists every change.

    A path may lead to a file of ours, a run's folder (its best checkpoint), an official .pyth, an MMAction2 .pth, a
    folder of transformers or timm, or an image transformer (timm, transformers, OpenCLIP, DINO, DINOv2, MAE, DeiT, or
    .npz of the JAX release); the format is recognised by the content, not the suffix. A name is one of
    :data:`timesformer.weights.zoo.PUBLISHED`, one of :data:`timesformer.weights.image_models.IMAGE_MODELS`, or a hub
    repository such as "facebook/timesformer-base-finetuned-k400".

    ``frames`` and ``size`` (pixels, or height and width) change the clip: the embeddings are interpolated by the rule
    ``resize``, and the clip settings follow. By default, an image model has the size of its own preprocessing and is
    interpolated as its own code does; all other weights keep their size, and ``resize`` is "nearest". ``classes`` adds
    a new head if the number differs. Weights without a head, such as most image models, otherwise get one output of
    zeros and are for ``model.features`` alone. ``scheme`` changes the scheme of an image model, or of a scheme with one
    step; image models become "divided" by default. Every step gets a copy of the image model's attention and LayerNorm,
    and all but the last start with a zero-initialised projection, so that they have no effect at first: time before
    space (divided), local before global (local_global), time and width before height (axial). ``heads`` is the number
    of attention heads where the weights don't state it, as with most image models. ``key`` selects one of several
    models in a file, such as "teacher" or "state_dict_ema". ``labels`` is a file with the class names. Weights are
    loaded as float32 on the CPU. Raises :class:`WeightsError`.
    """
    _check_wanted(wanted, resize)
    frames, size, classes, scheme = (
        wanted.get("frames"),
        wanted.get("size"),
        wanted.get("classes"),
        wanted.get("scheme"),
    )
    source = read_source(path_or_name, size, heads=wanted.get("heads"), key=key)
    if "head.weight" not in source.tensors and classes is None:
        if labels is not None:
            raise WeightsError(f"{source.name} has no head to name the outputs of; leave the labels {labels} out.")
        source = without_head(source)
    config = source.config
    try:
        model = replace(
            config,
            frames=config.frames if frames is None else frames,
            size=size if size is not None else source.clip.size if source.image else config.size,
            classes=config.classes if classes is None else classes,
            scheme=scheme if scheme is not None else "divided" if source.image else config.scheme,
        )
    except ConfigError as error:
        raise WeightsError(f"{source.name}: {error}") from error
    try:
        loaded = fit(source, model, resize=resize or (config.resize if source.image else "nearest"))
    except (RuntimeError, MemoryError) as error:
        size_text = f"{model.frames} frames of {in_pixels(model.size)} and {model.classes} outputs"
        raise WeightsError(f"{source.name} can't be changed to {size_text}: too large for the memory.") from error
    return loaded if labels is None else replace(loaded, labels=_labels(labels, source, model.classes))


def _check_wanted(wanted: Mapping[str, object], resize: str | None) -> None:
    """Raise for unknown settings and values of a wrong type."""
    known = get_type_hints(Wanted)
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, [*known, "key", "resize", "labels"], n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}, key, resize and labels."
            raise TypeError(f"load has no {name!r:.40}; {hint}")
    for name, value in wanted.items():
        if name == "scheme":
            continue
        sides = value if name == "size" and isinstance(value, tuple) and len(value) == 2 else (value,)
        if value is not None and not all(type(side) is int for side in sides):
            also = " or a tuple of height and width" if name == "size" else ""
            raise WeightsError(f"{name} is {value!r:.40}; it must be a whole number{also}.")
    try:
        choice("resize", resize or "nearest", POSITION_RULES)
    except ConfigError as error:
        raise WeightsError(str(error)) from error


def _labels(path: str | Path, source: Source, classes: int) -> tuple[str, ...]:
    """Return the class names in a file; raises :class:`WeightsError` unless there is one for each output."""
    names = label_files.read(path)
    if len(names) != classes:
        raise WeightsError(
            f"{path} holds {len(names)} labels, but {source.name} has {classes} outputs; give one for each, in order."
        )
    moved = [place for place, row in enumerate(rows(source.labels, names)) if row not in (None, place)]
    if moved:
        raise WeightsError(
            f"{path} has {names[moved[0]]!r:.60} at place {moved[0]}, but {source.name} has its own names in "
            "another order: leave the labels out, or use the order of the weights."
        )
    return names


def start(
    path_or_name: str | Path,
    config: ModelConfig,
    *,
    resize: Resize | None = None,
    outputs: Outputs | None = None,
    key: str = "",
) -> Checkpoint:
    """Load weights of any supported format into a model of exactly ``config``, to train it.

    Scheme, frames, size, classes, order and stochastic depth are the config's, and its heads where the weights don't
    state theirs. Embeddings are interpolated as ``config.resize`` says. Rows of the head are kept for ``outputs`` of
    the same names; other rows are new. Raises :class:`WeightsError` where the weights don't fit such a model.
    """
    source = read_source(path_or_name, config.size, key=key)
    settled = config.heads != source.config.heads and config.width == source.config.width
    if settled and not source.states_heads:  # the config's number is used; no tensor's shape depends on it
        source = without_guess(source)
        source = replace(source, config=replace(source.config, heads=config.heads))
    return fit(source, config, resize=resize or config.resize, wanted=outputs)


def read_source(
    path_or_name: str | Path,
    size: int | tuple[int, int] | None = None,
    *,
    heads: int | None = None,
    key: str = "",
) -> Source:
    """Return weights under our names, before they are fitted; an existing path never uses the network."""
    text = str(path_or_name)
    if not text.strip():
        raise WeightsError("the name of the weights is empty; give a path, or a name that `timesformer zoo` lists.")
    if Path(path_or_name).exists() or isinstance(path_or_name, Path):
        return understand(open_weights(runs.checkpoint_of(Path(path_or_name)), key), size=size, heads=heads)
    entry = zoo.find(text)
    if entry is not None:
        path = fetch.published(entry)
        found = understand(open_weights(path, key), size=size, heads=heads)
        _refuse_another(found, entry, path)
        return replace(without_guess(found), name=entry.name, clip=entry.clip, about=entry.about)
    if Path(text).parent.name and Path(text).parent.is_dir():
        raise WeightsError(f"{text} does not exist in the folder {Path(text).parent}; check the path.")
    image = image_models.find(text)
    repository = image.hub if image else text
    if re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", repository) and not text.endswith((".pyth", ".pth", ".safetensors")):
        found = understand(open_weights(fetch.from_hub(repository), key), size=size, heads=heads)
        published = zoo.published_on_hub(repository)
        elsewhere = f"{text} on the Hugging Face hub; see there for its licence."
        return replace(found, name=text, about=found.about or (published.about if published else elsewhere))
    raise WeightsError(f"{text!r} is neither a path nor a published name; {zoo.suggestion(text)}")


def _refuse_another(found: Source, entry: zoo.Published, path: Path) -> None:
    """Raise if a published file is another model, since its clip settings would be wrong."""
    pairs = (
        ("scheme", found.config.scheme, entry.scheme),
        ("frames", found.config.frames, entry.frames),
        ("size", found.config.size, entry.size),
        ("classes", found.config.classes, entry.classes),
    )
    wrong = [f"{name} {have} instead of {want}" for name, have, want in pairs if have != want]
    if (found.layout == TITLES["mmaction2"]) != (entry.made_by == "mmaction2"):
        wrong.append(f"{found.layout} instead of {TITLES[entry.made_by]}")
    if wrong:
        raise WeightsError(
            f"{path} is not {entry.name}: it has {', '.join(wrong)}; get {entry.file} again, or load yours by its path."
        )
