"""Write checkpoints: as our own file, as a folder for transformers, or in the official layout."""

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from timesformer import atomic
from timesformer.config.checks import choice
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.tasks import FACTS
from timesformer.weights import card, metadata
from timesformer.weights import checkpoint as checkpoints
from timesformer.weights.checkpoint import Checkpoint, describe
from timesformer.weights.formats import layouts, settings
from timesformer.weights.formats.layouts import Layout
from timesformer.weights.report import WeightsError

Target = Literal["native", "huggingface", "official"]


def write(checkpoint: Checkpoint, out: str | Path, *, to: Target = "native") -> tuple[str, ...]:
    """Write a checkpoint in a layout; ``load`` gives back the same tensors, clip settings and labels, bit for bit.

    "native": one safetensors file. "huggingface": a folder with its card for ``TimesformerForVideoClassification`` and
    ``pipeline("video-classification")``. "official": a .pyth with ``model_state`` and ``cfg``.
    Returns notes on what other programs must know to use the file. Raises :class:`WeightsError` for a model that the
    layout can't express.
    """
    choice("to", to, get_args(Target))
    if to == "huggingface":
        notes = write_folder(checkpoint, Path(out))
        _write_card(checkpoint, Path(out) / "README.md")
        return notes
    if to == "official":
        return _write_official(checkpoint, Path(out))
    checkpoints.save(checkpoint, out)
    return ()


def _renamed(checkpoint: Checkpoint, layout: Layout) -> dict[str, Tensor]:
    """Return the model's tensors under a layout's names."""
    config = checkpoint.model.config
    pairs = layouts.reverse(layouts.table(layout, config.scheme))
    tensors, _ = layouts.rename(checkpoint.model.state_dict(), pairs, config.depth)
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def obstacle(checkpoint: Checkpoint, layout: Layout) -> str:
    """Return why a layout can't express a model and its clips, or "" where it can."""
    config, clip = checkpoint.model.config, checkpoint.clip
    if checkpoint.is_backbone:
        return "it has no classes, and this layout is that of a classifier"
    if config.scheme not in layouts.EXPRESSIBLE:
        return f"it has no {config.scheme} attention"
    if layout == "huggingface" and config.scheme == "space":
        return "its space_only attention gives one row of logits per frame instead of one per clip, which is wrong"
    if config.order != "time_first" or config.class_in_time:
        return "it has the divided steps in one order only, time first, without the class token in temporal attention"
    if config.pool != "class_token":
        return "its head reads the class token alone"
    if config.rotary or config.registers or config.norm_pre:
        return "it has no rotary positions, no register tokens and no LayerNorm before the first block"
    if layout == "official" and (config.activation, config.norm_eps) != ("gelu", 1e-6):
        return f"it has GELU and a LayerNorm epsilon of 1e-06, and this model {config.activation}, {config.norm_eps}"
    if config.position != "space_time":
        return f"it always has position and time embeddings, and this model's setting is {config.position!r}"
    for whose, height, width in (("model", *config.frame_size), ("clips", *clip.frame_size)):
        if height != width:
            return f"it stores square frames only, and those of the {whose} are {height} x {width} px"
    return ""


def _refuse(checkpoint: Checkpoint, layout: Layout) -> None:
    """Raise :class:`WeightsError` with the reason if a layout can't express a model and its clips."""
    if reason := obstacle(checkpoint, layout):
        raise WeightsError(
            f"a model with {checkpoint.model.config.scheme} attention can't be written as {layout}: {reason}. "
            "Use 'native' instead."
        )


def _attention(config: ModelConfig) -> str:
    return next(name for name, scheme in settings.ATTENTION.items() if scheme == config.scheme)


def _write_card(checkpoint: Checkpoint, path: Path) -> None:
    """Write a model card, unless the user has written one."""
    if not path.exists() or card.MARK in path.read_text(encoding="utf-8", errors="replace"):
        with atomic.replacing(path, WeightsError) as temporary:
            temporary.write_text(
                f"{card.HEADER}{card.text(checkpoint, transformers=True)}\n{card.MARK}\n", encoding="utf-8"
            )


