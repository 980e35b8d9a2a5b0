"""A stream gives the same pictures as reading by number, one after another, and doesn't read a file again and again."""

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from tests.made_videos import encode, number_of, write, write_images
from timesformer.video import reader
from timesformer.video.decoder import orientation, shots


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts", "v.avi"])
@pytest.mark.parametrize("numbers", [range(60), [0, 1, 30, 31, 59], [40], range(0, 60, 20)])
def test_a_stream_gives_the_frames_that_reading_by_number_gives(
    tmp_path: Path, name: str, numbers: Sequence[int]
) -> None:
    path = write(tmp_path / name, frames=60, gop=12, bframes=0 if name == "v.avi" else 2)
    found = list(reader.stream(path, numbers))
    assert [frame.number for frame in found] == list(numbers) and all(frame.sound for frame in found)
    assert torch.equal(torch.stack([frame.pixels for frame in found]), reader.read(path, list(numbers)))


def test_pictures_of_a_folder_are_streamed(tmp_path: Path) -> None:
    found = list(reader.stream(write_images(tmp_path / "images", frames=5), [1, 4]))
    assert [number_of(frame.pixels) for frame in found] == [1, 4]


def test_a_damaged_stretch_is_streamed_once_with_stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (120, 32, 48, 3), dtype=np.uint8)
    options = {"g": "10", "preset": "ultrafast"}
    path = encode(tmp_path / "v.mp4", noise, np.arange(120) / 10, fps=10, options=options)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) * 3 // 5] = b"\x00" * (len(data) * 3 // 5 - len(data) // 2)
    path.write_bytes(data)
    opened: list[Path] = []
    really = shots.opened

    def counted(path: Path) -> Any:
        opened.append(path)
        return really(path)

    monkeypatch.setattr(shots, "opened", counted)
    for numbers in (list(range(120)), list(range(0, 120, 25))):
        opened.clear()
        found = list(reader.stream(path, numbers))
        assert [frame.number for frame in found] == numbers and len(opened) <= 2
        broken = [frame.number for frame in found if not frame.sound]
        assert broken and broken[0] >= 50 and broken[-1] <= 80


def test_a_number_outside_the_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexError, match="has no frame 9"):
        next(reader.stream(write(tmp_path / "v.mp4", frames=5), [9]))


def test_frames_that_were_read_are_freed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "v.mp4", frames=300)
    monkeypatch.setattr(orientation, "_HELD", 64 * 48)  # as if each frame were one of 4 million pixels
    gc.collect()
    most = 0
    for frame in reader.stream(path, range(300)):
        if frame.number % 50 == 49:
            most = max(most, sum(type(each) is av.VideoFrame for each in gc.get_objects()))
    assert most <= 40
