"""Writing a file atomically: it appears whole under its name or not at all, whenever and however the program ends.

Everything is written into a hidden folder beside the target and then moved into place. A program that is killed leaves
that folder behind; searches for videos skip it, and :func:`clear` removes it.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from timesformer.errors import TimesformerError

SUFFIX = ".part"
"""Ending of the hidden folders."""
LONGEST = 100
"""Characters of a file's name that the hidden folder repeats; some file systems allow 143 bytes for a whole name."""
BAD_NAME = (errno.ENAMETOOLONG, errno.EINVAL)
BAD_PLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.ENOENT)


class WriteError(TimesformerError, OSError):
    """A file that could not be written; what was there before is unchanged."""


@contextmanager
def replacing(path: Path, error: Callable[[str], Exception] = WriteError) -> Iterator[Path]:
    """Yield a temporary path to write to; on leaving, the file there takes the place of ``path``.

    Missing parent folders are made. The bytes are on the disk before the file gets its name, and it has the permissions
    that a new file has. Several processes may write the same target at the same time: the last one wins. Libraries
    may put further files beside the temporary one; they are removed.

    Raises ``error``, made from one sentence, where the system or a library refuses to write. The package's own errors
    and all others pass unchanged. In each case the earlier file is kept.
    """
    folder: Path | None = None
    try:
        if path.is_dir():
            raise error(f"{path} is a folder; name a file to write, such as {path / f'file{path.suffix}'}.")
        if "\0" in path.name:
            raise OSError(errno.EINVAL, "it holds a null character")
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{_short(path.name)}.", suffix=SUFFIX, dir=path.parent))
        temporary = folder / f"file{path.suffix if len(path.suffix) < 20 else ''}"
        temporary.touch()
        permissions = temporary.stat().st_mode
        yield temporary
        temporary.chmod(permissions)  # safetensors makes files that only their owner can read
        with temporary.open("r+b") as file:
            sync(file.fileno())
        temporary.replace(path)
    except TimesformerError:
        raise
    except (OSError, RuntimeError) as problem:  # torch raises RuntimeError where a file can't be written
        raise error(_sentence(path, problem)) from problem
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


class _TriedError(Exception):
    """Nothing went wrong."""


def check(path: Path, error: Callable[[str], Exception] = WriteError) -> None:
    """Raise ``error`` where :func:`replacing` would before anything is written, so that no work is done in vain."""
    with suppress(_TriedError), replacing(path, error):
        raise _TriedError


def is_partial(path: Path) -> bool:
    """Whether the path's name is that of a hidden folder of :func:`replacing`."""
    return path.name.startswith(".") and path.name.endswith(SUFFIX)


def clear(folder: Path) -> None:
    """Remove what killed programs left half written in a folder. Nobody else may be writing into it."""
    for path in folder.glob(f".*{SUFFIX}"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sync(descriptor: int) -> None:
    """Write a file's bytes through to the disk where the system can; Windows refuses it for files open for reading."""
    with suppress(AttributeError, PermissionError):
        os.fsync(descriptor)


def _short(name: str) -> str:
    """A file's name if every file system takes more characters after it, or else a short one."""
    return name if name.isascii() and len(name) <= LONGEST else blake2b(os.fsencode(name), digest_size=8).hexdigest()


def _sentence(path: Path, problem: OSError | RuntimeError) -> str:
    """Say which file, what went wrong and what to do."""
    number = getattr(problem, "errno", None)
    reason = getattr(problem, "strerror", None) or str(problem)
    remedy = "free some space on the disk, or choose another place."
    if number in BAD_NAME:
        remedy = "choose another name."
    elif number in BAD_PLACE:
        remedy = "choose a folder that you can write to."
    kept = "the earlier file is kept; " if os.path.lexists(path) else ""
    return f"{path} could not be written ({reason}); {kept}{remedy}"
