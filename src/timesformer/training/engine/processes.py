"""Training with one process or several: their ranks, how they share a model, and how its whole state is collected."""

import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from timesformer.config.training import EngineConfig
from timesformer.model.transformer import TimeSformer
from timesformer.training.engine import arithmetic
from timesformer.training.engine.frozen import Parted

T = TypeVar("T")
_KEPT: list[dist.ProcessGroup | None] = []
"""Groups that were left. Gloo's threads take the interpreter's lock to drop what they sent, holding a lock that the
group's destructor waits for: a group that goes with the last reference, in the wrong millisecond, never returns."""
FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)


@dataclass(frozen=True)
class World:
    """This process among those that train together."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def agree(self, *flags: bool) -> tuple[bool, ...]:
        """Whether any process raised each of the flags; every process gets the same answers."""
        if self.size == 1:
            return flags
        values = torch.tensor(flags, dtype=torch.float32, device=self.device)
        dist.all_reduce(values, op=dist.ReduceOp.MAX)
        return tuple(value > 0 for value in values.tolist())

    def total(self, number: float) -> float:
        """Sum over all processes."""
        if self.size == 1:
            return number
        value = torch.tensor(number, device=self.device, dtype=torch.float64)
        dist.all_reduce(value)
        return float(value)

    def collect(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of their ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def let_first(self, act: Callable[[], T]) -> T:
        """Call ``act`` in the first process only; all processes return its result, or raise its error."""
        done: T | None = None
        error: Exception | None = None
        if self.first:
            try:
                done = act()
            except Exception as caught:
                if self.size == 1:
                    raise
                error = caught
        done, said = self.collect((done, _sendable(error)))[0]
        if error or said:
            raise error or said
        return done


def _sendable(error: Exception | None) -> Exception | None:
    """An error as other processes can read it."""
    try:
        return pickle.loads(pickle.dumps(error)) if error else None
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


def launched() -> bool:
    """Whether ``torchrun``, or something like it, started this process as one of several."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@contextmanager
def joined(engine: EngineConfig | None = None) -> Iterator[World]:
    """Join the processes that ``torchrun`` started, with NCCL on GPUs and Gloo elsewhere; alone without it.

    The device is the one that the settings ask for.
    """
    device = arithmetic.device(engine or EngineConfig(), number=int(os.environ.get("LOCAL_RANK", "0")))
    cuda = device.type == "cuda"
    if not launched():
        yield World(0, 1, device)
        return
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo", device_id=device if cuda else None)
    _KEPT.append(dist.group.WORLD)
    try:
        yield World(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()


def share(model: TimeSformer | Parted, world: World, engine: EngineConfig) -> nn.Module:
    """The model as this process trains it: whole, a DDP copy, or with every block's parameters sharded (FSDP2)."""
    if isinstance(model, TimeSformer) and world.size > 1 and engine.parallel == "fsdp":
        for block in model.blocks:
            fully_shard(block)
        fully_shard(model)
    if engine.compile:
        model.compile()
    if world.size > 1 and engine.parallel == "ddp":
        return DistributedDataParallel(model)
    return model


@contextmanager
def quiet(model: nn.Module, last: bool) -> Iterator[None]:
    """Within it, gradients of all but the last part of a batch stay in this process."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(last)
        yield
        return
    with model.no_sync() if isinstance(model, DistributedDataParallel) and not last else nullcontext():
        yield


def whole_tensor(value: Tensor) -> Tensor:
    """A tensor with the shards of all processes; every process must ask for it."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def like(whole: Tensor, shard: Tensor) -> Tensor:
    """A whole tensor, sharded over the processes as another one is."""
    whole = whole.to(shard.device)
    return distribute_tensor(whole, shard.device_mesh, shard.placements) if isinstance(shard, DTensor) else whole


def whole_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights and optimiser state, whole and on the CPU, by parameter name; on the first process where sharded."""
    weights, state = get_state_dict(model, optimizer, options=FULL)
    return weights, dict(state)


def restore(model: nn.Module, optimizer: torch.optim.Optimizer, weights: dict[str, Any], state: dict[str, Any]) -> None:
    """Set what :func:`whole_state` collected, on any number of processes."""
    set_state_dict(
        model,
        optimizer,
        model_state_dict=weights,
        optim_state_dict=state,
        options=StateDictOptions(full_state_dict=True),
    )
