"""Weights of transformers give the same logits here, and ours there; where it is wrong, we are not."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import TimesformerConfig, TimesformerForVideoClassification, TimesformerModel

from tests.made_weights import randomise
from timesformer.config.model import ModelConfig
from timesformer.weights.formats.writing import write
from timesformer.weights.loading import load
from timesformer.weights.report import WeightsError

TINY = {
    "image_size": 32,
    "patch_size": 16,
    "num_frames": 8,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "num_labels": 5,
}
BASE = {"image_size": 224, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "num_labels": 400}
BASE |= {"num_hidden_layers": 12}
PREPROCESSOR = {
    "image_processor_type": "VideoMAEImageProcessor",
    "size": {"shortest_edge": 32},
    "crop_size": {"height": 32, "width": 32},
    "image_mean": [0.45, 0.45, 0.45],
    "image_std": [0.225, 0.225, 0.225],
}


def theirs(attention: str = "divided_space_time", **settings: Any) -> TimesformerForVideoClassification:
    """A model of transformers with random values in every tensor."""
    model = TimesformerForVideoClassification(TimesformerConfig(**{**TINY, **settings, "attention_type": attention}))
    randomise(model)
    return model.eval()


def clips_for(config: TimesformerConfig, frames: int | None = None) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, frames or config.num_frames, 3, config.image_size, config.image_size, generator=generator)


@pytest.mark.parametrize("attention", ["divided_space_time", "joint_space_time"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_frames": 16},
        {"num_frames": 96, "hidden_size": 16},
        {"image_size": 224, "num_frames": 8},
        {"image_size": 448, "num_frames": 2, "hidden_size": 16},
        {"qkv_bias": False},
        {**BASE, "image_size": 64, "num_hidden_layers": 2},
        pytest.param(BASE, marks=pytest.mark.slow),
    ],
    ids=["tiny", "16 frames", "96 frames", "224", "448", "no qkv bias", "base-like", "base"],
)
def test_logits_equal_those_of_transformers(attention: str, settings: dict[str, Any], tmp_path: Path) -> None:
    reference = theirs(attention, **settings)
    reference.save_pretrained(tmp_path)
    loaded = load(tmp_path)
    clips = clips_for(reference.config)
    with torch.no_grad():
        expected, logits = reference(clips).logits, loaded.model(clips)
    assert expected.std() > 0.1
    assert (expected - logits).abs().max() <= 1e-5
    assert loaded.report is not None
    assert len(loaded.report.zero) == (0 if settings.get("qkv_bias", True) else 2 * (1 + ("divided" in attention)))


@pytest.mark.parametrize("shape", ["sharded", "sharded joint", "bin", "sharded bin", "one file", "no head"])
def test_every_shape_of_folder_is_read(shape: str, tmp_path: Path) -> None:
    reference = theirs("joint_space_time" if "joint" in shape else "divided_space_time")
    clips = clips_for(reference.config)
    state = reference.state_dict()
    if shape in ("sharded", "sharded joint"):
        reference.save_pretrained(tmp_path, max_shard_size="40KB")
        assert len(list(tmp_path.glob("*.safetensors"))) > 2
    elif shape == "no head":
        TimesformerModel.from_pretrained(_saved(reference, tmp_path / "whole")).save_pretrained(tmp_path)
    else:
        _saved(reference, tmp_path)
    if shape == "bin":
        (tmp_path / "model.safetensors").unlink()
        torch.save(state, tmp_path / "pytorch_model.bin")
    if shape == "sharded bin":
        (tmp_path / "model.safetensors").unlink()
        halves = [dict(list(state.items())[:20]), dict(list(state.items())[20:])]
        for number, half in enumerate(halves):
            torch.save(half, tmp_path / f"part{number}.bin")
        listed = {name: f"part{number}.bin" for number, half in enumerate(halves) for name in half}
        torch.save({**halves[1], "step": 7, next(iter(state)): torch.zeros(1)}, tmp_path / "part1.bin")
        (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": listed}))
    loaded = load(tmp_path / "model.safetensors" if shape == "one file" else tmp_path, classes=5)
    assert loaded.model.config.heads == 4
    assert loaded.report is not None
    extra = ("step", f"{next(iter(state))} in part1.bin") if shape == "sharded bin" else ()
    assert loaded.report.unused == extra
    with torch.no_grad():
        if shape == "no head":
            expected = reference.timesformer(clips)[0][:, 0]
            assert (loaded.model.features(clips) - expected).abs().max() <= 1e-5
        else:
            assert (loaded.model(clips) - reference(clips).logits).abs().max() <= 1e-5


def _saved(model: TimesformerForVideoClassification, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", {"hidden_act": "relu"}, "hidden_act 'relu'"),
        ("config.json", {"layer_norm_eps": "1e-5"}, "layer_norm_eps '1e-5'; it must be a number above 0"),
        ("config.json", {"layer_norm_eps": -1}, "norm_eps is -1.0; it must be above 0"),
        ("config.json", {"model_type": "vivit"}, "model_type 'vivit'"),
        ("config.json", {"num_attention_heads": "many"}, "num_attention_heads 'many'"),
        ("config.json", {"num_attention_heads": 5}, "not divisible by heads 5"),
        ("config.json", {"attention_type": "space_only"}, "doesn't have"),
        ("preprocessor_config.json", {"image_mean": [1, 2]}, "mean is"),
        ("preprocessor_config.json", {"image_std": [0, 0, 0]}, "above 0"),
    ],
)
def test_settings_that_this_model_can_not_compute_are_refused(
    name: str, content: dict[str, Any], message: str, tmp_path: Path
) -> None:
    theirs().save_pretrained(tmp_path)
    path = tmp_path / name
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else PREPROCESSOR) | content))
    with pytest.raises(WeightsError, match=message):
        load(tmp_path)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"weight_map": {"a": "../outside.safetensors"}}, "must lie in the folder"),
        ({"weight_map": {"a": "absent.safetensors"}}, "does not exist"),
        ({"weight_map": {}}, "no weight_map"),
        ({"weight_map": {"nowhere": "shard.safetensors"}}, "misses 1 listed"),
    ],
)
def test_an_index_of_shards_that_can_not_be_true_is_refused(
    index: dict[str, Any], message: str, tmp_path: Path
) -> None:
    theirs().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "shard.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=message):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "mean", "std"),
    [
        ({}, 0.45, 0.225),
        ({"do_normalize": False}, 0.0, 1.0),
        ({"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [51.0] * 3}, 0.5, 0.2),
        ({"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3}, 0.5, 0.5),
    ],
    ids=["usual", "not normalised", "not rescaled", "rescaled otherwise"],
)
def test_preprocessor_settings_become_mean_and_deviation_of_pixels_up_to_one(
    change: dict[str, Any], mean: float, std: float, tmp_path: Path
) -> None:
    theirs().save_pretrained(tmp_path)
    other = {} if not change else {"size": {"shortest_edge": 40}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR | change | other))
    loaded = load(tmp_path)
    assert loaded.report is not None
    assert any("resizes or crops to 40 px" in note for note in loaded.report.notes) == bool(change)
    clip = loaded.clip
    assert clip.mean == pytest.approx((mean,) * 3)
    assert clip.std == pytest.approx((std,) * 3)


@pytest.mark.parametrize("name", ["processor_config.json", "video_preprocessor_config.json"])
def test_newer_homes_of_preprocessor_settings_come_before_the_old_one(name: str, tmp_path: Path) -> None:
    theirs().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    newer = PREPROCESSOR | {"image_mean": [0.3] * 3}
    (tmp_path / name).write_text(json.dumps({"video_processor": newer} if name.startswith("proc") else newer))
    assert load(tmp_path).clip.mean == (0.3, 0.3, 0.3)


def test_settings_without_a_mean_are_noted(tmp_path: Path) -> None:
    theirs().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 32}))
    loaded = load(tmp_path)
    assert loaded.clip.mean == (0.45, 0.45, 0.45)
    assert loaded.report is not None
    assert any("no preprocessor settings" in note for note in loaded.report.notes)


def test_class_names_travel_but_numbers_filled_in_by_transformers_do_not(tmp_path: Path) -> None:
    theirs().save_pretrained(tmp_path / "unnamed")
    names = {0: "run", 1: "jump", 2: "ß", 3: "d", 4: "e"}
    theirs(id2label=names).save_pretrained(tmp_path / "named")
    assert load(tmp_path / "unnamed").labels == ()
    assert load(tmp_path / "named").labels == ("run", "jump", "ß", "d", "e")
    path = tmp_path / "named" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"id2label": {"1": "run", "9": "jump"}}))
    spoiled = load(tmp_path / "named")
    assert spoiled.report is not None
    assert spoiled.labels == ()
    assert "id2label is not numbered from 0: not used" in spoiled.report.notes


@pytest.mark.parametrize("attention", ["divided_space_time", "joint_space_time"])
def test_on_another_number_of_frames_transformers_is_silently_wrong_where_attention_is_divided_and_we_are_not(
    attention: str, tmp_path: Path
) -> None:
    reference = theirs(attention, image_size=64)
    reference.save_pretrained(tmp_path)
    clips = clips_for(reference.config, frames=16)
    sixteen = load(tmp_path, frames=16)
    write(sixteen, tmp_path / "sixteen", to="huggingface")
    told = TimesformerForVideoClassification.from_pretrained(tmp_path / "sixteen").eval()
    with torch.no_grad():
        right, silently_wrong = told(clips).logits, reference(clips).logits
        assert (load(tmp_path).model(clips) - right).abs().max() <= 1e-5
        assert ((silently_wrong - right).abs().max() > 5e-3) == ("divided" in attention)


def test_transformers_space_only_gives_rows_per_frame_and_we_give_one_per_clip(tmp_path: Path) -> None:
    reference = theirs("space_only")
    reference.save_pretrained(tmp_path)
    clips = clips_for(reference.config)
    model = load(tmp_path).model
    with torch.no_grad():
        rows = reference.timesformer.encoder(reference.timesformer.embeddings(clips))[0][:, 0]  # (frames, d)
        expected = reference.classifier(reference.timesformer.layernorm(rows.mean(dim=0, keepdim=True)))
        assert reference(clips).logits.shape == (8, 5)
        assert (model(clips) - expected).abs().max() <= 1e-5


def test_a_foreign_model_config_is_recovered_whole(tmp_path: Path) -> None:
    theirs(image_size=48, num_frames=6).save_pretrained(tmp_path)
    assert load(tmp_path).model.config == ModelConfig(
        frames=6, size=48, patch=16, width=32, depth=2, heads=4, mlp_ratio=1.5, classes=5
    )
