"""A file appears whole or not at all, whatever its name, and whatever happens while it is written."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import needs
from timesformer import atomic
from timesformer.atomic import WriteError
from timesformer.data.items import DataError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("before")
    refused = r"file could not be written \(No space left on device\); the earlier file is kept; free some space"
    with pytest.raises(WriteError, match=refused), atomic.replacing(target) as temporary:
        temporary.write_text("half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(KeyboardInterrupt), atomic.replacing(target) as temporary:
        temporary.write_text("half of it")
        raise KeyboardInterrupt
    assert target.read_text() == "before" and names(tmp_path) == ["file"]
    with atomic.replacing(target) as temporary:
        temporary.write_text("after")
        temporary.with_name("beside").write_text("a file that a library makes on its way")
    assert target.read_text() == "after" and names(tmp_path) == ["file"]


def test_the_error_is_the_callers_and_errors_of_the_content_pass_unchanged(tmp_path: Path) -> None:
    refused = r"could not be written \(a library refused\)"
    with pytest.raises(DataError, match=refused), atomic.replacing(tmp_path / "file", DataError):
        raise RuntimeError("a library refused")
    for problem in (ValueError("frames and times differ"), DataError("a video is broken")):
        with pytest.raises(type(problem), match=f"^{problem}$"), atomic.replacing(tmp_path / "file"):
            raise problem
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("m" * 256, "choose another name"),
        ("nul\0", "choose another name"),
        ("plain/file", "choose a folder that you can write to"),
        ("folder", "is a folder; name a file to write"),
    ],
)
def test_what_hinders_writing_is_told_apart(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError, match=message), atomic.replacing(tmp_path / name) as temporary:
        temporary.write_text("content")
    assert names(tmp_path) == ["folder", "plain"]


@pytest.mark.parametrize("name", ["m" * 255, "é" * 127, "line\nbreak", "not\udcff utf-8", "a." + "b" * 250, ".hidden"])
def test_a_file_may_have_any_name_that_the_system_allows(name: str, tmp_path: Path) -> None:
    needs.linux()
    with atomic.replacing(tmp_path / "new" / "folder" / name) as temporary:
        assert atomic.is_partial(temporary.parent) and len(os.fsencode(temporary.parent.name)) < 143
        temporary.write_text("content")
    assert (tmp_path / "new" / "folder" / name).read_text() == "content"
    assert names(tmp_path / "new" / "folder") == [name]


def test_a_new_file_has_the_permissions_of_any_other_new_file(tmp_path: Path) -> None:
    needs.posix()
    (tmp_path / "plain").touch()
    with atomic.replacing(tmp_path / "file") as temporary:
        temporary.chmod(0o600)
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_several_that_write_one_file_at_once_do_not_meet(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with atomic.replacing(target) as first, atomic.replacing(target) as second:
        first.write_text("first")
        second.write_text("second")
    assert target.read_text() == "first" and names(tmp_path) == ["file"]


def test_what_a_killed_program_leaves_is_hidden_and_can_be_cleared(tmp_path: Path) -> None:
    needs.linux()
    (tmp_path / "file").write_text("before")
    (tmp_path / "other").write_text("kept")
    script = (
        "import os, signal\nfrom pathlib import Path\nfrom timesformer import atomic\n"
        f"with atomic.replacing(Path({str(tmp_path / 'file')!r})) as temporary:\n"
        "    temporary.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    (left,) = set(tmp_path.iterdir()) - {tmp_path / "file", tmp_path / "other"}
    assert left.name.startswith(".file.") and atomic.is_partial(left)
    (tmp_path / ".older.part").touch()
    atomic.clear(tmp_path)
    assert names(tmp_path) == ["file", "other"] and (tmp_path / "file").read_text() == "before"


def test_a_file_that_cannot_be_synced_is_left_to_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("text")
    with (tmp_path / "file").open("rb") as file:
        atomic.sync(file.fileno())

        def refused(_: int) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "fsync", refused)
        atomic.sync(file.fileno())
