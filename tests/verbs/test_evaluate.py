"""An evaluation measures what the data set asks, refuses other labels, and leaves complete files."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.made_scores import tiny, write_grey
from timesformer.config.training import Task
from timesformer.data import manifest as manifests
from timesformer.data.items import DataError
from timesformer.data.manifest import Manifest
from timesformer.inference.results import Evaluation, write
from timesformer.inference.scoring import Scoring
from timesformer.tasks.classes import Classification
from timesformer.tasks.multilabel import Multilabel
from timesformer.tasks.regression import Regression
from timesformer.verbs.evaluate import evaluate
from timesformer.weights.checkpoint import Checkpoint

HERE = Scoring(crops=1, workers=0)
ROWS = {
    "classes": ("label", ["dark", "dark", "light", "light"]),
    "multilabel": ("label", ["dark", "dark;still", "light;still", "light"]),
    "regression": ("grey", ["0.1", "0.2", "0.8", "0.9"]),
}


def table(folder: Path, task: Task = "classes", *, broken: int = 0, split: str = "test") -> Manifest:
    """Four videos, two dark and two light, and a training video of each class; some more that are no videos."""
    column, labels = ROWS[task]
    lines = [f"path,{column},split"]
    for number, (label, grey) in enumerate(zip(labels, (20, 40, 200, 220), strict=True)):
        write_grey(folder / f"{number}.mp4", grey, grey)
        lines.append(f"{number}.mp4,{label},{split}")
    for number in range(broken):
        (folder / f"broken{number}.mp4").write_text("no video")
        lines.append(f"broken{number}.mp4,{labels[0]},{split}")
    for number, label in enumerate(labels):
        write_grey(folder / f"train{number}.mp4", 0)
        lines.append(f"train{number}.mp4,{label},train")
    (folder / "labels.csv").write_text("\n".join(lines))
    return manifests.load(folder / "labels.csv", task=task)


def always(checkpoint: Checkpoint, *logits: float) -> Checkpoint:
    """The checkpoint with a head that gives the same logits whatever it sees."""
    with torch.no_grad():
        checkpoint.model.head.weight.zero_()
        checkpoint.model.head.bias.copy_(torch.tensor(logits))
    return checkpoint


def read_results(folder: Path) -> dict[str, object]:
    return json.loads((folder / "results.json").read_text("utf-8"))


def test_classes_are_measured_and_written_with_every_score(tmp_path: Path) -> None:
    manifest = table(tmp_path / "data", broken=1)
    checkpoint = always(tiny(("dark", "light"), classes=2), 0.0, 1.0)
    evaluation = evaluate(checkpoint, manifest, HERE)
    assert isinstance(evaluation.numbers, Classification)
    assert (evaluation.numbers.top1, evaluation.numbers.mean_class, evaluation.failed_share) == (0.5, 0.5, 0.2)
    assert evaluation.numbers.confusion.tolist() == [[0, 2], [0, 2]]
    write(evaluation, tmp_path / "out")

    results = read_results(tmp_path / "out")
    score = torch.tensor([0.0, 1.0]).softmax(0).tolist()
    rounded = [round(value, 6) for value in score]
    assert results["videos"] == [
        {"path": f"{number}.mp4", "target": "dark" if number < 2 else "light", "scores": rounded} for number in range(4)
    ]
    numbers = results["numbers"]
    assert isinstance(numbers, dict)
    assert (numbers["videos"], numbers["top1"], numbers["confusion"]) == (4, 0.5, [[0, 2], [0, 2]])
    dark = {"label": "dark", "count": 2, "recall": 0.0, "precision": None, "confused_with": "light", "confused": 2}
    light = {"label": "light", "count": 2, "recall": 1.0, "precision": 0.5, "confused_with": None, "confused": 0}
    assert numbers["classes"] == [dark, light]
    assert (results["split"], results["weights"], results["failed_share"]) == ("test", "made for a test", 0.2)
    scoring = results["scoring"]
    assert isinstance(scoring, dict)
    assert (scoring["clips"], scoring["crops"], scoring["precision"]) == (1, 1, "as the weights")

    with (tmp_path / "out" / "broken.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["path", "reason"], ["broken0.mp4", evaluation.scores.failed[0][1]]]
    assert (tmp_path / "out" / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["broken.csv", "confusion.png", "results.json"]


def test_several_labels_are_measured_by_average_precision(tmp_path: Path) -> None:
    manifest = table(tmp_path / "data", "multilabel")
    assert manifest.labels == ("dark", "light", "still")
    checkpoint = always(tiny(manifest.labels, task="multilabel"), -1.0, 0.0, 2.0)
    evaluation = evaluate(checkpoint, manifest, replace(HERE, fusion="logits"))
    assert isinstance(evaluation.numbers, Multilabel)
    assert (evaluation.numbers.counts, evaluation.numbers.mean_ap) == ((2, 2, 2), 0.5)
    write(evaluation, tmp_path / "out")
    results = read_results(tmp_path / "out")
    videos = results["videos"]
    assert isinstance(videos, list)
    assert videos[1]["target"] == [1.0, 0.0, 1.0]
    assert videos[1]["scores"] == [round(torch.sigmoid(torch.tensor(value)).item(), 6) for value in (-1.0, 0.0, 2.0)]
    assert not (tmp_path / "out" / "confusion.png").exists()


def test_numbers_are_measured_by_their_errors(tmp_path: Path) -> None:
    manifest = table(tmp_path / "data", "regression")
    evaluation = evaluate(always(tiny(classes=1, task="regression"), 0.5), manifest, HERE)
    assert isinstance(evaluation.numbers, Regression)
    assert evaluation.numbers.mean_mae == pytest.approx((0.4 + 0.3 + 0.3 + 0.4) / 4)
    write(evaluation, tmp_path / "out")
    numbers = read_results(tmp_path / "out")["numbers"]
    assert numbers == {"videos": 4, "mean_mae": pytest.approx(0.35), "mae": {"grey": pytest.approx(0.35)}}


def test_a_table_without_test_videos_is_measured_on_its_validation_videos(tmp_path: Path) -> None:
    manifest = table(tmp_path, split="val")
    checkpoint = tiny(("dark", "light"), classes=2)
    one, other = evaluate(checkpoint, manifest, HERE), evaluate(checkpoint, manifest, HERE, split="val")
    assert (one.split, other.split) == ("val", "val")
    assert one.scores.keys == other.scores.keys == ("0.mp4", "1.mp4", "2.mp4", "3.mp4")
    assert torch.equal(one.scores.scores, other.scores.scores)
    assert len(evaluate(checkpoint, manifest, HERE, split="all").scores.items) == 8


def test_a_second_evaluation_replaces_the_files_of_the_first(tmp_path: Path) -> None:
    checkpoint = tiny(("dark", "light"), classes=2)
    first = evaluate(checkpoint, table(tmp_path / "one", broken=1), HERE)
    second = evaluate(checkpoint, table(tmp_path / "two"), HERE)
    for evaluation in (first, second):
        write(evaluation, tmp_path / "out")
    assert (tmp_path / "out" / "broken.csv").read_text("utf-8").splitlines() == ["path,reason"]
    assert read_results(tmp_path / "out")["failed"] == []


def test_other_labels_than_those_of_the_weights_are_refused(tmp_path: Path) -> None:
    manifest = table(tmp_path)

    def refused(checkpoint: Checkpoint) -> str:
        with pytest.raises(DataError) as caught:
            evaluate(checkpoint, manifest, HERE)
        return str(caught.value)

    assert "do not have (light)" in refused(tiny(("dark", "bright"), classes=2))
    assert "another order" in refused(tiny(("light", "dark"), classes=2))
    assert "another order" in refused(tiny(("dark", "light", "none")))
    assert "2 labels for the 3 outputs" in refused(tiny())
    assert "read for classes, but the weights are for multilabel" in refused(tiny(classes=2, task="multilabel"))


def test_an_evaluation_without_a_readable_video_is_refused(tmp_path: Path) -> None:
    manifest = table(tmp_path, broken=1)
    for number in range(4):
        (tmp_path / f"{number}.mp4").write_text("no video")
    with pytest.raises(DataError, match=r"none of the 5 videos can be read: 0\.mp4 \(is not a video"):
        evaluate(tiny(("dark", "light"), classes=2), manifest, HERE)


def test_real_gestures_are_scored_the_same_whole_and_by_loader_processes() -> None:
    data = Path(__file__).parents[3] / "shared" / "data" / "gestures10"
    if not data.is_dir():
        pytest.skip(f"{data} with real videos is absent")
    manifest = manifests.load(data)
    manifest = replace(manifest, items=manifest.of("test")[:6])
    checkpoint = tiny(manifest.labels, classes=10)
    found: list[Evaluation] = [
        evaluate(checkpoint, manifest, Scoring(clips=2, workers=workers), split="all") for workers in (0, 2)
    ]
    assert found[0].failed_share == 0
    torch.testing.assert_close(found[0].scores.scores, found[1].scores.scores)
