"""The TimeSformer: patch embedding, blocks of attention steps and an MLP, class token, head (paper, section 3)."""

import torch
from torch import Tensor, nn

from timesformer.config.model import ModelConfig
from timesformer.model import keywords, recompute, schemes, start
from timesformer.model.attention import GroupAttention
from timesformer.model.embeddings import Embedding
from timesformer.model.schemes import Grid

keywords.install()


class Block(nn.Module):
    """The steps of a scheme, each with a residual, then the MLP with its own (equations 2 to 9)."""

    def __init__(self, config: ModelConfig, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.parallel = config.order == "parallel"
        self.steps = nn.ModuleDict(
            {
                step.name: GroupAttention(
                    step, width=config.width, heads=config.heads, extra=schemes.has_extra(step, config)
                )
                for step in schemes.steps(config)
            }
        )
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        hidden = int(config.width * config.mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(config.width, hidden), nn.GELU(), nn.Linear(hidden, config.width))

    def forward(self, tokens: Tensor, grid: Grid, class_only: bool = False, checkpointed: bool = False) -> Tensor:
        """(b, classes + t*h*w, d) -> the same shape, or (b, classes, d) if ``class_only``.

        That spares queries, output projection and MLP of patches that nothing looks at any more. ``checkpointed`` says
        that the block is one that runs again in the backward pass.
        """
        before, last = tokens, len(self.steps) - 1
        for number, step in enumerate(self.steps.values()):
            only = class_only and number == last
            keep = self._keep(tokens, schemes.group_count(step.step, grid))  # type: ignore[arg-type]
            residual = step(before if self.parallel else tokens, grid, keep, class_only=only)
            tokens = (tokens[:, : -grid.tokens] if only else tokens) + residual
        residual = recompute.mlp(tokens, self.norm, self.mlp, ends_part=checkpointed)
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
    ``config.resize``. ``checkpointing`` is the number of blocks, from the first, that are computed again in the
    backward pass to save memory; -1 is all.
    """

    def __init__(self, config: ModelConfig, *, checkpointing: int = 0) -> None:
        super().__init__()
        self.config = config
        self.checkpointing = checkpointing
        self.embedding = Embedding(config)
        rates = torch.linspace(0, config.drop_path, config.depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(Block(config, rate) for rate in rates)
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        self.head = nn.Linear(config.width, config.classes)
        if config.weight_init == "image":
            start.like_image_model(self)
        else:
            start.from_scratch(self, self.head)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits of normalised clips: (b, t, 3, h, w) -> (b, classes).

        Raises :class:`ConfigError` for a shape that the patch size or the scheme can't divide.
        """
        return self.head(self.features(clips))

    def features(self, clips: Tensor) -> Tensor:
        """The representation under the head (equation 10): (b, t, 3, h, w) -> (b, width).

        In the space scheme the frames' class tokens are averaged first.
        """
        tokens, grid = self.embedding(clips)
        for step in schemes.steps(self.config):
            schemes.check(step, grid)
        # training looks at nothing of the last block but its class tokens; whoever looks at a trained model may
        last = self.blocks[-1] if self.training and schemes.ends_with_class_tokens(self.config) else None
        again = len(self.blocks) if self.checkpointing < 0 else self.checkpointing
        for number, block in enumerate(self.blocks):
            if number < again and torch.is_grad_enabled():
                tokens = recompute.checkpointed(block, tokens, grid, block is last, True)
            else:
                tokens = block(tokens, grid, block is last)
        return self.norm(tokens[:, : self.embedding.class_tokens(grid)].mean(dim=1))
