"""What a model costs, by formula: parameters, multiply-adds, keys per query, and activations in training.

Nothing is built or run, so the cost of a model that fits no machine is known in microseconds.
"""

from dataclasses import dataclass, replace
from typing import Literal

from timesformer.config.checks import choice
from timesformer.config.model import ModelConfig
from timesformer.model import schemes
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
    """Bytes that one clip keeps for the backward pass (estimate)."""
    checkpointed: int
    """The same when each block is recomputed in the backward pass (estimate)."""


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
    pixels, tokens = 3 * config.patch**2 * grid.tokens, config.width * _tokens(config, grid)
    block = _block_activations(config, grid, precision=precision)
    ends = schemes.ends_with_class_tokens(config)
    last = _block_activations(config, grid, precision=precision, class_only=ends)
    again = _block_activations(config, grid, precision=precision, keeps_hidden=False)
    return Cost(
        parameters=parameters(config),
        multiply_adds=multiply_adds(config, frames=frames, size=size),
        keys=keys_per_query(config, frames=frames, size=size),
        activations=4 * pixels + (config.depth - 1) * block + last,
        checkpointed=4 * pixels + config.depth * 4 * tokens + again,
    )


def parameters(config: ModelConfig) -> int:
    """Trained numbers of a model (table 1 of the paper, which has a head of 174 classes)."""
    width, hidden = config.width, int(config.width * config.mlp_ratio)
    rows, columns = config.grid
    norm = 2 * width
    embedding = (3 * config.patch**2 + 2) * width  # patch weights and bias, and the class token
    embedding += (1 + rows * columns) * width if config.position != "none" else 0
    embedding += config.frames * width if config.has_time_embedding else 0
    block = norm + 2 * width * hidden + hidden + width
    for step in schemes.steps(config):
        block += norm + 4 * (width**2 + width)
        block += width**2 + width if schemes.has_extra(step, config) else 0
    return embedding + config.depth * block + norm + (width + 1) * config.classes


def multiply_adds(config: ModelConfig, *, frames: int | None = None, size: int | tuple[int, int] | None = None) -> int:
    """Multiply-adds of one view, counted as the paper's numbers are (tables 2, 5 and 6; those are three views).

    Linears, convolutions and both attention products; no softmax, norms or activations. A class token that is copied
    to each group counts once per group. :class:`timesformer.model.attention.GroupAttention` makes its queries, keys and
    values only once, so it does slightly less than this; in training less again, see its ``joined`` and ``class_only``.
    """
    grid = _grid(config, frames=frames, size=size)
    width, hidden = config.width, int(config.width * config.mlp_ratio)
    block = 2 * width * hidden * _tokens(config, grid)
    for step in schemes.steps(config):
        groups = schemes.group_count(step, grid)
        queries, keys = _queries(step, grid), _keys(step, grid)
        # a query passes two linears (query, output) and so does a key (key, value)
        block += groups * (2 * width**2 * (queries + keys) + 2 * width * queries * keys)
        if schemes.has_extra(step, config):
            block += width**2 * _outputs(step, config, grid)
    return 3 * config.patch**2 * width * grid.tokens + config.depth * block + width * config.classes


def keys_per_query(
    config: ModelConfig, *, frames: int | None = None, size: int | tuple[int, int] | None = None
) -> tuple[tuple[str, int], ...]:
    """Keys that a patch's query is compared with, the class token included where it takes part: (step, keys)."""
    grid = _grid(config, frames=frames, size=size)
    return tuple((step.name, _keys(step, grid)) for step in schemes.steps(config))


def _grid(config: ModelConfig, *, frames: int | None, size: int | tuple[int, int] | None) -> Grid:
    """The patch grid at other frames or another size; the config and the scheme check them."""
    at = replace(config, frames=config.frames if frames is None else frames, size=config.size if size is None else size)
    grid = Grid(at.frames, *at.grid)
    for step in schemes.steps(config):
        schemes.check(step, grid)
    return grid


def _tokens(config: ModelConfig, grid: Grid) -> int:
    """Tokens of the sequence, class tokens included."""
    return grid.tokens + (grid.time if config.scheme == "space" else 1)


def _keys(step: Step, grid: Grid) -> int:
    """Keys in each group."""
    return grid.tokens // schemes.group_count(step, grid) + (step.class_token != "out")


def _queries(step: Step, grid: Grid) -> int:
    """Queries in each group."""
    return _keys(step, grid) - (step.class_token == "key")


def _outputs(step: Step, config: ModelConfig, grid: Grid) -> int:
    """Tokens that get a residual from a step; a class token's copies are averaged first."""
    return grid.tokens if step.class_token in ("out", "key") else _tokens(config, grid)


def _block_activations(
    config: ModelConfig,
    grid: Grid,
    *,
    precision: Literal["fp32", "bf16"],
    class_only: bool = False,
    keeps_hidden: bool = True,
) -> int:
    """Bytes that each block keeps of one clip for the backward pass.

    Per step, in units of tokens x width: its input, and queries, keys, values and attended values of every group; the
    extra linear's input only where it is not multiplied into the output projection. Then the MLP's input and hidden
    values; what norms, softmax and GELU make is computed again. Fused attention keeps one more number per query and
    head. With ``class_only`` the last step's queries and the MLP are those of class tokens; a block that is recomputed
    has no hidden values to keep. An estimate: stochastic depth's factors and an allocator's gaps are left out. So is
    what doesn't grow with the batch: weights, gradients and the optimiser's state, 16 bytes per parameter with AdamW.
    Under autocast all but the tokens between steps are half as large.
    """
    value = 4 if precision == "fp32" else 2
    width, tokens = config.width, _tokens(config, grid)
    block, last = 0, schemes.steps(config)[-1]
    for step in schemes.steps(config):
        outputs, groups = _outputs(step, config, grid), schemes.group_count(step, grid)
        keys = groups * _keys(step, grid)
        queries = groups if class_only and step is last else groups * _queries(step, grid)
        block += 4 * width * tokens + 4 * config.heads * queries + value * width * (3 * keys + queries)
        if schemes.has_extra(step, config) and outputs <= width:
            block += value * width * outputs
    ends = tokens - grid.tokens if class_only else tokens
    return block + ends * (4 * width + value * int(width * config.mlp_ratio) * keeps_hidden)
