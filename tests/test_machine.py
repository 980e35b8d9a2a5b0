"""What the machine says of itself, also where the functions that tell are missing."""

import os
from pathlib import Path

import pytest

from timesformer import machine


def test_cores_are_those_that_this_process_may_use() -> None:
    assert 1 <= machine.cores() <= (os.cpu_count() or 1)


def test_cores_are_told_where_a_system_has_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert machine.cores(groups=Path("absent"), own=Path("absent")) == os.cpu_count()


def test_memory_is_told_where_a_system_has_no_sysconf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert machine.memory() >= 2**20


@pytest.mark.parametrize(("text", "limit"), [("1073741824\n", 2**30), ("max\n", None), ("9223372036854771712", None)])
def test_a_containers_limit_counts_where_there_is_one(text: str, limit: int | None, tmp_path: Path) -> None:
    installed = machine.memory(groups=tmp_path, own=tmp_path / "absent")
    (tmp_path / "memory.max").write_text(text)
    assert machine.memory(groups=tmp_path, own=tmp_path / "absent") == min(limit or installed, installed)


def made_groups(folder: Path, own: str, files: dict[str, str]) -> None:
    (folder / "own").write_text(own)
    for name, text in files.items():
        (folder / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "groups" / name).write_text(text)


@pytest.mark.parametrize(
    ("own", "files", "cores", "memory"),
    [
        (
            "0::/slurm/job_7/step\n",
            {"slurm/job_7/memory.max": "1000000", "slurm/job_7/step/memory.max": "max"},
            0,
            10**6,
        ),
        ("0::/slurm/job_7\n", {"slurm/job_7/cpu.max": "150000 100000", "cpu.max": "max 100000"}, 2, 0),
        ("0::/\n", {"cpu.max": "100000 100000", "memory.max": "2000000"}, 1, 2 * 10**6),
        (
            "4:memory:/docker/a\n1:cpu,cpuacct:/docker/a\n",
            {"memory/docker/a/memory.limit_in_bytes": "3000000"},
            0,
            3 * 10**6,
        ),
        (
            "1:cpu,cpuacct:/b\n",
            {"cpu,cpuacct/b/cpu.cfs_quota_us": "50000", "cpu,cpuacct/b/cpu.cfs_period_us": "100000"},
            1,
            0,
        ),
        ("1:cpu:/b\n", {"cpu/b/cpu.cfs_quota_us": "-1", "cpu/b/cpu.cfs_period_us": "100000"}, 0, 0),
        ("nonsense\n", {}, 0, 0),
    ],
)
def test_limits_of_jobs_and_containers_count_wherever_in_the_tree_they_are(
    own: str, files: dict[str, str], cores: int, memory: int, tmp_path: Path
) -> None:
    places = {"groups": tmp_path / "groups", "own": tmp_path / "own"}
    free = machine.cores(**places), machine.memory(**places)
    made_groups(tmp_path, own, files)
    expected = min(cores or free[0], free[0]), min(memory or free[1], free[1])
    assert (machine.cores(**places), machine.memory(**places)) == expected
