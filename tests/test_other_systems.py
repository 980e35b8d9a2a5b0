"""What macOS and Windows lack is not needed: a training and an evaluation without it, with workers that are spawned."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import made_trainings

BARE = """
import multiprocessing
import os
import sys
import torch  # which asks for nothing of this before it needs it

for name in ("sched_getaffinity", "sched_setaffinity", "sysconf", "fsync", "fork", "forkpty", "statvfs"):
    if hasattr(os, name):
        delattr(os, name)
multiprocessing.set_start_method("spawn", force=True)

from timesformer.cli.main import main

if __name__ == "__main__":
    main(sys.argv[1:])
"""


def bare(folder: Path, *words: str | Path) -> str:
    """Run a command in a Python that lacks what other systems lack, its workers too, and return what it printed."""
    script = folder / "bare.py"
    script.write_text(BARE)
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, script, *map(str, words)], capture_output=True, text=True, timeout=250, env=variables
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="this is how Windows is without removing anything")
def test_training_and_evaluation_need_nothing_that_only_linux_has(tmp_path: Path) -> None:
    data = made_trainings.videos(tmp_path / "clips", train=8, val=4)
    run = tmp_path / "run"
    tiny = ["--width", "16", "--depth", "1", "--heads", "2", "--epochs", "1", "--repeats", "1", "--batch", "4"]
    said = bare(tmp_path, "train", data, "--out", run, *tiny, "--workers", "1", "--cache", "off")
    assert "best: top-1" in said and (run / "last.pt").exists() and (run / "best.safetensors").exists()
    bare(tmp_path, "evaluate", run / "best.safetensors", data, "--workers", "1", "--out", tmp_path / "found")
    results = json.loads((tmp_path / "found" / "results.json").read_text())
    assert len(results["videos"]) == 4
