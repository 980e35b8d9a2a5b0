"""The pictures of the documentation can be drawn from the code that they show."""

from pathlib import Path

from docs.pictures import floors
from matplotlib.image import imread

from tests.test_house import FLOORS


def test_the_map_of_the_floors_shows_every_import_pointing_down(tmp_path: Path) -> None:
    house = floors.rooms()
    names = list(house)
    assert {"model", "video", "verbs", "cli"} < house.keys() <= FLOORS.keys()
    assert all(names.index(target) > names.index(name) for name, targets in house.items() for target in targets)
    assert "model" in house["weights"] and house["errors"] == set()
    floors.draw(tmp_path / "floors.png")
    assert imread(tmp_path / "floors.png").shape[1] > 1000


def test_the_text_beside_a_room_comes_from_its_docstring() -> None:
    assert floors.sentence("") == "TimeSformer: space-time attention for video understanding"
    assert all(0 < len(floors.sentence(name)) <= floors.LONGEST for name in floors.rooms())
