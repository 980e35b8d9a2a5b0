"""The TimeSformer: patch embedding, blocks of attention steps and an MLP, class token, head (paper, section 3)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from timesformer.config.model import ModelConfig
from timesformer.model import keywords, recompute, schemes, start
from timesformer.model.attention import Attend, GroupAttention, attend
from timesformer.model.embeddings import Embedding
from timesformer.model.schemes import Grid

keywords.install()

BeforeStep = Callable[[GroupAttention, Tensor, Grid], None]
"""Called before each step with the step, the tokens (b, prefix + t*h*w, d) that it gets, and their grid."""


class QuickGELU(nn.Module):
    """The activation of OpenAI's CLIP, x * sigmoid(1.702 x), an approximation of GELU."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.silu(1.702 * hidden) / 1.702  # the backward pass keeps one tensor, that of the product two


ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "quick_gelu": QuickGELU}


class Block(nn.Module):
    """The steps of a scheme, each with a residual, then the MLP with its own (equations 2 to 9)."""

    def __init__(self, config: ModelConfig, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.parallel = config.order == "parallel"
        self.steps = nn.ModuleDict(
            {
                step.name: GroupAttention(
                    step,
                    width=config.width,
                    heads=config.heads,
                    zero_projection=schemes.has_zero_projection(step, config),
                    eps=config.norm_eps,
                    rotary=config.rotary,
                )
                for step in schemes.steps(config)
            }
        )
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        hidden = int(config.width * config.mlp_ratio)
        self.mlp = nn.Sequential(
            nn.Linear(config.width, hidden), ACTIVATIONS[config.activation](), nn.Linear(hidden, config.width)
        )

    def forward(
        self,
        tokens: Tensor,
        grid: Grid,
        *,
        prefix_only: bool = False,
        attend: Attend = attend,
        before_step: BeforeStep | None = None,
    ) -> Tensor:
        """(b, prefix + t*h*w, d) -> the same shape, or (b, prefix, d) with ``prefix_only``."""
        before = tokens
        for step in self.steps.values():
            if step.idle:
                continue
            seen = before if self.parallel else tokens
            if before_step is not None:
                before_step(step, seen, grid)  # type: ignore[arg-type]
            keep = self._keep(tokens, schemes.group_count(step.step, grid))  # type: ignore[arg-type]
            tokens = tokens + step(seen, grid, keep, attend=attend)
        if prefix_only:
            tokens = tokens[:, : -grid.tokens]
        residual = self.mlp(self.norm(tokens))
        keep = self._keep(tokens, 1)
        return tokens + (residual if keep is None else residual * keep[..., None])

    def _keep(self, tokens: Tensor, groups: int) -> Tensor | None:
        """Stochastic depth: a factor for each group of each clip, zero or 1 / share kept: (b, groups)."""
        if not self.training or self.drop_path == 0:
            return None
        share = 1 - self.drop_path
        return tokens.new_empty(tokens.shape[0], groups).bernoulli_(share) / share


class TimeSformer(nn.Module):
    """Video classification by attention over space and time alone.

    Any number of frames works, and any height and width that the patch size divides: embeddings are resized by
    ``config.resize``. ``checkpointing`` is the number of blocks, from the first, that run again in the backward pass
    to save memory (gradient checkpointing); -1 is all.
    """

    def __init__(self, config: ModelConfig, *, checkpointing: int = 0) -> None:
        super().__init__()
        self.config = config
        self.checkpointing = checkpointing
        self.embedding = Embedding(config)
        self.norm_pre = nn.LayerNorm(config.width, eps=config.norm_eps) if config.norm_pre else None
        rates = torch.linspace(0, config.drop_path, config.depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(Block(config, rate) for rate in rates)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.head = nn.Linear(config.feature_width, config.classes)
        if config.weight_init == "image":
            start.like_image_model(self)
        else:
            start.from_scratch(self, self.head)

    def forward(self, clips: Tensor, *, places: Tensor | None = None) -> Tensor:
        """Logits of normalised clips: (b, t, 3, h, w) -> (b, classes).

        ``places`` (m,) are the patch positions that the blocks see, as row * columns + column; by default all. Raises
        :class:`ConfigError` for a shape that the patch size or the scheme can't divide.
        """
        if places is None:
            return self.head(self.features(clips))
        return self.upper(*self._embedded(clips), 0, places=places)

    def features(self, clips: Tensor, *, attend: Attend = attend, before_step: BeforeStep | None = None) -> Tensor:
        """What the head reads (equation 10): (b, t, 3, h, w) -> (b, width), or more as ``config.pool`` says.

        In the space scheme the frames' class tokens are averaged before the last LayerNorm. ``attend`` computes the
        attention of every step, for callers that need its weights. ``before_step`` sees the tokens before every step.
        """
        tokens, grid = self._embedded(clips)
        return self._read(0, tokens, grid, attend=attend, before_step=before_step)

    def lower(self, clips: Tensor, blocks: int) -> Tensor:
        """The tokens after the first ``blocks`` blocks: (b, t, 3, h, w) -> (b, prefix + t*h*w, d).

        After the last block, in training, the prefix tokens alone. :meth:`upper` goes on from there.
        """
        tokens, grid = self._embedded(clips)
        return self._through(range(blocks), tokens, grid)

    def upper(self, tokens: Tensor, grid: Grid, blocks: int, *, places: Tensor | None = None) -> Tensor:
        """Logits from the tokens that :meth:`lower` gave after ``blocks`` blocks: (b, n, d) -> (b, classes).

        ``places`` are as in :meth:`forward`, for the blocks that follow.
        """
        if places is not None and blocks < len(self.blocks):
            tokens, grid = _at(places, tokens, grid)
        return self.head(self._read(blocks, tokens, grid))

    def leave_out_idle_steps(self, blocks: int) -> None:
        """Have the first ``blocks`` blocks skip the steps that add exactly nothing, as long as their weights stay.

        The logits are the same. In a model that was started from an image model, that is all time attention in blocks
        that have not been trained.
        """
        for block in self.blocks[:blocks]:
            for step in block.steps.values():  # type: ignore[operator]
                step.idle = step.adds_nothing

    def _embedded(self, clips: Tensor) -> tuple[Tensor, Grid]:
        """The tokens that enter the first block, and their grid."""
        tokens, grid = self.embedding(clips)
        if self.norm_pre is not None:
            tokens = self.norm_pre(tokens)
        for step in schemes.steps(self.config):
            schemes.check(step, grid)
        return tokens, grid

    def _read(
        self,
        start: int,
        tokens: Tensor,
        grid: Grid,
        *,
        attend: Attend = attend,
        before_step: BeforeStep | None = None,
    ) -> Tensor:
        """What the head reads of the tokens that enter block ``start``: (b, n, d) -> (b, features)."""
        found, depth = [], len(self.blocks)
        ends = range(depth - self.config.read_blocks + 1, depth + 1)
        for end in ends:
            blocks = range(start if end == ends[0] else end - 1, end)
            tokens = self._through(blocks, tokens, grid, attend=attend, before_step=before_step)
            found += [self._pooled(tokens, grid), *self._of_patches(tokens, grid)]
        return torch.cat(found, dim=1)

    def _through(
        self,
        blocks: range,
        tokens: Tensor,
        grid: Grid,
        *,
        attend: Attend = attend,
        before_step: BeforeStep | None = None,
    ) -> Tensor:
        """The tokens after some consecutive blocks, by their numbers."""
        checkpointed = len(self.blocks) if self.checkpointing < 0 else self.checkpointing
        for number in blocks:
            # Only prefix tokens leave the last block, so training spares the patches its MLP; in evaluation a hook on
            # the block may look at them.
            last = self.training and number == len(self.blocks) - 1 and self.config.read_blocks == 1
            run = recompute.how(self.blocks[number], tokens, whole=number < checkpointed)
            tokens = run(tokens, grid, prefix_only=last, attend=attend, before_step=before_step)
        return tokens

    def _pooled(self, tokens: Tensor, grid: Grid) -> Tensor:
        """The mean of the class tokens after the last LayerNorm: (b, n, d) -> (b, d)."""
        prefix, each = schemes.prefix_count(self.config, grid), 1 + self.config.registers
        return self.norm(tokens[:, :prefix:each].mean(dim=1))

    def _of_patches(self, tokens: Tensor, grid: Grid) -> tuple[Tensor, ...]:
        """Mean and standard deviation over frames of each frame's mean patch, (b, d) each, if the head reads them."""
        if self.config.pool == "class_token":
            return ()
        frames = self.norm(tokens[:, -grid.tokens :]).unflatten(1, (grid.time, -1)).mean(dim=2)
        return frames.mean(dim=1), frames.std(dim=1, correction=0)


def _at(places: Tensor, tokens: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
    """The tokens without the patches at other positions, which are left out of all frames, and their grid.

    Positions then have no rows and columns, so this is for schemes that group patches by position or by frame.
    """
    prefix, patches = tokens[:, : -grid.tokens], tokens[:, -grid.tokens :]
    seen = patches.unflatten(1, (grid.time, grid.rows * grid.columns))[:, :, places]
    return torch.cat([prefix, seen.flatten(1, 2)], dim=1), Grid(grid.time, len(places), 1)
