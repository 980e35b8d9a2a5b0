"""An explanation explains the prediction: its scores, shares, and what frames contribute can be worked out by hand."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.made_scores import CLIP, tiny
from tests.made_videos import encode, number_of, write, write_images
from timesformer.atomic import WriteError
from timesformer.config.checks import ConfigError
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.training import Task
from timesformer.inference.explanation import computing
from timesformer.inference.explanation.clips import Clips
from timesformer.inference.explanation.explanation import Explanation
from timesformer.model import relevance
from timesformer.model.transformer import TimeSformer
from timesformer.verbs.explain import explain
from timesformer.verbs.predict import Predictor
from timesformer.video import reader
from timesformer.video.reader import VideoError
from timesformer.video.views import planned, read_views
from timesformer.weights.checkpoint import Checkpoint, save

LABELS = ("wave", "jump", "空翻")
DENSE = ClipConfig(frames=4, rate=2, fps=10, size=16, mean=(0, 0, 0), std=(1, 1, 1))


def made(scheme: str = "divided", *, task: Task = "classes", clip: ClipConfig = DENSE) -> Checkpoint:
    """A checkpoint of four frames with 4 x 4 patches, and random values in every tensor."""
    torch.manual_seed(0)
    config = ModelConfig(scheme=scheme, frames=4, size=16, patch=4, width=16, depth=2, heads=2, classes=3)  # type: ignore[arg-type]
    model = TimeSformer(config).eval()
    for value in model.parameters():
        nn.init.normal_(value, std=0.3)
    stats = ((5.0, 2.0),) * 3 if task == "regression" else ()
    return Checkpoint(model, clip, labels=LABELS, task=task, target_stats=stats)


@pytest.mark.parametrize("size", [(64, 48), (48, 48), (24, 96)])
def test_its_scores_are_those_of_the_prediction_of_the_whole_video(tmp_path: Path, size: tuple[int, int]) -> None:
    video = write(tmp_path / "v.mp4", frames=40, fps=10, size=size)
    for crops in (1, 3):
        look = explain(made(), video, crops=crops, device="cpu")
        predicted = Predictor(made(), placement="whole", crops=crops, device="cpu")(video)
        assert look.prediction.scores == pytest.approx(predicted.scores, abs=1e-6)
        assert (look.label, look.score) == (predicted.top(1)[0][0], pytest.approx(predicted.top(1)[0][1], abs=1e-6))
        assert len(look.clip_scores) == 5 and np.mean(look.clip_scores) == pytest.approx(look.score, abs=1e-6)
        assert len(look.areas) == (1 if crops == 1 or size[0] == size[1] else 3)


@pytest.mark.parametrize("scheme", ["space", "joint", "divided", "local_global", "axial"])
def test_maps_are_the_relevance_of_each_view_for_every_scheme(tmp_path: Path, scheme: str) -> None:
    video, checkpoint = write(tmp_path / "v.mp4", frames=16, fps=10, size=(64, 48)), made(scheme)
    views = read_views(video, DENSE, crops=3, placement="whole")
    for method in ("gradient", "rollout"):
        look = explain(checkpoint, video, class_name="jump", method=method, device="cpu")  # type: ignore[arg-type]
        expected = (
            relevance.rollout(checkpoint.model, views)
            if method == "rollout"
            else relevance.of_class(checkpoint.model, views, torch.ones(len(views), dtype=torch.long))
        )
        assert torch.allclose(look.maps.flatten(0, 1), expected.patches, atol=1e-6)
        assert torch.allclose(look.rest.flatten(), expected.rest, atol=1e-6)
        assert [sum(f.relevance for f in look.frames if f.clip == clip) for clip in (0, 1)] == pytest.approx([1, 1])
        if scheme == "space":
            assert look.time_attention is None
        else:
            assert look.time_attention is not None and look.time_attention.shape == (2, 2, 4, 4)
            whole = relevance.time_attention(checkpoint.model, views).mean(dim=1)
            assert torch.allclose(look.time_attention, whole, atol=1e-6)


def test_evidence_is_how_much_the_log_odds_fall_when_neighbours_stand_in(tmp_path: Path) -> None:
    video, checkpoint = write(tmp_path / "v.mp4", frames=16, fps=10, size=(64, 48)), made()
    look = explain(checkpoint, video, class_name="空翻", crops=1, device="cpu")
    views = read_views(video, DENSE, placement="whole").double()
    model = checkpoint.model.double()

    def odds(clip: torch.Tensor) -> float:
        with torch.no_grad():
            share = float(model(clip[None]).softmax(dim=1)[0, 2])
        return math.log(share / (1 - share))

    numbers = planned(reader.info(video), DENSE, placement="whole")
    assert [(frame.number, frame.clip) for frame in look.frames] == [
        (int(number), clip) for clip in range(2) for number in numbers[clip]
    ]
    for frame in look.frames:
        clip = views[frame.clip]
        place = numbers[frame.clip].tolist().index(frame.number)
        falls = []
        for neighbour in (place - 1, place + 1):
            if 0 <= neighbour < 4:
                changed = clip.clone()
                changed[place] = clip[neighbour]
                falls.append(odds(clip) - odds(changed))
        assert frame.evidence == pytest.approx(np.mean(falls), abs=1e-4)
        assert frame.time == pytest.approx(frame.number / 10)


def test_a_frame_that_a_clip_repeats_is_one_frame() -> None:
    assert computing.runs([5, 5, 6, 9, 9, 9]) == [(0, 2), (2, 3), (3, 6)]
    assert list(computing.without([5, 5, 6, 9])) == [
        (0, [2, 2, 2, 3]),
        (1, [0, 1, 1, 3]),
        (1, [0, 1, 3, 3]),
        (2, [0, 1, 2, 2]),
    ]
    assert list(computing.without([7, 7])) == []


def test_a_video_shorter_than_a_clip_is_explained(tmp_path: Path) -> None:
    for frames in (1, 2):
        video = write(tmp_path / f"{frames}.mp4", frames=frames, fps=10)
        look = explain(made(), video, method="rollout", device="cpu")
        assert [frame.number for frame in look.frames] == list(range(frames))
        assert sum(frame.relevance for frame in look.frames) == pytest.approx(1)
        assert (look.frames[0].evidence is None) == (frames == 1)
        for name in ("look.png", "look.gif", "look.mp4"):
            look.write(tmp_path / name)
            assert (tmp_path / name).stat().st_size > 500
        json.loads(look.as_json())


def test_any_class_can_be_explained_and_an_unknown_one_is_named_with_the_nearest(tmp_path: Path) -> None:
    video = write(tmp_path / "v.mp4", frames=8, fps=10)
    save(made(), tmp_path / "m.safetensors")
    looks = [explain(tmp_path / "m.safetensors", video, class_name=name, device="cpu") for name in LABELS]
    assert [look.label for look in looks] == list(LABELS)
    assert [look.score for look in looks] == list(looks[0].prediction.scores)
    assert not torch.allclose(looks[0].maps, looks[1].maps)
    same = [explain(made(), video, class_name=name, method="rollout", device="cpu").maps for name in LABELS[:2]]
    assert torch.equal(same[0], same[1])
    with pytest.raises(ConfigError, match="class is 'wafe', which the model does not have; did you mean 'wave'"):
        explain(made(), video, class_name="wafe", device="cpu")
    with pytest.raises(ConfigError, match=r"\\x1b.*its classes are wave, jump, 空翻"):
        explain(made(), video, class_name="\x1bqqqqqqq", device="cpu")
    with pytest.raises(ConfigError, match="method is 'roll'"):
        explain(made(), video, method="roll", device="cpu")  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_other_tasks_are_explained_in_their_own_scores(tmp_path: Path, task: Task) -> None:
    video, checkpoint = write(tmp_path / "v.mp4", frames=8, fps=10), made(task=task)
    look = explain(checkpoint, video, crops=1, device="cpu")
    predicted = Predictor(made(task=task), placement="whole", crops=1, device="cpu")(video)
    assert look.prediction.scores == pytest.approx(predicted.scores, abs=1e-5)
    assert look.label == ("wave" if task == "regression" else predicted.top(1)[0][0])
    views = read_views(video, DENSE, placement="whole")[0]
    changed = torch.stack([views[[1, 1, 2, 3]], views])
    output = LABELS.index(look.label)
    with torch.no_grad():
        without, whole = checkpoint.model(changed)[:, output].tolist()
    fall = (whole - without) * (2 if task == "regression" else 1)  # the logit of one label is its log odds
    assert look.frames[0].evidence == pytest.approx(fall, abs=1e-4)
    assert ("%" in look.said(look.score)) == (task == "multilabel")


def test_certain_scores_still_tell_frames_apart() -> None:
    logits = torch.tensor([[[0.0, 60.0, 0.0]], [[0.0, 70.0, 0.0]]])
    assert computing.strength(logits, 1, made()).tolist() == pytest.approx([60 - math.log(2), 70 - math.log(2)])


def test_clips_are_read_alike_in_portions_and_only_a_single_portion_is_kept(tmp_path: Path) -> None:
    video = write(tmp_path / "v.mp4", frames=40, fps=10)
    whole = Clips.of(video, DENSE, crops=3)
    parts = replace(whole, most=1)
    first = list(whole.read())
    for again in (list(whole.read()), list(parts.read()), list(parts.read())):
        assert len(again) == 5 and all(map(torch.equal, first, again))
    assert len(whole._held) == 5 and not parts._held


def film_of(look: Explanation, path: Path) -> reader.VideoInfo:
    done: list[tuple[int, int]] = []
    look.write(path, progress=lambda *state: done.append(state))
    assert done == [(number + 1, len(look.times)) for number in range(len(look.times))]
    return reader.info(path)


@pytest.mark.parametrize("rotation", [0, 90])
def test_a_film_has_the_size_rate_and_frames_of_the_video(tmp_path: Path, rotation: int) -> None:
    video = write(tmp_path / "v.mp4", frames=30, fps=15, size=(480, 322), rotation=rotation)
    shown = reader.info(video)
    look = explain(made(), video, leave_one_out=False, device="cpu")
    info = film_of(look, tmp_path / "look.mp4")
    assert (info.width, info.frames, info.fps) == (shown.width, 30, pytest.approx(15))
    assert shown.height + 60 < info.height < shown.height + 140
    frames = reader.read(tmp_path / "look.mp4", range(30))[..., : shown.height, :]
    assert [number_of(frame) for frame in frames] == list(range(30))
    assert all(frame.evidence is None for frame in look.frames)


def test_a_film_of_a_varying_rate_odd_size_or_folder_of_images_keeps_its_times(tmp_path: Path) -> None:
    times = [0, 0.1, 0.2, 0.3, 0.8, 1.3, 1.8, 2.0]
    odd = write(tmp_path / "odd.mkv", frames=times, size=(333, 251), codec="libx264")
    look = explain(made(), odd, leave_one_out=False, device="cpu")
    info = film_of(look, tmp_path / "look.mp4")
    assert info.times.tolist() == pytest.approx(times, abs=0.002) and (info.width, info.height % 2) == (332, 0)
    images = write_images(tmp_path / "images", frames=6)
    assert film_of(explain(made(), images, device="cpu"), tmp_path / "images.mp4").frames == 6


def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    video = write(tmp_path / "v.mp4", frames=8, fps=10)
    look = explain(made(), video, device="cpu")
    with pytest.raises(ConfigError, match=r"look\.webm'; its ending says what is written: \.mp4"):
        look.write(tmp_path / "look.webm")
    with pytest.raises(ConfigError, match="is the video itself"):
        look.write(video)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(WriteError, match="is a folder"):
        look.write(tmp_path / "folder.png")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look.write(tmp_path / "look.mp4", progress=stop)
    video.unlink()
    for name in ("look.mp4", "look.png", "look.gif"):
        with pytest.raises(VideoError):
            look.write(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.png"]


def test_an_animation_is_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (24, 240, 320, 3), dtype=np.uint8)  # the hardest there is to compress
    video = encode(tmp_path / "v.mp4", noise, [number / 10 for number in range(24)], fps=10)
    look = explain(tiny(LABELS), video, leave_one_out=False, device="cpu")
    look.write(tmp_path / "look.gif")
    assert 1e4 < (tmp_path / "look.gif").stat().st_size <= 1.5e6


def test_as_json_it_has_everything_but_the_maps(tmp_path: Path) -> None:
    look = explain(made(), write(tmp_path / "v.mp4", frames=16, fps=10), device="cpu")
    line = json.loads(look.as_json())
    assert (line["label"], line["score"], line["method"]) == (look.label, pytest.approx(look.score), "gradient")
    assert [frame["number"] for frame in line["frames"]] == [frame.number for frame in look.frames]
    assert line["frames"][0]["evidence"] == pytest.approx(look.frames[0].evidence)
    assert np.array(line["time_attention"]).shape == (2, 2, 4, 4) and len(line["clip_scores"]) == 2


def test_a_clip_of_segments_covers_the_video(tmp_path: Path) -> None:
    video = write(tmp_path / "v.mp4", frames=60, fps=10)
    look = explain(tiny(LABELS), video, device="cpu")
    assert CLIP.sampling == "segments" and len(look.clip_scores) == 1
    assert look.best_clip == 0 and look.heat().times.tolist() == [frame.time for frame in look.frames]
