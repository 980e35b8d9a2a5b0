"""Lists that give time ranges in frames: UCF-Crime's list and Label Studio's timelines."""

import json
from pathlib import Path

import pytest

from tests import made_videos
from tests.data.test_manifest import write_list
from timesformer.data.manifest import DataError, Manifest, load, write


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Three videos of 2 seconds at 10 frames per second."""
    for name in ("a", "b", "c"):
        made_videos.write(tmp_path / f"{name}.mp4", frames=20, fps=10)
    return tmp_path


def ranges(manifest: Manifest) -> list[tuple[str, object, float | None, float | None]]:
    return [
        (i.name, i.label, *(None if time is None else round(time, 6) for time in (i.start, i.end)))
        for i in manifest.items
    ]


def test_ucf_crimes_ranges_become_seconds_of_the_file(clips: Path) -> None:
    lines = ("a.mp4  Abuse  0  5  10  15  ", "b.mp4  Arson  4  20  -1  -1", "c.mp4  Normal  -1  -1  -1  -1")
    manifest = load(write_list(clips / "test.txt", *lines))
    assert ranges(manifest) == [
        ("a.mp4", "Abuse", 0.0, 0.5),
        ("a.mp4", "Abuse", 1.0, 1.5),
        ("b.mp4", "Arson", 0.4, None),
        ("c.mp4", "Normal", None, None),
    ]
    assert "3 time ranges in frames converted by each file's frame times" in manifest.notes
    written = clips / "written.csv"
    write(manifest, written)
    assert ranges(load(written)) == ranges(manifest)


def test_a_file_that_ends_before_its_range_is_used_whole_with_a_note(clips: Path) -> None:
    lines = ("a.mp4  Abuse  0  5  10  15", "b.mp4  Arson  4  21  -1  -1", "c.mp4  Arson  100  200  300  400")
    manifest = load(write_list(clips / "list.txt", *lines))
    assert ranges(manifest)[2:] == [("b.mp4", "Arson", None, None), ("c.mp4", "Arson", None, None)]
    (note,) = (note for note in manifest.notes if "used whole" in note)
    assert note.startswith("2 videos used whole") and note.endswith("b.mp4, c.mp4")


@pytest.mark.parametrize("numbers", ["5  5  -1  -1", "6  5  -1  -1", "-1  5  -1  -1", "0  5  9  -1"])
def test_a_range_that_does_not_end_after_its_start_is_refused(clips: Path, numbers: str) -> None:
    with pytest.raises(DataError, match=r"list\.txt:2: .* has a time range whose end is not after its start"):
        load(write_list(clips / "list.txt", "a.mp4  Abuse  0  5  -1  -1", f"b.mp4  Arson  {numbers}"))


def timeline(*labelled: tuple[str, int, int]) -> list[dict[str, object]]:
    return [
        {"type": "timelinelabels", "value": {"ranges": [{"start": first, "end": last}], "timelinelabels": [label]}}
        for label, first, last in labelled
    ]


def export(folder: Path, form: str, tasks: dict[str, list[dict[str, object]]]) -> Path:
    """An export of Label Studio in JSON or JSON-MIN: results of one annotation for each video."""
    if form == "JSON":
        content = [
            {"id": 1, "data": {"video": f"/data/upload/1/1a2b3c4d-{name}"}, "annotations": [{"result": result}]}
            for name, result in tasks.items()
        ]
    else:
        content = [
            {"video": f"/data/upload/1/1a2b3c4d-{name}", "annotation_id": 1, "annotator": 1, "lead_time": 9.0}
            | {"videoLabels": [part["value"] for part in result]}
            for name, result in tasks.items()
        ]
    path = folder / "export_test.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("form", ["JSON", "JSON-MIN"])
def test_label_studios_timelines_count_frames_from_one_and_include_the_last(clips: Path, form: str) -> None:
    tasks = {
        "a.mp4": timeline(("walk", 1, 5), ("run", 11, 15)),
        "b.mp4": timeline(("run", 5, 20)),
        "c.mp4": timeline(("walk", 1, 1)),
    }
    manifest = load(export(clips, form, tasks))
    assert ranges(manifest) == [
        ("a.mp4", "walk", 0.0, 0.5),
        ("a.mp4", "run", 1.0, 1.5),
        ("b.mp4", "run", 0.4, None),
        ("c.mp4", "walk", 0.0, 0.1),
    ]


def test_a_timeline_without_usable_ranges_is_left_out_with_a_note(clips: Path) -> None:
    tasks = {
        "a.mp4": timeline(("walk", 1, 5)),
        "b.mp4": timeline(("run", 5, 20)),
        "c.mp4": timeline(("run", 0, 3)),  # frames are counted from 1
    }
    manifest = load(export(clips, "JSON", tasks))
    assert [name for name, *_ in ranges(manifest)] == ["a.mp4", "b.mp4"]
    assert "left out: 1 entry of export_test.json without a label" in manifest.notes
