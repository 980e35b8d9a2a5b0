"""Loader workers that the system kills: how to detect it, and how their batches are passed on safely.

A kernel short of memory kills processes, a container's small /dev/shm ends them by SIGBUS, and a decoder may crash.
Torch reports this by errors of several kinds; :func:`lost` turns them into one answer.
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
"""Stands for the signal of a worker that ended for an unknown reason."""
REASONS = {
    KILLED: "the system ended its process, most likely for lack of memory",
    NO_SHARED_MEMORY: "the memory that processes share (/dev/shm) is too small; a container's grows with --shm-size",
    **dict.fromkeys(CRASHED, "the decoder crashed"),
    GONE: "its process disappeared, most likely ended by the system for lack of memory",
}
"""The likely reason why a worker ended, by its signal."""


class SharedMemoryError(RuntimeError):
    """A worker's batch does not fit into shared memory (/dev/shm)."""


def started(loader: DataLoader[Any]) -> Iterator[Any]:
    """Return a loader's iterator that reports a lost worker when its next value is asked for, within five seconds.

    Torch's own handler of SIGCHLD would raise the error in whatever code is running: in the middle of an optimiser
    step, or of writing a file.
    """
    stream = iter(loader)
    child = getattr(signal, "SIGCHLD", None)
    if child and threading.current_thread() is threading.main_thread():
        handler = signal.getsignal(child)
        if getattr(handler, "__module__", "").startswith("torch."):
            signal.signal(child, signal.SIG_DFL)
    return stream


def lost(error: Exception, stream: Iterator[Any]) -> int | None:
    """Return the signal that ended a worker of the iterator, or GONE; None where the error has another cause."""
    if isinstance(error, SharedMemoryError):
        return NO_SHARED_MEMORY
    told = isinstance(error, RuntimeError) and str(error).startswith(
        ("DataLoader worker (pid", "Pin memory thread exit")
    )
    if not told and not isinstance(error, EOFError | ConnectionError):  # it died while passing a batch on
        return None
    close(stream)
    for worker in getattr(stream, "_workers", ()):
        worker.join(timeout=0.2)
        if worker.exitcode is not None and -worker.exitcode in (KILLED, NO_SHARED_MEMORY, *CRASHED):
            return -worker.exitcode
    return GONE


def close(stream: Iterator[Any]) -> None:
    """End the workers of a DataLoader's iterator now, not when it is garbage-collected."""
    with suppress(RuntimeError):  # torch raises the loss of another worker in whatever code is running
        getattr(stream, "_shutdown_workers", lambda: None)()


def handed_over(values: Tensor) -> Tensor:
    """Return the tensor; in a worker, move it to shared memory first.

    Raises :class:`SharedMemoryError` where that is full. Left to the queue's own thread, the error would be lost and
    the main process would wait for ever.
    """
    if get_worker_info() is not None and values.nbytes:
        try:
            values.share_memory_()
        except (RuntimeError, OSError) as error:
            raise SharedMemoryError(f"shared memory is full ({error})") from None
    return values


def begin(_: int) -> None:
    """Set up a worker process: one thread, and signals left to the main process."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
