"""A timeline's scores are those of plain forward passes over the same frames, each of which is decoded once."""

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from torch import nn

from tests.made_scores import CLIP, write_grey
from tests.made_videos import encode, write, write_images
from timesformer.config.checks import ConfigError
from timesformer.config.model import ModelConfig, Scheme
from timesformer.inference.timeline import shared
from timesformer.inference.timeline.timeline import Timeline
from timesformer.model.transformer import TimeSformer
from timesformer.verbs.predict import Predictor
from timesformer.video import reader, transforms, windows
from timesformer.video.views import frame_range
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.report import WeightsError

LABELS = ("wave", "jump", "空翻")
DENSE = replace(CLIP, frames=4, sampling="dense", rate=3, fps=10.0)


def made(scheme: Scheme = "divided", **settings: Any) -> Checkpoint:
    """A checkpoint of a tiny model for DENSE with random values in every tensor."""
    torch.manual_seed(1)
    config = ModelConfig(
        scheme=scheme, frames=4, size=16, patch=8, width=8, heads=2, classes=3, **{"depth": 2} | settings
    )
    model = TimeSformer(config)
    for value in model.parameters():
        nn.init.normal_(value)
    return Checkpoint(model.eval(), DENSE, labels=LABELS)


@pytest.mark.parametrize(
    "checkpoint",
    [
        made(),
        made("joint"),
        made("space"),
        made("space", registers=2, rotary=True),
        made(order="space_first"),
        replace(made(), clip=replace(DENSE, sampling="segments")),
        replace(made("space"), clip=replace(DENSE, sampling="segments")),
        made("space", depth=4, pool="last_blocks"),
    ],
    ids=["divided", "joint", "space", "space with registers", "space first", "segments", "space in segments", "pool"],
)
def test_each_windows_scores_are_those_of_a_plain_forward_on_the_same_frames(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = write(tmp_path / "v.mp4", frames=70, fps=10, size=(48, 32))
    for crops, every in ((3, None), (1, 0.3)):
        predictor = Predictor(checkpoint, device="cpu", crops=crops)
        found = predictor.timeline(path, window=1.2, every=every)
        plan = windows.plan(frame_range(reader.info(path)), checkpoint.clip, window=1.2, every=every)
        views = transforms.eval_views(reader.read(path, plan.numbers), checkpoint.clip, crops=crops)
        with torch.no_grad():
            expected = checkpoint.model(views).softmax(1).unflatten(0, (-1, crops)).mean(1)
        assert len(found.scores) > 8
        torch.testing.assert_close(found.scores, expected, rtol=0, atol=1e-5)


def test_windows_that_do_not_overlap_average_to_the_scores_of_the_placement_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", frames=70, fps=10, size=(48, 32))
    whole = Predictor(made(), device="cpu", placement="whole")
    found = whole.timeline(path, every=1.2)
    assert len(found.scores) == 5
    assert found.scores.mean(dim=0).tolist() == pytest.approx(whole(path).scores, abs=1e-6)


def test_each_frame_is_decoded_and_prepared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "v.mp4", frames=70, fps=10, size=(48, 32))
    decoded: list[int] = []
    convert, prepare = reader._pixels, transforms.eval_frames
    prepared: list[int] = []

    def pixels(shot: Any, *words: Any, **more: Any) -> torch.Tensor:
        decoded.append(shot.number)
        return convert(shot, *words, **more)

    def eval_frames(frames: torch.Tensor, *words: Any, **more: Any) -> torch.Tensor:
        prepared.append(len(frames))
        return prepare(frames, *words, **more)

    monkeypatch.setattr(reader, "_pixels", pixels)
    monkeypatch.setattr(transforms, "eval_frames", eval_frames)
    found = Predictor(made(), device="cpu").timeline(path, every=0.1)
    assert len(found.scores) == 59 and found.scores.shape[0] * 4 > 3 * 70
    assert decoded == sorted(set(decoded)) and sum(prepared) == len(decoded) <= 70


def test_under_the_space_scheme_each_frame_goes_through_the_blocks_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "v.mp4", frames=70, fps=10, size=(48, 32))
    checkpoint, frames = made("space"), Counter[str]()
    checkpoint.model.blocks[0].register_forward_hook(lambda block, given, _: frames.update(seen=len(given[0])))
    Predictor(checkpoint, device="cpu", crops=1).timeline(path, every=0.1)
    assert frames["seen"] <= 70


