"""The model once more, from the definitions alone, and the name table of another implementation.

Written to be believed at a glance rather than to be fast: full attention over every token with a mask of who attends
to whom, from explicit loops over places (t, y, x), one clip at a time. It shares no code with the package.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from timesformer.config.model import ModelConfig

Place = tuple[int, int, int]

STEPS = {
    "space": ("space",),
    "joint": ("joint",),
    "divided": ("time", "space"),
    "local_global": ("local", "global"),
    "axial": ("time", "width", "height"),
}
TINY = {"frames": 4, "size": (16, 24), "patch": 4, "width": 16, "depth": 2, "heads": 2, "classes": 5}
VARIANTS: dict[str, ModelConfig] = {
    **{scheme: ModelConfig(scheme=scheme, **TINY) for scheme in STEPS},
    "space_first": ModelConfig(order="space_first", **TINY),
    "parallel": ModelConfig(order="parallel", **TINY),
    "class_in_time": ModelConfig(class_in_time=True, **TINY),
    "class_in_time_space_first": ModelConfig(class_in_time=True, order="space_first", **TINY),
    "no_position": ModelConfig(position="none", **TINY),
    "space_position": ModelConfig(position="space", **TINY),
}
OTHER_IMAGE_MODELS = {
    "like_clip": {"registers": 3, "norm_pre": True, "activation": "quick_gelu", "norm_eps": 1e-2},
    "like_dinov3": {"registers": 2, "rotary": True},
}
"""What image models other than the paper's have, all of it in two lots."""
IMAGE_VARIANTS = {
    f"{name}_{kind}": replace(VARIANTS[name], **needs)
    for name in (*STEPS, "class_in_time")
    for kind, needs in OTHER_IMAGE_MODELS.items()
}
EVERY = VARIANTS | IMAGE_VARIANTS
WIDE_HEADS = {
    f"{name}_last_blocks": replace(EVERY[name], depth=5, pool="last_blocks")
    for name in (*STEPS, "divided_like_clip", "space_like_dinov3")
}
"""The head reads more than the class token after the last block."""


