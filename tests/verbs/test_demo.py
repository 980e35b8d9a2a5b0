import json
import re
import shutil
import signal
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import demo_picture
from matplotlib.image import imread

from timesformer.config.checks import ConfigError
from timesformer.data.made import motions
from timesformer.pictures import palette
from timesformer.pictures.page import percent
from timesformer.training.shown.display import Display
from timesformer.verbs import demo, demo_results
from timesformer.verbs.demo import DemoResult
from timesformer.weights import checkpoint

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Addresses(HTMLParser):
    """Everything that a page would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "poster")]


class Interrupting(Display):
    """Presses Ctrl-C after a step."""

    def __init__(self, after: int) -> None:
        super().__init__(show=False)
        self.left = after

    def step(self, *, done: int, loss: float, lr: float, clips_per_second: float) -> None:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)


def quiet() -> Display:
    return Display(show=False)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    return demo.demo(tmp_path_factory.mktemp("demo") / "out", small=True, display=quiet())


def results(out: Path, scheme: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / scheme / "test" / "results.json").read_text())
    return found


def test_the_page_shows_the_numbers_of_the_results_files(result: DemoResult) -> None:
    out, text = result.report.parent, result.report.read_text()
    for scheme, reached in (("divided", result.divided), ("space", result.space)):
        top1 = results(out, scheme)["numbers"]["top1"]
        assert reached == top1
        card = re.search(rf'<h3>{scheme} attention</h3><div class="big">([^<]*)</div>', text)
        assert card and card[1] == percent(top1)
    assert "top-1 accuracy on 16 test videos; chance is 12.5%" in text


def test_the_page_shows_every_count_of_both_confusion_matrices(result: DemoResult) -> None:
    tables = re.findall(r'<table class="matrix">.*?</table>', result.report.read_text())
    assert len(tables) == 2
    for scheme, table in zip(demo.SCHEMES, tables, strict=True):
        shown = [int(count or 0) for count in re.findall(r"<td[^>]*>(\d*)</td>", table)]
        assert shown == np.array(results(result.report.parent, scheme)["numbers"]["confusion"]).flatten().tolist()


def test_the_page_shows_each_models_scores_of_the_example(result: DemoResult) -> None:
    bars = re.findall(r'<div class="bars">.*?</div></div>', result.report.read_text())
    assert len(bars) == 2
    for scheme, text in zip(demo.SCHEMES, bars, strict=True):
        line = json.loads((result.report.parent / scheme / "prediction.json").read_text())
        assert Path(line["path"]).parts[-3:-1] == ("test", "left")
        scores = {entry["label"]: entry["score"] for entry in line["scores"]}
        shown = re.findall(r'class="value">([^<]*)<', text)
        assert shown == [percent(scores[label]) for label in sorted(motions.CLASSES)]


def test_the_page_draws_one_point_for_each_epoch_and_run(result: DemoResult) -> None:
    out, text = result.report.parent, result.report.read_text()
    rows = [len((out / scheme / "metrics.jsonl").read_text().splitlines()) for scheme in demo.SCHEMES]
    assert rows == [demo.SMALL.config.optim.epochs] * 2
    assert len(re.findall("<circle", text)) == 2 * sum(rows)
    assert len(re.findall("<polyline", text)) == 4


def test_the_page_needs_nothing_from_outside(result: DemoResult) -> None:
    text = result.report.read_text()
    addresses = Addresses(text).found
    assert len(addresses) == len(motions.CLASSES) + 1
    assert all(address.startswith("data:image/png;base64,") for address in addresses)
    assert not re.search(r"https?:|url\(|@import|<script|<link", text)


def test_both_models_are_trained_alike_but_for_their_attention(result: DemoResult) -> None:
    texts = [(result.report.parent / scheme / "config.toml").read_text() for scheme in demo.SCHEMES]
    assert texts[0] != texts[1]
    assert texts[0].replace('scheme = "divided"', 'scheme = "space"') == texts[1]


def test_held_out_videos_share_no_picture_with_training_videos(result: DemoResult) -> None:
    files = {split: list((result.report.parent / "motions" / split).rglob("*.mp4")) for split in ("train", "test")}
    assert {split: len(paths) for split, paths in files.items()} == {"train": 32, "test": 16}
    seen = {path.read_bytes() for path in files["train"]}
    assert not any(path.read_bytes() in seen for path in files["test"])


def test_a_second_run_does_nothing_again_and_says_the_same(result: DemoResult) -> None:
    out = result.report.parent
    kept = [path for path in out.rglob("*") if path.suffix in (".safetensors", ".pt", ".jsonl", ".mp4")]
    kept += [*out.glob("*/test/results.json"), *out.glob("*/prediction.json")]
    before = {path: path.stat().st_mtime_ns for path in kept}
    again = demo.demo(out, small=True, display=quiet())
    assert (again.divided, again.space) == (result.divided, result.space)
    assert {path: path.stat().st_mtime_ns for path in kept} == before


def test_an_interrupted_run_goes_on_and_ends_with_the_same_weights(result: DemoResult, tmp_path: Path) -> None:
    out, steps = tmp_path / "out", 2 * demo.SMALL.train // demo.SMALL.config.optim.batch
    with pytest.raises(KeyboardInterrupt):
        demo.demo(out, small=True, display=Interrupting(after=1))
    assert not (out / "divided" / "test").exists()
    with pytest.raises(KeyboardInterrupt):
        demo.demo(out, small=True, display=Interrupting(after=steps))  # the first of the second model
    assert not (out / "report.html").exists()
    assert not list(out.rglob("*.part"))
    assert demo.demo(out, small=True, display=quiet()).divided == result.divided
    for scheme in demo.SCHEMES:
        files = (folder / scheme / "best.safetensors" for folder in (out, result.report.parent))
        states = [checkpoint.read(path).model.state_dict() for path in files]
        assert all(bool((value == states[1][name]).all()) for name, value in states[0].items())


def test_the_time_before_an_interruption_counts(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), demo._timed(tmp_path, "training"):
            raise KeyboardInterrupt
    first = demo_results.times(tmp_path)["training"]
    (tmp_path / "times.json").write_text(json.dumps({"training": first + 60}))
    with demo._timed(tmp_path, "training"):
        pass
    assert demo_results.times(tmp_path)["training"] > first + 60


def test_a_folder_with_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match=r"is not empty and holds no demo; choose a new or empty folder"):
        demo.demo(tmp_path, small=True)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_folder_with_a_demo_of_other_settings_is_refused_and_left_alone(result: DemoResult) -> None:
    out = result.report.parent
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(ConfigError, match=r"holds a demo with other settings"):
        demo.demo(out)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_the_picture_of_the_readme_is_drawn_from_a_finished_demo(result: DemoResult, tmp_path: Path) -> None:
    demo_picture.main(result.report.parent, tmp_path / "demo.png")
    assert imread(tmp_path / "demo.png").shape[1] > 1000


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium to draw the page")
def test_a_browser_draws_the_page_in_the_colours_of_both_runs(result: DemoResult, tmp_path: Path) -> None:
    picture, command = tmp_path / "page.png", [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--hide-scrollbars", "--window-size=1100,3000"]
    command += [f"--screenshot={picture}", result.report.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    pixels = np.rint(imread(picture)[..., :3] * 255).astype(int)
    assert pixels.shape == (3000, 1100, 3)
    for colour in palette.SERIES:
        wanted = [[int(text[place : place + 2], 16) for place in (1, 3, 5)] for text in (colour.light, colour.dark)]
        assert any((np.abs(pixels - each).sum(axis=-1) == 0).sum() > 200 for each in wanted)
