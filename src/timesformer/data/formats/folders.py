"""A folder with one folder per class, optionally under train/, val/ and test/."""

from pathlib import Path

from timesformer.data.files import (
    VIDEO_SUFFIXES,
    PassedOver,
    folders_in,
    holds_frames,
    is_run,
    is_video_name,
    videos_in,
    visible,
)
from timesformer.data.items import DataError, Listing, Row, counted, some, split_of_folder


def _split_folders(data: Path, passed: PassedOver) -> tuple[list[Path], list[Path]]:
    """Return the folders of splits, and the others; a folder such as "test" that holds videos itself is a class."""
    folders = folders_in(data)
    folders = [folder for folder in folders if _is_listed(folder, passed)]
    passed.runs.extend(str(folder) for folder in folders if is_run(folder))
    folders = [folder for folder in folders if not is_run(folder)]
    splits = [folder for folder in folders if split_of_folder(folder)]
    if any(is_video_name(entry.name) for folder in splits for entry in visible(folder)):
        return [], folders
    return splits, [folder for folder in folders if folder not in splits]


def _is_listed(folder: Path, passed: PassedOver) -> bool:
    """Whether a folder can be listed; noted in ``passed`` if not."""
    try:
        visible(folder)
    except DataError:
        passed.unreadable.append(str(folder))
        return False
    return True


def _class_rows(folder: Path, *, data: Path, split: str, passed: PassedOver) -> list[Row]:
    if holds_frames(folder):
        raise DataError(f"{folder} holds images; put the frames of each video into a separate folder inside it.")
    return [
        Row(path.relative_to(data).as_posix(), folder.name, where=str(path), split=split)
        for path in videos_in(folder, passed)
    ]


def _refuse_empty(classes: list[tuple[Path, str]], counts: list[int]) -> list[str]:
    """Raise for empty class folders; in val/ and test/, where other classes have videos, return a note instead."""
    filled = {split for (_, split), count in zip(classes, counts, strict=True) if count}
    notes = []
    for (folder, split), count in zip(classes, counts, strict=True):
        if not count and (split in ("", "train") or split not in filled):
            raise DataError(
                f"class folder {folder} holds no videos ({' '.join(VIDEO_SUFFIXES)}); add some or remove the folder."
            )
        if not count:
            notes.append(str(folder))
    return [f"no videos in {counted(len(notes), 'class folder')}: {some(notes)}"] if notes else []


def class_folders(data: Path) -> Listing:
    """Read a folder with one folder per class, optionally under train/, val/ and test/.

    Class folders may contain folders. Raises :class:`DataError` where there is no class, or an empty one in training.
    """
    passed = PassedOver()
    splits, others = _split_folders(data, passed)
    notes = (
        [f"left out: folders beside those of the splits: {some([f.name for f in others])}"] if splits and others else []
    )
    inside = [(c, split_of_folder(f)) for f in splits for c in folders_in(f) if _is_listed(c, passed)]
    classes = [(c, split) for c, split in inside if not is_run(c)] or [(c, "") for c in others]
    if not classes:
        loose = sum(is_video_name(entry.name) for entry in visible(data))
        found = f"{counted(loose, 'video')} and no class folders" if loose else "no videos"
        raise DataError(
            f"{data} holds {found}; make one folder per class, optionally under train/, val/ and test/, "
            "or write a labels.csv with the columns path,label."
        )
    parts = [_class_rows(folder, data=data, split=split, passed=passed) for folder, split in classes]
    notes += _refuse_empty(classes, [len(part) for part in parts])
    return Listing(tuple(row for part in parts for row in part), root=data, notes=(*notes, *passed.notes()))
