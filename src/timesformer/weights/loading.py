"""The one door for weights of every kind: a path or a published name in, a checkpoint and a report out."""

import re
from dataclasses import replace
from pathlib import Path

from timesformer.config import ConfigError, ModelConfig, Scheme
from timesformer.weights import labels as label_files
from timesformer.weights import zoo
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.fitting import Resize, fit
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
    by the rule ``resize``; the crop of the clip settings is square, of the shorter side. ``classes`` asks for another
    head if it differs. ``scheme`` spreads an image model, or one of a single step, to another scheme; image models
    become "divided" unless told otherwise. ``labels`` names a file with the classes' names. Weights are read as float32
    on the CPU. Raises :class:`WeightsError`.
    """
    source = read_source(path_or_name, size)
    if "head.weight" not in source.tensors and classes is None:
        raise WeightsError(f"{source.name} has no head; say how many outputs the new one has: classes=N.")
    config = source.config
    try:
        wanted = replace(
            config,
            frames=config.frames if frames is None else frames,
            size=config.size if size is None else size,
            classes=config.classes if classes is None else classes,
            scheme=scheme or ("divided" if source.image else config.scheme),
        )
    except ConfigError as error:
        raise WeightsError(f"{source.name}: {error}") from error
    loaded = fit(source, wanted, resize=resize)
    return loaded if labels is None else replace(loaded, labels=label_files.read(labels))


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
    if Path(path_or_name).exists() or isinstance(path_or_name, Path):
        return load_source(Path(path_or_name), size)
    entry = zoo.find(text)
    if entry is not None:
        path = zoo.fetch(entry)
        found = load_source(path, size)
        _refuse_another(found, entry, path)
        return replace(found, name=entry.name, clip=entry.clip, about=entry.about)
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