def randomise(model: nn.Module, *, seed: int = 0) -> None:
    """Give every parameter random values, so that none hides behind a zero or a one."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(parameter.dtype) / 3


def together(step: str, a: Place, b: Place, grid: Place) -> bool:
    """Whether two patches attend to each other in a step."""
    (t, y, x), (u, v, w), (_, rows, columns) = a, b, grid
    match step:
        case "joint":
            return True
        case "time":  # the same position in all frames
            return y == v and x == w
        case "space":  # all positions of the same frame
            return t == u
        case "local":  # the same quadrant, in all frames
            return (2 * y < rows) == (2 * v < rows) and (2 * x < columns) == (2 * w < columns)
        case "global":  # a stride of 2 in time, height and width
            return (t - u) % 2 == 0 and (y - v) % 2 == 0 and (x - w) % 2 == 0
        case "width":  # the same row of the same frame
            return t == u and y == v
        case "height":  # the same column of the same frame
            return t == u and x == w
    raise AssertionError(step)


def places(grid: Place) -> list[Place]:
    """All patches of a clip, frames in order, then rows, then columns."""
    return [(t, y, x) for t in range(grid[0]) for y in range(grid[1]) for x in range(grid[2])]


def groups(step: str, grid: Place) -> list[list[Place]]:
    """Patches sorted into the sets that attend together."""
    found: list[list[Place]] = []
    for place in places(grid):
        home = [members for members in found if together(step, place, members[0], grid)]
        if home:
            home[0].append(place)
        else:
            found.append([place])
    return found


def mask(step: str, grid: Place, *, prefix: int, each: int, one_way: bool) -> Tensor:
    """Which token (row) attends to which (column): prefix tokens first, as many for each group, or some only read."""
    patches = places(grid)
    allowed = torch.zeros(prefix + len(patches), prefix + len(patches), dtype=torch.bool)
    for i, a in enumerate(patches):
        for j, b in enumerate(patches):
            allowed[prefix + i, prefix + j] = together(step, a, b, grid)
    for number, members in enumerate(groups(step, grid)):
        own = slice(0, prefix) if one_way else slice(number * each, (number + 1) * each)
        for place in members if prefix else []:
            patch = prefix + patches.index(place)
            allowed[patch, own] = True
            allowed[own, patch] = not one_way
        allowed[own, own] = True
    return allowed


def norm(tokens: Tensor, state: dict[str, Tensor], name: str, eps: float) -> Tensor:
    centred = tokens - tokens.mean(-1, keepdim=True)
    std = (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    return centred / std * state[f"{name}.weight"] + state[f"{name}.bias"]


def linear(tokens: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    return tokens @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def activation(hidden: Tensor, name: str) -> Tensor:
    return nn.functional.gelu(hidden) if name == "gelu" else hidden * (1.702 * hidden).sigmoid()


def rotated(tokens: Tensor, grid: Place) -> Tensor:
    """A head's queries or keys (n, size) with those of patches, which are last, rotated by row and column.

    Dimensions i and i + size / 2 are a complex number. Half of these turn with the row and half with the column: the
    first of each half twice around from one end of the frame to the other, the others less.
    """
    half = tokens.shape[1] // 2
    turned = tokens.clone()
    prefix = len(tokens) - len(places(grid))
    for number, (_, y, x) in enumerate(places(grid)):
        for i in range(half):
            at = (y + 0.5) / grid[1] if i < half // 2 else (x + 0.5) / grid[2]
            angle = math.pi * (2 * at - 1) * 2 / 100 ** (i % (half // 2) / (half // 2))
            value = tokens[prefix + number]
            turned[prefix + number, i] = value[i] * math.cos(angle) - value[i + half] * math.sin(angle)
            turned[prefix + number, i + half] = value[i] * math.sin(angle) + value[i + half] * math.cos(angle)
    return turned


def attention(
    tokens: Tensor, allowed: Tensor, grid: Place, *, config: ModelConfig, state: dict[str, Tensor], name: str
) -> Tensor:
    """Residual of one step for tokens (n, d), each attending to those that its row of the mask allows."""
    query, key, value = linear(norm(tokens, state, f"{name}.norm", config.norm_eps), state, f"{name}.qkv").chunk(3, -1)
    size = config.width // config.heads
    attended = []
    for head in range(config.heads):
        part = slice(head * size, (head + 1) * size)
        q, k = query[:, part], key[:, part]
        if config.rotary and not name.endswith("time"):
            q, k = rotated(q, grid), rotated(k, grid)
        scores = q @ k.T / size**0.5
        attended.append(scores.masked_fill(~allowed, float("-inf")).softmax(dim=-1) @ value[:, part])
    residual = linear(torch.cat(attended, dim=-1), state, f"{name}.proj")
    return linear(residual, state, f"{name}.extra") if f"{name}.extra.weight" in state else residual


def step_residual(
    first: Tensor, patches: Tensor, step: str, grid: Place, *, config: ModelConfig, state: dict[str, Tensor], name: str
) -> tuple[Tensor, Tensor]:
    """Residuals of the prefix tokens, class token and then registers, and of the patches."""
    each = 1 + config.registers
    if step == "time" and not config.class_in_time:
        allowed = mask(step, grid, prefix=0, each=0, one_way=False)
        return torch.zeros_like(first), attention(patches, allowed, grid, config=config, state=state, name=name)
    if step == "time":
        allowed = mask(step, grid, prefix=each, each=each, one_way=True)
        tokens = torch.cat([first, patches])
        return torch.zeros_like(first), attention(tokens, allowed, grid, config=config, state=state, name=name)[each:]
    count = len(groups(step, grid))
    copies = first if config.scheme == "space" else first.repeat(count, 1)
    allowed = mask(step, grid, prefix=count * each, each=each, one_way=False)
    residual = attention(torch.cat([copies, patches]), allowed, grid, config=config, state=state, name=name)
    of_prefix, of_patches = residual[: count * each], residual[count * each :]
    return of_prefix if config.scheme == "space" else of_prefix.reshape(count, each, -1).mean(0), of_patches


def embed(clip: Tensor, *, config: ModelConfig, state: dict[str, Tensor]) -> tuple[Tensor, Tensor, Place]:
    """Prefix tokens, patches and their grid, for a clip (t, 3, h, w) of the size that the embeddings are stored for."""
    side = config.patch
    grid = clip.shape[0], clip.shape[2] // side, clip.shape[3] // side
    filters = state["embedding.patch.weight"].flatten(1)
    position, time = state.get("embedding.position"), state.get("embedding.time")
    patches = []
    for t, y, x in places(grid):
        pixels = clip[t, :, y * side : (y + 1) * side, x * side : (x + 1) * side]
        token = filters @ pixels.flatten() + state["embedding.patch.bias"]
        token = token if position is None else token + position[0, 1 + y * grid[2] + x]
        patches.append(token if time is None else token + time[0, t])
    first = state["embedding.class_token"][0]
    first = first if position is None else first + position[:, 0]
    first = torch.cat([first, state["embedding.registers"][0]]) if config.registers else first
    first, rest = first.repeat(grid[0] if config.scheme == "space" else 1, 1), torch.stack(patches)
    if config.norm_pre:
        first, rest = (norm(tokens, state, "norm_pre", config.norm_eps) for tokens in (first, rest))
    return first, rest, grid


def logits(clip: Tensor, *, config: ModelConfig, state: dict[str, Tensor], seen: Sequence[int] | None = None) -> Tensor:
    """Logits of one clip: (t, 3, h, w) -> (classes,); of some positions (row * columns + column) alone, if given."""
    first, patches, grid = embed(clip, config=config, state=state)
    if seen is not None:  # as a picture of one row
        kept = [number for number, (_, y, x) in enumerate(places(grid)) if y * grid[2] + x in seen]
        patches, grid = patches[kept], (grid[0], 1, len(seen))
    steps = STEPS[config.scheme][::-1] if config.order == "space_first" else STEPS[config.scheme]
    every = []
    for block in range(config.depth):
        before = first, patches
        for step in steps:
            source = before if config.order == "parallel" else (first, patches)
            name = f"blocks.{block}.steps.{step}"
            residual = step_residual(*source, step, grid, config=config, state=state, name=name)
            first, patches = first + residual[0], patches + residual[1]
        tokens = torch.cat([first, patches])
        hidden = linear(norm(tokens, state, f"blocks.{block}.norm", config.norm_eps), state, f"blocks.{block}.mlp.0")
        tokens = tokens + linear(activation(hidden, config.activation), state, f"blocks.{block}.mlp.2")
        first, patches = tokens[: len(first)], tokens[len(first) :]
        read = [norm(first[:: 1 + config.registers].mean(0), state, "norm", config.norm_eps)]
        if config.pool == "last_blocks":
            seen_patches = norm(patches, state, "norm", config.norm_eps)
            frames = torch.stack([part.mean(0) for part in seen_patches.chunk(grid[0])])
            read += [frames.mean(0), (frames - frames.mean(0)).square().mean(0).sqrt()]
        every.append(torch.cat(read))
    features = torch.cat(every[-4:]) if config.pool == "last_blocks" else every[-1]
    return linear(features, state, "head")


TRANSFORMERS_NAMES = {  # ours -> theirs, in the order that they are replaced
    "embedding.patch.": "timesformer.embeddings.patch_embeddings.projection.",
    "embedding.class_token": "timesformer.embeddings.cls_token",
    "embedding.position": "timesformer.embeddings.position_embeddings",
    "embedding.time": "timesformer.embeddings.time_embeddings",
    "blocks.": "timesformer.encoder.layer.",
    "steps.time.norm.": "temporal_layernorm.",
    "steps.time.qkv.": "temporal_attention.attention.qkv.",
    "steps.time.proj.": "temporal_attention.output.dense.",
    "steps.time.extra.": "temporal_dense.",
    "steps.joint.": "steps.space.",
    "steps.space.norm.": "layernorm_before.",
    "steps.space.qkv.": "attention.attention.qkv.",
    "steps.space.proj.": "attention.output.dense.",
    "mlp.0.": "intermediate.dense.",
    "mlp.2.": "output.dense.",
    "head.": "classifier.",
}


def transformers_name(name: str) -> str:
    """A parameter's name in transformers' TimeSformer."""
    for ours, theirs in TRANSFORMERS_NAMES.items():
        name = name.replace(ours, theirs)
    if name.startswith("norm."):
        return f"timesformer.layer{name}"
    return name if "layernorm" in name else name.replace(".norm.", ".layernorm_after.")