def test_only_the_frames_of_windows_to_come_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "v.mp4", frames=600, fps=10, size=(48, 32))
    held: list[int] = []
    together = shared.together

    def counted(kept: dict[int, torch.Tensor], numbers: torch.Tensor) -> torch.Tensor:
        held.append(len(kept))
        return together(kept, numbers)

    monkeypatch.setattr("timesformer.inference.timeline.watching.together", counted)
    found = Predictor(made(), device="cpu").timeline(path, every=0.1)
    assert len(found.scores) == 589 and max(held) <= 4 * 4 + 16 + 8


class Shade(nn.Module):
    """Logits of a clip: the first class is dark, the second light, the third never."""

    config = made().model.config

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(9.0))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        grey = self.factor * (clips.mean(dim=(1, 2, 3, 4)) - 0.5)
        return torch.stack([-grey, grey, torch.full_like(grey, -9)], dim=1)


def test_the_segments_are_where_the_greys_change_and_a_label_that_never_leads_is_named(tmp_path: Path) -> None:
    path = write_grey(tmp_path / "v.mp4", *[20] * 30, *[220] * 40, *[20] * 20)
    checkpoint = replace(made(), model=Shade())  # type: ignore[arg-type]
    found = Predictor(checkpoint, device="cpu").timeline(path)
    assert [each.label for each in found.segments] == ["wave", "jump", "wave"]
    borders = [border for each in found.segments for border in (each.start, each.end)]
    assert borders == pytest.approx([0, 3, 3, 7, 7, 9], abs=0.4)
    assert found.absent == ("空翻",)


def seen(tmp_path: Path, checkpoint: Checkpoint | None = None, **more: Any) -> Timeline:
    path = write(tmp_path / "video.mp4", frames=70, fps=10, size=(48, 32))
    return Predictor(checkpoint or made(), device="cpu", crops=1).timeline(path, **more)


def test_every_form_can_be_written_and_says_the_same(tmp_path: Path) -> None:
    found = seen(tmp_path)
    for ending in (".csv", ".jsonl", ".json", ".srt", ".vtt", ".png"):
        found.write(tmp_path / f"out{ending}")
    rows = [(each.start, each.end, each.label) for each in found.segments]
    text = {ending: (tmp_path / f"out{ending}").read_text("utf-8") for ending in (".csv", ".jsonl", ".json", ".srt")}
    table = list(csv.DictReader(text[".csv"].splitlines()))
    lines = [json.loads(line) for line in text[".jsonl"].splitlines()]
    whole = json.loads(text[".json"])
    for read in (table, lines, whole["segments"]):
        assert [(pytest.approx(float(row["start"]), abs=1e-3), pytest.approx(float(row["end"]), abs=1e-3), row["label"])
                for row in read] == rows  # fmt: skip
    assert lines[0]["path"] == str(found.path)
    assert np.array([each["scores"] for each in whole["windows"]]) == pytest.approx(found.scores.numpy(), abs=1e-5)
    assert text[".srt"].count(" --> ") == len(rows)
    assert imread(tmp_path / "out.png").shape[1] > 1000
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith(".")} == set()


def test_an_ending_that_names_no_form_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    found = seen(tmp_path)
    for name in ("out.txt", "out"):
        with pytest.raises(ConfigError, match=r"a timeline is written as \.csv, \.jsonl"):
            found.write(tmp_path / name)
        assert not (tmp_path / name).exists()


def test_a_model_of_several_labels_has_segments_above_a_threshold_and_one_of_numbers_has_values(tmp_path: Path) -> None:
    checkpoint = made()
    nn.init.constant_(checkpoint.model.head.bias, 2.0)
    labels = seen(tmp_path, replace(checkpoint, task="multilabel"))
    logits = seen(tmp_path, replace(checkpoint, task="regression"))
    torch.testing.assert_close(labels.scores, logits.scores.sigmoid())
    assert {segment.label for segment in labels.segments} == {"jump", "wave"} and labels.absent == ("空翻",)
    numbers = seen(tmp_path, replace(made(), task="regression", target_stats=((100.0, 5.0),) * 3))
    assert numbers.segments == () and numbers.absent == () and numbers.scores.dtype == torch.float64
    for ending in (".csv", ".jsonl", ".json", ".srt", ".vtt", ".png"):
        numbers.write(tmp_path / f"numbers{ending}")
    rows = list(csv.DictReader((tmp_path / "numbers.csv").read_text("utf-8").splitlines()))
    assert len(rows) == len(numbers.moments.parts) and rows[0].keys() == {"start", "end", *LABELS}
    assert float(rows[0]["jump"]) == pytest.approx(float(numbers.scores[0, 1]), rel=1e-5)
    assert "wave " in (tmp_path / "numbers.srt").read_text("utf-8")


