"""A predictor answers for files, stretches, folders and frames as evaluation does, and names what it can't read."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.made_scores import CLIP, tiny, write_grey
from tests.made_videos import write, write_images
from timesformer.data.items import Item
from timesformer.predict import Failure, Prediction, Predictor, predict_files, to_json
from timesformer.scoring import Scoring, score_videos
from timesformer.video import reader
from timesformer.video.reader import VideoError
from timesformer.weights.checkpoint import save
from timesformer.weights.report import WeightsError

LABELS = ("wave", "jump", "空翻")


def test_a_prediction_is_what_evaluation_scores(tmp_path: Path) -> None:
    path, checkpoint = write(tmp_path / "v.mp4", frames=20, size=(48, 32)), tiny(LABELS)
    for clips, crops in ((1, 3), (2, 1)):
        prediction = Predictor(checkpoint, device="cpu", clips=clips, crops=crops)(path)
        scoring = Scoring(clips=clips, crops=crops, workers=0)
        expected = score_videos(checkpoint.model, [Item(path, "")], CLIP, scoring).scores[0]
        assert prediction.scores == pytest.approx(expected.tolist())
        assert (prediction.path, prediction.labels, prediction.notes) == (path, LABELS, ())
    default = Predictor(checkpoint)
    assert (default.scoring.clips, default.scoring.crops) == (1, 3)


def test_weights_are_loaded_by_path(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", frames=6)
    save(tiny(LABELS), tmp_path / "m.safetensors")
    saved = Predictor(str(tmp_path / "m.safetensors"), device="cpu")(str(path))
    assert saved == Predictor(tiny(LABELS), device="cpu")(path)


def test_the_highest_scores_come_first() -> None:
    prediction = Prediction(None, ("a", "b", "c", "d"), (0.1, 0.4, 0.1, 0.4))
    assert prediction.top(1) == (("b", 0.4),)
    assert prediction.top(3) == (("b", 0.4), ("d", 0.4), ("a", 0.1))
    assert prediction.top() == (("b", 0.4), ("d", 0.4), ("a", 0.1), ("c", 0.1))


def test_outputs_without_names_are_numbered(tmp_path: Path) -> None:
    predictor = Predictor(tiny(), device="cpu")
    assert predictor(write(tmp_path / "v.mp4", frames=4)).labels == ("class 0", "class 1", "class 2")


def test_frames_from_memory_are_seen_as_those_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", frames=40, fps=10, size=(48, 32))
    frames = reader.read(path, range(40))
    checkpoint = replace(tiny(LABELS), clip=replace(CLIP, sampling="dense", rate=9))
    predictor = Predictor(checkpoint, device="cpu", clips=2)
    from_memory = predictor(frames, fps=10)
    assert from_memory == replace(predictor(path), path=None)
    assert predictor(frames, fps=30).scores != from_memory.scores


def test_exactly_the_frames_of_a_clip_are_one_clip(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", frames=9, size=(48, 32))
    predictor = Predictor(tiny(LABELS), device="cpu")
    # two segments of nine frames: their middles are 2 and 6
    assert predictor(reader.read(path, [2, 6])) == replace(predictor(path), path=None)


def test_frames_that_can_not_be_understood_are_refused() -> None:
    predictor = Predictor(tiny(), device="cpu")
    frames = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    with pytest.raises(ValueError, match="3 frames for a model of 2; give as many, or a whole video and its fps="):
        predictor(torch.zeros(3, 3, 16, 16, dtype=torch.uint8))
    with pytest.raises(ValueError, match="must be uint8"):
        predictor(frames.float())
    with pytest.raises(ValueError, match=r"one video's are \(n, 3, h, w\)"):
        predictor(frames[None])
    with pytest.raises(ValueError, match="start and end are for files"):
        predictor(frames, start=1.0)
    with pytest.raises(ValueError, match="fps is 30; it is for frames from memory"):
        predictor("v.mp4", fps=30)


def test_a_stretch_is_predicted_on_its_own(tmp_path: Path) -> None:
    path = write_grey(tmp_path / "v.mp4", *[20] * 5, *[220] * 5)
    dark, light = write_grey(tmp_path / "dark.mp4", 20, 20), write_grey(tmp_path / "light.mp4", 220, 220)
    predictor = Predictor(tiny(LABELS), device="cpu")
    assert predictor(path, end=0.5).scores == pytest.approx(predictor(dark).scores, abs=0.01)
    assert predictor(path, start=0.5).scores == pytest.approx(predictor(light).scores, abs=0.01)
    with pytest.raises(VideoError, match="before its stretch"):
        predictor(path, start=1.0)


def test_every_video_gives_a_prediction_or_a_failure_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    first, second = write_grey(folder / "a" / "1.mp4", 20, 20), write_grey(folder / "b.mp4", 200, 200)
    images = write_images(folder / "c", frames=3)
    (folder / "broken.mp4").write_text("no video")
    (folder / "notes.txt").write_text("no video either")
    (tmp_path / "empty").mkdir()
    predictor = Predictor(tiny(LABELS), device="cpu")
    given = [second, folder, tmp_path / "none.mp4", tmp_path / "empty", str(images)]
    results = list(predict_files(predictor, given))
    assert [result.path for result in results] == [
        *(second, first, second, folder / "broken.mp4", images),
        *(tmp_path / "none.mp4", tmp_path / "empty", images),
    ]
    failures = {result.path.name: result.reason for result in results if isinstance(result, Failure)}
    assert failures.keys() == {"broken.mp4", "none.mp4", "empty"}
    assert "not a video" in failures["broken.mp4"]
    assert "holds no videos" in failures["empty"]
    assert results[0] == results[2] == predictor(second)


def test_json_lines_hold_scores_or_the_error(tmp_path: Path) -> None:
    prediction = Prediction(tmp_path / "空.mp4", LABELS, (0.25, 0.625, 0.125), notes=("frame 3 is lost",))
    line = to_json(prediction, top=2)
    assert "空" in line and "\n" not in line
    scores = [{"label": "jump", "score": 0.625}, {"label": "wave", "score": 0.25}]
    assert json.loads(line) == {"path": str(tmp_path / "空.mp4"), "scores": scores, "notes": ["frame 3 is lost"]}
    assert [pair["label"] for pair in json.loads(to_json(prediction))["scores"]] == ["jump", "wave", "空翻"]
    numbers = Prediction(None, ("x", "y"), (-1.5, 3.0), task="regression")
    pairs = [{"label": "x", "score": -1.5}, {"label": "y", "score": 3.0}]
    assert json.loads(to_json(numbers, top=1)) == {"path": None, "scores": pairs, "notes": []}
    assert json.loads(to_json(Failure(Path("v.mp4"), "is empty"))) == {"path": "v.mp4", "error": "is empty"}


def test_each_task_has_its_own_scores(tmp_path: Path) -> None:
    path = write_grey(tmp_path / "v.mp4", 100, 120)
    logits = torch.tensor(Predictor(tiny(task="regression"), device="cpu", crops=1)(path).scores)
    classes = Predictor(tiny(task="classes"), device="cpu", crops=1)(path)
    labels = Predictor(tiny(task="multilabel"), device="cpu", crops=1)(path)
    assert classes.scores == pytest.approx(logits.softmax(0).tolist())
    assert labels.scores == pytest.approx(logits.sigmoid().tolist())
    assert labels.task == "multilabel"


def test_spoiled_weights_are_reported_rather_than_answered_with(tmp_path: Path) -> None:
    checkpoint = tiny()
    torch.nn.init.constant_(checkpoint.model.head.bias, float("nan"))
    with pytest.raises(WeightsError, match="not finite; the weights are spoiled"):
        Predictor(checkpoint, device="cpu")(write_grey(tmp_path / "v.mp4", 100, 120))
