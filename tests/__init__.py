"""Tests of timesformer."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores: with more threads than cores, small operations wait far longer than they take.
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, which is later
