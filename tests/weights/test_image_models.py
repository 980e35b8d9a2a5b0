"""Image models to start from have names, sizes and licences; they are fetched only when named."""

import json
import logging
import sys
from pathlib import Path

import pytest
from safetensors.torch import save_file

from tests.made_weights import SMALL, vit
from timesformer.cli import zoo as cli
from timesformer.cli.typed import order
from timesformer.config.checks import ConfigError
from timesformer.config.model import ModelConfig
from timesformer.model.cost import cost
from timesformer.weights import image_models, zoo
from timesformer.weights.image_models import IMAGE_MODELS
from timesformer.weights.loading import load, read_source
from timesformer.weights.report import WeightsError

REAL = Path(__file__).parents[3] / "shared" / "data" / "weights" / "dinov2-small"
STATED = {"architecture": "vit_tiny", "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache of the hub, with the network switched off."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def put(hub: Path, repository: str) -> None:
    """A small image transformer in timm's layout, as the hub's client keeps a repository."""
    folder = hub / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in vit().items()}, snapshot / "model.safetensors")
    (snapshot / "config.json").write_text(json.dumps(STATED))
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("a" * 40)


def test_all_of_them_are_listed_with_size_licence_and_repository(capsys: pytest.CaptureFixture[str]) -> None:
    names = [model.name for model in IMAGE_MODELS]
    assert len(set(names)) == len({model.hub for model in IMAGE_MODELS}) == len(IMAGE_MODELS)
    assert not set(names) & {entry.name for entry in zoo.PUBLISHED}
    cli.zoo()
    lines = capsys.readouterr().out.split("image models to start from")[1].splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: line for line in lines if "/" in line}
    assert list(rows) == names
    for model in IMAGE_MODELS:
        assert rows[model.name].endswith(f" {model.licence:<12} {model.hub}")
        cli.zoo(model.name)
        said = capsys.readouterr().out
        assert f"--init {model.name}\n" in said and f"https://huggingface.co/{model.hub}/tree/main" in said
        assert model.licence in said and model.terms in said
        cli.zoo(model.hub)
        assert capsys.readouterr().out == said


@pytest.mark.parametrize("name", [model.name for model in IMAGE_MODELS])
def test_the_listed_size_is_that_of_the_architecture(name: str) -> None:
    found = image_models.find(name)
    assert found is not None
    width, depth = next(sizes for part, sizes in WIDTHS.items() if part in name)
    size, patch = (518, 14) if name.startswith("dinov2") else (224, 16)
    image = ModelConfig(
        scheme="space", frames=1, size=size, patch=patch, width=width, depth=depth, heads=width // 64, classes=1
    )
    head_and_time = width + 1 + width
    layer_scale = 2 * depth * width if name.startswith(("dinov2", "deit3")) else 0
    count = cost(image).parameters - head_and_time + layer_scale
    assert found.parameters == pytest.approx(count / 1e6, abs=0.051)


WIDTHS = {"small": (384, 12), "base": (768, 12), "large": (1024, 24)}


@pytest.mark.parametrize("name", ["vit-small-in21k", "timm/vit_small_patch16_224.augreg_in21k"])
def test_an_image_model_is_loaded_by_its_name_or_repository(
    name: str, offline: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(offline, "timm/vit_small_patch16_224.augreg_in21k")
    with caplog.at_level(logging.WARNING):
        loaded = load(name, heads=SMALL.heads)
    found = loaded.model.config
    assert (found.width, found.depth, found.patch, found.size) == (SMALL.width, SMALL.depth, SMALL.patch, SMALL.size)
    assert loaded.clip.std == (0.25, 0.25, 0.25)
    assert "licence Apache 2.0" in caplog.text and "licence Apache 2.0" in loaded.about
    assert read_source(name).name == name


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data/weights/dinov2-small is not there")
def test_dinov2_small_is_loaded_by_its_name(offline: Path) -> None:
    snapshots = offline / "models--facebook--dinov2-small" / "snapshots"
    snapshots.mkdir(parents=True)
    (snapshots / ("a" * 40)).symlink_to(REAL)
    (snapshots.parent / "refs").mkdir()
    (snapshots.parent / "refs" / "main").write_text("a" * 40)
    source = read_source("dinov2-small")
    assert (source.config.width, source.config.depth, source.config.heads, source.config.patch) == (384, 12, 6, 14)
    assert source.clip.mean == (0.485, 0.456, 0.406) and source.clip.std == (0.229, 0.224, 0.225)
    assert source.image and "licence Apache 2.0" in source.about


def test_a_folder_of_the_same_name_is_read_without_the_hub(
    offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dinov2-small").mkdir()
    save_file({name: value.contiguous() for name, value in vit().items()}, Path("dinov2-small/model.safetensors"))
    assert read_source("dinov2-small").config.width == SMALL.width


def test_without_a_network_the_error_says_how_to_download_by_hand(offline: Path) -> None:
    by_hand = (
        r"Or download the \.json files and model\.safetensors .* from https://huggingface\.co/{}/tree/main and give"
    )
    with pytest.raises(WeightsError, match=r"HF_HUB_OFFLINE\. " + by_hand.format("facebook/dinov2-small")):
        load("dinov2-small")
    with pytest.raises(WeightsError, match=by_hand.format("someone/other")):
        load("someone/other")


def test_without_huggingface_hub_the_install_line_and_the_way_by_hand_are_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsError, match=r"pip install 'timesformer\[hub\]'\. Or download .* .*facebook/dino-vits16"):
        load("dino-small")


def test_a_misspelled_name_is_answered_with_the_nearest_ones() -> None:
    with pytest.raises(WeightsError, match="did you mean dinov2-base"):
        load("dinov2base")


def test_an_image_model_named_after_the_video_is_recognised_as_the_weights() -> None:
    with pytest.raises(ConfigError, match=r"but dinov2-small is; name the weights first: timesformer predict dinov2"):
        order.check("predict", "v.mp4", [Path("dinov2-small")])
