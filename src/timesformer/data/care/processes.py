"""Work on many files in several processes; if one dies, its file is named and the others go on.

The process pool of the standard library can't say which file a decoder crashed on, and stops at the first crash.
Pebble's can, but its workers share one pipe and its locks: a worker that is killed while it sends its result leaves the
pipe locked and half written, and all others wait. Here every worker has a pipe of its own.
"""

import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar, cast

import torch

from timesformer import machine
from timesformer.config.checks import require

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Lost:
    """The outcome of a job whose process died."""

    reason: str


@dataclass(frozen=True)
class _Worker:
    process: BaseProcess
    position: int
    """Position of its job; -1 while the process starts."""


def each(
    work: Callable[[Job], Result], jobs: Sequence[Job], *, processes: int | None = None
) -> Iterator[tuple[int, Result | Lost]]:
    """Call ``work`` on every job and yield (position, result) as soon as each is done.

    ``processes`` is the number of spawned processes, one per core unless given. With 0 the work is done in this
    process, which a crash then ends. A process that dies gives :class:`Lost` for its job and is replaced; an exception
    in ``work`` is raised here. ``work`` and the jobs are pickled, and scripts need the usual
    ``if __name__ == "__main__":``. Raises :class:`ConfigError` for a negative number, and ChildProcessError if no
    process can start.
    """
    require(
        processes is None or processes >= 0, f"processes is {processes}; it must be at least 0 (work in this process)."
    )
    if processes == 0:
        yield from enumerate(map(work, jobs))
        return
    count = min(machine.cores() if processes is None else processes, len(jobs))
    waiting = deque(range(len(jobs)))
    workers = dict(_start(work) for _ in range(count))
    try:
        while workers:
            for ready in wait(list(workers)):
                connection = cast(Connection, ready)  # Windows has a class of its own, with the same methods
                worker, outcome = workers[connection], _received(connection)
                del workers[connection]
                if isinstance(outcome, Lost):
                    outcome = _loss(worker)
                    workers.update([_start(work)] if waiting else [])
                elif waiting:
                    workers[connection] = _Worker(worker.process, waiting.popleft())
                    with suppress(OSError):  # a process that died meanwhile is noticed when it is next listened to
                        connection.send(jobs[workers[connection].position])
                else:
                    connection.close()
                    worker.process.join()
                if worker.position >= 0:
                    yield worker.position, outcome
    finally:
        for worker in workers.values():
            worker.process.terminate()
        for worker in workers.values():
            worker.process.join()


def _loss(worker: _Worker) -> Lost:
    worker.process.join()
    code = worker.process.exitcode
    if worker.position < 0:
        raise ChildProcessError(
            f"a process for the work could not start (exit code {code}); call this under "
            '`if __name__ == "__main__":`, take fewer processes, or set processes to 0.'
        )
    return Lost(f"the process that worked on it died (exit code {code}){_cause(code)}")


def _cause(code: int | None) -> str:
    """What an exit code says about the cause; a negative one is the number of a signal."""
    try:
        name = signal.Signals(-(code or 0)).name
    except ValueError:  # it exited by itself, or the system has no signals
        return ""
    if name == "SIGKILL":  # by its name, which Windows lacks
        return ": something killed it, the system if memory ran out; take fewer processes"
    return f": {name}, a fault of the decoder" if name in ("SIGSEGV", "SIGBUS", "SIGILL", "SIGABRT") else f": {name}"


def _received(connection: Connection) -> Any:
    """What a process sent, or :class:`Lost` where it died. Raises what the work raised."""
    try:
        failure, outcome = connection.recv()
    except (EOFError, OSError):  # also in the middle of an answer
        return Lost("")
    if failure is not None:
        raise failure
    return outcome


def _start(work: Callable[[Job], Result]) -> tuple[Connection, _Worker]:
    # Spawned, because a forked process may hang on a lock that one of torch's threads held.
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, work), daemon=True)
    process.start()
    there.close()  # or the end of the process would go unnoticed
    return here, _Worker(process, -1)


def _serve(connection: Connection, work: Callable[[Job], Result]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the starting process, which ends this one
    torch.set_num_threads(1)
    connection.send((None, None))
    while True:
        try:
            job = connection.recv()
        except (EOFError, OSError):
            return
        try:
            outcome: tuple[Exception | None, Result | None] = (None, work(job))
        except Exception as error:
            outcome = (error, None)
        with suppress(BrokenPipeError, ConnectionResetError):  # the starting process has ended
            connection.send(outcome)
