"""`timesformer convert`, `inspect`, `cost` and `recipes`: about models, without videos."""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from timesformer.cli.opened import Opened
from timesformer.cli.source import UNSET
from timesformer.config.model import ModelConfig, Scheme
from timesformer.plain import printable

if TYPE_CHECKING:
    from timesformer.weights.checkpoint import Checkpoint


@dataclass(frozen=True)
class Fit(Opened):
    """How the weights are read, and fitted to another model."""

    frames: Annotated[int | None, UNSET] = None
    """Number of frames per clip; the time embedding is resized to it."""
    size: Annotated[int | tuple[int, int] | None, UNSET] = None
    """Frame size in pixels, or height and width; the position embedding is resized to it."""
    classes: Annotated[int | None, UNSET] = None
    """Number of outputs; for another number than the weights have, the head gets new weights."""
    scheme: Annotated[Scheme | None, UNSET] = None
    """Attention scheme that the weights of an image model are extended to."""
    resize: Annotated[Literal["nearest", "smooth", "flat"] | None, UNSET] = None
    """Resize embeddings by the nearest value, smoothly (bicubic, linear), or "flat" as the official loader does. By
    default image models are resized as their own code does, and others by the nearest value."""

    def fitted(self, weights: str) -> "Checkpoint":
        """Load the weights, fit them, and print what became of every tensor."""
        from timesformer.weights import loading

        checkpoint = loading.load(weights, **vars(self))
        if checkpoint.report:
            print("\n".join(checkpoint.report.lines()))
        return checkpoint


Weights = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="WEIGHTS")]
Name = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[NAME]", help_behavior_hint="")]
Wanted = Annotated[Fit, tyro.conf.OmitArgPrefixes]


def convert(
    weights: Weights,
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")],
    *,
    to: Literal["native", "huggingface", "official"] = "native",
    fit: Wanted = Fit(),
) -> int:
    """Convert weights of any kind into another format.

    Args:
        weights: A checkpoint of any kind, or a published name.
        out: File to write; a folder for Hugging Face.
        to: Format: our own file, a folder for transformers, or the official .pyth file.
        fit: How the weights are read, and fitted to another model.
    """
    from timesformer.weights.formats import writing

    checkpoint = fit.fitted(weights)
    notes = writing.write(checkpoint, out, to=to)
    print(f"written: {out} ({to})")
    for note in notes:
        print(printable(f"note: {note}"))
    return 0


def inspect(weights: Weights, *, fit: Wanted = Fit()) -> int:
    """Show what a checkpoint holds: the model, its clips and classes, and how every tensor is used.

    Args:
        weights: A checkpoint of any kind, or a published name.
        fit: How the weights are read, and fitted to another model.
    """
    checkpoint = fit.fitted(weights)
    model = dict(vars(checkpoint.model.config))
    if checkpoint.is_backbone:
        del model["classes"]
    for title, settings in (("model", model), ("clip", vars(checkpoint.clip))):
        print(f"{title}: " + ", ".join(f"{name} {setting}" for name, setting in settings.items()))
    print(_outputs(checkpoint))
    if checkpoint.about:
        print(printable(checkpoint.about))
    return 0


def _outputs(checkpoint: "Checkpoint") -> str:
    """The outputs of a model in a line; without a head, what it has instead."""
    config = checkpoint.model.config
    if checkpoint.is_backbone:
        return f"no classes: {config.width} features for each clip; `timesformer train DATA --init` adds a head"
    names = printable(", ".join(checkpoint.labels[:10])) + (", ..." if len(checkpoint.labels) > 10 else "")
    return f"{config.classes} outputs ({checkpoint.task})" + (f": {names}" if names else ", without names")


def cost(
    *,
    scheme: Scheme = "divided",
    frames: int = 8,
    size: int = 224,
    patch: int = 16,
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    classes: int = 400,
) -> int:
    """Compute the parameters, multiply-adds and training memory of a model, without building it.

    Args:
        scheme: Attention scheme.
        frames: Number of frames per clip.
        size: Frame size in pixels.
        patch: Patch size in pixels.
        width: Embedding dimension.
        depth: Number of blocks.
        heads: Number of attention heads.
        classes: Number of outputs.
    """
    from timesformer.model.cost import cost as count

    config = ModelConfig(
        scheme=scheme, frames=frames, size=size, patch=patch, width=width, depth=depth, heads=heads, classes=classes
    )
    found = count(config)
    print(f"parameters          {found.parameters:,}")
    giga = found.multiply_adds / 1e9
    print(f"multiply-adds       {giga:,.2f} G per view ({3 * giga / 1e3:.2f} T for 3 views)")
    for step, keys in found.keys:
        print(f"keys per query      {keys:,} ({step})")
    print(f"training memory     {found.activations / 2**30:.2f} GiB of activations per clip on a GPU (estimate)")
    print(f"  on a CPU          {found.activations_on_cpu / 2**30:.2f} GiB for large clips or batches")
    print(f"  checkpointing     {found.checkpointed / 2**30:.2f} GiB, with --engine.checkpointing -1")
    print(f"  in addition       {16 * found.parameters / 2**30:.2f} GiB of weights, gradients and AdamW's state")
    return 0


def recipes(name: Name = "") -> int:
    """List the recipes with their costs and results, or print one as TOML for `train --config`.

    Args:
        name: Name of a recipe; without it, all are listed.
    """
    from timesformer.config import configfile
    from timesformer.recipes import table

    if name:
        found = table.recipe(name)
        for title in ("description", "command", "hardware", "cost", "result"):
            text = f"# {title}: {getattr(found, title)}"
            # a command stays in one line, to be copied
            print(text if title == "command" else textwrap.fill(text, 100, subsequent_indent="#   "))
        print(configfile.to_toml(found.config))
        return 0
    for entry in table.RECIPES.values():
        cost, result = (_brief(text) for text in (entry.cost, entry.result))
        print(f"{entry.name:<23} {cost:<27} {result}")
    print("\n`timesformer recipes NAME`: its description, command, hardware, cost, result and all settings.")
    return 0


def _brief(text: str) -> str:
    """The first part of a text, in a third of a terminal's width."""
    return textwrap.shorten(re.split(r" \(|;", text)[0], 27, placeholder=" ...")
