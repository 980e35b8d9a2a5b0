"""One training at a time in a folder: a lock that the system releases when the process ends, however it ends.

The lock is on one byte of a file, by ``lockf`` (Linux, macOS) or ``msvcrt.locking`` (Windows). Both belong to a
process: a killed training leaves no lock behind, and worker processes that outlive it hold none. The file's text only
says who holds the lock.
"""

import contextlib
import os
import socket
import threading
from pathlib import Path

from timesformer.config.checks import ConfigError

NAME = "training.lock"
PLACE = 2**30
"""Offset of the locked byte: far behind the text, so that others can read the text on Windows too."""
TRIES = 20
_held: set[str] = set()
"""Locks of this process. The system would grant it a second lock, and release both when one file is closed."""
_guard = threading.Lock()


class Lock:
    """The right to write to a folder, from :meth:`take` to :meth:`release`."""

    def __init__(self, folder: Path, who: str = "training") -> None:
        self.path, self.who = folder / NAME, who
        self._file = -1
        self._key = ""

    def take(self) -> bool:
        """Take the lock; its folder must exist. Returns False on a file system without locks.

        Raises ConfigError if another training holds it, OSError if the file can't be written.
        """
        key = os.path.realpath(self.path)
        with _guard:
            if key in _held:  # opening it again would release this process's lock when that file is closed
                raise self._taken(f"of this process, {os.getpid()}")
            guards = self._lock()
            self._key = key
            _held.add(key)
        return guards

    def release(self) -> None:
        """Release the lock, if it is held."""
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
        """Whether the locked file is still the one in the folder; it is not if it was removed or replaced."""
        try:
            mine, there = os.fstat(self._file), self.path.stat()
        except OSError:
            return False
        # some network file systems report another inode each time
        alike = (mine.st_size, mine.st_mtime_ns) == (there.st_size, there.st_mtime_ns)
        return os.path.samestat(mine, there) or (alike and mine.st_size > 0)

    def _lock(self) -> bool:
        """Open the file and lock it."""
        for again in range(TRIES):
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                guards = _lock(self._file)
                # the previous holder may have removed the file between opening and locking
                if self.holds() or again == TRIES - 1:
                    os.ftruncate(self._file, 0)
                    os.write(self._file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                    return guards
            except OSError as error:
                os.close(self._file)
                self._file = -1
                if isinstance(error, BlockingIOError):
                    raise self._taken() from error
                raise
            os.close(self._file)
        raise AssertionError

    def _taken(self, holder: str = "") -> ConfigError:
        with contextlib.suppress(OSError):
            holder = holder or " ".join(self.path.read_text(encoding="utf-8", errors="replace").split())[:80]
        return ConfigError(
            f"another {self.who}{f' ({holder})' if holder else ''} is writing to {self.path.parent}; wait until it "
            "ends, or choose another folder (--out)."
        )


def _lock(file: int) -> bool:
    """Lock a file for this process; False on a file system without locks, BlockingIOError if another process has it."""
    try:
        import fcntl
    except ImportError:
        return _lock_on_windows(file)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, PLACE)
    except (BlockingIOError, PermissionError) as error:  # systems use different error numbers
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
