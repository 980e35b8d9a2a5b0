"""Figures of pages: points lie where their values are, and counts and shares are all there."""

import re

import pytest

from timesformer.pictures import figures
from timesformer.pictures.figures import ABOVE, BELOW, HEIGHT, LEFT, RIGHT, WIDTH
from timesformer.pictures.page import percent

BOTTOM, END = HEIGHT - BELOW, WIDTH - RIGHT


def paths(text: str) -> list[list[tuple[float, ...]]]:
    found = re.findall(r'<polyline points="([^"]*)"', text)
    return [[tuple(map(float, point.split(","))) for point in line.split()] for line in found]


def test_lines_run_from_the_first_to_the_last_value_between_zero_and_the_top() -> None:
    text = figures.lines([[(1, 2.0), (3, 1.0)], [(2, 0.0)]], x="epoch", number=str, top=2.0)
    middle = (LEFT + END) / 2
    assert paths(text) == [[(LEFT, ABOVE), (END, (ABOVE + BOTTOM) / 2)], [(middle, BOTTOM)]]
    assert text.count("<circle") == 3
    assert re.findall(r'<g class="series-(\d)">', text) == ["0", "1"]


@pytest.mark.parametrize(("highest", "ticks"), [(2.08, "0.0 1.0 2.0 3.0"), (0.031, "0.0 0.01 0.02 0.03 0.04")])
def test_a_chart_without_a_given_top_ends_at_a_round_number_above_all_points(highest: float, ticks: str) -> None:
    text = figures.lines([[(1, highest)]], x="epoch", number="{:.2}".format)
    assert re.findall(r'text-anchor="end">([^<]*)<', text) == ticks.split()


def test_the_horizontal_axis_has_whole_numbers_and_a_name() -> None:
    text = figures.lines([[(value, 1.0) for value in range(1, 13)]], x="epoch", number=str)
    assert re.findall(r'text-anchor="middle">([^<]*)<', text) == ["1", "6", "12", "epoch"]


@pytest.mark.parametrize("series", [[], [[]], [[(1, 0.0)]], [[(4, 3.0)]]])
def test_a_chart_of_no_or_one_point_is_drawn_too(series: list[list[tuple[float, float]]]) -> None:
    text = figures.lines(series, x="epoch", number=str)
    assert "nan" not in text and "inf" not in text


def test_a_level_to_compare_with_is_named() -> None:
    text = figures.lines([[(1, 1.0)]], x="epoch", number=percent, top=1.0, level=(0.25, "<chance>"))
    assert re.findall(r'<line class="level" [^>]*y1="([^"]*)"', text) == [f"{BOTTOM - (BOTTOM - ABOVE) / 4:.1f}"]
    assert "&lt;chance&gt;" in text


def test_a_matrix_has_all_counts_names_and_shares_of_rows() -> None:
    text = figures.matrix([[3, 1], [0, 0]], ["<a>", "b"])
    cells = re.findall(r'<td style="--share: ([\d.]+)">(\d*)</td>', text)
    assert cells == [("0.750", "3"), ("0.250", "1"), ("0.000", ""), ("0.000", "")]
    assert re.findall(r"<th>(?:<span>)?([^<]+)<", text) == ["&lt;a&gt;", "b", "&lt;a&gt;", "b"]


def test_bars_are_as_long_as_their_shares_and_the_marked_one_is_bold() -> None:
    text = figures.bars([("<a>", 0.25), ("b", 1.0)], number=percent, marked="b")
    assert re.findall(r"width: ([\d.]+)%", text) == ["25.0", "100.0"]
    assert re.findall(r'class="value">([^<]*)<', text) == ["25.0%", "100.0%"]
    assert '<div class="marked">b</div>' in text and "<div>&lt;a&gt;</div>" in text
