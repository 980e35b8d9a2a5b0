"""Official and MMAction2 files give the logits of the model they were made from, and its clip settings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.made_weights import KINETICS_CFG, SMALL, mmaction, official, random_model, same_logits, save_official
from timesformer.config.model import ClipConfig, ModelConfig, Scheme
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.formats import layouts
from timesformer.weights.formats.writing import write
from timesformer.weights.loading import load
from timesformer.weights.report import WeightsError

FOREIGN_SCHEMES: tuple[Scheme, ...] = ("space", "joint", "divided")


@pytest.mark.parametrize("scheme", FOREIGN_SCHEMES)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_an_official_file_gives_identical_logits_and_its_own_settings(
    scheme: Scheme, legacy: bool, tmp_path: Path
) -> None:
    model = random_model(replace(SMALL, scheme=scheme))
    loaded = load(save_official(model, tmp_path / "weights.bin", legacy=legacy))
    assert same_logits(model, loaded.model)
    assert loaded.model.config == model.config
    assert loaded.clip == ClipConfig(
        frames=4, rate=16, fps=25.0, size=32, mean=(0.45, 0.44, 0.43), std=(0.225, 0.226, 0.227)
    )
    assert loaded.report is not None
    assert loaded.report.loaded == len(model.state_dict())
    assert not loaded.report.unused + loaded.report.zero + loaded.report.new + loaded.report.copied


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
    assert same_logits(model, loaded.model)
    assert loaded.report is not None
    assert any("heads not stated: 1 assumed" in note for note in loaded.report.notes)


@pytest.mark.parametrize("scheme", FOREIGN_SCHEMES)
def test_an_mmaction2_file_gives_identical_logits_and_half_half_normalisation(scheme: Scheme, tmp_path: Path) -> None:
    model = random_model(replace(SMALL, scheme=scheme))
    labels = ("a", "b", "c", "d", "e")
    torch.save({"meta": {"dataset_meta": {"classes": labels}}, "state_dict": mmaction(model)}, tmp_path / "mm.pth")
    loaded = load(tmp_path / "mm.pth")
    assert same_logits(model, loaded.model)
    assert loaded.clip.mean == loaded.clip.std == (0.5, 0.5, 0.5)
    assert (loaded.clip.rate, loaded.labels) == (32, labels)
    torch.save({"meta": {"CLASSES": labels[1:]}, "state_dict": mmaction(model)}, tmp_path / "mm.pth")
    loaded = load(tmp_path / "mm.pth")
    assert loaded.report is not None
    assert (loaded.labels, loaded.report.notes[-1]) == ((), "4 names stated for 5 outputs: not used")


def test_mmaction2_and_official_files_normalise_differently(tmp_path: Path) -> None:
    model = random_model()
    torch.save({"meta": {}, "state_dict": mmaction(model)}, tmp_path / "mm.pth")
    torch.save({"model_state": official(model)}, tmp_path / "official.pyth")
    ours, theirs = load(tmp_path / "mm.pth"), load(tmp_path / "official.pyth")
    assert (ours.clip.mean, theirs.clip.mean) == ((0.5, 0.5, 0.5), (0.45, 0.45, 0.45))
    assert same_logits(ours.model, theirs.model)


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


@pytest.mark.parametrize(
    ("crop", "size", "note"),
    [(48, 48, "crops of 48 px stated; the position embedding, for 32 px"), (50, 32, "not divisible by patches")],
)
def test_frames_and_crops_that_a_cfg_tests_with_are_taken_and_noted(
    crop: int, size: int, note: str, tmp_path: Path
) -> None:
    cfg = KINETICS_CFG.format(attention="divided_space_time").replace("NUM_FRAMES: 4", "NUM_FRAMES: 6")
    cfg = cfg.replace("  TRAIN_CROP", f"  TEST_CROP_SIZE: {crop}\n  TRAIN_CROP")
    loaded = load(save_official(random_model(), tmp_path / "w.pyth", cfg=cfg))
    assert (loaded.clip.frames, loaded.clip.size, loaded.model.config) == (6, size, SMALL)
    assert loaded.report is not None
    assert any("clips of 6 frames stated" in line for line in loaded.report.notes)
    assert any(note in line for line in loaded.report.notes)


def test_an_official_something_something_file_wants_segments_in_bgr(tmp_path: Path) -> None:
    cfg = KINETICS_CFG.format(attention="divided_space_time").replace("kinetics", "Ssv2")
    loaded = load(save_official(random_model(), tmp_path / "w.pyth", cfg=cfg))
    assert (loaded.clip.sampling, loaded.clip.channels) == ("segments", "bgr")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("divided_space_time", "sideways"), "attention type 'sideways'"),
        (("divided_space_time", "joint_space_time"), "block tensors that a TimeSformer doesn't have"),
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
        assert load(tmp_path / "w.pyth").is_backbone
        report = load(tmp_path / "w.pyth", classes=2).report
        assert report is not None
        assert report.new == ("head.weight", "head.bias")
        return
    with pytest.raises(WeightsError, match=r"has no|missing|block tensors"):
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
    assert set(report.unused) == {"queue.weight", "step"}


@pytest.mark.parametrize("scheme", FOREIGN_SCHEMES)
def test_written_official_files_come_back_bit_exact_with_everything(scheme: Scheme, tmp_path: Path) -> None:
    model = random_model(replace(SMALL, scheme=scheme, heads=4, drop_path=0.2, resize="smooth", mlp_ratio=1.3))
    native = replace(
        load(save_official(model, tmp_path / "w.pyth")),
        model=model,
        labels=("é\u2028", '"b"', "c", "d", "e"),
        clip=ClipConfig(frames=6, size=48, fps=30000 / 1001, mean=(0.1, 0.2, 1 / 3), channels="bgr"),
        about="made # up",
    )
    notes = write(native, tmp_path / "out.pyth", to="official")
    back = load(tmp_path / "out.pyth")
    assert same_logits(model, back.model)
    assert (back.clip, back.labels, back.about) == (native.clip, native.labels, native.about)
    assert back.model.config == model.config
    assert "heads" in notes[0]
    content = torch.load(tmp_path / "out.pyth", weights_only=True)
    assert set(content) == {"epoch", "model_state", "optimizer_state", "cfg"}
    assert set(content["model_state"]) == {f"model.{name}" for name in official(model)}


@pytest.mark.parametrize("change", [{"norm_eps": 1e-5}, {"activation": "quick_gelu"}])
def test_official_files_have_one_epsilon_and_one_activation(change: dict[str, Any], tmp_path: Path) -> None:
    checkpoint = Checkpoint(random_model(replace(SMALL, **change)), ClipConfig())
    with pytest.raises(WeightsError, match="it has GELU and a LayerNorm epsilon of 1e-06, and this model"):
        write(checkpoint, tmp_path / "w.pyth", to="official")


@pytest.mark.parametrize("layout", ["official", "huggingface", "mmaction2"])
@pytest.mark.parametrize("scheme", FOREIGN_SCHEMES)
def test_tables_are_one_to_one_and_cover_the_whole_model(layout: Any, scheme: Scheme) -> None:
    tensors = random_model(replace(SMALL, scheme=scheme)).state_dict()
    there, unknown = layouts.rename(tensors, layouts.reverse(layouts.table(layout, scheme)), 2)
    back, unknown_back = layouts.rename(there, layouts.table(layout, scheme), 2)
    assert (unknown, unknown_back) == ((), ())
    assert len(there) == len(tensors)
    assert all(back[name] is tensors[name] for name in tensors)
