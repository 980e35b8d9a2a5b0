"""The attention schemes as data: a scheme is a list of steps, a step says which tokens attend together.

Patch tokens lie on a grid of t frames x h rows x w columns. A step gives each of the three axes one word:

* ``all``: a token attends along the whole axis;
* ``same``: a token attends at its own position of the axis only;
* ``block``: a token attends within its half of the axis (local attention);
* ``stride``: a token attends at every second position from its own (global attention with stride 2).

So ``Step("time", "all", "same", "same", ...)`` is attention over the frames at each position, and
``Step("space", "same", "all", "all", ...)`` is attention over the positions of each frame.
Paper, section 3 and figure 2.

Prefix tokens come before the patch tokens of a sequence: the class token and the registers, once for the clip, or in
the space scheme once for each frame.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from timesformer.config.checks import ConfigError
from timesformer.config.model import ModelConfig

Axis = Literal["all", "same", "block", "stride"]
Prefix = Literal["shared", "per_group", "excluded", "keys_only"]


@dataclass(frozen=True)
class Step:
    """One attention over groups of patch tokens, and the part that prefix tokens take in it."""

    name: str
    time: Axis
    rows: Axis
    columns: Axis
    prefix: Prefix = "shared"
    """"shared": copied to every group, and the residuals of the copies are averaged. "per_group": each group has its
    own. "excluded": takes no part. "keys_only": patches attend to them, they attend to nothing (equation 11)."""

    @property
    def axes(self) -> tuple[Axis, Axis, Axis]:
        """The words of the three axes, in the order of the grid."""
        return self.time, self.rows, self.columns

    @property
    def prefix_attends(self) -> bool:
        """Whether prefix tokens have queries, and so get residuals."""
        return self.prefix in ("shared", "per_group")


@dataclass(frozen=True)
class Grid:
    """How many patch tokens a clip has along time, rows and columns."""

    time: int
    rows: int
    columns: int

    @property
    def tokens(self) -> int:
        """Patch tokens of the clip."""
        return self.time * self.rows * self.columns

    @property
    def lengths(self) -> tuple[int, int, int]:
        """The three lengths as a tuple."""
        return self.time, self.rows, self.columns


TIME = Step("time", "all", "same", "same", prefix="excluded")
TIME_WITH_CLASS = Step("time", "all", "same", "same", prefix="keys_only")
SPACE = Step("space", "same", "all", "all")
FRAME = Step("space", "same", "all", "all", prefix="per_group")
JOINT = Step("joint", "all", "all", "all")
LOCAL = Step("local", "all", "block", "block")
GLOBAL = Step("global", "stride", "stride", "stride")
WIDTH = Step("width", "same", "same", "all")
HEIGHT = Step("height", "same", "all", "same")

SCHEMES: dict[str, tuple[Step, ...]] = {
    "space": (FRAME,),
    "joint": (JOINT,),
    "divided": (TIME, SPACE),
    "local_global": (LOCAL, GLOBAL),
    "axial": (TIME, WIDTH, HEIGHT),
}


def steps(config: ModelConfig) -> tuple[Step, ...]:
    """The steps of each block of a model, in order (paper, section 3; the variants of section 4.7)."""
    scheme = SCHEMES[config.scheme]
    if config.class_in_time:
        scheme = tuple(TIME_WITH_CLASS if step is TIME else step for step in scheme)
    return scheme[::-1] if config.order == "space_first" else scheme


def prefix_count(config: ModelConfig, grid: Grid) -> int:
    """Prefix tokens of a clip: the class token and the registers, in the space scheme those of each frame in turn."""
    return (1 + config.registers) * (grid.time if config.scheme == "space" else 1)


def has_zero_projection(step: Step, config: ModelConfig) -> bool:
    """Whether a step has a second projection that starts at zero: every step of the scheme but its last.

    It lets the steps that an image model doesn't have start without effect. So in the divided scheme it belongs to the
    time step in any order of the two: if time runs after space, it must still start at zero, and space must not.
    """
    return step.name != SCHEMES[config.scheme][-1].name


def check(step: Step, grid: Grid) -> None:
    """Raise :class:`ConfigError` if a step can't divide this grid into equal groups."""
    for name, word, length in zip(("frames", "patch rows", "patch columns"), step.axes, grid.lengths, strict=True):
        if word in ("block", "stride") and length % 2:
            raise ConfigError(
                f"{length} {name}: the {step.name} step splits them in two, so they must be even; use {length + 1}."
            )


def _factors(step: Step, grid: Grid) -> tuple[list[int], list[int], list[int]]:
    """Each axis as (outer, inner) lengths, and which of the six are group and which are token dimensions."""
    split: list[int] = []
    groups: list[int] = []
    tokens: list[int] = []
    for position, (word, length) in enumerate(zip(step.axes, grid.lengths, strict=True)):
        outer = {"all": 1, "same": length, "block": 2, "stride": length // 2}[word]
        split += [outer, length // outer]
        first, second = 1 + 2 * position, 2 + 2 * position
        groups.append(second if word == "stride" else first)
        tokens.append(first if word == "stride" else second)
    return split, groups, tokens


def group_count(step: Step, grid: Grid) -> int:
    """Groups that a step divides a clip's patch tokens into."""
    split, groups, _ = _factors(step, grid)
    return split[groups[0] - 1] * split[groups[1] - 1] * split[groups[2] - 1]


def group(patches: Tensor, step: Step, grid: Grid) -> Tensor:
    """Gather tokens that attend together: (b, t*h*w, d) -> (b, groups, tokens, d)."""
    split, groups, tokens = _factors(step, grid)
    count = group_count(step, grid)
    axes = patches.reshape(patches.shape[0], *split, patches.shape[-1])
    return axes.permute(0, *groups, *tokens, 7).reshape(patches.shape[0], count, -1, patches.shape[-1])


def ungroup(grouped: Tensor, step: Step, grid: Grid) -> Tensor:
    """The inverse of :func:`group`: (b, groups, tokens, d) -> (b, t*h*w, d)."""
    split, groups, tokens = _factors(step, grid)
    order = [*groups, *tokens]
    axes = grouped.reshape(grouped.shape[0], *(split[axis - 1] for axis in order), grouped.shape[-1])
    back = [1 + order.index(axis) for axis in range(1, 7)]
    return axes.permute(0, *back, 7).reshape(grouped.shape[0], grid.tokens, grouped.shape[-1])
