"""The report of a run: its numbers, hostile names, data that is gone, and how it looks in a browser."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests import made_trainings, made_videos
from timesformer import train
from timesformer.cli.main import main
from timesformer.config.checks import ConfigError
from timesformer.training.run import story, validated
from timesformer.verbs.report import report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "<script>document.title='ran'<&\"'"
SETTINGS = {
    "model": {"width": 16, "depth": 1, "heads": 2, "patch": 8},
    "frames": 2,
    "size": 16,
    "epochs": 2,
    "batch": 4,
    "workers": 0,
    "precision": "fp32",
}
PROBE = """<script>addEventListener("load", () => {
  const wide = [...document.querySelectorAll("body *")].filter(e => !e.closest(".wide, svg, details")
    && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.className || e.tagName);
  const lost = [...document.images].filter(e => !e.complete || !e.naturalWidth).length;
  document.title = JSON.stringify({wide, lost, images: document.images.length, width: innerWidth,
    page: document.documentElement.scrollWidth});
});</script>"""
"""Says what is too wide for the window, and which pictures are missing."""


class Page(HTMLParser):
    """Addresses and elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "poster")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose class names are markup."""
    return made_trainings.videos(tmp_path_factory.mktemp("made") / "clips", val=6, classes=("dark", HOSTILE))


@pytest.fixture(scope="module")
def run(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    train(clips, out=out, quiet=True, **SETTINGS)
    return out


def test_a_training_ends_with_a_page_of_its_numbers_and_its_reasons(run: Path) -> None:
    text = (run / "report.html").read_text("utf-8")
    seen = validated.read(run)
    assert seen is not None
    top1 = float((seen.scores.argmax(axis=1) == seen.targets).mean())
    assert f'<div class="big">{top1:.1%}</div>' in text
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert top1 == max(row["val_top1"] for row in rows)
    shown = Page(text).text
    told = story.read(run)
    assert told.reasons and all(reason in shown for reason in (*told.reasons, *told.notes))
    assert "val/dark/00.mp4" in shown and "multiply-adds of a view" in shown


def test_names_of_classes_and_files_never_become_markup_and_nothing_is_fetched(run: Path) -> None:
    text = (run / "report.html").read_text("utf-8")
    page = Page(text)
    assert HOSTILE in page.text and "script" not in page.tags
    assert page.addresses and all(each.startswith("data:image/jpeg;base64,") for each in page.addresses)
    assert not re.search(r"https?:|url\(|@import|<link", text)


def test_data_that_is_gone_is_said_and_the_kept_scores_are_shown(
    clips: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = shutil.copytree(run, tmp_path / "run")
    told = json.loads((moved / story.NAME).read_text())
    (moved / story.NAME).write_text(json.dumps(told | {"data": str(tmp_path / "gone")}))
    with pytest.raises(SystemExit) as end:
        main(["report", str(moved)])
    assert end.value.code == 0 and "top-1 accuracy" in capsys.readouterr().out
    shown = Page((moved / "report.html").read_text("utf-8")).text
    assert "The data can't be read any more" in shown and "top-1 accuracy" in shown
    again = report(moved, data=clips, out=tmp_path / "again.html")
    assert "The data can't be read any more" not in again.path.read_text("utf-8")


def test_scores_that_a_run_did_not_keep_are_computed_and_are_the_same(run: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(run, tmp_path / "run")
    (bare / validated.NAME).unlink()
    (bare / "metrics.jsonl").write_text("nonsense")
    assert report(bare).lines == report(run, out=tmp_path / "other.html").lines


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is no run; name the folder"):
        report(tmp_path)


def test_a_report_that_fails_is_a_warning_and_the_training_is_whole(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run" / "report.html").mkdir(parents=True)
    outcome = train(clips, out=tmp_path / "run", **SETTINGS)
    out = " ".join(capsys.readouterr().out.split())
    assert "no report could be written" in out and "the training is whole" in out
    assert outcome.best.exists() and len(outcome.rows) == 2
    train(clips, out=tmp_path / "other", report=False, quiet=True, **SETTINGS)
    assert not (tmp_path / "other" / "report.html").exists()


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_other_tasks_get_what_fits_them(task: str, tmp_path: Path) -> None:
    generator, lines = np.random.default_rng(0), ["path,label,split" if task == "multilabel" else "path,x,y,split"]
    for number in range(16):
        made_videos.encode(
            tmp_path / f"{number}.mp4",
            generator.integers(0, 255, (6, 24, 24, 3), dtype=np.uint8),
            np.arange(6) / 10,
            fps=10,
        )
        label = ("a", "b", "a;b", "")[number % 4] if task == "multilabel" else f"{number / 7},{900 - number}"
        lines.append(f"{number}.mp4,{label},{'val' if number > 9 else 'train'}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    train(tmp_path / "list.csv", out=tmp_path / "run", task=task, quiet=True, **SETTINGS)
    page = Page((tmp_path / "run" / "report.html").read_text("utf-8"))
    if task == "multilabel":
        assert "mean average precision" in page.text and "Can the scores be trusted?" in page.text
    else:
        assert "mean absolute error" in page.text and "predicted" in page.text
        assert "Can the scores be trusted?" not in page.text


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium to lay the page out")
@pytest.mark.parametrize("width", [500, 1400])
def test_in_a_browser_nothing_is_missing_or_too_wide(run: Path, tmp_path: Path, width: int) -> None:
    text = (run / "report.html").read_text("utf-8")
    (tmp_path / "page.html").write_text(text.replace("</head>", f"{PROBE}</head>"), "utf-8")
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += [f"--window-size={width},900", "--dump-dom", (tmp_path / "page.html").as_uri()]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    found = re.search(r"<title>(\{.*?\})</title>", done.stdout)
    assert found, done.stdout[:500]
    measured = json.loads(found[1].replace("&quot;", '"'))
    assert measured["wide"] == [] and measured["lost"] == 0 and measured["images"] > 4
    assert measured["page"] <= measured["width"]
