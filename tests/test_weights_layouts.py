"""Official and MMAction2 files give the logits of the model they were made from, and its clip settings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from tests.made_weights import KINETICS_CFG, SMALL, mmaction, official, random_clips, random_model, save_official
from timesformer.config import ClipConfig, ModelConfig, Scheme
from timesformer.weights import convert
from timesformer.weights.loading import load, start
from timesformer.weights.report import WeightsError
from timesformer.weights.writing import write

FOREIGN_SCHEMES: tuple[Scheme, ...] = ("space", "joint", "divided")


def same(left: torch.nn.Module, right: torch.nn.Module, config: ModelConfig = SMALL) -> bool:
    """Whether two models give bit for bit the same logits."""
    clips = random_clips(config)
    with torch.no_grad():
        return torch.equal(left(clips), right(clips))


@pytest.mark.parametrize("scheme", FOREIGN_SCHEMES)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_an_official_file_gives_identical_logits_and_its_own_settings(
    scheme: Scheme, legacy: bool, tmp_path: Path
) -> None:
    model = random_model(replace(SMALL, scheme=scheme))
    loaded = load(save_official(model, tmp_path / "weights.bin", legacy=legacy))
    assert same(model, loaded.model)
    assert loaded.model.config == model.config
    assert loaded.clip == ClipConfig(
        frames=4, rate=16, fps=25.0, size=32, mean=(0.45, 0.44, 0.43), std=(0.225, 0.226, 0.227)
    )
    assert loaded.report is not None
    assert loaded.report.loaded == len(model.state_dict())
    assert not loaded.report.extra + loaded.report.zero + loaded.report.fresh + loaded.report.copied


@pytest.mark.parametrize("wrapper", ["bare", "state_dict", "module", "safetensors"])
def test_other_wrappings_of_official_names_are_understood(wrapper: str, tmp_path: Path) -> None:
    model = random_model()
    names = official(model)
    path = tmp_path / "weights"
    if wrapper == "safetensors":
        save_file({f"model.{name}": value.contiguous() for name, value in names.items()}, path)
    else:
        prefixed = {f"module.model.{name}": value for name, value in names.items()}
        contents: dict[str, Any] = {"bare": names, "state_dict": {"state_dict": names}, "module": prefixed}
        torch.save(contents[wrapper], path)
    loaded = load(path)
    assert same(model, loaded.model)
    assert loaded.report is not None
    assert any("heads not stated: 1 assumed" in note for note in loaded.report.notes)


@pytest.mark.parametrize("scheme", FOREIGN_SCHEMES)
def test_an_mmaction2_file_gives_identical_logits_and_half_half_normalisation(scheme: Scheme, tmp_path: Path) -> None:
    model = random_model(replace(SMALL, scheme=scheme))
    labels = ("a", "b", "c", "d", "e")
    torch.save({"meta": {"dataset_meta": {"classes": labels}}, "state_dict": mmaction(model)}, tmp_path / "mm.pth")
    loaded = load(tmp_path / "mm.pth")
    assert same(model, loaded.model)
    assert loaded.clip.mean == loaded.clip.std == (0.5, 0.5, 0.5)
    assert (loaded.clip.rate, loaded.labels) == (32, labels)


def test_mmaction2_and_official_files_normalise_differently(tmp_path: Path) -> None:
    model = random_model()
    torch.save({"meta": {}, "state_dict": mmaction(model)}, tmp_path / "mm.pth")
    torch.save({"model_state": official(model)}, tmp_path / "official.pyth")
    ours, theirs = load(tmp_path / "mm.pth"), load(tmp_path / "official.pyth")
    assert (ours.clip.mean, theirs.clip.mean) == ((0.5, 0.5, 0.5), (0.45, 0.45, 0.45))
    assert same(ours.model, theirs.model)


@pytest.mark.parametrize(
    ("frames", "size", "classes", "expected"),
    [
        (8, 32, 5, ClipConfig(frames=8, size=32, rate=32)),
        (96, 32, 5, ClipConfig(frames=96, size=32, rate=4)),
        (16, 448, 5, ClipConfig(frames=16, size=448, rate=16)),
        (96, 32, 1059, ClipConfig(frames=96, size=32, rate=32)),
        (8, 32, 174, ClipConfig(frames=8, size=32, sampling="segments", channels="bgr")),
    ],
)
def test_without_cfg_the_clip_is_that_of_the_official_model_with_these_tensors(
    frames: int, size: int, classes: int, expected: ClipConfig, tmp_path: Path
) -> None:
    model = random_model(ModelConfig(frames=frames, size=size, patch=16, width=64, depth=1, heads=1, classes=classes))
    torch.save({"model_state": {f"model.{k}": v for k, v in official(model).items()}}, tmp_path / "w.pyth")
    loaded = load(tmp_path / "w.pyth")
    assert loaded.clip == expected
    assert loaded.report is not None
    assert any("no cfg text" in note for note in loaded.report.notes)
    assert any("assumed" in note or "taken for" in note for note in loaded.report.notes[2:])


def test_an_official_something_something_file_wants_segments_in_bgr(tmp_path: Path) -> None:
    cfg = KINETICS_CFG.format(attention="divided_space_time").replace("kinetics", "Ssv2")
    loaded = load(save_official(random_model(), tmp_path / "w.pyth", cfg=cfg))
    assert (loaded.clip.sampling, loaded.clip.channels) == ("segments", "bgr")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("divided_space_time", "sideways"), "attention type 'sideways'"),
        (("divided_space_time", "joint_space_time"), "block tensors that a TimeSformer has no place for"),
        (("SAMPLING_RATE: 16", "SAMPLING_RATE: often"), "a number is needed"),
        (("STD: [0.225, 0.226, 0.227]", "STD: [0, 0, 0]"), "every channel must be above 0"),
    ],
)
def test_a_cfg_that_can_not_be_true_is_refused(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    cfg = KINETICS_CFG.format(attention="divided_space_time").replace(*change)
    with pytest.raises(WeightsError, match=message):
        load(save_official(random_model(), tmp_path / "w.pyth", cfg=cfg))


@pytest.mark.parametrize("name", sorted(official(random_model())))
def test_every_backbone_tensor_must_be_there(name: str, tmp_path: Path) -> None:
    tensors = official(random_model())
    del tensors[name]
    torch.save({"model_state": tensors}, tmp_path / "w.pyth")
    if name == "head.weight":
        with pytest.raises(WeightsError, match="has no head; say how many"):
            load(tmp_path / "w.pyth")
        report = load(tmp_path / "w.pyth", classes=2).report
        assert report is not None
        assert report.fresh == ("head.weight", "head.bias")
        return
    with pytest.raises(WeightsError, match=r"lacks|missing|block tensors"):
        load(tmp_path / "w.pyth", classes=5)


@pytest.mark.parametrize("name", sorted(official(random_model())))
def test_every_wrong_shape_is_one_clear_error(name: str, tmp_path: Path) -> None:
    tensors = official(random_model())
    tensors[name] = torch.cat([tensors[name]] * 2, dim=-1)[..., :-1]
    torch.save({"model_state": tensors}, tmp_path / "w.pyth")
    with pytest.raises(WeightsError, match=r"w\.pyth"):
        load(tmp_path / "w.pyth")


def test_extra_entries_are_reported_by_their_own_names(tmp_path: Path) -> None:
    tensors = {**official(random_model()), "queue.weight": torch.zeros(2), "step": 7}
    torch.save({"model_state": tensors}, tmp_path / "w.pyth")
    report = load(tmp_path / "w.pyth").report
    assert report is not None
    assert set(report.extra) == {"queue.weight", "step"}


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
    assert (loaded.clip.size, loaded.clip.frames) == (48, 6)


def test_a_stored_grid_that_is_not_square_needs_and_takes_the_size(tmp_path: Path) -> None:
    model = random_model(replace(SMALL, size=(24, 40)))
    path = save_official(model, tmp_path / "w.pyth")
    with pytest.raises(WeightsError, match="15 patches, which is no square grid"):
        load(path)
    loaded = load(path, size=(24, 40))
    assert same(model, loaded.model, model.config)


def test_another_number_of_classes_starts_a_new_head_and_drops_the_labels(tmp_path: Path) -> None:
    torch.save(
        {"meta": {"CLASSES": ["a", "b", "c", "d", "e"]}, "state_dict": mmaction(random_model())}, tmp_path / "w.pth"
    )
    kept, renewed = load(tmp_path / "w.pth", classes=5), load(tmp_path / "w.pth", classes=3)
    assert kept.report is not None
    assert renewed.report is not None
    assert (kept.labels, kept.report.fresh) == (("a", "b", "c", "d", "e"), ())
    assert (renewed.labels, renewed.report.fresh) == ((), ("head.weight", "head.bias"))
    assert renewed.model.head.weight.shape == (3, 64)
    assert 0 < renewed.model.head.weight.abs().max() < 0.2


def test_start_makes_exactly_the_wanted_model_or_says_why_not(tmp_path: Path) -> None:
    path = save_official(random_model(), tmp_path / "w.pyth")
    wanted = replace(SMALL, frames=8, size=64, classes=2, drop_path=0.3, resize="smooth")
    started = start(path, wanted)
    assert started.model.config == wanted
    assert started.report is not None
    assert [change.rule for change in started.report.resized] == ["bicubic in 2-D", "linear"]
    assert start(path, replace(SMALL, position="space")).report.extra == ("embedding.time",)  # type: ignore[union-attr]
    for other, message in (
        ({"depth": 3}, "set depth to 2"),
        ({"scheme": "joint"}, "choose scheme 'divided'"),
        ({"scheme": "axial"}, "choose scheme 'divided'"),
    ):
        with pytest.raises(WeightsError, match=message):
            start(path, replace(SMALL, **other))
    reordered = start(path, replace(SMALL, order="space_first")).report
    assert reordered is not None
    assert reordered.notes[-1] == "order 'time_first' -> 'space_first': not what it was trained for"


@pytest.mark.parametrize("scheme", FOREIGN_SCHEMES)
def test_written_official_files_come_back_bit_exact_with_everything(scheme: Scheme, tmp_path: Path) -> None:
    model = random_model(replace(SMALL, scheme=scheme, heads=4, drop_path=0.2, resize="smooth"))
    native = replace(
        load(save_official(model, tmp_path / "w.pyth")),
        model=model,
        labels=("é\u2028", '"b"', "c", "d", "e"),
        clip=ClipConfig(frames=4, size=32, fps=30000 / 1001, mean=(0.1, 0.2, 1 / 3), channels="bgr"),
        about="made # up",
    )
    notes = write(native, tmp_path / "out.pyth", to="official")
    back = load(tmp_path / "out.pyth")
    assert same(model, back.model)
    assert (back.clip, back.labels, back.about) == (native.clip, native.labels, native.about)
    assert back.model.config == model.config
    assert "heads" in notes[0]
    content = torch.load(tmp_path / "out.pyth", weights_only=True)
    assert set(content) == {"epoch", "model_state", "optimizer_state", "cfg"}
    assert set(content["model_state"]) == {f"model.{name}" for name in official(model)}


@pytest.mark.parametrize("layout", ["official", "huggingface", "mmaction2"])
@pytest.mark.parametrize("scheme", FOREIGN_SCHEMES)
def test_tables_are_one_to_one_and_cover_the_whole_model(layout: Any, scheme: Scheme) -> None:
    tensors = random_model(replace(SMALL, scheme=scheme)).state_dict()
    there, unknown = convert.rename(tensors, convert.reverse(convert.table(layout, scheme)), 2)
    back, unknown_back = convert.rename(there, convert.table(layout, scheme), 2)
    assert (unknown, unknown_back) == ((), ())
    assert len(there) == len(tensors)
    assert all(back[name] is tensors[name] for name in tensors)


@pytest.mark.parametrize("wanted", [{"frames": 0}, {"size": 33}, {"classes": 0}, {"scheme": "joint"}])
def test_a_clip_or_head_that_can_not_be_is_refused_with_the_file_named(wanted: dict[str, Any], tmp_path: Path) -> None:
    path = save_official(random_model(), tmp_path / "w.pyth")
    with pytest.raises(WeightsError, match=r"w\.pyth.*(at least 1|divisible|choose)"):
        load(path, **wanted)
