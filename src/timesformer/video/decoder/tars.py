"""Read videos inside tar files without unpacking them: a tar file acts as a folder, and its members as files.

``shards/train-00000.tar/000000012.mp4`` is a path like any other to the rest of the package. A member is a byte range
of the tar file. A path into a tar file can't lead out of it again, even with "..".
"""

import errno
import io
import re
import stat
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO


@dataclass(frozen=True)
class Extent:
    """Where the bytes of a path are: all of a file, or a byte range of a tar file."""

    file: Path
    start: int
    """First byte."""
    size: int
    """Number of bytes."""
    modified: int
    """Modification time of the file in nanoseconds."""


class Part(io.RawIOBase):
    """A byte range of a file, opened for reading like a file."""

    def __init__(self, extent: Extent) -> None:
        self.extent = extent
        self._file = extent.file.open("rb", buffering=0)
        self._place = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a byte of the range, relative to its start, the current position, or its end."""
        self._place = max(offset + (0, self._place, self.extent.size)[whence], 0)
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read the next bytes of the range into the buffer and return their number."""
        left = max(self.extent.size - self._place, 0)
        self._file.seek(self.extent.start + self._place)
        count = self._file.readinto(memoryview(buffer)[:left]) or 0
        self._place += count
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def containing(path: Path) -> Path | None:
    """Return the tar file that the path leads into, or None."""
    return next((each for each in path.parents if each.suffix.lower() == ".tar" and each.is_file()), None)


def members(tar: Path) -> Mapping[str, tuple[int, int]]:
    """Return the first byte and the number of bytes of each file in a tar file, in order, by name.

    Its headers are read once, and again when it has changed. Raises OSError with its name where it is missing, not a
    tar file, compressed or truncated, or where the name of a member leads out of it.
    """
    status = tar.stat()
    return _members(tar, status.st_mtime_ns, status.st_size)


@cache
def _members(tar: Path, _modified: int, size: int) -> Mapping[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    try:
        with tarfile.open(tar, "r:") as archive:
            for each in archive:
                if _leads_out(each.name):
                    raise tarfile.ReadError(f"the name {each.name!r} leads out of it")
                if not each.isreg() or each.issparse():
                    continue
                if each.size < 0:
                    raise tarfile.ReadError(f"{each.name!r} would have {each.size} bytes")
                if each.size > size - each.offset_data:
                    raise tarfile.ReadError("unexpected end of data")
                found[str(PurePosixPath(each.name))] = (each.offset_data, each.size)
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise OSError(f"{tar} is damaged, cut off or no tar file: {error}") from None
    return found


def _leads_out(name: str) -> bool:
    """Whether a name leads to a file outside, on any system."""
    return name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name)


def extent(path: Path) -> Extent:
    """Return where the bytes of a file, or of a file in a tar file, are. Raises OSError where there is no such path."""
    tar = containing(path)
    if tar is None:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise OSError(
                errno.EINVAL, "a pipe, a socket or a device, not a file", str(path)
            )  # reading a pipe would wait for ever
        return Extent(path, 0, status.st_size, status.st_mtime_ns)
    name = path.relative_to(tar).as_posix()
    if name not in (found := members(tar)):
        raise FileNotFoundError(f"{tar} holds no {name}")
    return Extent(tar, *found[name], tar.stat().st_mtime_ns)


def stream(path: Path) -> IO[bytes] | Part:
    """Open a file, or a file in a tar file, to read its bytes. Raises OSError."""
    where = extent(path)
    return path.open("rb") if where.file == path else Part(where)
