"""Image transformers initialise video models of every scheme; new steps have no effect at first, and are reported."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.made_weights import SMALL, jax_arrays, mmaction, random_clips, random_model, vit
from timesformer.config.model import ModelConfig, Scheme
from timesformer.model.transformer import TimeSformer
from timesformer.weights.checkpoint import save
from timesformer.weights.loading import load, start
from timesformer.weights.report import WeightsError

EVEN = replace(SMALL, frames=8)
STEPS: dict[Scheme, tuple[list[str], str]] = {
    "space": ([], "space"),
    "joint": ([], "joint"),
    "divided": (["time"], "space"),
    "local_global": (["local"], "global"),
    "axial": (["time", "width"], "height"),
}
"""The steps that start with a zero-initialised projection, and the one that has an effect at first."""


def saved(tensors: dict[str, Any], path: Path) -> Path:
    torch.save(tensors, path)
    return path


@pytest.mark.parametrize("scheme", list(STEPS))
def test_every_step_takes_the_image_models_attention_and_all_but_the_last_start_without_effect(
    scheme: Scheme, tmp_path: Path
) -> None:
    tensors = vit(EVEN)
    loaded = load(saved(tensors, tmp_path / "vit.pth"), scheme=scheme)
    idle, last = STEPS[scheme]
    documented = (Path(__file__).parents[2] / "docs" / "weights.md").read_text("utf-8")
    assert f"| `{scheme}` | {', '.join(idle) or 'none'} | {last} |" in documented
    ours = loaded.model.state_dict()
    assert loaded.model.config == replace(EVEN, scheme=scheme)
    for block in range(2):
        for step in (*idle, last):
            for part, theirs in (("norm", "norm1"), ("qkv", "attn.qkv"), ("proj", "attn.proj")):
                for kind in ("weight", "bias"):
                    name = f"blocks.{block}.steps.{step}.{part}.{kind}"
                    assert torch.equal(ours[name], tensors[f"blocks.{block}.{theirs}.{kind}"])
        for step in idle:
            assert not ours[f"blocks.{block}.steps.{step}.extra.weight"].any()
            assert not ours[f"blocks.{block}.steps.{step}.extra.bias"].any()
    assert loaded.report is not None
    time = ("embedding.time",) if scheme != "space" else ()
    extras = [f"blocks.{b}.steps.{s}.extra.{k}" for b in range(2) for s in idle for k in ("weight", "bias")]
    assert sorted(loaded.report.zero) == sorted((*extras, *time))
    assert len(loaded.report.copied) == 2 * 6 * len(idle)
    assert loaded.report.loaded == len(tensors)
    assert all(not ours[name].any() for name in time)


@pytest.mark.parametrize("scheme", ["space", "joint", "divided"])
def test_one_frame_through_a_started_model_gives_the_image_models_logits(scheme: Scheme, tmp_path: Path) -> None:
    images = random_clips()[:, :1]
    model = load(saved(vit(), tmp_path / "vit.pth"), scheme=scheme).model
    image_model = random_model(replace(SMALL, scheme="space"))  # of one frame: an image transformer
    with torch.no_grad():
        assert (model(images) - image_model(images)).abs().max() < 1e-5


def test_image_models_become_divided_unless_told_otherwise(tmp_path: Path) -> None:
    path = saved({"model": vit()}, tmp_path / "deit.pth")
    loaded = load(path)
    assert loaded.model.config.scheme == "divided"
    assert (loaded.model.config.frames, loaded.clip.frames, loaded.clip.mean) == (8, 8, (0.45, 0.45, 0.45))
    assert load(path, frames=12).model.embedding.time.shape == (1, 12, 64)  # type: ignore[union-attr]
    assert load(path, scheme="space").model.config.scheme == "space"


@pytest.mark.parametrize(("size", "patch", "classes"), [(224, 16, 1000), (384, 16, 21843), (224, 32, 1000)])
def test_sizes_patches_and_class_counts_of_published_image_models_are_read(
    size: int, patch: int, classes: int, tmp_path: Path
) -> None:
    config = ModelConfig(size=size, patch=patch, width=64, depth=1, heads=1, classes=classes)
    save_file({name: value.contiguous() for name, value in vit(config).items()}, tmp_path / "weights")
    loaded = load(tmp_path / "weights", classes=7)
    assert loaded.model.config == replace(config, classes=7)
    assert loaded.report is not None
    assert loaded.report.new == ("head.weight", "head.bias")
    assert any("heads not stated" in note for note in loaded.report.notes)


def test_an_image_model_without_head_has_features_but_no_classes(tmp_path: Path) -> None:
    tensors = {name: value for name, value in vit().items() if not name.startswith("head.")}
    path = saved(tensors, tmp_path / "vit.pth")
    with_head = load(saved(vit(), tmp_path / "whole.pth"))
    loaded = load(path)
    clips = torch.randn(1, 2, 3, *loaded.model.config.frame_size)
    with torch.no_grad():
        assert torch.equal(loaded.model.features(clips), with_head.model.features(clips))
    assert loaded.is_backbone and not with_head.is_backbone
    with pytest.raises(WeightsError, match=r"vit\.pth has no classes, only features; train a head"):
        loaded.needs_head()
    save(loaded, tmp_path / "vit.safetensors")
    assert load(tmp_path / "vit.safetensors").is_backbone
    assert load(path, classes=3).model.head.weight.shape == (3, 64)
    with pytest.raises(WeightsError, match="leave the labels"):
        load(path, labels=tmp_path / "names.txt")


def test_a_norm_before_the_blocks_is_loaded_and_makes_it_a_clip_model(tmp_path: Path) -> None:
    tensors = {**vit(), "norm_pre.weight": torch.ones(64), "norm_pre.bias": torch.zeros(64)}
    del tensors["patch_embed.proj.bias"]
    loaded = load(saved(tensors, tmp_path / "clip.pth"))
    assert loaded.model.config.norm_pre and loaded.model.config.norm_eps == 1e-5
    assert loaded.report is not None and loaded.report.unused == ()
    assert any("no activation stated: GELU is assumed" in note for note in loaded.report.notes)
    assert "embedding.patch.bias" in loaded.report.zero


def test_models_that_average_patches_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="average of the patches"):
        load(saved({**vit(), "fc_norm.weight": torch.ones(64)}, tmp_path / "vit.pth"))


def test_a_class_token_without_a_position_gets_a_position_of_zeros(tmp_path: Path) -> None:
    rows = vit()["pos_embed"][:, 1:]
    loaded = load(saved({**vit(), "pos_embed": rows}, tmp_path / "vit.pth"))
    position = loaded.model.embedding.position
    assert position is not None and not position[:, 0].any() and torch.equal(position[:, 1:], rows)
    assert loaded.report is not None and any("no_embed_class" in note for note in loaded.report.notes)


def test_blocks_of_another_architecture_are_refused(tmp_path: Path) -> None:
    tensors = {**vit(), "blocks.0.adapter.weight": torch.ones(64)}
    with pytest.raises(WeightsError, match=r"blocks\.0\.adapter\.weight; it is another architecture"):
        load(saved(tensors, tmp_path / "vit.pth"))


def test_the_distillation_token_of_deit_becomes_a_register_with_its_position(tmp_path: Path) -> None:
    tensors = vit()
    rows = tensors["pos_embed"]
    distilled = {
        **tensors,
        "dist_token": torch.ones(1, 1, 64),
        "head_dist.weight": torch.ones(5, 64),
        "pos_embed": torch.cat([rows[:, :1], torch.full((1, 1, 64), 9.0), rows[:, 1:]], dim=1),
    }
    loaded = load(saved({"model": distilled}, tmp_path / "deit.pth"))
    assert torch.equal(loaded.model.embedding.position, rows)  # type: ignore[arg-type]
    assert loaded.report is not None
    assert torch.equal(loaded.model.embedding.registers, torch.full((1, 1, 64), 10.0))  # type: ignore[arg-type]
    assert loaded.report.unused == ("head_dist.weight",)
    assert any("distilled" in note for note in loaded.report.notes)


def test_a_timm_folder_brings_its_normalisation(tmp_path: Path) -> None:
    save_file({name: value.contiguous() for name, value in vit().items()}, tmp_path / "model.safetensors")
    stated = {"architecture": "vit_tiny", "pretrained_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}}
    (tmp_path / "config.json").write_text(json.dumps(stated))
    clip = load(tmp_path).clip
    assert (clip.mean, clip.std) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


@pytest.mark.parametrize("prefix", ["", "opt/target/"])
def test_arrays_of_the_jax_release_equal_the_same_weights_in_timms_names(prefix: str, tmp_path: Path) -> None:
    tensors = vit(replace(SMALL, heads=4))
    with (tmp_path / "vit.npz").open("wb") as file:
        arrays = {prefix + name: value for name, value in jax_arrays(tensors, heads=4).items()}
        np.savez(file, **arrays, step=np.array(7))
    loaded = load(tmp_path / "vit.npz")
    expected = start(saved(tensors, tmp_path / "vit.pth"), replace(SMALL, frames=8)).model.state_dict()
    ours = loaded.model.state_dict()
    assert loaded.model.config.heads == 4
    assert loaded.report is not None
    assert loaded.report.unused == ("step",)
    assert all(torch.equal(ours[name], expected[name]) for name in expected)


def test_mmaction2s_image_file_starts_a_divided_model(tmp_path: Path) -> None:
    model = random_model(replace(SMALL, scheme="space"))
    names = {name.removeprefix("backbone."): value for name, value in mmaction(model).items() if "head" not in name}
    loaded = load(saved({"state_dict": names}, tmp_path / "vit.pth"), classes=5)
    ours = loaded.model.state_dict()
    assert loaded.model.config.scheme == "divided"
    assert torch.equal(ours["blocks.1.steps.time.qkv.weight"], model.state_dict()["blocks.1.steps.space.qkv.weight"])


def test_starting_from_scratch_draws_the_time_parts_and_reports_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    started = start(saved(vit(), tmp_path / "vit.pth"), replace(SMALL, weight_init="scratch"))
    assert started.report is not None
    assert started.report.zero == ()
    assert "embedding.time" in started.report.new
    assert started.model.embedding.time is not None
    assert started.model.embedding.time.std() > 0.1
    assert started.model.state_dict()["blocks.1.steps.time.extra.weight"].std() > 0.01


@pytest.mark.parametrize("order", ["space_first", "parallel"])
def test_in_every_order_only_the_time_step_starts_without_effect(order: Any, tmp_path: Path) -> None:
    wanted = replace(SMALL, order=order, class_in_time=True, position="space")
    started = start(saved(vit(), tmp_path / "vit.pth"), wanted)
    assert isinstance(started.model, TimeSformer)
    assert started.report is not None
    assert {name.split(".")[3] for name in started.report.zero} == {"time"}
    assert started.model.config == wanted


@pytest.mark.parametrize("model", ["base_encoder", "momentum_encoder"])
def test_moco_v3s_small_model_has_its_authors_twelve_heads(model: str, tmp_path: Path) -> None:
    small = ModelConfig(size=32, width=384, depth=1, heads=12, classes=3)
    tensors = {name: value for name, value in vit(small).items() if not name.startswith("head.")}
    moco = saved({"state_dict": {f"module.{model}.{name}": value for name, value in tensors.items()}}, tmp_path / "m")
    loaded = load(moco, classes=3)
    assert loaded.model.config.heads == 12 and loaded.report is not None
    assert any("heads not stated: 12 assumed, as in MoCo v3's ViT-S; if" in note for note in loaded.report.notes)
    asked = load(moco, classes=3, heads=6)
    assert asked.model.config.heads == 6 and asked.report is not None
    assert not any("heads not stated" in note for note in asked.report.notes)
    other = load(saved(tensors, tmp_path / "other"), classes=3)
    assert other.model.config.heads == 6 and other.report is not None
    assert any("6 assumed, 64 wide; MoCo v3's ViT-S has 12" in note for note in other.report.notes)
