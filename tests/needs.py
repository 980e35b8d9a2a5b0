"""What a test needs of the system; where the system lacks it, the test is skipped."""

import sys
from importlib import import_module
from typing import Any

import pytest

resource: Any = None if sys.platform == "win32" else import_module("resource")
"""Limits of a process, which Windows doesn't have."""


def posix() -> None:
    """Signals that reach a program's own handlers, pipes among files, limits of a process; not on Windows."""
    if sys.platform == "win32":
        pytest.skip("needs signals, pipes or limits that Windows doesn't have")


def linux() -> None:
    """Folders such as /proc and /dev/full, and memory counted as Linux does."""
    if sys.platform != "linux":
        pytest.skip("needs files or counts that only Linux has")
