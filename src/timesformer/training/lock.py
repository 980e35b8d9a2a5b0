"""One training at a time in a folder: a lock that the system itself takes away when its process ends, however it ends.

The lock is on a byte of a file, by ``lockf`` (Linux, macOS) or ``msvcrt.locking`` (Windows): both belong to a process,
so that a killed training leaves none behind and worker processes that outlive it hold none. The file's text only says
who holds it.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from timesformer.config import ConfigError

NAME = "training.lock"
PLACE = 2**30
"""Offset of the byte that is locked: far behind the text, which others may then read, on Windows too."""
_held: set[str] = set()
"""Locks of this process; the system would give it a second one, and take both away with the first file closed."""
_guard = threading.Lock()


class Lock:
    """The right to write into a folder, from :meth:`take` to :meth:`release`."""

    def __init__(self, folder: Path, *, warn: Callable[[str], None] = lambda text: None) -> None:
        self.path = folder / NAME
        self.warn = warn
        self._file = -1
        self._key = ""

    def take(self) -> None:
        """Take the lock, whose folder must exist; raises ConfigError where another training holds it.

        On a file system that knows no locks, ``warn`` is told that nothing guards the folder. Raises OSError where the
        file can't be written.
        """
        key = os.path.realpath(self.path)
        with _guard:
            if key in _held:
                raise self._taken()
            self._file = self._locked()
            self._key = key
            _held.add(key)

    def release(self) -> None:
        """Give the lock back, if it is held."""
        if self._file < 0:
            return
        with _guard:
            mine = self.holds()
            if os.name == "nt":  # where an open file can't be removed
                os.close(self._file)
            with contextlib.suppress(OSError):
                if mine:
                    self.path.unlink()
            if os.name != "nt":
                os.close(self._file)
            _held.discard(self._key)
            self._file = -1

    def holds(self) -> bool:
        """Whether the file that was locked is still the one in the folder: not where that was removed or replaced."""
        try:
            return self._file >= 0 and os.path.samestat(os.fstat(self._file), self.path.stat())
        except OSError:
            return False

    def _locked(self) -> int:
        """The open file, locked."""
        while True:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                if not _lock(file):
                    self.warn(
                        f"{self.path.parent} lies where files can't be locked; nothing but you keeps a second training "
                        "from writing into it."
                    )
            except BlockingIOError as error:
                os.close(file)
                raise self._taken() from error
            self._file = file
            if self.holds():  # the one before may have removed the file between opening and locking
                os.ftruncate(file, 0)
                os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                return file
            os.close(file)
            self._file = -1

    def _taken(self) -> ConfigError:
        try:
            holder = " ".join(self.path.read_text(encoding="utf-8", errors="replace").split())[:80]
        except OSError:
            holder = ""
        return ConfigError(
            f"another training{f' ({holder})' if holder else ''} writes into {self.path.parent}; wait for its end, or "
            "choose another folder (--out)."
        )


def _lock(file: int) -> bool:
    """Lock a file for this process; False where its file system can't, BlockingIOError where another process has it."""
    try:
        import fcntl
    except ImportError:
        return _lock_on_windows(file)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, PLACE)
    except (BlockingIOError, PermissionError) as error:  # systems differ in the number of the error
        raise BlockingIOError(*error.args) from error
    except OSError:
        return False
    return True


def _lock_on_windows(file: int) -> bool:
    try:
        import msvcrt
    except ImportError:
        return False
    os.lseek(file, PLACE, os.SEEK_SET)
    try:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError as error:
        raise BlockingIOError(*error.args) from error
    finally:
        os.lseek(file, 0, os.SEEK_SET)
    return True
