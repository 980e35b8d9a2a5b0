"""The tensor names of foreign layouts: for each, a table "their name -> our name".

``{i}`` stands for the block number and ``*`` for weight and bias. Only names differ between the layouts: every linear
has the same orientation, and the rows of qkv are queries, keys and values with contiguous heads everywhere.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from torch import Tensor

from timesformer.config.model import Scheme

Layout = Literal["official", "huggingface", "mmaction2"]
Table = tuple[tuple[str, str], ...]

OFFICIAL_TRUNK: Table = (
    ("cls_token", "embedding.class_token"),
    ("pos_embed", "embedding.position"),
    ("time_embed", "embedding.time"),
    ("patch_embed.proj.*", "embedding.patch.*"),
    ("blocks.{i}.norm2.*", "blocks.{i}.norm.*"),
    ("blocks.{i}.mlp.fc1.*", "blocks.{i}.mlp.0.*"),
    ("blocks.{i}.mlp.fc2.*", "blocks.{i}.mlp.2.*"),
    ("norm.*", "norm.*"),
    ("head.*", "head.*"),
)
OFFICIAL_MAIN: Table = (
    ("blocks.{i}.norm1.*", "blocks.{i}.steps.main.norm.*"),
    ("blocks.{i}.attn.qkv.*", "blocks.{i}.steps.main.qkv.*"),
    ("blocks.{i}.attn.proj.*", "blocks.{i}.steps.main.proj.*"),
)
OFFICIAL_TIME: Table = (
    ("blocks.{i}.temporal_norm1.*", "blocks.{i}.steps.time.norm.*"),
    ("blocks.{i}.temporal_attn.qkv.*", "blocks.{i}.steps.time.qkv.*"),
    ("blocks.{i}.temporal_attn.proj.*", "blocks.{i}.steps.time.proj.*"),
    ("blocks.{i}.temporal_fc.*", "blocks.{i}.steps.time.extra.*"),
)

HUGGING_FACE_TRUNK: Table = (
    ("timesformer.embeddings.cls_token", "embedding.class_token"),
    ("timesformer.embeddings.position_embeddings", "embedding.position"),
    ("timesformer.embeddings.time_embeddings", "embedding.time"),
    ("timesformer.embeddings.patch_embeddings.projection.*", "embedding.patch.*"),
    ("timesformer.encoder.layer.{i}.layernorm_after.*", "blocks.{i}.norm.*"),
    ("timesformer.encoder.layer.{i}.intermediate.dense.*", "blocks.{i}.mlp.0.*"),
    ("timesformer.encoder.layer.{i}.output.dense.*", "blocks.{i}.mlp.2.*"),
    ("timesformer.layernorm.*", "norm.*"),
    ("classifier.*", "head.*"),
)
HUGGING_FACE_MAIN: Table = (
    ("timesformer.encoder.layer.{i}.layernorm_before.*", "blocks.{i}.steps.main.norm.*"),
    ("timesformer.encoder.layer.{i}.attention.attention.qkv.*", "blocks.{i}.steps.main.qkv.*"),
    ("timesformer.encoder.layer.{i}.attention.output.dense.*", "blocks.{i}.steps.main.proj.*"),
)
HUGGING_FACE_TIME: Table = (
    ("timesformer.encoder.layer.{i}.temporal_layernorm.*", "blocks.{i}.steps.time.norm.*"),
    ("timesformer.encoder.layer.{i}.temporal_attention.attention.qkv.*", "blocks.{i}.steps.time.qkv.*"),
    ("timesformer.encoder.layer.{i}.temporal_attention.output.dense.*", "blocks.{i}.steps.time.proj.*"),
    ("timesformer.encoder.layer.{i}.temporal_dense.*", "blocks.{i}.steps.time.extra.*"),
)

MMACTION_TRUNK: Table = (
    ("backbone.cls_token", "embedding.class_token"),
    ("backbone.pos_embed", "embedding.position"),
    ("backbone.time_embed", "embedding.time"),
    ("backbone.patch_embed.projection.*", "embedding.patch.*"),
    ("backbone.transformer_layers.layers.{i}.ffns.0.layers.0.0.*", "blocks.{i}.mlp.0.*"),
    ("backbone.transformer_layers.layers.{i}.ffns.0.layers.1.*", "blocks.{i}.mlp.2.*"),
    ("backbone.norm.*", "norm.*"),
    ("cls_head.fc_cls.*", "head.*"),
)
MMACTION_MAIN: Table = (
    ("backbone.transformer_layers.layers.{i}.norms.0.*", "blocks.{i}.steps.main.norm.*"),
    ("backbone.transformer_layers.layers.{i}.attentions.0.attn.in_proj_*", "blocks.{i}.steps.main.qkv.*"),
    ("backbone.transformer_layers.layers.{i}.attentions.0.attn.out_proj.*", "blocks.{i}.steps.main.proj.*"),
    ("backbone.transformer_layers.layers.{i}.norms.1.*", "blocks.{i}.norm.*"),
)
MMACTION_DIVIDED: Table = (
    ("backbone.transformer_layers.layers.{i}.attentions.0.norm.*", "blocks.{i}.steps.time.norm.*"),
    ("backbone.transformer_layers.layers.{i}.attentions.0.attn.in_proj_*", "blocks.{i}.steps.time.qkv.*"),
    ("backbone.transformer_layers.layers.{i}.attentions.0.attn.out_proj.*", "blocks.{i}.steps.time.proj.*"),
    ("backbone.transformer_layers.layers.{i}.attentions.0.temporal_fc.*", "blocks.{i}.steps.time.extra.*"),
    ("backbone.transformer_layers.layers.{i}.attentions.1.norm.*", "blocks.{i}.steps.main.norm.*"),
    ("backbone.transformer_layers.layers.{i}.attentions.1.attn.in_proj_*", "blocks.{i}.steps.main.qkv.*"),
    ("backbone.transformer_layers.layers.{i}.attentions.1.attn.out_proj.*", "blocks.{i}.steps.main.proj.*"),
    ("backbone.transformer_layers.layers.{i}.ffns.0.norm.*", "blocks.{i}.norm.*"),
)

IMAGE: Table = (("reg_token", "embedding.registers"), ("norm_pre.*", "norm_pre.*"))
"""Parts of image models that the official TimeSformer doesn't have, under timm's names."""

SINGLE: dict[Layout, Table] = {
    "official": OFFICIAL_TRUNK + OFFICIAL_MAIN,
    "huggingface": HUGGING_FACE_TRUNK + HUGGING_FACE_MAIN,
    "mmaction2": MMACTION_TRUNK + MMACTION_MAIN,
}
DIVIDED: dict[Layout, Table] = {
    "official": OFFICIAL_TRUNK + OFFICIAL_MAIN + OFFICIAL_TIME,
    "huggingface": HUGGING_FACE_TRUNK + HUGGING_FACE_MAIN + HUGGING_FACE_TIME,
    "mmaction2": MMACTION_TRUNK + MMACTION_DIVIDED,
}
BLOCK: dict[Layout, str] = {
    "official": r"blocks\.(\d{1,18})\.",
    "huggingface": r"timesformer\.encoder\.layer\.(\d{1,18})\.",
    "mmaction2": r"backbone\.transformer_layers\.layers\.(\d{1,18})\.",
}
"""Prefix of the names of a block's tensors."""
EXPRESSIBLE: tuple[Scheme, ...] = ("space", "joint", "divided")
"""Schemes that the foreign layouts can express."""


