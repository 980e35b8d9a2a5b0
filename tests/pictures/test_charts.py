"""Charts of any number of classes and of any training are drawn whole, whatever the labels."""

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from tests import needs
from timesformer.atomic import WriteError
from timesformer.pictures import charts, lettering, palette


def pixels(path: Path) -> np.ndarray:
    """The picture (h, w, 3)."""
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def drawn(counts: np.ndarray, folder: Path, labels: list[str] | None = None) -> np.ndarray:
    charts.confusion(counts, labels or [f"class {number}" for number in range(len(counts))], folder / "c.png")
    return pixels(folder / "c.png")


@pytest.mark.parametrize("classes", [2, 30, 70])
def test_right_answers_are_a_dark_diagonal_whatever_the_number_of_classes(classes: int, tmp_path: Path) -> None:
    right = drawn(np.eye(classes, dtype=np.int64) * 5, tmp_path)
    mirrored = drawn(np.eye(classes, dtype=np.int64)[::-1] * 5, tmp_path)
    assert 250 < min(right.shape[:2]) <= max(right.shape[:2]) < 1700
    assert not np.array_equal(right, mirrored)
    darkest = [int(palette.SHARES[-1][place : place + 2], 16) for place in (1, 3, 5)]
    dark = np.argwhere((right == darkest).all(axis=2))  # the colour of a share of 1
    rows, columns = dark[dark[:, 1] < dark[:, 1].max() * 0.9].T  # without the bar of colours at the right
    assert np.corrcoef(rows, columns)[0, 1] > 0.7


def test_one_confusion_in_thirty_is_seen_among_many_classes(tmp_path: Path) -> None:
    counts = np.eye(100, dtype=np.int64) * 30
    before = drawn(counts, tmp_path)
    counts[10, 80], counts[10, 10] = 1, 29
    changed = np.abs(drawn(counts, tmp_path).astype(int) - before).sum(axis=2)
    matrix = changed[:, : changed.shape[1] // 2]  # without the list of confusions
    assert (matrix > 40).sum() >= 9


def test_labels_may_hold_any_text(tmp_path: Path) -> None:
    labels = ["$\\frac{$", "空翻", "a_b^{", "%s\\n", "long " * 40, ""]
    picture = drawn(np.ones((6, 6), dtype=np.int64), tmp_path, labels)
    assert max(picture.shape[:2]) < 1000


def test_names_that_no_font_has_are_numbers_and_the_picture_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lettering, "_others", tuple)
    counts = np.eye(3, dtype=np.int64)
    strange = drawn(counts, tmp_path, ["空翻", "b", "\x1b[31mred"])
    numbered = drawn(counts, tmp_path, ["class 0", "b", "\\x1b[31mred"])
    assert strange.shape == numbered.shape
    assert not np.array_equal(strange, numbered)  # the line below says that names are missing


def test_fonts_are_fonts_are_added_for_what_the_default_one_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    has = {"DejaVu Sans": "abc", "Latin": "abcé", "Han": "空翻", "Kana": "ジャンプ"}
    monkeypatch.setattr(lettering, "_others", lambda: ["Latin", "Han", "Kana"])
    monkeypatch.setattr(lettering, "_characters", lambda name: {ord(character) for character in has[name]})
    assert lettering.families(["a b", "空翻"]) == (["DejaVu Sans", "Han"], frozenset())
    assert lettering.families(["ジャンプ", "é!"]) == (["DejaVu Sans", "Latin", "Kana"], frozenset("!"))


def test_no_matrix_is_drawn_of_more_classes_than_a_picture_shows(tmp_path: Path) -> None:
    labels = [str(number) for number in range(charts.MOST + 1)]
    assert not charts.confusion(np.zeros((1, 1)), labels, tmp_path / "c.png")
    assert not (tmp_path / "c.png").exists()


def test_curves_are_drawn_from_whatever_was_measured(tmp_path: Path) -> None:
    rows = [{"epoch": number, "train_loss": 1 / number, "lr": 0.1} for number in range(1, 6)]
    path, pictures = tmp_path / "curves.png", []
    for extra in ({}, {"val_loss": 0.5, "val_top1": 0.9}, {"val_loss": 0.5, "val_map": 0.3}, {"val_mae": 2.0}):
        charts.curves([*rows[:2], rows[2] | extra, *rows[3:]], path)
        pictures.append(pixels(path))
    assert all(picture.shape == pictures[0].shape for picture in pictures)
    assert len({picture.tobytes() for picture in pictures}) == 4
    charts.curves([], path)
    charts.curves(rows[:1], path)
    assert pixels(path).shape == pictures[0].shape


def test_a_chart_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "curves.png"
    charts.curves([{"epoch": 1, "train_loss": 1.0, "lr": 0.1}], path)
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(WriteError, match="could not be written"):
        charts.curves([], path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["curves.png"]


def test_a_user_without_a_folder_for_matplotlib_gets_a_chart_and_no_warning(tmp_path: Path) -> None:
    needs.posix()
    script = (
        "from pathlib import Path\nfrom timesformer.pictures import charts\n"
        f"charts.curves([], Path({str(tmp_path / 'x.png')!r}))"
    )
    environment = {**os.environ, "MPLCONFIGDIR": "/dev/null/folder"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert (tmp_path / "x.png").exists() and done.stderr == ""
