"""The benchmarks' own lists, read as they are published: Kinetics, HowTo100M, Something-Something-V2, Diving-48,
UCF101 and HMDB51. Each reader's docstring shows the real format."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from timesformer.data.files import is_video_name
from timesformer.data.formats.tables import class_names, read_lines, read_text, records, times
from timesformer.data.items import DataError, Listing, Row, counted, split_in_name, split_of


def kinetics(path: Path) -> Listing:
    """Read an official Kinetics list: YouTube identifiers and seconds.

    ::

        label,youtube_id,time_start,time_end,split
        testifying,---QUuC4vJs,84,94,validate

    A video is named ``---QUuC4vJs_000084_000094.mp4`` if it has been trimmed to its time range, as the common
    downloads are; ``---QUuC4vJs.mp4`` is the whole upload, of which only these seconds are used. Rows of a test list
    without labels are left out and counted. Some downloads have pixels that aren't square (such as 64:51), which are
    made square before the short side is resized.
    """
    rows, unlabelled = [], 0
    for where, record in records(path):
        start, end = times(record, where, start="time_start", end="time_end")
        if not record.get("label"):
            unlabelled += 1
            continue
        name = record["youtube_id"]
        if not name:
            raise DataError(f"{where}: the youtube_id is empty; name a video or remove the line.")
        cut = "" if start is None or end is None else f"{name}_{int(start):06d}_{int(end):06d}"
        split = split_of(record.get("split", ""), where) or split_in_name(path)
        rows.append(Row(name, record["label"], where, split, name, start, end, cut))
    return Listing(tuple(rows), path.parent, labels=class_names(path), search=True, notes=_left_out(unlabelled, path))


def howto100m(path: Path) -> Listing:
    """Read a subset of HowTo100M's table, for task classification of long videos.

    ::

        video_id,category_1,category_2,rank,task_id
        nVbIUDjzWY4,Cars & Other Vehicles,Motorcycles,27,52907

    Taken are ``video_id`` (the file's name), ``task_id`` (the class) and, if present, split, start and end in
    seconds; the whole video otherwise. Other columns are ignored.
    """
    rows = []
    for where, record in records(path):
        start, end = times(record, where, start="start", end="end")
        split = split_of(record.get("split", ""), where) or split_in_name(path)
        rows.append(Row(record["video_id"], record["task_id"], where, split, record["video_id"], start, end))
    return Listing(tuple(rows), path.parent, labels=class_names(path), search=True)


def _left_out(count: int, path: Path) -> tuple[str, ...]:
    return (f"left out: {counted(count, 'video')} of {path.name} without a label",) if count else ()


def read_json(path: Path) -> Any:
    """Return the parsed file; raises :class:`DataError` with the line where it isn't JSON."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg}); download the file again.") from error
    except RecursionError:
        raise DataError(
            f"{path}: its brackets are nested too deeply for a list of videos; name another file."
        ) from None
    except ValueError as error:  # a number of thousands of digits
        raise DataError(f"{path} holds a number that can't be read ({error}); correct it.") from None


def entries(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the entries of a JSON list, each with "file, entry n" for messages."""
    listed = read_json(path)
    numbered = [(f"{path}, entry {number}", entry) for number, entry in enumerate(listed, start=1)]
    for where, entry in numbered:
        if not isinstance(entry, dict):
            raise DataError(
                f"{where}: {entry!r:.40} is not an object in braces, as every entry must be; correct or remove it."
            )
    return numbered


def _templates(folder: Path) -> tuple[str, ...]:
    """Class names in order from the label file, {"Approaching something with your camera": "0", ...}."""
    for file in sorted(folder.glob("*labels*.json")):
        content = read_json(file)
        if not isinstance(content, dict):
            continue
        positions = {str(position): name for name, position in content.items()}
        if set(positions) != set(map(str, range(len(content)))):
            raise DataError(f"{file}: {len(content)} labels not numbered 0 to {len(content) - 1}; download again.")
        return tuple(positions[str(index)] for index in range(len(positions)))
    raise DataError(f"{folder} has no label file (something-something-v2-labels.json, or labels.json); put it there.")


def something(path: Path) -> Listing:
    """Read a list of Something-Something-V2; the label file in the same folder gives the order of the classes.

    ::

        [{"id":"78687","label":"holding potato next to vicks vaporub bottle",
          "template":"Holding [something] next to [something]","placeholders":["potato","vicks vaporub bottle"]}, ...]

    The class is the template without brackets. A video is ``78687.webm``, or a folder ``78687`` of frame images.
    The test list has identifiers only (``{"id":"1420"}``); its labels come from ``test-answers.csv``
    (``1420;Throwing something``) where that is present, and its videos are left out otherwise.
    """
    answers: dict[str, str] = {}
    if (file := path.parent / "test-answers.csv").is_file():
        lines = (line.partition(";") for _, line in read_lines(file))
        answers = {name.strip(): label.strip() for name, _, label in lines}
    rows, unlabelled = [], 0
    for where, entry in entries(path):
        if not entry.get("id"):
            raise DataError(f"{where}: no 'id'; every video needs one.")
        label = str(entry.get("template") or "").replace("[", "").replace("]", "") or answers.get(str(entry["id"]), "")
        if label:
            rows.append(Row(str(entry["id"]), label, where, split_in_name(path)))
        else:
            unlabelled += 1
    labels = _templates(path.parent)
    return Listing(tuple(rows), path.parent, labels=labels, search=True, notes=_left_out(unlabelled, path))


def diving(path: Path) -> Listing:
    """Read a list of Diving-48 (V2).

    ::

        [{"vid_name": "-mmq0PT-u8k_00155", "label": 0, "start_frame": 0, "end_frame": 48}, ...]

    The published videos (``-mmq0PT-u8k_00155.mp4``) are already trimmed to one dive, so the whole video is used and the
    frame numbers are ignored. The dives of one recording (``-mmq0PT-u8k``) are a
    group. Class names come from ``Diving48_vocab.json`` (``[["Back", "15som", "05Twis", "FREE"], ...]``) if it
    is in the same folder, joined by spaces.
    """
    rows = []
    for where, entry in entries(path):
        if not entry.get("vid_name") or entry.get("label") in (None, ""):
            raise DataError(f"{where}: no 'vid_name' or no 'label'; every dive needs both.")
        name = str(entry["vid_name"])
        rows.append(Row(name, str(entry["label"]), where, split_in_name(path), group=name.rpartition("_")[0]))
    vocabulary = next(iter(sorted(path.parent.glob("*vocab*.json"))), None)
    labels = _vocabulary(vocabulary) if vocabulary else class_names(path)
    return Listing(tuple(rows), path.parent, labels=labels, indexed=True, search=True)


def _vocabulary(path: Path) -> tuple[str, ...]:
    """Return the class names in order, joined from their four parts."""
    names, content = [], read_json(path)
    for number, parts in enumerate(content if isinstance(content, list) else [content], start=1):
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            raise DataError(
                f"{path}, entry {number}: {parts!r:.40} is not a list of strings, as every class is; download it again."
            )
        names.append(" ".join(parts))
    return tuple(names)


def _fold_files(files: Sequence[Path], fold: int, *, folder: Path) -> list[Path]:
    """Return the files of a fold, by the number at the end of their names."""
    numbers = {file: int(re.findall(r"\d+", file.stem)[-1]) for file in files}
    chosen = sorted(file for file, number in numbers.items() if number == fold)
    if not chosen:
        raise DataError(f"{folder} has no lists of fold {fold}; choose one of {sorted(set(numbers.values()))}.")
    return chosen


def ucf101(folder: Path, *, fold: int = 1) -> Listing:
    """Read the split lists of UCF101: ``classInd.txt``, ``trainlist01.txt`` and ``testlist01.txt`` for fold 1.

    ::

        1 ApplyEyeMakeup                                       classInd.txt
        ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1          trainlist01.txt
        ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi            testlist01.txt

    The class is the folder's name, in the order of classInd.txt. The clips of one recording (``g08`` of a class) are
    a group.
    """
    labels = tuple(line.split(maxsplit=1)[-1] for _, line in read_lines(folder / "classInd.txt"))
    rows = []
    for file in _fold_files(sorted(folder.glob("t*list[0-9][0-9].txt")), fold, folder=folder):
        for where, line in read_lines(file):
            name, *position = line.split()
            label = name.rpartition("/")[0].rpartition("/")[2]
            if label not in labels or (position and position[0] != str(labels.index(label) + 1)):
                raise DataError(f"{where}: {line!r} disagrees with classInd.txt; take both files from one release.")
            group = re.search(r"_(g\d+)_c\d+", name)
            split = "train" if file.name.startswith("train") else "test"
            rows.append(Row(name, label, where, split, f"{label} {group[1]}" if group else ""))
    return Listing(tuple(rows), folder, labels=labels, search=True)


_HMDB_SPLITS = {"1": "train", "2": "test", "0": ""}


def hmdb51(folder: Path, *, fold: int = 1) -> Listing:
    """Read the split lists of HMDB51: one file for each class and fold, ``brush_hair_test_split1.txt``.

    ::

        April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1

    1 is train, 2 is test and 0 is in neither. A video lies in the folder of its class.
    """
    rows = []
    for file in _fold_files(sorted(folder.glob("*_test_split[0-9].txt")), fold, folder=folder):
        label = file.stem.rpartition("_test_split")[0]
        for where, line in read_lines(file):
            name, _, use = line.rpartition(" ")
            if use not in _HMDB_SPLITS or not is_video_name(name.strip()):
                raise DataError(f"{where}: {line!r} is not a video name followed by 0, 1 or 2.")
            if _HMDB_SPLITS[use]:
                rows.append(Row(f"{label}/{name.strip()}", label, where, _HMDB_SPLITS[use]))
    return Listing(tuple(rows), folder, search=True)
