"""The benchmarks' own lists are read as published; the lines here have their real form."""

import json
from pathlib import Path

import pytest

from tests.data.test_manifest import names, touch, write_list
from timesformer.data.manifest import DataError, load


def dump(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_headerless_list_takes_spaces_commas_and_spaces_in_paths(tmp_path: Path) -> None:
    touch(tmp_path, ["air drumming/a b.mp4", "c.mp4", "d.avi", "clip_9"])
    table = write_list(
        tmp_path / "mine.csv", "air drumming/a b.mp4 0", "c.mp4,1", '"d.avi", 12', "clip_9 1", ""
    )  # the last has no suffix and is there as it is
    manifest = load(table)
    assert [(item.name, manifest.target(item)) for item in manifest.items] == [
        ("air drumming/a b.mp4", 0),
        ("c.mp4", 1),
        ("clip_9", 1),
        ("d.avi", 12),
    ]
    assert manifest.labels == tuple(str(index) for index in range(13))


def test_a_folder_of_headerless_lists_takes_the_split_from_each_name(tmp_path: Path) -> None:
    touch(tmp_path / "videos", ["x/-3B32lodo2M.mp4", "b.webm", "c.mp4"])
    write_list(tmp_path / "lists" / "train.csv", "-3B32lodo2M 0", "b 1")
    write_list(tmp_path / "lists" / "val.csv", "c.mp4 1")
    write_list(tmp_path / "lists" / "test.csv", "c.mp4 1")
    write_list(tmp_path / "lists" / "classes.txt", "abseiling", "air drumming")
    manifest = load(tmp_path / "lists", videos=tmp_path / "videos")
    assert names(manifest, "train") == ["b.webm", "x/-3B32lodo2M.mp4"] and names(manifest, "test") == ["c.mp4"]
    assert [item.label for item in manifest.items] == ["air drumming", "air drumming", "abseiling"]
    assert "the test list repeats the validation list" in manifest.notes


def test_a_video_in_two_splits_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, ["a.mp4", "b.mp4"])
    write_list(tmp_path / "train.csv", "a.mp4 0", "b.mp4 1")
    write_list(tmp_path / "val.csv", "b.mp4 1")
    with pytest.raises(DataError, match=r"listed twice: 1 video: b\.mp4 \(.*train\.csv:2 and .*val\.csv:1\)"):
        load(tmp_path)


def test_numbers_in_a_list_are_positions_among_the_weights_classes(tmp_path: Path) -> None:
    touch(tmp_path, ["a.mp4", "b.mp4"])
    table = write_list(tmp_path / "val.csv", "a.mp4 2", "b.mp4 0")
    manifest = load(table, labels=("x", "y", "z"))
    assert [(item.label, manifest.target(item)) for item in manifest.items] == [("z", 2), ("x", 0)]
    with pytest.raises(DataError, match=r"val\.csv:1: label 2 but there are 2 class names"):
        load(table, labels=("x", "y"))
    write_list(table, "a.mp4")
    with pytest.raises(DataError, match=r"val\.csv:1: 'a\.mp4' is not a path and a label"):
        load(table)
    write_list(table, "a.mp4 0", "b.mp4 q", "c.mp4 1")
    with pytest.raises(DataError, match=r"val\.csv:2: label 'q', but most labels of the list are class indices"):
        load(table)


KINETICS = ("label,youtube_id,time_start,time_end,split", "testifying,---QUuC4vJs,84,94,validate")


def test_kinetics_prefers_cut_files_and_else_keeps_the_time_range(tmp_path: Path) -> None:
    touch(
        tmp_path / "v", ["testifying/---QUuC4vJs_000084_000094.mp4", "--GkrdYZ9Tc.mkv", "--nQbRBEz2s_000104_000114.mp4"]
    )
    write_list(tmp_path / "k700_validate.csv", *KINETICS, "washing feet,--GkrdYZ9Tc,0,10,validate")
    write_list(tmp_path / "k700_train.csv", KINETICS[0], '"air drumming",--nQbRBEz2s,104,114,train')
    write_list(tmp_path / "k700_test.csv", "youtube_id,time_start,time_end,split", "--cc2mTjHFY,1,11,test")
    manifest = load(tmp_path, videos=tmp_path / "v")
    assert [item.key for item in manifest.items] == [
        "--GkrdYZ9Tc.mkv@0-10",
        "--nQbRBEz2s_000104_000114.mp4",
        "testifying/---QUuC4vJs_000084_000094.mp4",
    ]
    assert [(item.split, item.group) for item in manifest.items[:2]] == [
        ("val", "--GkrdYZ9Tc"),
        ("train", "--nQbRBEz2s"),
    ]
    assert "left out: 1 video of k700_test.csv without a label" in manifest.notes


