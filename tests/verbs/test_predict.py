"""A predictor answers for files, stretches, folders and frames as evaluation does, and names what it can't read."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.made_scores import CLIP, tiny, write_grey
from tests.made_videos import with_streams, write, write_images
from timesformer.config.checks import ConfigError
from timesformer.data.items import Item
from timesformer.inference.prediction import Failure, Prediction, to_json
from timesformer.inference.scoring import Scoring, score_videos
from timesformer.verbs.predict import Predictor, predict_files
from timesformer.video import reader, views
from timesformer.video.reader import VideoError
from timesformer.video.views import read_views
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
    with pytest.raises(VideoError, match="before its time range"):
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


def test_damaged_weights_are_an_error_and_not_a_prediction(tmp_path: Path) -> None:
    checkpoint = tiny()
    torch.nn.init.constant_(checkpoint.model.head.bias, float("nan"))
    with pytest.raises(WeightsError, match="not finite; the weights are damaged"):
        Predictor(checkpoint, device="cpu")(write_grey(tmp_path / "v.mp4", 100, 120))


def test_frames_of_any_common_form_are_the_same_video(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", frames=9, size=(48, 32))
    predictor = Predictor(tiny(LABELS), device="cpu")
    tensor = reader.read(path, range(9))
    expected = predictor(tensor, fps=30)
    array = tensor.permute(0, 2, 3, 1).contiguous().numpy()
    pictures = [Image.fromarray(frame) for frame in array]
    backwards = np.ascontiguousarray(array[::-1, :, :, ::-1])[::-1, :, :, ::-1]  # as frames of OpenCV, turned to RGB
    for form in (array, array.transpose(0, 3, 1, 2), list(array), tuple(tensor), pictures, backwards):
        assert predictor(form, fps=30) == expected
    with path.open("rb") as file:
        from_bytes, from_file = predictor(path.read_bytes()), predictor(file)
    assert from_bytes == from_file == replace(predictor(path), path=None)
    assert predictor(io.BytesIO(path.read_bytes()), end=0.1) == replace(predictor(path, end=0.1), path=None)


def test_a_list_of_videos_is_predicted_in_full_batches(tmp_path: Path) -> None:
    paths = [write_grey(tmp_path / f"{grey}.mp4", grey, grey) for grey in (20, 90, 200)]
    predictor = Predictor(tiny(LABELS), device="cpu")
    sizes: list[int] = []
    predictor.model.register_forward_hook(lambda model, given, _: sizes.append(len(given[0])))
    found = predictor([paths[0], str(paths[1]), paths[2].read_bytes()])
    assert sizes == [8, 1]
    assert [each.path for each in found] == [paths[0], paths[1], None]
    for each, path in zip(found, paths, strict=True):
        assert each.scores == pytest.approx(predictor(path).scores, abs=1e-6)
    clips = [reader.read(path, [0, 1]) for path in paths]
    again = [score for each in predictor(clips) for score in each.scores]
    assert again == pytest.approx([score for each in found for score in each.scores], abs=1e-5)
    with pytest.raises(VideoError, match=r"none\.mp4"):
        predictor([paths[0], tmp_path / "none.mp4"])


def test_features_are_the_mean_over_the_views(tmp_path: Path) -> None:
    path = write_grey(tmp_path / "v.mp4", 100, 120, 90)
    predictor = Predictor(tiny(LABELS), device="cpu", clips=2)
    seen = read_views(path, CLIP, clips=2, crops=3)
    with torch.no_grad():
        expected = predictor.model.features(seen).mean(dim=0)
    torch.testing.assert_close(predictor.features(path), expected)
    assert predictor.features([path, path]).shape == (2, len(expected))


def test_weights_without_a_head_have_features_alone(tmp_path: Path) -> None:
    path = write_grey(tmp_path / "v.mp4", 100, 120, 90)
    headless = tiny(classes=1)
    torch.nn.init.zeros_(headless.model.head.weight)
    predictor = Predictor(headless, device="cpu")
    assert predictor.features(path).shape == (8,)
    for use in (predictor, predictor.timeline):
        with pytest.raises(WeightsError, match="has no classes, only features; train a head"):
            use(path)


def test_a_whole_video_is_predicted_in_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "v.mp4", frames=60, fps=10)
    checkpoint = replace(tiny(LABELS), clip=replace(CLIP, sampling="dense", rate=3, fps=10.0))
    predictor = Predictor(checkpoint, device="cpu", placement="whole")
    expected = predictor(path)
    assert predictor(reader.read(path, range(60)), fps=10).scores == pytest.approx(expected.scores)
    portions = views.portions
    monkeypatch.setattr(
        "timesformer.inference.parts.portions", lambda *words, **more: portions(*words, **more | {"most": 1})
    )
    assert predictor(path).scores == pytest.approx(expected.scores)


@pytest.mark.parametrize(
    ("video", "error", "text"),
    [
        (np.zeros((2, 3, 16, 3), np.uint8), ValueError, r"may be \(n, h, w, 3\) or \(n, 3, h, w\)"),
        (np.zeros((2, 16, 16, 4), np.uint8), ValueError, "look RGBA: convert them to RGB"),
        (np.zeros((2, 16, 16, 1), np.uint8), ValueError, "look grey"),
        (np.zeros((2, 16, 16, 3)), ValueError, "are torch.float64; they must be uint8 pixels from 0 to 255"),
        (np.zeros((16, 16, 3), np.uint8), ValueError, "a single picture"),
        (np.zeros((0, 16, 16, 3), np.uint8), ValueError, "there are none"),
        (np.zeros((2, 2, 16, 16, 3), np.uint8), ValueError, "give several as a list"),
        (np.array([None]), TypeError, "array of object"),
        ([np.zeros((16, 16, 3), np.uint8), np.zeros((16, 8, 3), np.uint8)], ValueError, "frame 1"),
        ([np.zeros((16, 16), np.uint8)] * 2, ValueError, r"a frame has the shape \(16, 16\)"),
        ([1, 2], TypeError, "a frame can't be a int"),
        ([], ValueError, "the list is empty"),
        (None, TypeError, "a video can't be a NoneType"),
        (b"", VideoError, "the bytes given: is empty"),
        (b"no video", VideoError, "the bytes given: is not a video"),
        (io.StringIO("text"), TypeError, 'open it as open(path, "rb")'),
    ],
)
def test_what_is_no_video_gets_a_message_that_names_the_mistake(video: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text if "\\" in text else re.escape(text)):
        Predictor(tiny(), device="cpu")(video)


def test_devices_and_precisions_go_by_their_common_names(tmp_path: Path) -> None:
    path = write_grey(tmp_path / "v.mp4", 100, 120)
    exact = Predictor(tiny(LABELS), device="cpu", precision="fp32")(path)
    coarse = Predictor(tiny(LABELS), device="cpu", precision="bf16")(path)
    assert exact == Predictor(tiny(LABELS), device="cpu")(path)
    assert coarse == Predictor(tiny(LABELS), device="cpu", precision=torch.bfloat16)(path)
    assert coarse.scores != exact.scores and coarse.scores == pytest.approx(exact.scores, abs=0.1)
    with pytest.raises(ConfigError, match=r"precision is 'bf61'.*did you mean 'bf16'"):
        Predictor(tiny(), device="cpu", precision="bf61")
    for name in ("gpu", "cuda", "cuda:99", "mps", "tpu"):
        if name == "tpu" or not torch.cuda.is_available():
            with pytest.raises(ConfigError, match=f"device is '{name}'"):
                Predictor(tiny(), device=name)


def test_what_was_chosen_of_a_file_is_said_and_text_is_no_video(tmp_path: Path) -> None:
    predictor = Predictor(tiny(LABELS), device="cpu")
    picture = write_images(tmp_path / "pictures", frames=1, suffix=".jpg") / "1.jpg"
    assert predictor(picture).notes == ("is a single picture: every frame of its clips is that one",)
    thumbnail = with_streams(tmp_path / "v.mp4", [999], list(range(30)), sizes=[(160, 120), (64, 48)])
    assert predictor(thumbnail).notes == ("holds 2 video streams, of which stream 1, the main one, is read",)
    text = tmp_path / "LICENSE.txt"
    text.write_text("Permission is hereby granted, free of charge, to any person\n" * 30)
    (failure,) = predict_files(predictor, [text])
    assert isinstance(failure, Failure) and "is not a video" in failure.reason
