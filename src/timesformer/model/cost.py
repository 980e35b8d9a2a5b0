"""What a model costs, by formula: parameters, multiply-adds, keys per query, and activations in training.

Nothing is built or run, so the cost of a model that fits no machine is known in microseconds.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from timesformer.config.checks import choice
from timesformer.config.model import ModelConfig
from timesformer.model import attention, schemes
from timesformer.model.schemes import Grid, Step


@dataclass(frozen=True)
class Cost:
    """The cost of a model for one view, and for one clip of a training step."""

    parameters: int
    """Trained numbers, at the frames and size that the embeddings are stored for."""
    multiply_adds: int
    """Multiply-adds of one view; the paper's "TFLOPs" are three views of these."""
    keys: tuple[tuple[str, int], ...]
    """Keys that a patch's query is compared with in each step, with the step's name."""
    activations: int
    """Bytes that one clip keeps for the backward pass on a GPU (estimate)."""
    activations_on_cpu: int
    """Bytes that one clip keeps on a CPU, where LayerNorm, softmax and the activation are computed again (estimate)."""
    checkpointed: int
    """Bytes that one clip keeps if every block runs again in the backward pass (estimate)."""


def cost(
    config: ModelConfig,
    *,
    frames: int | None = None,
    size: int | tuple[int, int] | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
) -> Cost:
    """All of a model's costs, at its own frames and size or at others.

    ``precision`` only touches the activations. Raises :class:`ConfigError` for frames and a size
    that the patch size or the scheme can't divide.
    """
    choice("precision", precision, ("fp32", "bf16"))
    grid = _grid(config, frames=frames, size=size)
    value = 4 if precision == "fp32" else 2
    inputs, stream = 4 * 3 * config.patch**2 * grid.tokens, 4 * config.width * _tokens(config, grid)
    inputs += stream + 8 * _tokens(config, grid) if config.norm_pre else 0
    between, kept = config.depth - 1, partial(_kept, config, grid, value=value)
    on_cpu = partial(_kept_on_cpu, config, grid, value=value)
    return Cost(
        parameters=parameters(config),
        multiply_adds=multiply_adds(config, frames=frames, size=size),
        keys=keys_per_query(config, frames=frames, size=size),
        activations=inputs + between * kept() + kept(last=True),
        activations_on_cpu=inputs + between * on_cpu() + on_cpu(last=True),
        checkpointed=inputs + config.depth * stream + kept(),
    )


def parameters(config: ModelConfig) -> int:
    """Trained numbers of a model (table 1 of the paper, which has a head of 174 classes)."""
    width, hidden = config.width, int(config.width * config.mlp_ratio)
    rows, columns = config.grid
    norm = 2 * width
    embedding = (3 * config.patch**2 + 2) * width  # patch weights and bias, and the class token
    embedding += (1 + rows * columns) * width if config.has_position_embedding else 0
    embedding += config.frames * width if config.has_time_embedding else 0
    block = norm + 2 * width * hidden + hidden + width
    for step in schemes.steps(config):
        block += norm + 4 * (width**2 + width)
        block += width**2 + width if schemes.has_zero_projection(step, config) else 0
    embedding += config.registers * width + (norm if config.norm_pre else 0)
    return embedding + config.depth * block + norm + (config.feature_width + 1) * config.classes


def multiply_adds(config: ModelConfig, *, frames: int | None = None, size: int | tuple[int, int] | None = None) -> int:
    """Multiply-adds of one view, counted as the paper's numbers are (tables 2, 5 and 6; those are three views).

    Linear layers, convolutions and both attention products; no softmax, norms or activations. A prefix token that is
    copied to each group counts once per group. :class:`timesformer.model.attention.GroupAttention` computes its query,
    key and value only once, so it does slightly less than this, and the last block's MLP does less in training.
    """
    grid = _grid(config, frames=frames, size=size)
    width, hidden = config.width, int(config.width * config.mlp_ratio)
    block = 2 * width * hidden * _tokens(config, grid)
    for step in schemes.steps(config):
        groups = schemes.group_count(step, grid)
        queries, keys = _queries(step, config, grid), _keys(step, config, grid)
        # a query passes two linear layers (query, output) and so does a key (key, value)
        block += groups * (2 * width**2 * (queries + keys) + 2 * width * queries * keys)
        if schemes.has_zero_projection(step, config):
            block += width**2 * _outputs(step, config, grid)
    return 3 * config.patch**2 * width * grid.tokens + config.depth * block + config.feature_width * config.classes


