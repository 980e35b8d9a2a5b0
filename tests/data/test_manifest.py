"""Folders and tables become one table; mistakes in them are named before anything is trained."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from timesformer.config.training import Task
from timesformer.data.manifest import DataError, Item, Manifest, load, write

REAL = Path(__file__).parents[3] / "shared" / "data"


def touch(folder: Path, names: Sequence[str]) -> Path:
    """Make empty files; reading a data set never opens the videos."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def write_list(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def names(manifest: Manifest, split: str) -> list[str]:
    return [item.name for item in manifest.of(split)]


def test_a_folder_for_each_class_is_split_and_sorted(tmp_path: Path) -> None:
    touch(tmp_path, [f"{label}/{label}{number}.mp4" for label in ("wave", "bend") for number in range(5)])
    touch(tmp_path, ["wave/deeper/w.MKV", ".hidden/x/y.mp4", "wave/.trash.mp4", "wave/readme.txt"])
    manifest = load(tmp_path)
    assert manifest.labels == ("bend", "wave")
    assert [item.name for item in manifest.items] == sorted(item.name for item in manifest.items)
    assert len(manifest.items) == 11 and "wave/deeper/w.MKV" in names(manifest, "all")
    assert manifest.class_counts("train") == (4, 5) and manifest.class_counts("val") == (1, 1)
    assert manifest.of("test") == manifest.of("val") and "no test split: test is the validation split" in manifest.notes
    assert {manifest.target(item) for item in manifest.of("all") if item.label == "wave"} == {1}


@pytest.mark.parametrize("val", ["val", "valid", "Validation"])
def test_split_folders_are_kept_and_others_noted(tmp_path: Path, val: str) -> None:
    touch(tmp_path, ["train/a/1.mp4", "train/b/2.mp4", f"{val}/a/3.mp4", "test/b/4.mp4", "extras/c/5.mp4"])
    manifest = load(tmp_path)
    assert (names(manifest, "train"), names(manifest, "val"), names(manifest, "test")) == (
        ["train/a/1.mp4", "train/b/2.mp4"],
        [f"{val}/a/3.mp4"],
        ["test/b/4.mp4"],
    )
    assert manifest.notes == ("left out: folders beside those of the splits: extras",)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    touch(tmp_path, [f"{label}/{number}.mp4" for label in ("train", "bus") for number in range(3)])
    assert load(tmp_path).labels == ("bus", "train")


def test_folders_of_frame_images_are_videos_inside_classes(tmp_path: Path) -> None:
    touch(tmp_path, [f"{label}/{clip}/{frame:05}.jpg" for label in "ab" for clip in "xy" for frame in range(3)])
    touch(tmp_path, ["a/film.mp4", "a/film.jpg"])
    assert [item.name for item in load(tmp_path).items] == ["a/film.mp4", "a/x", "a/y", "b/x", "b/y"]


def test_classes_that_are_numbers_are_ordered_as_numbers(tmp_path: Path) -> None:
    touch(tmp_path, [f"{label}/{number}.mp4" for label in (10, 9, 2) for number in range(2)])
    assert load(tmp_path).labels == ("2", "9", "10")


def test_a_table_gives_splits_groups_and_stretches(tmp_path: Path) -> None:
    touch(tmp_path, ["a.mp4", "sub/b c.mp4"])
    table = write_list(
        tmp_path / "labels.csv",
        "Path,comment,label,split,group,start,end",
        'a.mp4,"first, or so",run,training,g1,,',
        "sub/b c.mp4,,walk,validate,g2,1.5,4",
        "sub/b c.mp4,,run,test,g2,4,",
    )
    manifest = load(tmp_path)
    assert manifest.items == load(table).items
    assert [item.key for item in manifest.items] == ["a.mp4", "sub/b c.mp4@1.5-4", "sub/b c.mp4@4-"]
    assert manifest.of("val") == (
        Item(tmp_path / "sub/b c.mp4", "walk", "val", "g2", start=1.5, end=4.0, name="sub/b c.mp4"),
    )
    assert "val and test share group g2 (1 group)" in manifest.notes
    assert "val and test share video sub/b c.mp4 (1 video)" in manifest.notes


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_table_may_use_semicolons_or_tabs_and_a_byte_order_mark(tmp_path: Path, separator: str) -> None:
    touch(tmp_path, ["a.mp4", "b.mp4"])
    lines = ("path,label,split", "a.mp4,x,train", "b.mp4,y,val")
    table = write_list(tmp_path / "t.csv", "\ufeff" + "\r\n".join(line.replace(",", separator) for line in lines))
    assert load(table).class_counts("val") == (0, 1)


def test_the_order_of_lines_changes_nothing(tmp_path: Path) -> None:
    touch(tmp_path, [f"{number}.mp4" for number in range(20)])
    lines = [f"{number}.mp4,{'even' if number % 2 == 0 else 'odd'}" for number in range(20)]
    table = tmp_path / "t.csv"
    forward = load(write_list(table, "path,label", *lines))
    assert load(write_list(table, "path,label", *reversed(lines))) == forward


