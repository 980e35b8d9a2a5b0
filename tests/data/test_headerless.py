"""Headerless lists are taken apart by their separators, and what annotation tools export is read."""

from pathlib import Path

import pytest

from tests.data.test_manifest import touch, write_list
from timesformer.data.manifest import DataError, load, write


def test_ucf_crimes_list_has_classes_and_not_lines_as_labels(tmp_path: Path) -> None:
    lines = (
        "a.mp4  Abuse  165  240  -1  -1  ",
        "b.mp4  Abuse  1  2  3  4\t",
        "c.mp4  Normal  -1  -1  -1  -1",
        "d.mp4 Normal -1 -1 -1 -1",
    )
    manifest = load(write_list(touch(tmp_path, ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]) / "l.txt", *lines))
    assert manifest.labels == ("Abuse", "Normal") and len(manifest.items) == 4


def test_several_positions_are_labels_of_a_multilabel_list_only(tmp_path: Path) -> None:
    table = write_list(touch(tmp_path, ["a.mp4", "b.mp4", "c.mp4"]) / "l.txt", "a.mp4 0 2", "b.mp4 0", "c.mp4 1 2")
    assert [i.label for i in load(table, task="multilabel").items] == [("0", "2"), ("0",), ("1", "2")]
    with pytest.raises(DataError, match=r"l\.txt:1: 'a\.mp4 0 2' has 2 numbers .*its fields: a\.mp4 \| 0 \| 2"):
        load(table)


@pytest.mark.parametrize("line", ["a.mp4,walk,4,0", "a.mp4 walk 1.5 4", "a.mp4,walk,train", "a.mp4 phase 1"])
def test_fields_that_are_no_label_are_refused_with_the_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"l\.txt:1: .*fields after its path .*a headerless list holds"):
        load(write_list(touch(tmp_path, ["a.mp4"]) / "l.txt", line))


def test_jesters_and_excels_lists_and_folders_of_frames_are_read(tmp_path: Path) -> None:
    touch(tmp_path, [f"{name}/1.jpg" for name in "1234"])
    semicolons = write_list(
        tmp_path / "a.csv", "sep=;", "1;Swiping Left", "2;No gesture", "3;No gesture", "4;Swiping Left"
    )
    assert load(semicolons).labels == ("No gesture", "Swiping Left")
    assert load(write_list(tmp_path / "b.txt", "1 151 0", "2 3 1", "3 3 0", "4 9 1")).labels == ("0", "1")


def test_a_missing_video_of_another_machine_is_not_replaced_by_its_namesake(tmp_path: Path) -> None:
    rows = [f"/home/ann/{name}/{n}.mp4,{name}" for name in ("wave", "run") for n in (1, 2)]
    table = write_list(
        touch(tmp_path, ["wave/1.mp4", "wave/2.mp4", "run/1.mp4", "run/2.mp4"]) / "l.csv", "path,label", *rows
    )
    assert len(load(table).items) == 4
    (tmp_path / "wave" / "1.mp4").unlink()
    with pytest.raises(DataError, match="1 of 4 listed videos"):
        load(table)


def test_any_file_name_reads_back(tmp_path: Path) -> None:
    names = ["a\r\nb", " x ", 'q"u,o;te', "tab\t", "by\udcffte", "\u00e9" * 120, "back\\slash", "c:d"]
    touch(tmp_path / "d", [f"{label}/{name}.mp4" for label in ("u", "v") for name in names])
    manifest = load(tmp_path / "d")
    write(manifest, tmp_path / "t.csv")
    again = load(tmp_path / "t.csv")
    assert {(i.path, i.label, i.split) for i in again.items} == {(i.path, i.label, i.split) for i in manifest.items}
