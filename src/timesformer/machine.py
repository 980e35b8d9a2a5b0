"""What this machine has: cores, memory and devices.

The one place that asks the system. Linux, macOS and Windows have different functions for it.
"""

import math
import os
from contextlib import suppress
from pathlib import Path

import torch

from timesformer.config.checks import ConfigError, choice

UNKNOWN_MEMORY = 8 * 2**30
"""Bytes assumed where the system does not say how much memory it has."""
UNLIMITED = 2**60
"""A limit of so many bytes or more is no limit: cgroup v1 writes a number near 2**63 for "no limit"."""
CGROUPS = Path("/sys/fs/cgroup")
"""Where Linux keeps the limits of groups of processes, such as a container or a cluster's job."""
OWN_CGROUPS = Path("/proc/self/cgroup")
"""The file that names the groups of this process."""
Precision = torch.dtype | str | None
"""A type of autocast, its name ("bf16", "fp16"), or "fp32" and None for the model's own."""
PRECISIONS: dict[str, torch.dtype | None] = {
    "fp32": None,
    "float32": None,
    "bf16": torch.bfloat16,
    "bfloat16": torch.bfloat16,
    "fp16": torch.float16,
    "float16": torch.float16,
    "half": torch.float16,
}


def cores(*, groups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int:
    """Number of processor cores that this process may use, at least 1; a container's limit counts.

    ``groups`` and ``own`` are where Linux says which limits the process has.
    """
    count = os.cpu_count() or 1
    with suppress(AttributeError, OSError):
        count = len(os.sched_getaffinity(0))
    return max(math.ceil(min(count, _quota(groups, own))), 1)


def memory(*, groups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int:
    """Bytes of memory that this process may use: the machine's, or the container's limit if that is smaller.

    ``groups`` and ``own`` are where Linux says which limits the process has.
    """
    return min(_installed(), _limit(groups, own))


def pick_device(device: torch.device | str | None = None) -> torch.device:
    """The requested device; None and "auto" choose a CUDA GPU, else an Apple GPU, else the CPU.

    "gpu" is a CUDA or Apple GPU. Raises ConfigError for a device that is unknown or missing on this machine.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    present = [name for name, here in there.items() if here]
    if device is None or device == "auto":
        return torch.device(present[0])
    if device == "gpu":
        if present[0] == "cpu":
            raise ConfigError("device is 'gpu', but torch finds no GPU on this machine; leave it out, or name 'cpu'.")
        return torch.device(present[0])
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(
            f"device is {device!r}; name 'cpu', 'cuda', 'cuda:1', 'mps', or 'gpu' for any GPU."
        ) from error
    if not there.get(found.type, True):
        raise ConfigError(f"device is {str(found)!r}, which torch does not find here; it finds {', '.join(present)}.")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ConfigError(f"device is {str(found)!r}, but there are {count} GPUs: 'cuda:0' to 'cuda:{count - 1}'.")
    return found


def autocast_type(precision: Precision) -> torch.dtype | None:
    """The autocast dtype of a precision; None for the model's own. Raises ConfigError for an unknown precision."""
    if precision is None or precision is torch.float32:
        return None
    if isinstance(precision, str) and precision in PRECISIONS:
        return PRECISIONS[precision]
    if precision in (torch.bfloat16, torch.float16):
        return precision
    choice("precision", precision, ("fp32", "bf16", "fp16"))
    raise ConfigError(f"precision is {precision!r}; it must be 'fp32', 'bf16' or 'fp16'.")


def _installed() -> int:
    """Bytes of memory in the machine."""
    with suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return _installed_on_windows() or UNKNOWN_MEMORY


def _installed_on_windows() -> int:
    """Bytes of memory as Windows reports them; 0 on other systems."""
    import ctypes

    library = getattr(ctypes, "windll", None)
    if library is None:
        return 0

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "pages", "b", "c", "d", "e")),
        )

    status = Status(length=ctypes.sizeof(Status))
    return int(status.total) if library.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)) else 0


def _limit(groups: Path, own: Path) -> int:
    """The smallest memory limit of the containers or the cluster job that this process runs in."""
    limits = [UNLIMITED]
    for folder in (groups, groups / "memory", *_groups("memory", groups, own)):
        for name in ("memory.max", "memory.limit_in_bytes"):  # of cgroup v2 and v1
            with suppress(OSError, ValueError):
                limits.append(int((folder / name).read_text()))
    return min(limit for limit in limits if limit > 0)


def _quota(groups: Path, own: Path) -> float:
    """The smallest processor limit of the containers of this process, in cores; infinite without a limit."""
    quotas = [math.inf]
    for folder in (groups, groups / "cpu", *_groups("cpu", groups, own)):
        with suppress(OSError, ValueError):  # "max" is no number
            quota, period = map(int, (folder / "cpu.max").read_text().split())
            quotas.append(quota / period)
        with suppress(OSError, ValueError, ZeroDivisionError):
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            quota, period = (int((folder / name).read_text()) for name in names)
            quotas.append(quota / period)
    return min(quota for quota in quotas if quota > 0)


def _groups(controller: str, groups: Path, own: Path) -> list[Path]:
    """Folders of the control groups of this process: its own, and all that contain it."""
    found: list[Path] = []
    with suppress(OSError):
        for line in own.read_text().splitlines():
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if controllers in ("", "name=systemd") or controller in controllers.split(","):
                root = groups / controllers if controller in controllers.split(",") else groups
                inner = root / path.strip("/")
                found += [each for each in (inner, *inner.parents) if each.is_relative_to(root)]
    return found
