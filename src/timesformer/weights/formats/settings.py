"""Read the settings of foreign weights: official cfg text, config.json and preprocessor settings."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from timesformer.config import checks
from timesformer.config.model import Scheme
from timesformer.weights import metadata
from timesformer.weights.metadata import Description
from timesformer.weights.report import WeightsError

ATTENTION: dict[str, Scheme] = {
    "divided_space_time": "divided",
    "space_only": "space",
    "joint_space_time": "joint",
}
OURS = "# timesformer "
"""Start of the line with our description in a cfg text; other readers see a comment."""
DESCRIPTION = "timesformer_description"
"""Key of our description in a config.json; transformers ignores and keeps it."""


@dataclass(frozen=True)
class Settings:
    """The stated settings of a source; all others are inferred from its tensors."""

    scheme: Scheme | None = None
    heads: int | None = None
    clip: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the clip settings, as JSON values."""
    dataset: str = ""
    """Name of the data set, where it is stated."""
    labels: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    """Frame height and width of the position embedding."""
    model: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the model's config that no tensor's shape tells, such as the activation."""
    ours: Description | None = None
    """Our complete description, where this package wrote the source."""
    notes: tuple[str, ...] = ()


def from_cfg(text: str, source: str) -> Settings:
    """Return the settings in the cfg text of an official checkpoint."""
    line = next((line for line in text.split("\n") if line.startswith(OURS)), None)
    ours = None if line is None else metadata.from_json(line.removeprefix(OURS), f"{source}: cfg")
    entries = flatten(text)
    clip: dict[str, Any] = {}
    for field_name, key, kind in (
        ("frames", "DATA.NUM_FRAMES", int),
        ("size", "DATA.TEST_CROP_SIZE", int),
        ("rate", "DATA.SAMPLING_RATE", int),
        ("fps", "DATA.TARGET_FPS", float),
        ("mean", "DATA.MEAN", float),
        ("std", "DATA.STD", float),
    ):
        if key in entries:
            clip[field_name] = _numbers(entries[key], kind, f"{source}: cfg {key}")
    attention = entries.get("TIMESFORMER.ATTENTION_TYPE")
    return Settings(
        scheme=None if attention is None else _scheme(attention, source),
        clip=clip,
        dataset=str(entries.get("TRAIN.DATASET", "")).lower(),
        labels=ours.labels if ours else (),
        ours=ours,
    )


def flatten(text: str) -> dict[str, str | list[str]]:
    """Return the scalars and lists of a two-level YAML text as "SECTION.KEY": value; other lines are ignored.

    The official configs need no more of YAML than that, so no parser for all of it is asked for.
    """
    entries: dict[str, str | list[str]] = {}
    section = key = ""
    for line in text.split("\n"):
        item = re.match(r"\s*-\s+(\S.*)$", line)
        pair = re.match(r"(\s*)([A-Za-z_]\w*):\s*(.*?)\s*$", line)
        if item and key:
            values = entries.get(key)
            entries[key] = [*(values if isinstance(values, list) else []), item[1].strip()]
        elif pair:
            indent, name, value = pair.groups()
            section = section if indent else name
            key = f"{section}.{name}" if indent else name
            if value.startswith("["):
                entries[key] = [part.strip() for part in value.strip("[]").split(",")]
            elif value:
                entries[key] = value.strip("'\"")
    return entries


def _numbers(value: str | list[str], kind: type[int] | type[float], where: str) -> Any:
    try:
        return [kind(part) for part in value] if isinstance(value, list) else kind(value)
    except ValueError as error:
        raise WeightsError(f"{where} is {value!r:.60}; a number is needed: get the file again.") from error


def _scheme(attention: object, source: str) -> Scheme:
    if not isinstance(attention, str) or attention not in ATTENTION:
        raise WeightsError(f"{source} has attention type {attention!r:.60}; it must be one of {', '.join(ATTENTION)}.")
    return ATTENTION[attention]


def from_hugging_face(config: Mapping[str, Any], processor: Mapping[str, Any], source: str) -> Settings:
    """Return the settings in the config.json and preprocessor settings of transformers.

    Raises :class:`WeightsError` for another model, and for an activation that this model doesn't have.
    """
    activation, eps = config.get("hidden_act", "gelu"), config.get("layer_norm_eps", 1e-6)
    kind = config.get("model_type", "timesformer")
    if kind != "timesformer":
        raise WeightsError(f"{source} has model_type {kind!r:.40}; only 'timesformer' is supported.")
    if activation not in ("gelu", "quick_gelu"):
        raise WeightsError(f"{source} has hidden_act {activation!r:.40}; only 'gelu' and 'quick_gelu' are supported.")
    if not checks.fits(eps, float):
        raise WeightsError(f"{source} has layer_norm_eps {eps!r:.40}; it must be a number above 0.")
    counts = {"num_attention_heads": 12, "num_frames": 8} | dict(config) if config else {}
    for name in ("num_attention_heads", "num_frames"):
        if config and (not isinstance(counts[name], int) or counts[name] < 1):
            raise WeightsError(f"{source} has {name} {counts[name]!r:.40}; it must be a whole number above 0.")
    frames = {"frames": counts["num_frames"]} if config else {}
    ours = config.get(DESCRIPTION)
    stated = normalisation(processor)
    notes = () if stated else ("no preprocessor settings: the official normalisation, 0.45 / 0.225, is assumed",)
    described = None if ours is None else metadata.from_json(json.dumps(ours), f"{source}: {DESCRIPTION}")
    size = pixels(config.get("image_size", 224), source)
    labels, unreadable = class_names(config.get("id2label"))
    return Settings(
        scheme=_scheme(config.get("attention_type", "divided_space_time"), source) if config else None,
        heads=counts.get("num_attention_heads"),
        clip=stated | frames,
        labels=labels or (described.labels if described else ()),
        ours=described,
        notes=notes + unreadable + _other_sizes(processor, size),
        size=size if config else None,
        model={"activation": activation, "norm_eps": float(eps)} if config else {},
    )


def pixels(stated: object, source: str) -> tuple[int, int]:
    """Return the height and width in a config.json: a number, a list of two, or a dict."""
    named: Any = [stated.get("height"), stated.get("width")] if isinstance(stated, dict) else stated
    listed = named if isinstance(named, list) else [named]
    if len(listed) in (1, 2) and all(checks.fits(side, int) and side > 0 for side in listed):
        return listed[0], listed[-1]
    raise WeightsError(f"{source} has image_size {stated!r:.40}; it must be a number of pixels or [height, width].")


def _other_sizes(processor: Mapping[str, Any], size: tuple[int, int]) -> tuple[str, ...]:
    """Return a note where the preprocessor's frame size differs from the model's."""
    stated = (processor.get(name) for name in ("size", "crop_size"))
    found: list[Any] = [side for value in stated for side in (value.values() if isinstance(value, dict) else (value,))]
    other = sorted(side for side in found if checks.fits(side, int) and side not in size)
    if not other:
        return ()
    text = checks.in_pixels(size)
    return (f"its preprocessor resizes or crops to {other[0]} px; here short side and crop are {text}, the model's",)


def normalisation(processor: Mapping[str, Any]) -> dict[str, Any]:
    """Return mean and standard deviation for pixels between 0 and 1, from the settings of a processor."""
    if processor.get("do_normalize", True) is False:
        mean, std = [0.0] * 3, [1.0] * 3
    elif "image_mean" in processor and "image_std" in processor:
        mean, std = processor["image_mean"], processor["image_std"]
    else:
        return {}
    factor = processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 1.0
    scale = factor * 255 if isinstance(factor, int | float) else 1.0
    if abs(scale - 1) < 1e-6 or not isinstance(mean, list) or not isinstance(std, list):
        return {"mean": mean, "std": std}
    try:
        return {"mean": [value / scale for value in mean], "std": [value / scale for value in std]}
    except (TypeError, ZeroDivisionError):
        return {"mean": mean, "std": std}


def class_names(names: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the class names in order, without the placeholders of transformers; and a note on invalid ones."""
    if not isinstance(names, dict):
        return (), ()
    ordered = [names.get(str(number), names.get(number)) for number in range(len(names))]
    if all(isinstance(name, str) for name in ordered):
        filled = all(name == f"LABEL_{number}" for number, name in enumerate(ordered))
        return () if filled else tuple(map(str, ordered)), ()
    return (), ("id2label is not numbered from 0: not used",)
