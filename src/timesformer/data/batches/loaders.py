"""Loader workers that the system ends: how that shows, and how what they hand over is kept from being lost in silence.

A kernel short of memory kills processes, a container's small /dev/shm ends them by SIGBUS, and a decoder may crash.
Torch tells of it by errors of several kinds, which here become one answer.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info

KILLED = int(getattr(signal, "SIGKILL", 9))
NO_SHARED_MEMORY = int(getattr(signal, "SIGBUS", 7))
CRASHED = (int(signal.SIGSEGV), int(signal.SIGABRT))
GONE = 0
"""For a worker of which nothing but its end is known."""
REASONS = {
    KILLED: "the system ended its process, most likely for lack of memory",
    NO_SHARED_MEMORY: "the memory that processes share (/dev/shm) is too small; a container's grows with --shm-size",
    **dict.fromkeys(CRASHED, "the decoder crashed"),
    GONE: "its process disappeared, most likely ended by the system for lack of memory",
}
"""What probably happened to a worker, by the signal that ended it."""


class SharedMemoryError(RuntimeError):
    """What worker processes hand over does not fit into the memory that processes share (/dev/shm)."""


def started(loader: DataLoader[Any]) -> Iterator[Any]:
    """A loader's iterator, of which a lost worker is told when its values are asked for, within five seconds.

    Torch's own handler of SIGCHLD tells of it by an error in whatever is running: in the middle of a step, which then
    is half done, or of a file that is being written.
    """
    stream = iter(loader)
    child = getattr(signal, "SIGCHLD", None)
    if child and threading.current_thread() is threading.main_thread():
        handler = signal.getsignal(child)
        if getattr(handler, "__module__", "").startswith("torch."):
            signal.signal(child, signal.SIG_DFL)
    return stream


def lost(error: Exception, stream: Iterator[Any]) -> int | None:
    """The signal that ended a worker of a DataLoader's iterator, or GONE; None where the error says something else."""
    if isinstance(error, SharedMemoryError):
        return NO_SHARED_MEMORY
    told = isinstance(error, RuntimeError) and str(error).startswith(
        ("DataLoader worker (pid", "Pin memory thread exit")
    )
    if not told and not isinstance(error, EOFError | ConnectionError):  # as when it dies while it hands something over
        return None
    close(stream)
    for worker in getattr(stream, "_workers", ()):
        worker.join(timeout=0.2)
        if worker.exitcode is not None and -worker.exitcode in (KILLED, NO_SHARED_MEMORY, *CRASHED):
            return -worker.exitcode
    return GONE


def close(stream: Iterator[Any]) -> None:
    """End the workers of a DataLoader's iterator, now and not when it is collected."""
    with suppress(RuntimeError):  # torch tells of a second loss by an error in whatever is running
        getattr(stream, "_shutdown_workers", lambda: None)()


def handed_over(values: Tensor) -> Tensor:
    """A tensor, in a worker moved to the memory that it shares with the process that asked for it.

    Raises :class:`SharedMemoryError` where that is full: later, in the queue's own thread, nobody would hear of it, and
    the other process would wait for ever.
    """
    if get_worker_info() is not None and values.nbytes:
        try:
            values.share_memory_()
        except (RuntimeError, OSError) as error:
            raise SharedMemoryError(f"shared memory is full ({error})") from None
    return values


def begin(_: int) -> None:
    """Make a process a loader worker: one thread, and signals left to the main process, whose handlers it has."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
