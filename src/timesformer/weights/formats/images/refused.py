"""Image models that can't be expressed here: what tells them, the reason, and the nearest model that can."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from timesformer.weights.report import WeightsError


@dataclass(frozen=True)
class Obstacle:
    """A part of other architectures that a TimeSformer doesn't have."""

    reason: str
    nearest: str
    """The nearest model that can be used instead."""


HIERARCHICAL = Obstacle("it has windows or stages of several resolutions", "vit-base-in21k")
RELATIVE = Obstacle("its attention has relative position biases", "mae-base or vit-base-in21k")
ROTARY = Obstacle("its positions are rotary in another way than DINOv3's", "dinov2-base or dinov2-base-reg")
SWIGLU = Obstacle("its MLP is a SwiGLU", "dinov2-large")
NORMED = Obstacle("it normalises queries and keys", "dinov2-base")
NO_CLASS_TOKEN = Obstacle("it has no class token", "clip-base-16 or dinov2-base")

BY_TYPE: dict[str, Obstacle] = {
    **dict.fromkeys(
        ("swin", "swinv2", "hiera", "mvit", "pvt", "pvt_v2", "focalnet", "sam2_hiera_det_model"), HIERARCHICAL
    ),
    **dict.fromkeys(("beit", "data2vec-vision", "vitdet", "sam", "sam_vision_model"), RELATIVE),
    **dict.fromkeys(("eva", "pixtral", "vjepa2"), ROTARY),
    **dict.fromkeys(("siglip", "siglip_vision_model", "siglip2", "siglip2_vision_model", "ijepa"), NO_CLASS_TOKEN),
}
"""By the ``model_type`` of a config.json."""
BY_ARCHITECTURE: dict[str, Obstacle] = {
    r"swin|hiera|mvit|pvt|focalnet|maxvit|davit|sam2": HIERARCHICAL,
    r"beit|samvit|.*relpos": RELATIVE,
    r"eva02|.*rope": ROTARY,
    r".*siglip|.*ijepa|.*_gap_": NO_CLASS_TOKEN,
}
"""By the start of the ``architecture`` of a timm folder."""
BY_NAME: tuple[tuple[str, Obstacle], ...] = (
    (r"(?:layers|stages)\.\d+\.(?:blocks|layers|downsample)\.|downsample\.|pos_embed_window|attn\.pool_", HIERARCHICAL),
    (r"relative_position_bias|relative_position_index|rel_pos_[hw]|rel_pos\.", RELATIVE),
    (r"mlp\.(?:w12|w1|weights_in|fc1_g|gate_proj)\.", SWIGLU),
    (r"attn\.[qk]_norm\.|attention\.[qk]_norm\.", NORMED),
    (r"(?:^|[._])(?:rope|rotary)(?!_embed\.periods)|freqs_cis", ROTARY),
)
"""By a part of the tensors' names; the first that is found counts."""
CLASS_TOKEN = re.compile(r"(?:^|\.)(?:cls_token|class_embedding|class_token)$")
POSITION = re.compile(r"pos_embed|position_embedding|positional_embedding")
BLOCK = re.compile(r"(?:^|\.)(?:blocks|layers?|resblocks)\.\d+\.")
REGISTERS = re.compile(r"(?:^|\.)(?:reg_token|register_tokens|storage_tokens)$")
PATCH = re.compile(r"patch_embed|(?:^|\.)conv1\.weight$")


def by_config(config: Mapping[str, Any], source: str) -> None:
    """Raise :class:`WeightsError` if a config.json states an architecture that can't be expressed."""
    kind, architecture = config.get("model_type"), config.get("architecture")
    if isinstance(kind, str) and kind in BY_TYPE:
        raise _error(source, f"{kind} model", BY_TYPE[kind])
    if isinstance(architecture, str):
        for pattern, obstacle in BY_ARCHITECTURE.items():
            if re.match(pattern, architecture):
                raise _error(source, f"{architecture:.60} model", obstacle)
    if config.get("use_swiglu_ffn") is True or config.get("use_gated_mlp") is True:
        raise _error(source, f"{kind!s:.40} model", SWIGLU)


def by_names(names: Collection[str], source: str) -> None:
    """Raise :class:`WeightsError` if an image model's tensor names are of an architecture that can't be expressed."""
    for pattern, obstacle in BY_NAME:
        if found := next((name for name in names if re.search(pattern, name)), None):
            raise _error(source, f"model with {found:.80}", obstacle)
    has = {
        part: any(pattern.search(name) for name in names)
        for part, pattern in (("block", BLOCK), ("patch", PATCH), ("class", CLASS_TOKEN), ("position", POSITION))
    }
    if has["block"] and has["patch"]:
        if not has["class"]:
            raise _error(source, "vision transformer", NO_CLASS_TOKEN)
        registers = any(REGISTERS.search(name) for name in names)  # DINOv3 has them, and its positions are known
        if not has["position"] and not registers:
            raise _error(source, "vision transformer without position embedding", ROTARY)


def _error(source: str, what: str, obstacle: Obstacle) -> WeightsError:
    return WeightsError(
        f"{source} is a {what}: {obstacle.reason}, which a TimeSformer can't express; start from {obstacle.nearest} "
        "instead (`timesformer zoo` lists the image models)."
    )