def test_several_labels_become_ones_at_their_places(tmp_path: Path) -> None:
    touch(tmp_path, ["a.mp4", "b.mp4", "c.mp4"])
    table = write_list(tmp_path / "t.csv", "path,label,split", "a.mp4,run; jump,train", "b.mp4,,train", "c.mp4,sit,val")
    manifest = load(table, task="multilabel")
    assert manifest.labels == ("jump", "run", "sit")
    assert [manifest.target(item) for item in manifest.items] == [(1, 1, 0), (0, 0, 0), (0, 0, 1)]
    assert manifest.class_counts("train") == (1, 1, 0)
    assert "no training video for 1 class: sit" in manifest.notes
    table.write_text(table.read_text().replace("b.mp4,,", "b.mp4,sit,"))
    assert "one class each: 'run; jump'; several labels per video are --task multilabel" in load(table).notes


def test_a_regression_reads_every_column_of_numbers_or_those_of_the_weights(tmp_path: Path) -> None:
    touch(tmp_path, ["a.mp4", "b.mp4"])
    table = write_list(tmp_path / "t.csv", "path,Angle,speed,split", "a.mp4,12.5,-3e-1,train", "b.mp4,0,1,val")
    manifest = load(table, task="regression")
    assert manifest.labels == ("Angle", "speed")
    assert [manifest.target(item) for item in manifest.items] == [(12.5, -0.3), (0.0, 1.0)]
    assert load(table, task="regression", labels=("speed",)).items[0].label == (-0.3,)
    with pytest.raises(DataError, match="no classes to count"):
        manifest.class_counts("train")
    write_list(table, "path,angle", "a.mp4,12.5", "b.mp4,steep")
    with pytest.raises(DataError, match=r"t\.csv:3: angle is 'steep'; it must be a number"):
        load(table, task="regression")


def test_the_order_of_the_weights_classes_is_kept(tmp_path: Path) -> None:
    touch(tmp_path, ["a/1.mp4", "a/2.mp4", "b/3.mp4", "b/4.mp4"])
    manifest = load(tmp_path, labels=("z", "b", "a"))
    assert manifest.labels == ("z", "b", "a") and manifest.target(manifest.items[0]) == 2
    with pytest.raises(DataError, match=r"label 'b' is not among the 2 class names \(2 such labels\)"):
        load(tmp_path, labels=("a", "c"))


def test_one_class_is_enough_to_evaluate_but_not_to_learn(tmp_path: Path) -> None:
    touch(tmp_path, ["a/1.mp4", "a/2.mp4"])
    assert load(tmp_path, labels=("a", "b")).class_counts("all") == (2, 0)
    with pytest.raises(DataError, match=r"all 2 videos of .* have the same class, 'a'"):
        load(tmp_path)


@pytest.mark.parametrize("task", ["classes", "multilabel", "regression"])
def test_a_written_table_reads_back_identically(tmp_path: Path, task: Task) -> None:
    data = touch(tmp_path / "data", ["x/a, b.mp4", "x/c.mp4", "é/d.mp4", "é/e.mp4"])
    labels = {
        "classes": ("label", "walk", "run", "walk", "run"),
        "multilabel": ("label", "b;a", "", "c", "a"),
        "regression": ("n,m", "0.1,1e-30", "2,3", "4,5", "6,7"),
    }[task]
    table = write_list(
        data / "labels.csv",
        f"path,{labels[0]},group,start,end",
        f'"x/a, b.mp4",{labels[1]},g 1,0.1,1234567.89',
        f"x/c.mp4,{labels[2]},,,3",
        f"é/d.mp4,{labels[3]},,,",
        f"é/e.mp4,{labels[4]},,,",
    )
    order = {"classes": ("walk", "run", "unused"), "multilabel": ("c", "b", "a"), "regression": None}[task]
    manifest = load(table, task=task, labels=order)
    for place in (data / "again.csv", tmp_path / "run" / "table.csv"):
        write(manifest, place)
        again = load(place, task=task)
        assert (again.items, again.labels, again.task) == (manifest.items, manifest.labels, task)
        assert [path.name for path in place.parent.iterdir() if path.name.startswith(".")] == []
    text = (data / "again.csv").read_text(encoding="utf-8")
    assert text.startswith(f"path,{labels[0]},split,group,start,end\n") and str(tmp_path) not in text


