"""One optimiser step on one batch."""

import torch
from torch import Tensor, nn

from timesformer.data.batches.batch import Batch
from timesformer.data.batches.order import derived_seed
from timesformer.tasks import table
from timesformer.tasks.table import TABLE
from timesformer.training.engine import arithmetic, processes
from timesformer.training.session import Session
from timesformer.video import augment


def step(session: Session, batch: Batch, *, expected: int, number: int) -> float:
    """Make step ``number`` on this process's share of a batch, and return the sum of its clips' losses.

    ``expected`` is the number of clips in the whole batch, over all processes.
    """
    config, device = session.config, session.world.device
    generator = torch.Generator().manual_seed(derived_seed(config.engine.seed, number, session.world.rank, 1))
    torch.manual_seed(derived_seed(config.engine.seed, number, session.world.rank))
    given = batch.targets if session.target_stats else batch.targets.to(device, non_blocking=True)
    targets = table.dense(given, config.model.classes, session.target_stats).to(device)
    clips = batch.clips.to(device, non_blocking=True)
    clips, targets = augment.mix(clips, targets, config.augment, generator=generator)
    seen = {}
    if config.augment.patch_drop:  # the same in all processes
        alike = torch.Generator().manual_seed(derived_seed(config.engine.seed, number, 0, 2))
        seen["places"] = augment.places(config.augment, config.model.grid, generator=alike).to(device)
    session.optimizer.zero_grad(set_to_none=True)
    total = torch.zeros((), device=device)
    for index in range(config.optim.accumulate):
        some, wanted = (values.tensor_split(config.optim.accumulate)[index] for values in (clips, targets))
        with processes.quiet(session.shared, index == config.optim.accumulate - 1):
            with arithmetic.autocast(device, config.engine.precision):
                logits = session.shared(_one_at_least(some), **seen)[: len(some)]
            each = TABLE[config.task].losses(logits, wanted, config.optim, session.weights)
            # The mean over the whole batch. Processes average their gradients, so each multiplies by their number.
            session.scaler.scale(each.sum() / expected * session.world.size).backward()
            total += each.detach().sum()
    if config.optim.clip_grad:
        session.scaler.unscale_(session.optimizer)
        nn.utils.clip_grad_norm_(session.model.parameters(), config.optim.clip_grad)
    if not config.engine.optimizer_in_backward:
        session.scaler.step(session.optimizer)
        session.scaler.update()
    return float(total)


def _one_at_least(clips: Tensor) -> Tensor:
    """The clips, or a blank one: every process must call the model, even if all its videos were broken."""
    return clips if len(clips) else clips.new_zeros(1, *clips.shape[1:])
