"""Measurements of this machine that are kept, so that the same command makes the same choice again."""

import hashlib
import json
import platform
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from timesformer import atomic, cache


def remembered(question: str, measure: Callable[[], bool]) -> bool:
    """The answer that was measured before on this machine with this torch and as many threads, or a new one.

    Kept in the cache folder; where there is none, or it can't be written, each process measures anew.
    """
    about = repr((question, platform.machine(), _processor(), torch.__version__, torch.get_num_threads()))
    folder = cache.folder()
    if folder is None:
        return measure()
    file = folder / "timed" / f"{hashlib.blake2b(about.encode(), digest_size=12).hexdigest()}.json"
    with suppress(OSError, ValueError, AttributeError):
        answer = json.loads(file.read_text("utf-8")).get("answer")
        if isinstance(answer, bool):
            return answer
    answer = measure()
    with suppress(OSError), atomic.replacing(file) as temporary:
        temporary.write_text(json.dumps({"about": about, "answer": answer}), "utf-8")
    return answer


def _processor() -> str:
    """The processor's name, as far as the system tells it."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor()