def test_a_table_that_cant_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    touch(tmp_path, ["a/1.mp4", "a/2.mp4", "b/3.mp4", "b/4.mp4"])
    manifest = load(tmp_path, task="multilabel")
    write(manifest, tmp_path / "t.csv")
    before = (tmp_path / "t.csv").read_text(encoding="utf-8")
    with pytest.raises(DataError, match="rename it"):
        write(replace(manifest, labels=("a;b", "c")), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == before


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "holds no videos; make one folder per class"),
        (["a.mp4", "b.mp4"], "holds 2 videos and no class folders"),
        (["a/1.mp4", "b/readme.txt"], "class folder .*b holds no videos"),
        (["train/a/1.mp4", "val/a/notes.txt"], "class folder .*val/a holds no videos"),
        (["a/0001.jpg", "b/1.mp4"], "holds images; put the frames of each video into a separate folder"),
        (["a/1.mp4", "b/1.mp4"], "no validation videos can be set aside"),
    ],
)
def test_a_folder_that_cant_be_used_says_why(tmp_path: Path, files: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(touch(tmp_path, files))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["path,class", "a.mp4,x"], r"t\.csv:1: no column 'label' among path, class"),
        (["file,label", "a.mp4,x"], r"t\.csv:1: the header has 'file' but no 'path'"),
        (["path,label", "a.mp4,x,y"], r"t\.csv:2: 3 fields but the header has 2"),
        (["path,label", "", "a.mp4,"], r"t\.csv:3: the label is empty"),
        (["path,label", ",x"], r"t\.csv:2: the path is empty"),
        (["path,label,split", "a.mp4,x,dev"], r"t\.csv:2: split 'dev' is unknown"),
        (["path,label,start", "a.mp4,x,soon"], r"t\.csv:2: start is 'soon'; it must be a number"),
        (["path,label,start", "a.mp4,x,nan"], r"t\.csv:2: start is 'nan'"),
        (["path,label,start,end", "a.mp4,x,4,4"], r"t\.csv:2: start 4\.0 and end 4\.0; seconds must be"),
        (["path,label,start", "a.mp4,x,-1"], r"t\.csv:2: start -1\.0"),
        (["path,label", "a.mp4,x", "./a.mp4,y"], r"listed twice: 1 video: a\.mp4 \(.*:2 and .*:3\)"),
        (["path,label,split", "a.mp4,x,train", "b.mp4,y,"], r"1 of 2 videos have no split: b\.mp4"),
        (["path,label", "a.mp4,x", "no.mp4,x", "nor.mp4,y"], r"2 of 3 listed .* no\.mp4 \(.*t\.csv:3\), nor\.mp4"),
        (["path,label"], "lists no videos"),
        ([], "is empty; write a header"),
    ],
)
def test_a_table_that_cant_be_used_says_where_and_why(tmp_path: Path, lines: list[str], message: str) -> None:
    touch(tmp_path, ["a.mp4", "b.mp4"])
    with pytest.raises(DataError, match=message):
        load(write_list(tmp_path / "t.csv", *lines))


def test_a_wrong_path_suggests_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "gestures").mkdir()
    with pytest.raises(DataError, match="does not exist; did you mean gestures"):
        load(tmp_path / "gesture")
    with pytest.raises(DataError, match="does not exist"):
        load(tmp_path / "gestures" / "very" / "far")
    with pytest.raises(DataError, match="is one video"):
        load(touch(tmp_path, ["a.mp4"]) / "a.mp4")


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("path,label\na.mp4,é\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"t\.csv: byte 17 is not UTF-8"):
        load(tmp_path / "t.csv")


def test_missing_videos_can_be_left_out_with_a_note(tmp_path: Path) -> None:
    touch(tmp_path, ["a.mp4", "b.mp4"])
    table = write_list(tmp_path / "t.csv", "path,label,split", "a.mp4,x,train", "b.mp4,y,val", "gone.mp4,x,train")
    manifest = load(table, missing="drop")
    assert len(manifest.items) == 2
    assert any("left out: 1 listed video that can't be found: gone.mp4" in note for note in manifest.notes)
    write_list(table, "path,label", "gone.mp4,x")
    with pytest.raises(DataError, match="1 of 1 listed videos do not exist"):
        load(table, missing="drop")


def test_an_empty_or_unknown_split_is_named(tmp_path: Path) -> None:
    manifest = load(touch(tmp_path, ["val/a/1.mp4", "val/b/2.mp4"]))
    with pytest.raises(DataError, match="has no train videos, only val"):
        manifest.of("train")
    with pytest.raises(DataError, match="split 'dev' is unknown"):
        manifest.of("dev")


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real videos is absent")
@pytest.mark.parametrize(("name", "items", "classes"), [("gestures10", 433, 10), ("tankwagon", 456, 4)])
def test_real_data_sets_are_read_with_their_tables(name: str, items: int, classes: int) -> None:
    manifest = load(REAL / name)
    assert (len(manifest.items), len(manifest.labels), manifest.splits) == (items, classes, ("train", "val"))
    shares = [note for note in manifest.notes if note.startswith("train and val share group")]
    assert len(shares) == (name == "tankwagon")
