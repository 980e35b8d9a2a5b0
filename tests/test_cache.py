"""The cache folder is the system's, unless the environment names one or none."""

import sys
from pathlib import Path

import pytest

from timesformer import cache


def test_the_cache_folder_is_the_systems_unless_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIMESFORMER_CACHE", str(tmp_path))
    assert cache.folder() == tmp_path
    monkeypatch.setenv("TIMESFORMER_CACHE", "")
    assert cache.folder() is None
    monkeypatch.delenv("TIMESFORMER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache.folder() == tmp_path / "x" / "timesformer"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / ".cache" / "timesformer"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache.folder() == tmp_path / "Library" / "Caches" / "timesformer"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache.folder() == tmp_path / "local" / "timesformer" / "cache"
