"""How a mistake that the user can mend becomes a sentence: which value, which rule, which remedy.

Every error that this package raises on purpose is a :class:`TimesformerError`; each room has one of its own
(``ConfigError``, ``DataError``, ``VideoError``, ``WeightsError``, ``TrainingError``).
"""

import errno
import re

REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space there, or write elsewhere (--out)",
    errno.EDQUOT: "your share of the disk is used up; free some space there, or write elsewhere (--out)",
    errno.EACCES: "permission is denied; change its permissions (ls -l shows them), or use another place",
    errno.EPERM: "the system does not permit it; change its permissions, or use another place",
    errno.EROFS: "the file system can only be read; write elsewhere (--out)",
    errno.ENOENT: "it does not exist; check the path",
    errno.ENOTDIR: "a part of the path is a file, not a folder; check the path",
    errno.EISDIR: "it is a folder; name a file",
    errno.EEXIST: "it exists already; name another, or remove it",
    errno.ENAMETOOLONG: "the name is too long for this file system; shorten it",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n), or use fewer workers",
    errno.ENFILE: "too many files are open on this machine; close other programs, or use fewer workers",
    errno.EIO: "the disk or network drive failed while it was read or written; check it, or copy the data elsewhere",
    errno.ESTALE: "the network drive no longer knows the file; mount it again",
    errno.ENOMEM: "the machine's memory is used up; use fewer workers, or close other programs",
    errno.ELOOP: "its links lead in a circle; remove one of them",
    errno.ENOTEMPTY: "the folder is not empty; name another",
}
"""What went wrong and what to do, by the system's number for it."""
_ERRNO = re.compile(r"\[(?:Errno|WinError) \d+\] ([^:()\[\]]+)(?:: '[^']*'(?: -> '[^']*')?)?")


class TimesformerError(Exception):
    """A mistake that the user can mend; the message names the value, the rule and the remedy."""


def sentence(error: Exception) -> str | None:
    """What to tell the user about an error: one sentence with a remedy; None for an error that is a fault of ours."""
    if isinstance(error, OSError):
        return _system(error)
    if isinstance(error, TimesformerError | ImportError):
        return without_numbers(str(error))
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return (
            f"memory is used up ({str(error).splitlines()[0] if str(error) else 'none is left'}); use fewer or smaller "
            "clips at a time: a smaller --optim.batch or more --optim.accumulate in training, with "
            "--engine.checkpointing -1 where that is not enough, --engine.cache off, and fewer workers."
        )
    return None


def without_numbers(text: str) -> str:
    """Return the text with the system's errors as words: "no space left on device" for "[Errno 28] No space ..."."""
    return _ERRNO.sub(lambda found: f"{found[1][:1].lower()}{found[1][1:]}", text)


def _system(error: OSError) -> str:
    """An error of the system in words: which file, what is wrong with it, and what to do; our own ones as they are."""
    if error.errno is None or not error.strerror:
        return without_numbers(str(error))
    what = REMEDIES.get(error.errno, f"{error.strerror[:1].lower()}{error.strerror[1:]}; check the path and its disk")
    given = (error.filename, error.filename2)
    names = [_text(name) for name in given if isinstance(name, str | bytes)]
    return f"{' and '.join(names)}: {what}." if names else f"{what[:1].upper()}{what[1:]}."


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")