def test_a_video_shorter_than_a_window_has_one_and_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", frames=5, fps=10, size=(48, 32))
    predictor = Predictor(made(), device="cpu")
    found = predictor.timeline(path)
    assert len(found.scores) == 1 and found.segments[0].end == pytest.approx(0.5) and found.every == 0
    assert found.scores[0].tolist() == pytest.approx(predictor(path).scores, abs=1e-6)
    assert found.notes == (
        "the video lasts 0.5 s, less than a window of 1.2 s: there is one, which repeats its last frames",
    )
    found.write(tmp_path / "v.png")


def test_a_model_of_whole_videos_has_windows_as_long_as_these_or_says_that_it_guesses(tmp_path: Path) -> None:
    checkpoint = replace(made(), clip=replace(DENSE, sampling="segments"))
    guessed, named = seen(tmp_path, checkpoint), seen(tmp_path, checkpoint, window=2.0)
    assert guessed.window == 4.0 and "by --window" in guessed.notes[0]
    assert named.window == 2.0 and named.notes == ()
    told = seen(tmp_path, replace(made(), clip=replace(DENSE, sampling="segments", seconds=1.5)))
    assert told.window == 1.5 and told.notes == ()


def damage(path: Path, share: tuple[float, float]) -> None:
    """Overwrite a part of a file with noise."""
    data = bytearray(path.read_bytes())
    first, last = (int(part * len(data)) for part in share)
    data[first:last] = np.random.default_rng(0).integers(0, 256, last - first, dtype=np.uint8).tobytes()
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("ending", "every", "what"),
    [("mp4", None, "stand in"), ("mp4", 5.0, "stand in"), ("mkv", None, "holds no frames")],
)
def test_a_broken_stretch_is_named_by_its_time(tmp_path: Path, ending: str, every: float | None, what: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (300, 32, 48, 3), dtype=np.uint8)
    options = {"g": "10", "preset": "ultrafast"}
    path = encode(tmp_path / f"v.{ending}", noise, np.arange(300) / 10, fps=10, options=options)
    predictor = Predictor(made(), device="cpu", crops=1)
    whole = predictor.timeline(path, every=every)
    damage(path, (0.45, 0.6))
    found = predictor.timeline(path, every=every)
    assert whole.damaged == () and what in found.notes[0]
    assert 13 < found.damaged[0].start < found.damaged[-1].end < 20
    if ending == "mp4":
        intact = (found.spans[:, 1] < 13) | (found.spans[:, 0] > 20)
        assert torch.equal(found.scores[intact], whole.scores[intact])
    found.write(tmp_path / "v.png")


def test_pictures_in_a_folder_and_files_with_sparse_windows_are_read(tmp_path: Path) -> None:
    images = Predictor(made(), device="cpu").timeline(write_images(tmp_path / "images", frames=60))
    assert images.duration == pytest.approx(2.0) and len(images.scores) > 1
    path = write(tmp_path / "v.mp4", frames=400, fps=10, gop=12)
    predictor = Predictor(made(), device="cpu", crops=1)
    sparse = predictor.timeline(path, every=9.0)
    assert sparse.spans.diff(dim=1).flatten().tolist() == pytest.approx([1.2] * 5)
    numbers = windows.plan(frame_range(reader.info(path)), DENSE, window=1.2, every=9.0).numbers
    views = transforms.eval_views(reader.read(path, numbers), DENSE)
    with torch.no_grad():
        torch.testing.assert_close(sparse.scores, predictor.model(views).softmax(1), rtol=0, atol=1e-5)


def test_progress_counts_the_seconds_of_the_video(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", frames=70, fps=10, size=(48, 32))
    said: list[float] = []
    predictor = Predictor(made(), device="cpu")
    predictor.timeline(path, progress=lambda done, total: said.append(done / total))
    assert said == sorted(said) and said[0] == 0 and said[-1] == 1


def test_damaged_weights_are_an_error(tmp_path: Path) -> None:
    checkpoint = made()
    nn.init.constant_(checkpoint.model.head.bias, float("nan"))
    with pytest.raises(WeightsError, match="not finite"):
        seen(tmp_path, checkpoint)
