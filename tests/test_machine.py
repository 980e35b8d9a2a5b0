"""What the machine says of itself, also where the functions that tell are missing."""

import os
from pathlib import Path

import pytest

from timesformer import machine


def test_cores_are_those_that_this_process_may_use() -> None:
    assert 1 <= machine.cores() <= (os.cpu_count() or 1)


def test_cores_are_told_where_a_system_has_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert machine.cores() == os.cpu_count()


def test_memory_is_told_where_a_system_has_no_sysconf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert machine.memory() >= 2**20


@pytest.mark.parametrize(("text", "limit"), [("1073741824\n", 2**30), ("max\n", None), ("9223372036854771712", None)])
def test_a_containers_limit_counts_where_there_is_one(
    text: str, limit: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "CGROUP_LIMITS", ())
    installed = machine.memory()
    (tmp_path / "memory.max").write_text(text)
    monkeypatch.setattr(machine, "CGROUP_LIMITS", (tmp_path / "memory.max", tmp_path / "absent"))
    assert machine.memory() == min(limit or installed, installed)


def test_a_file_that_cannot_be_synced_is_left_to_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("text")
    with (tmp_path / "file").open("rb") as file:
        machine.sync(file.fileno())

        def refused(_: int) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "fsync", refused)
        machine.sync(file.fileno())
