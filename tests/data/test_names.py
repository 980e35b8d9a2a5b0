"""Names of files and classes in any Unicode form, case and order, and lists that other programs and systems write."""

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from timesformer.data.items import DataError
from timesformer.data.manifest import load

ODD = Path(__file__).parents[3] / "shared" / "data" / "odd_more"
COMPOSED, APART = (unicodedata.normalize(form, "Gähnen") for form in ("NFC", "NFD"))


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode("utf-8", "surrogateescape"))
    return folder


def test_a_class_in_both_unicode_forms_is_one(tmp_path: Path) -> None:
    touched(tmp_path, "1.mp4", "2.mp4", "3.mp4")
    (tmp_path / "list.csv").write_text(f"path,label\n1.mp4,{COMPOSED}\n2.mp4,{APART}\n3.mp4,other\n", "utf-8")
    assert load(tmp_path / "list.csv").labels == (COMPOSED, "other")


def test_a_video_is_found_whatever_the_form_of_its_name(tmp_path: Path) -> None:
    touched(tmp_path, f"{APART}.mp4", "b.mp4")
    (tmp_path / "list.csv").write_text(f"path,label,split\n{COMPOSED}.mp4,a,train\nb.mp4,b,val\n", "utf-8")
    assert len(load(tmp_path / "list.csv").items) == 2


def test_classes_have_one_order_under_every_hash_seed(tmp_path: Path) -> None:
    names = ("1", "01", "001", "10", "9", "a", "A", COMPOSED)
    touched(tmp_path, *(f"{name}/{number}.mp4" for name in names for number in range(3)))
    code = (
        "import sys; from timesformer.data.manifest import load; m = load(sys.argv[1]); "
        "print(ascii((m.labels, [(i.key, i.split) for i in m.items], m.notes)))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (0, 1, 2)
    }
    assert len(seen) == 1


def test_names_that_differ_by_case_alone_are_said(tmp_path: Path) -> None:
    touched(tmp_path, *(f"{name}/{number}.mp4" for name in ("Wave", "wave", "bend") for number in range(2)))
    found = load(tmp_path)
    assert any("Wave" in note and "wave" in note for note in found.notes)


def test_files_left_out_of_class_folders_are_counted_by_suffix(tmp_path: Path) -> None:
    touched(tmp_path, "a/1.mp4", "a/2.mp4", "b/1.mp4", "b/2.mp4", "a/notes.docx", "a/2.docx", "a/unnamed")
    assert any(".docx" in note and "2" in note for note in load(tmp_path).notes)


def test_a_list_of_dates_is_no_list_of_positions(tmp_path: Path) -> None:
    touched(tmp_path, "1.mp4", "2.mp4")
    (tmp_path / "train.txt").write_text("1.mp4 20240101\n2.mp4 20240102\n")
    with pytest.raises(DataError):
        load(tmp_path / "train.txt")


def test_a_windows_list_finds_its_files(tmp_path: Path) -> None:
    touched(tmp_path, "clips/a/1.mp4", "clips/b/2.mp4")
    lines = ["path,label,split", "clips\\a\\1.mp4,a,train", "clips\\b\\2.mp4,b,val", ""]
    (tmp_path / "list.csv").write_bytes("\r\n".join(lines).encode("utf-16"))
    assert [item.name for item in load(tmp_path / "list.csv").items] == ["clips/a/1.mp4", "clips/b/2.mp4"]


def test_deep_or_huge_json_is_a_sentence(tmp_path: Path) -> None:
    for text in ("[" * 100_000, '[{"id": ' + "9" * 10_000 + "}]", json.dumps({"a": [1]})):
        (tmp_path / "train.json").write_text(text)
        with pytest.raises(DataError, match=r"train\.json"):
            load(tmp_path / "train.json")


@pytest.mark.skipif(not ODD.is_dir(), reason="../shared/data/odd_more is not there")
@pytest.mark.parametrize("name", ["project-1.csv", "project-1-at-2025-01-01.json", "project-1-at-2025-01-01-min.json"])
def test_exports_of_label_studio_are_read_or_say_what_to_do(name: str) -> None:
    try:
        assert load(ODD / name, missing="drop").items
    except DataError as error:
        assert name in str(error) or "--videos" in str(error)