def test_vanished_kinetics_videos_are_counted_or_dropped(tmp_path: Path) -> None:
    touch(tmp_path, ["a_000000_000010.mp4", "b_000000_000010.mp4"])
    lines = ("run,a,0,10,train", "walk,b,0,10,val", "walk,gone,0,10,train")
    table = write_list(tmp_path / "k.csv", KINETICS[0], *lines)
    with pytest.raises(DataError, match=r"1 of 3 listed videos do not exist below .*: gone \(.*k\.csv:4\)"):
        load(table)
    assert len(load(table, missing="drop").items) == 2


def test_a_kinetics_line_without_a_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"k\.csv:3: the youtube_id is empty"):
        load(write_list(tmp_path / "k.csv", *KINETICS, "run,,0,10,train"))


def test_a_name_that_two_videos_answer_to_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, ["x/a.mp4", "y/a.webm"])
    with pytest.raises(DataError, match=r"k\.csv:2: 'a' is 2 videos below"):
        load(write_list(tmp_path / "k.csv", KINETICS[0], "run,a,0,10,train"))


def something(folder: Path) -> Path:
    labels = {"Holding something next to something": "1", "Moving something up": "0"}
    dump(folder / "something-something-v2-labels.json", labels)
    entry = {
        "id": "78687",
        "label": "holding potato next to vicks vaporub bottle",
        "placeholders": ["potato", "bottle"],
    }
    dump(
        folder / "something-something-v2-train.json", [entry | {"template": "Holding [something] next to [something]"}]
    )
    dump(folder / "something-something-v2-validation.json", [{"id": "117478", "template": "Moving [something] up"}])
    dump(folder / "something-something-v2-test.json", [{"id": "1420"}, {"id": "1421", "template": None}])
    return folder


def test_something_something_reads_templates_files_and_frame_folders(tmp_path: Path) -> None:
    videos = touch(tmp_path / "v", ["78687.webm", "117478/00001.jpg", "117478/00002.jpg", "1420.webm", "1421.webm"])
    folder = something(tmp_path / "labels")
    manifest = load(folder, videos=videos)
    assert manifest.labels == ("Moving something up", "Holding something next to something")
    assert [(i.name, i.split, manifest.target(i)) for i in manifest.items] == [
        ("117478", "val", 0),
        ("78687.webm", "train", 1),
    ]
    assert "left out: 2 videos of something-something-v2-test.json without a label" in manifest.notes
    write_list(folder / "test-answers.csv", "1420;Moving something up", "1421;Holding something next to something")
    assert names(load(folder, videos=videos), "test") == ["1420.webm", "1421.webm"]


def test_something_something_says_what_its_files_lack(tmp_path: Path) -> None:
    folder = something(tmp_path)
    train = folder / "something-something-v2-train.json"
    dump(train, [{"id": "1", "template": "Moving [something] upp"}])
    with pytest.raises(
        DataError, match=r"v2-train\.json, entry 1: label 'Moving something upp' .* did you mean 'Moving so"
    ):
        load(train)
    dump(train, [{"id": "1", "template": "Moving [something] up"}, 7])
    with pytest.raises(DataError, match=r"v2-train\.json, entry 2: 7 is not an object"):
        load(train)
    dump(train, [{"id": "1", "template": "Moving [something] up"}])
    dump(folder / "something-something-v2-labels.json", {"A": "0", "B": "7"})
    with pytest.raises(DataError, match="2 labels not numbered 0 to 1"):
        load(train)
    (folder / "something-something-v2-labels.json").unlink()
    with pytest.raises(DataError, match="has no label file"):
        load(train)
    dump(train, [])
    with pytest.raises(DataError, match=r"v2-train\.json lists no videos"):
        load(train)
    train.write_text('[{"id": "1",\n "template" }]', encoding="utf-8")
    with pytest.raises(DataError, match=r"v2-train\.json:2: not JSON"):
        load(train)


def test_diving_takes_whole_videos_and_keeps_recordings_together(tmp_path: Path) -> None:
    dives = [{"vid_name": f"rec{n // 4}_{n:05d}", "label": n % 2, "start_frame": 0, "end_frame": 48} for n in range(24)]
    touch(tmp_path / "rgb", [f"{dive['vid_name']}.mp4" for dive in dives])
    dump(tmp_path / "Diving48_V2_train.json", dives[:20])
    dump(tmp_path / "Diving48_V2_test.json", dives[20:])
    dump(tmp_path / "Diving48_vocab.json", [["Back", "15som", "05Twis", "FREE"], ["Back", "15som", "15Twis", "FREE"]])
    manifest = load(tmp_path, videos=tmp_path / "rgb")
    assert manifest.labels == ("Back 15som 05Twis FREE", "Back 15som 15Twis FREE")
    assert manifest.class_counts("val") == (2, 2)
    (recording,) = {item.group for item in manifest.of("val")}
    assert recording.startswith("rec") and recording not in {item.group for item in manifest.of("train")}
    assert {item.start for item in manifest.items} == {None} and len(manifest.of("test")) == 4
    dump(tmp_path / "Diving48_vocab.json", [["Back"], 2])
    with pytest.raises(DataError, match=r"Diving48_vocab\.json, entry 2: 2 is not a list of strings"):
        load(tmp_path)
    dump(tmp_path / "Diving48_V2_test.json", [{"vid_name": "x"}])
    with pytest.raises(DataError, match="entry 1: no 'vid_name' or no 'label'"):
        load(tmp_path)


