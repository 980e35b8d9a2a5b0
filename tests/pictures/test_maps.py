"""Maps tell classes apart by colour and shape, and show others' text as text."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from matplotlib.image import imread

from timesformer.pictures.maps import chart, page
from timesformer.pictures.maps.chart import Panel
from timesformer.pictures.maps.classes import MOST, SHAPES, marks
from timesformer.pictures.palette import CATEGORIES
from timesformer.pictures.sheets import Cell, draw


def test_every_pair_of_colour_and_shape_is_used_before_one_comes_again() -> None:
    found = marks(f"{number:03}" for number in range(MOST))
    assert len({(mark.colour, mark.shape) for mark in found.values()}) == MOST == len(CATEGORIES) * len(SHAPES)
    first, second, *_ = found.values()
    assert first.colour != second.colour and first.shape != second.shape


def test_beyond_that_the_rarest_classes_share_a_mark_and_videos_without_labels_have_one() -> None:
    labels = [f"{number:03}" for number in range(MOST + 3) for _ in range(1 + (number > 10))] + [""]
    found = marks(labels)
    names = {mark.name for mark in found.values()}
    assert len(names) == MOST + 1 and {"4 other classes", "without a label"} < names
    assert found["010"].name == "4 other classes" and found["020"].name == "020"


class Read(HTMLParser):
    """The tags, addresses and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.points: list[dict[str, str | None]] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)
        values = dict(attrs)
        self.addresses += [value for name in ("src", "href") if (value := values.get(name))]
        if "data-name" in values:
            self.points.append(values)


def test_a_page_has_every_point_with_its_frame_and_escapes_what_others_wrote() -> None:
    evil = '</script><img src=x onerror="alert(1)">'
    frame = page.data_uri(np.zeros((4, 6, 3), dtype=np.uint8))
    points = page.Points(
        evil, np.array([[0.0, 0], [1, 1], [2, 0]]), [evil, "b", ""], [evil, "b.mp4", "c"], [frame, "", ""]
    )
    text = page.render([points], title="Map", notes=["note"])
    found = Read(text)
    assert [point["data-name"] for point in found.points] == [evil, "b.mp4", "c"]
    assert [point.get("data-frame") for point in found.points] == [frame, None, None]
    assert [point["tabindex"] for point in found.points] == ["0"] * 3
    assert found.tags.count("img") == 1 and found.tags.count("script") == 1 and found.tags.count("button") == 3
    assert found.addresses == [] and re.findall(r"https?:", text) == []
    assert "NaN" not in text and frame.startswith("data:image/jpeg;base64,")


def test_places_that_are_all_the_same_are_drawn() -> None:
    same = np.zeros((2, 2))
    assert "nan" not in page.render([page.Points("t", same, ["a", "b"], ["1", "2"], ["", ""])], title="Map")


def test_a_chart_has_a_panel_for_each_map_and_any_names(tmp_path: Path) -> None:
    names = ["a $x_1$", "日本語" * 20, "\x1b[31m", "", *(f"c{n}" for n in range(70))]
    panel = Panel("one", np.random.default_rng(0).normal(size=(len(names), 2)), names)
    chart.draw([panel], tmp_path / "one.png")
    chart.draw([panel] * 3, tmp_path / "three.png")
    one, three = (imread(tmp_path / f"{name}.png").shape for name in ("one", "three"))
    assert three[1] > 2 * one[1]


def test_a_contact_sheet_has_rows_of_frames_with_gaps_for_missing_ones(tmp_path: Path) -> None:
    frame = np.full((20, 30, 3), 200, dtype=np.uint8)
    rows = [[Cell(frame, ["query", "a/b.mp4"]), Cell(None, ["0.9", "x"], True)], [Cell(frame, ["q"])]]
    draw(rows, tmp_path / "sheet.png")
    assert imread(tmp_path / "sheet.png").shape[0] > 200
