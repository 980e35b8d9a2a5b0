"""The pictures of the documentation can be drawn from the code that they show."""

from pathlib import Path
from typing import get_args

from docs.pictures import floors, placement
from matplotlib.image import imread

from tests.test_house import FLOORS
from timesformer.video import sampling


def test_the_map_of_the_floors_shows_every_import_pointing_down(tmp_path: Path) -> None:
    house = floors.rooms()
    names = list(house)
    assert {"model", "video", "verbs", "cli"} < house.keys() <= FLOORS.keys()
    assert all(names.index(target) > names.index(name) for name, targets in house.items() for target in targets)
    assert "config" in house["model"] and house["errors"] == set()
    floors.draw(tmp_path / "floors.png")
    assert imread(tmp_path / "floors.png").shape[1] > 1000


def test_the_text_beside_a_room_comes_from_its_docstring() -> None:
    assert floors.sentence("") == "TimeSformer: space-time attention for video understanding"
    assert all(0 < len(floors.sentence(name)) <= floors.LONGEST for name in floors.rooms())


def test_the_picture_of_placement_shows_frames_of_the_video_for_every_choice(tmp_path: Path) -> None:
    sections = placement.choices()
    rows = {choice.name: choice for section in sections.values() for choice in section if choice.fps == placement.FPS}
    assert all(0 <= int(row.numbers.min()) <= int(row.numbers.max()) < placement.FRAMES for row in rows.values())
    options = " ".join(rows)
    assert all(f"--placement {name}" in options for name in get_args(sampling.Placement) if name != "middle")
    assert all(f"--clip.sampling {name}" in options for name in ("dense", "segments"))
    placement.draw(tmp_path / "placement.png")
    assert imread(tmp_path / "placement.png").shape[1] > 1000