def test_howto100m_takes_the_task_as_class(tmp_path: Path) -> None:
    touch(tmp_path, ["v/nVbIUDjzWY4.webm", "v/CTPAZ2euJ2Q.mp4"])
    table = write_list(
        tmp_path / "HowTo100M_subset_train.csv",
        "video_id,category_1,category_2,rank,task_id,split",
        "nVbIUDjzWY4,Cars & Other Vehicles,Motorcycles,27,52907,train",
        "CTPAZ2euJ2Q,Cars & Other Vehicles,Motorcycles,35,109057,val",
    )
    manifest = load(table)
    assert manifest.labels == ("52907", "109057") and names(manifest, "val") == ["v/CTPAZ2euJ2Q.mp4"]


def ucf(folder: Path) -> Path:
    clips = [f"YoYo/v_YoYo_g{g:02d}_c01.avi" for g in range(1, 8)] + [
        f"Archery/v_Archery_g{g:02d}_c01.avi" for g in range(1, 8)
    ]
    touch(folder, clips)
    lists = folder / "lists"
    write_list(lists / "classInd.txt", "1 YoYo", "2 Archery")
    write_list(
        lists / "trainlist01.txt", *(f"{clip} {1 if 'YoYo' in clip else 2}" for clip in clips if "g01" not in clip)
    )
    write_list(lists / "testlist01.txt", *(clip for clip in clips if "g01" in clip))
    write_list(lists / "trainlist02.txt", "YoYo/v_YoYo_g01_c01.avi 1", "YoYo/v_YoYo_g03_c01.avi 1")
    write_list(lists / "testlist02.txt", "YoYo/v_YoYo_g02_c01.avi")
    return lists


def test_ucf101_keeps_its_order_of_classes_its_folds_and_its_recordings(tmp_path: Path) -> None:
    lists = ucf(tmp_path)
    manifest = load(lists, videos=tmp_path)
    assert manifest.labels == ("YoYo", "Archery") and manifest.class_counts("test") == (1, 1)
    assert manifest.class_counts("val") == (1, 1) and manifest.of("val")[0].group.startswith("Archery g")
    assert load(lists / "trainlist01.txt", videos=tmp_path).items == manifest.items
    second = load(lists / "trainlist02.txt", videos=tmp_path, labels=manifest.labels)
    assert names(second, "test") == ["YoYo/v_YoYo_g02_c01.avi"]
    assert second.notes[0] == "fold 2 of the lists in lists (--fold for another)" and second.fold == 2
    with pytest.raises(DataError, match=r"no lists of fold 4; choose one of \[1, 2\]"):
        load(lists, videos=tmp_path, fold=4)
    write_list(lists / "trainlist01.txt", "YoYo/v_YoYo_g01_c01.avi 2")
    with pytest.raises(DataError, match=r"trainlist01\.txt:1: .* disagrees with classInd\.txt"):
        load(lists, videos=tmp_path)


def test_a_fold_is_refused_where_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fold is 2, but .* is no split list"):
        load(touch(tmp_path, ["a/1.mp4", "b/2.mp4"]), fold=2)


def test_hmdb51_reads_train_test_and_leaves_the_rest(tmp_path: Path) -> None:
    for label in ("brush_hair", "wave"):
        clips = [f"#{number}_{label}_u_nm_np1_ba_goo_0.avi" for number in range(8)]
        touch(tmp_path, [f"{label}/{clip}" for clip in clips])
        uses = (1, 1, 1, 1, 1, 2, 2, 0)
        lines = (f"{clip} {use} " for clip, use in zip(clips, uses, strict=True))
        write_list(tmp_path / "splits" / f"{label}_test_split1.txt", *lines)
    manifest = load(tmp_path / "splits", videos=tmp_path)
    assert manifest.labels == ("brush_hair", "wave")
    assert [manifest.class_counts(split) for split in ("train", "val", "test")] == [(4, 4), (1, 1), (2, 2)]
    write_list(tmp_path / "splits" / "wave_test_split1.txt", "a.avi 3")
    with pytest.raises(DataError, match=r"wave_test_split1\.txt:1: 'a\.avi 3' is not a video name"):
        load(tmp_path / "splits", videos=tmp_path)


def test_lists_of_several_formats_in_one_folder_are_refused(tmp_path: Path) -> None:
    write_list(tmp_path / "train.csv", *KINETICS)
    write_list(tmp_path / "val.csv", "a.mp4 0")
    with pytest.raises(DataError, match=r"several formats \(train\.csv: Kinetics, val\.csv: plain list\)"):
        load(tmp_path)


def test_a_regression_needs_numbers(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a regression needs a table with columns of numbers"):
        load(touch(tmp_path, ["a/1.mp4", "b/2.mp4"]), task="regression")