def table(layout: Layout, scheme: Scheme) -> Table:
    """Return the pairs (their name, our name) of a layout, for one of the :data:`EXPRESSIBLE` schemes."""
    if scheme == "divided":
        return tuple((theirs, ours.replace("steps.main", "steps.space")) for theirs, ours in DIVIDED[layout])
    return tuple((theirs, ours.replace("steps.main", f"steps.{scheme}")) for theirs, ours in SINGLE[layout])


def reverse(pairs: Table) -> Table:
    """Return the table in the opposite direction."""
    return tuple((ours, theirs) for theirs, ours in pairs)


def rename(tensors: Mapping[str, Tensor], pairs: Table, depth: int) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Rename tensors from a table's left to its right names; also return the names that are not in the table."""
    names: dict[str, str] = {}
    for left, right in pairs:
        for block in map(str, range(depth if "{i}" in left else 1)):
            for part in ("weight", "bias") if "*" in left else ("",):
                before, after = (side.replace("{i}", block).replace("*", part) for side in (left, right))
                names[before] = after
    renamed = {names[name]: value for name, value in tensors.items() if name in names}
    return renamed, tuple(name for name in tensors if name not in names)


def infer_scheme(names: Iterable[str], layout: Layout) -> Scheme:
    """Infer the scheme from names: only divided has temporal attention, and only space has no time embedding."""
    known = set(names)
    time = {"official": "temporal_attn.", "huggingface": "temporal_attention.", "mmaction2": ".attentions.1."}[layout]
    if any(time in name for name in known):
        return "divided"
    return "joint" if dict(reverse(SINGLE[layout]))["embedding.time"] in known else "space"
