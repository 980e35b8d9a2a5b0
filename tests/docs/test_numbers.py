"""The numbers on the pages are those that the code counts, and the same on each page."""

import re
from pathlib import Path
from typing import get_args

import pytest

from timesformer.config.model import ModelConfig, Scheme
from timesformer.model.cost import cost

PAGE = (Path(__file__).parents[2] / "docs" / "paper.md").read_text("utf-8")


@pytest.mark.parametrize("scheme", get_args(Scheme))
def test_a_schemes_parameters_and_keys_are_those_of_its_model(scheme: Scheme) -> None:
    row = re.search(rf"^\| `{scheme}` \| .*? \| ([\d.]+) M \| (.*?) \|$", PAGE, re.M)
    assert row is not None
    found = cost(ModelConfig(scheme=scheme, classes=174))
    assert float(row[1]) == round(found.parameters / 1e6, 1)
    assert [int(keys.replace(",", "")) for keys in re.findall(r"[\d,]*\d", row[2])] == [keys for _, keys in found.keys]


def test_the_multiply_adds_are_those_of_the_models_and_of_the_paper() -> None:
    rows = re.findall(r"^\| (\d+) frames of (\d+) px \| ([\d,.]+) G \| ([\d.]+) T \| ([\d.]+) \|$", PAGE, re.M)
    assert len(rows) == 3
    for frames, size, view, three, paper in rows:
        giga = cost(ModelConfig(frames=int(frames), size=int(size))).multiply_adds / 1e9
        assert float(view.replace(",", "")) == pytest.approx(giga, abs=0.005)
        assert float(three) == float(paper) == pytest.approx(3 * giga / 1e3, abs=0.005)


def test_the_results_of_the_readme_are_those_of_the_pages() -> None:
    root = Path(__file__).parents[2]
    readme = (root / "README.md").read_text("utf-8")
    small, speed = ((root / "docs" / name).read_text("utf-8") for name in ("few_clips.md", "speed.md"))
    rows = re.findall(r"^\| .*%.*%.*\|$", readme, re.M)
    assert len(rows) == 3 and all(row in small for row in rows)
    peaks = re.search(r"peaks at ([\d.]+) GB on a CPU, where transformers takes ([\d.]+) GB", readme)
    assert peaks is not None and f"| 16 frames of 448 px | {peaks[1]} / {peaks[2]} |" in speed
