"""Weights follow another clip, head or order by the stated rules, and the report says so."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tests.made_weights import SMALL, mmaction, random_clips, random_model, same_logits, save_official
from timesformer.config.model import ClipConfig
from timesformer.weights.checkpoint import Checkpoint, save
from timesformer.weights.formats.shapes import mlp_ratio
from timesformer.weights.loading import load, start
from timesformer.weights.report import WeightsError


@pytest.mark.parametrize("frames", [4, 16, 24, 96])
def test_a_model_from_eight_frames_runs_on_any_number_as_if_its_time_embedding_were_resized(
    frames: int, tmp_path: Path
) -> None:
    eight = replace(SMALL, frames=8)
    model = random_model(eight)
    path = save_official(model, tmp_path / "w.pyth")
    by_hand = random_model(replace(eight, frames=frames))
    weights = dict(model.state_dict())
    weights["embedding.time"] = weights["embedding.time"][:, torch.arange(frames) * 8 // frames]
    by_hand.load_state_dict(weights)
    clips = random_clips(eight, frames)
    with torch.no_grad():
        expected = by_hand(clips)
        assert torch.equal(load(path).model(clips), expected)
        refitted = load(path, frames=frames)
    assert torch.equal(refitted.model(clips), expected)
    assert refitted.model.config.frames == refitted.clip.frames == frames


@pytest.mark.parametrize("resize", ["nearest", "smooth", "flat"])
def test_embeddings_follow_the_stated_rule_to_a_grid_that_is_not_square(resize: Any, tmp_path: Path) -> None:
    model = random_model()
    loaded = load(save_official(model, tmp_path / "w.pyth"), size=(48, 64), frames=6, resize=resize)
    before, after = model.state_dict(), loaded.model.state_dict()
    old, new = before["embedding.position"][0], after["embedding.position"][0]
    plane = old[1:].T.reshape(1, 64, 4, 4)
    line = before["embedding.time"].transpose(1, 2)
    if resize == "nearest":
        expected = torch.stack(
            [old[1 + (row * 4 // 6) * 4 + column * 4 // 8] for row in range(6) for column in range(8)]
        )
        time, rules = F.interpolate(line, 6), ["nearest in 2-D", "nearest"]
    elif resize == "flat":
        expected = torch.stack([old[1 + place * 16 // 48] for place in range(48)])
        time, rules = F.interpolate(line, 6), ["nearest along the flattened grid", "nearest"]
    else:
        expected = F.interpolate(plane, (6, 8), mode="bicubic").flatten(2)[0].T
        time, rules = F.interpolate(line, 6, mode="linear"), ["bicubic in 2-D", "linear"]
    assert torch.equal(new[0], old[0])
    assert torch.allclose(new[1:], expected)
    assert torch.allclose(after["embedding.time"], time.transpose(1, 2))
    assert loaded.report is not None
    assert [change.rule for change in loaded.report.resized] == rules
    assert [(c.before, c.after) for c in loaded.report.resized] == [
        ((1, 17, 64), (1, 49, 64)),
        ((1, 4, 64), (1, 6, 64)),
    ]
    assert (loaded.clip.size, loaded.clip.frames) == ((48, 64), 6)


def test_a_stored_grid_that_is_not_square_needs_and_takes_the_size(tmp_path: Path) -> None:
    model = random_model(replace(SMALL, size=(24, 40)))
    path = save_official(model, tmp_path / "w.pyth")
    with pytest.raises(WeightsError, match="15 patches, which is not a square grid"):
        load(path)
    loaded = load(path, size=(24, 40))
    assert same_logits(model, loaded.model, model.config)


def test_another_number_of_classes_starts_a_new_head_and_drops_the_labels(tmp_path: Path) -> None:
    torch.save(
        {"meta": {"CLASSES": ["a", "b", "c", "d", "e"]}, "state_dict": mmaction(random_model())}, tmp_path / "w.pth"
    )
    kept, renewed = load(tmp_path / "w.pth", classes=5), load(tmp_path / "w.pth", classes=3)
    assert kept.report is not None
    assert renewed.report is not None
    assert (kept.labels, kept.report.new) == (("a", "b", "c", "d", "e"), ())
    assert (renewed.labels, renewed.report.new) == ((), ("head.weight", "head.bias"))
    assert renewed.model.head.weight.shape == (3, 64)
    assert 0 < renewed.model.head.weight.abs().max() < 0.2


def test_start_makes_exactly_the_wanted_model_or_says_why_not(tmp_path: Path) -> None:
    path = save_official(random_model(), tmp_path / "w.pyth")
    wanted = replace(SMALL, frames=8, size=64, classes=2, drop_path=0.3, resize="smooth")
    started = start(path, wanted)
    assert started.model.config == wanted
    assert started.report is not None
    assert [change.rule for change in started.report.resized] == ["bicubic in 2-D", "linear"]
    assert start(path, replace(SMALL, position="space")).report.unused == ("embedding.time",)  # type: ignore[union-attr]
    for other, message in (
        ({"depth": 3}, "set depth to 2"),
        ({"scheme": "joint"}, "choose scheme 'divided'"),
        ({"scheme": "axial"}, "choose scheme 'divided'"),
    ):
        with pytest.raises(WeightsError, match=message):
            start(path, replace(SMALL, **other))
    reordered = start(path, replace(SMALL, order="space_first")).report
    assert reordered is not None
    assert reordered.notes[-1] == "order 'time_first' -> 'space_first': the weights were not trained with it"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"size": "48"}, "size is '48'"),
        ({"frames": 2.0}, "frames is 2.0"),
        ({"resize": "bicubic"}, "resize is 'bicubic'"),
    ],
)
def test_settings_of_another_type_are_refused(wanted: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=message):
        load(save_official(random_model(), tmp_path / "w.pyth"), **wanted)


@pytest.mark.parametrize("wanted", [{"frames": 0}, {"size": 33}, {"classes": 0}, {"scheme": "joint"}])
def test_a_clip_or_head_that_can_not_be_is_refused_with_the_file_named(wanted: dict[str, Any], tmp_path: Path) -> None:
    path = save_official(random_model(), tmp_path / "w.pyth")
    with pytest.raises(WeightsError, match=r"w\.pyth.*(at least 1|divisible|choose)"):
        load(path, **wanted)


def test_clip_settings_change_only_where_the_clip_is_asked_to(tmp_path: Path) -> None:
    clip = ClipConfig(frames=7, size=56, rate=3)
    save(Checkpoint(random_model(replace(SMALL, size=(24, 40))), clip), tmp_path / "w.safetensors")
    assert load(tmp_path / "w.safetensors").clip == clip
    assert load(tmp_path / "w.safetensors", frames=2).clip == replace(clip, frames=2)
    assert load(tmp_path / "w.safetensors", size=48).clip == replace(clip, size=48)


@pytest.mark.parametrize("width", [48, 84, 192, 768])
def test_every_hidden_width_of_the_mlp_is_recovered(width: int) -> None:
    for hidden in range(1, 4 * width, 7):
        assert int(width * mlp_ratio(hidden, width, 4.0)) == hidden
