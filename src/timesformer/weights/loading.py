"""The one door for weights of every kind: a path or a published name in, a checkpoint and a report out."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from timesformer.checks import choice, in_pixels
from timesformer.config import ConfigError, ModelConfig, Scheme
from timesformer.weights import labels as label_files
from timesformer.weights import zoo
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.fitting import POSITION_RULES, Resize, fit
from timesformer.weights.report import WeightsError
from timesformer.weights.source import TITLES, Source, load_source


def load(
    path_or_name: str | Path,
    *,
    frames: int | None = None,
    size: int | tuple[int, int] | None = None,
    classes: int | None = None,
    scheme: Scheme | None = None,
    resize: Resize = "nearest",
    labels: str | Path | None = None,
) -> Checkpoint:
    """A model with its clip settings and labels, from weights of any known kind; see its ``report`` for every change.

    A path may lead to a file of ours, an official .pyth, an MMAction2 .pth, a folder of transformers or timm, or an
    image transformer (timm, DeiT, or .npz of the JAX release); the content decides, not the ending. A name is one of
    :data:`timesformer.weights.zoo.PUBLISHED` or a hub repository such as "facebook/timesformer-base-finetuned-k400".

    ``frames`` and ``size`` (pixels, or height and width) set another clip, for which the stored embeddings are resized
    by the rule ``resize``, and the clip settings follow. ``classes`` asks for another head if it differs. ``scheme``
    spreads an image model, or one of a single step, to another scheme; image models become "divided" unless told
    otherwise. Every step takes the image model's attention and LayerNorm, and all but one begin silent, behind linears
    of zeros: time before space (divided), local before global (local_global), time and width before height (axial).
    ``labels`` names a file with the classes' names. Weights are read as float32 on the CPU. Raises
    :class:`WeightsError`.
    """
    _check_wanted({"frames": frames, "size": size, "classes": classes}, resize)
    source = read_source(path_or_name, size)
    if "head.weight" not in source.tensors and classes is None:
        raise WeightsError(f"{source.name} has no head; say how many outputs the new one has: classes=N (--classes N).")
    config = source.config
    try:
        wanted = replace(
            config,
            frames=config.frames if frames is None else frames,
            size=config.size if size is None else size,
            classes=config.classes if classes is None else classes,
            scheme=scheme if scheme is not None else "divided" if source.image else config.scheme,
        )
    except ConfigError as error:
        raise WeightsError(f"{source.name}: {error}") from error
    try:
        loaded = fit(source, wanted, resize=resize)
    except (RuntimeError, MemoryError) as error:
        size_text = f"{wanted.frames} frames of {in_pixels(wanted.size)} and {wanted.classes} outputs"
        raise WeightsError(f"{source.name} can't be made into {size_text}: too large for the memory.") from error
    return loaded if labels is None else replace(loaded, labels=_labels(labels, source, wanted.classes))


def _check_wanted(wanted: Mapping[str, object], resize: str) -> None:
    """Raise for settings of another type than they can have."""
    for name, value in wanted.items():
        sides = value if name == "size" and isinstance(value, tuple) and len(value) == 2 else (value,)
        if value is not None and not all(type(side) is int for side in sides):
            also = " or a tuple of height and width" if name == "size" else ""
            raise WeightsError(f"{name} is {value!r:.40}; it must be a whole number{also}.")
    try:
        choice("resize", resize, POSITION_RULES)
    except ConfigError as error:
        raise WeightsError(str(error)) from error


def _labels(path: str | Path, source: Source, classes: int) -> tuple[str, ...]:
    """The names in a file, as many as there are outputs."""
    names = label_files.read(path)
    if len(names) != classes:
        raise WeightsError(
            f"{path} holds {len(names)} labels, but {source.name} has {classes} outputs; give one for each, in order."
        )
    return names


def start(path_or_name: str | Path, config: ModelConfig, *, resize: Resize | None = None) -> Checkpoint:
    """A model of exactly ``config`` that starts from weights of any known kind; embeddings follow ``config.resize``.

    For training: scheme, frames, size, classes, order and stochastic depth are the config's. Raises
    :class:`WeightsError` where the weights can't start such a model.
    """
    source = read_source(path_or_name, config.size)
    return fit(source, config, resize=resize or config.resize)


def read_source(path_or_name: str | Path, size: int | tuple[int, int] | None = None) -> Source:
    """Weights under our names, not yet fitted to any model; a path that exists never touches the network."""
    text = str(path_or_name)
    if not text.strip():
        raise WeightsError("no weights are named; give a path, or a name that `timesformer zoo` lists.")
    if Path(path_or_name).exists() or isinstance(path_or_name, Path):
        return load_source(Path(path_or_name), size)
    entry = zoo.find(text)
    if entry is not None:
        path = zoo.fetch(entry)
        found = load_source(path, size)
        _refuse_another(found, entry, path)
        return replace(found, name=entry.name, clip=entry.clip, about=entry.about)
    if Path(text).parent.name and Path(text).parent.is_dir():
        raise WeightsError(f"{text} does not exist in the folder {Path(text).parent}; check the path.")
    if re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", text) and not text.endswith((".pyth", ".pth", ".safetensors")):
        found = load_source(zoo.fetch_hub(text), size)
        published = zoo.published_on_hub(text)
        elsewhere = f"{text} on the Hugging Face hub; see there for its licence."
        return replace(found, name=text, about=found.about or (published.about if published else elsewhere))
    raise WeightsError(f"{text!r} is neither a path nor a published name; {zoo.suggestion(text)}")


def _refuse_another(found: Source, entry: zoo.Published, path: Path) -> None:
    """Raise if a file isn't what its name says: its videos would be cut and normalised for another model."""
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