def write_folder(checkpoint: Checkpoint, folder: Path) -> tuple[str, ...]:
    """Write config.json, preprocessor_config.json and model.safetensors; returns notes for transformers."""
    _refuse(checkpoint, "huggingface")
    if folder.exists() and not folder.is_dir():
        raise WeightsError(f"{folder} is a file; name a folder to write config.json and weights into.")
    _refuse_older(folder)
    checkpoints.write_tensors(_renamed(checkpoint, "huggingface"), folder / "model.safetensors", {"format": "pt"})
    for name, content in (
        ("config.json", _hugging_face_config(checkpoint)),
        ("preprocessor_config.json", _preprocessor(checkpoint.clip)),
    ):
        with atomic.replacing(folder / name, WeightsError) as temporary:
            temporary.write_text(metadata.dumps(content, indent=2) + "\n", encoding="utf-8")
    clip = checkpoint.clip
    notes = [
        f"transformers' pipeline takes the video's first {clip.frames} frames; this model needs {card.sampling(clip)}"
    ]
    if clip.channels == "bgr":
        notes.append("transformers uses RGB; this model needs BGR: flip the channels of pixel_values before calling it")
    return (*notes, *_regression_notes(checkpoint))


def _regression_notes(checkpoint: Checkpoint) -> tuple[str, ...]:
    """How to turn the normalised outputs of a regression into its numbers."""
    pairs = ", ".join(f"x {std:.6g} + {mean:.15g}" for mean, std in checkpoint.target_stats)
    return (f"the logits become the predicted numbers by {pairs}",) if pairs else ()


def _refuse_older(folder: Path) -> None:
    """Raise for a folder with other weights or settings, which readers would use with or instead of ours."""
    ours = {"model.safetensors", "config.json", "preprocessor_config.json"}
    readings = ("*.safetensors", "*.bin", "*.index.json", "*processor_config.json", "adapter_config.json")
    older = sorted({path.name for pattern in readings for path in folder.glob(pattern)} - ours)
    if older:
        raise WeightsError(
            f"{folder} already holds {', '.join(older)[:120]}, which readers would use with, or instead of, the new "
            "files; remove them, or name another folder."
        )


def _hugging_face_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return transformers' config.json, with our description under an additional key."""
    config = checkpoint.model.config
    labels = checkpoint.labels or tuple(f"LABEL_{number}" for number in range(config.classes))
    return {
        "architectures": ["TimesformerForVideoClassification"],
        "model_type": "timesformer",
        "attention_type": _attention(config),
        "image_size": config.frame_size[0],
        "patch_size": config.patch,
        "num_channels": 3,
        "num_frames": config.frames,
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": int(config.width * config.mlp_ratio),
        "hidden_act": config.activation,
        "layer_norm_eps": config.norm_eps,
        "qkv_bias": True,
        "problem_type": FACTS[checkpoint.task].problem_type,
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
        settings.DESCRIPTION: json.loads(metadata.to_json(describe(checkpoint))),
    }


def _preprocessor(clip: ClipConfig) -> dict[str, Any]:
    """Return transformers' preprocessor_config.json: resize the short side, centre crop, and normalise."""
    return {
        "image_processor_type": "VideoMAEImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": clip.frame_size[0]},
        "resample": 2,
        "do_center_crop": True,
        "crop_size": {"height": clip.frame_size[0], "width": clip.frame_size[1]},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(clip.mean),
        "image_std": list(clip.std),
    }


def _write_official(checkpoint: Checkpoint, path: Path) -> tuple[str, ...]:
    """Write a dict with epoch, model_state, optimizer_state and cfg, as the official training does."""
    config = checkpoint.model.config
    _refuse(checkpoint, "official")
    state = OrderedDict((f"model.{name}", value) for name, value in _renamed(checkpoint, "official").items())
    content = {"epoch": 0, "model_state": state, "optimizer_state": {}, "cfg": _cfg(checkpoint)}
    with atomic.replacing(path, WeightsError) as temporary:
        torch.save(content, temporary)
    notes = _regression_notes(checkpoint)
    if config.heads * 64 != config.width:
        return (f"the official layout doesn't store the number of heads: build its model with {config.heads}", *notes)
    return notes


def _cfg(checkpoint: Checkpoint) -> str:
    """Return the cfg text: settings under the official names, and our description as a comment line."""
    config, clip = checkpoint.model.config, checkpoint.clip
    return "\n".join(
        [
            settings.OURS + metadata.to_json(describe(checkpoint)),
            "DATA:",
            f"  MEAN: {json.dumps(clip.mean)}",
            f"  NUM_FRAMES: {config.frames}",
            f"  SAMPLING_RATE: {clip.rate}",
            f"  STD: {json.dumps(clip.std)}",
            f"  TARGET_FPS: {clip.fps!r}",
            f"  TEST_CROP_SIZE: {clip.frame_size[0]}",
            f"  TRAIN_CROP_SIZE: {config.frame_size[0]}",
            "MODEL:",
            "  ARCH: vit",
            f"  NUM_CLASSES: {config.classes}",
            "TIMESFORMER:",
            f"  ATTENTION_TYPE: {_attention(config)}",
            "TRAIN:",
            f"  DATASET: {'ssv2' if clip.sampling == 'segments' else 'kinetics'}",
            "",
        ]
    )