def keys_per_query(
    config: ModelConfig, *, frames: int | None = None, size: int | tuple[int, int] | None = None
) -> tuple[tuple[str, int], ...]:
    """Keys that a patch's query is compared with, prefix tokens included where they take part: (step, keys)."""
    grid = _grid(config, frames=frames, size=size)
    return tuple((step.name, _keys(step, config, grid)) for step in schemes.steps(config))


def _grid(config: ModelConfig, *, frames: int | None, size: int | tuple[int, int] | None) -> Grid:
    """The patch grid at other frames or another size; the config and the scheme check them."""
    at = replace(config, frames=config.frames if frames is None else frames, size=config.size if size is None else size)
    grid = Grid(at.frames, *at.grid)
    for step in schemes.steps(config):
        schemes.check(step, grid)
    return grid


def _tokens(config: ModelConfig, grid: Grid) -> int:
    """Tokens of the sequence, prefix tokens included."""
    return grid.tokens + schemes.prefix_count(config, grid)


def _keys(step: Step, config: ModelConfig, grid: Grid) -> int:
    """Keys in each group."""
    prefix = 0 if step.prefix == "excluded" else 1 + config.registers
    return grid.tokens // schemes.group_count(step, grid) + prefix


def _queries(step: Step, config: ModelConfig, grid: Grid) -> int:
    """Queries in each group."""
    return _keys(step, config, grid) - (1 + config.registers if step.prefix == "keys_only" else 0)


def _outputs(step: Step, config: ModelConfig, grid: Grid) -> int:
    """Tokens that get a residual from a step; a prefix token's copies are averaged first."""
    return _tokens(config, grid) if step.prefix_attends else grid.tokens


def _kept(config: ModelConfig, grid: Grid, *, value: int, last: bool = False) -> int:
    """Bytes that autograd keeps of one clip in a block, with fused attention and ``value`` bytes a number.

    A step keeps its tokens, two numbers of each for LayerNorm, the normalised tokens, queries, keys, values and
    attended values of every group, one number per query and head, and the input of a second projection. The MLP
    keeps its tokens, the normalised tokens, and hidden values before and after GELU; in the ``last`` block it sees
    prefix tokens only. Under autocast, tokens between steps stay float32, the rest has half as many bytes.

    An estimate: stochastic depth's factors and an allocator's gaps are left out. So is what doesn't grow with the
    batch: weights, gradients and the optimiser's state, 16 bytes a parameter with AdamW.
    """
    width, tokens = config.width, _tokens(config, grid)
    each = (4 + value) * width + 8
    block = 0
    for step in schemes.steps(config):
        seen = grid.tokens if step.prefix == "excluded" else tokens
        groups, outputs = schemes.group_count(step, grid), _outputs(step, config, grid)
        queries, keys = groups * _queries(step, config, grid), groups * _keys(step, config, grid)
        block += each * seen + value * width * (3 * keys + queries) + 4 * config.heads * queries
        block += value * width * outputs if schemes.has_zero_projection(step, config) else 0
    ends = schemes.prefix_count(config, grid) if last else tokens
    return block + ends * (each + 2 * value * int(width * config.mlp_ratio))


def _kept_on_cpu(config: ModelConfig, grid: Grid, *, value: int, last: bool = False) -> int:
    """Bytes that a block keeps of one clip if :mod:`timesformer.model.economy` computes it.

    A step keeps its tokens, and queries, keys and values of every group; with fused attention (many keys), attended
    values and one number per query and head, too. The MLP keeps its tokens and the hidden values before the activation.
    See :func:`_kept` for what is left out.
    """
    width, tokens = config.width, _tokens(config, grid)
    block = 0
    for step in schemes.steps(config):
        groups, outputs = schemes.group_count(step, grid), _outputs(step, config, grid)
        queries, keys = groups * _queries(step, config, grid), groups * _keys(step, config, grid)
        block += 4 * width * tokens + 3 * value * width * keys
        if _keys(step, config, grid) > attention.EXPLICIT_KEYS:
            block += value * width * queries + 4 * config.heads * queries
        if schemes.has_zero_projection(step, config) and queries <= width:
            block += value * width * outputs
    ends = schemes.prefix_count(config, grid) if last else tokens
    return block + 4 * width * tokens + ends * value * int(width * config.mlp_ratio)
