"""The attention schemes as data: a scheme is a list of steps, a step says which tokens attend together.

Patch tokens lie on a grid of t frames x h rows x w columns. A step gives each of the three axes one word:

* ``attend``: tokens along the whole axis attend together;
* ``apart``: each position of the axis is a group of its own;
* ``halves``: each half of the axis is a group (a block of neighbours);
* ``parity``: even and odd positions are two groups (a stride of 2).

So ``Step("time", "attend", "apart", "apart", ...)`` is attention over the frames at each position, and
``Step("space", "apart", "attend", "attend", ...)`` attention over the positions of each frame.
Paper, section 3 and figure 2.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from timesformer.config.checks import ConfigError
from timesformer.config.model import ModelConfig

Axis = Literal["attend", "apart", "halves", "parity"]
ClassToken = Literal["shared", "own", "out", "key"]


@dataclass(frozen=True)
class Step:
    """One attention over groups of patch tokens, and the part that the class token takes in it."""

    name: str
    time: Axis
    rows: Axis
    columns: Axis
    class_token: ClassToken = "shared"
    """"shared": copied to every group, its residuals averaged. "own": each group has its own. "out": left out.
    "key": patches attend to it, it attends to nothing itself (paper, equation 11)."""

    @property
    def axes(self) -> tuple[Axis, Axis, Axis]:
        """The words of the three axes, in the order of the grid."""
        return self.time, self.rows, self.columns


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


TIME = Step("time", "attend", "apart", "apart", class_token="out")
TIME_WITH_CLASS = Step("time", "attend", "apart", "apart", class_token="key")
SPACE = Step("space", "apart", "attend", "attend")
FRAME = Step("space", "apart", "attend", "attend", class_token="own")
JOINT = Step("joint", "attend", "attend", "attend")
LOCAL = Step("local", "attend", "halves", "halves")
GLOBAL = Step("global", "parity", "parity", "parity")
WIDTH = Step("width", "apart", "apart", "attend")
HEIGHT = Step("height", "apart", "attend", "apart")

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


def has_extra(step: Step, config: ModelConfig) -> bool:
    """Whether a step has the extra linear: every step of the scheme but its last, in whatever order they run.

    It starts at zero to let in what an image model doesn't have, so in the divided scheme it always belongs to the
    time step: run after the space step, time must still begin silent, and space must not.
    """
    return step.name != SCHEMES[config.scheme][-1].name


def ends_with_class_tokens(config: ModelConfig) -> bool:
    """Whether the last step of a block lets class tokens attend, after all other steps."""
    return steps(config)[-1].class_token in ("shared", "own") and config.order != "parallel"


def check(step: Step, grid: Grid) -> None:
    """Raise :class:`ConfigError` if a step can't divide this grid into equal groups."""
    for name, word, length in zip(("frames", "patch rows", "patch columns"), step.axes, grid.lengths, strict=True):
        if word in ("halves", "parity") and length % 2:
            raise ConfigError(
                f"{length} {name}: the {step.name} step splits them in two, so they must be even; use {length + 1}."
            )


def _factors(step: Step, grid: Grid) -> tuple[list[int], list[int], list[int]]:
    """Each axis as (outer, inner) lengths, and which of the six are group and which are token dimensions."""
    split: list[int] = []
    groups: list[int] = []
    tokens: list[int] = []
    for position, (word, length) in enumerate(zip(step.axes, grid.lengths, strict=True)):
        outer = {"attend": 1, "apart": length, "halves": 2, "parity": length // 2}[word]
        split += [outer, length // outer]
        first, second = 1 + 2 * position, 2 + 2 * position
        groups.append(second if word == "parity" else first)
        tokens.append(first if word == "parity" else second)
    return split, groups, tokens


def group_count(step: Step, grid: Grid) -> int:
    """Groups that a step divides a clip's patch tokens into."""
    split, groups, _ = _factors(step, grid)
    return split[groups[0] - 1] * split[groups[1] - 1] * split[groups[2] - 1]


def group(patches: Tensor, step: Step, grid: Grid) -> Tensor:
    """Gather tokens that attend together: (b, t*h*w, d) -> (b, groups, tokens, d)."""
    split, groups, tokens = _factors(step, grid)
    count = group_count(step, grid)
    spread = patches.reshape(patches.shape[0], *split, patches.shape[-1])
    return spread.permute(0, *groups, *tokens, 7).reshape(patches.shape[0], count, -1, patches.shape[-1])


def ungroup(grouped: Tensor, step: Step, grid: Grid) -> Tensor:
    """The inverse of :func:`group`: (b, groups, tokens, d) -> (b, t*h*w, d)."""
    split, groups, tokens = _factors(step, grid)
    order = [*groups, *tokens]
    spread = grouped.reshape(grouped.shape[0], *(split[axis - 1] for axis in order), grouped.shape[-1])
    back = [1 + order.index(axis) for axis in range(1, 7)]
    return spread.permute(0, *back, 7).reshape(grouped.shape[0], grid.tokens, grouped.shape[-1])
