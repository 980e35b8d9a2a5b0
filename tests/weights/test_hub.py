"""What is pushed to the Hugging Face hub is loaded from there bit for bit, in either layout, with its model card."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard

from tests import made_hub
from tests.made_weights import SMALL, random_model
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.hub import HubCheckpoint
from timesformer.weights.loading import load
from timesformer.weights.report import WeightsError

LABELS = ("jump", "wave", "爬", 'say "hi"', "a|b")
TRANSFORMERS = {"config.json", "preprocessor_config.json", "model.safetensors", "README.md"}
OURS = TRANSFORMERS - {"preprocessor_config.json"}
BOTH = pytest.mark.parametrize(("scheme", "files"), [("divided", TRANSFORMERS), ("axial", OURS)])


def made(scheme: Any = "divided", **about: Any) -> Checkpoint:
    model = random_model(ModelConfig(**{**vars(SMALL), "scheme": scheme}))
    return Checkpoint(model, ClipConfig(frames=4, size=32, rate=5, mean=(0.1, 0.2, 0.3)), LABELS, **about)


def assert_same(found: Checkpoint, wanted: Checkpoint) -> None:
    for name in ("clip", "labels", "task", "about"):
        assert getattr(found, name) == getattr(wanted, name)
    assert found.model.config == wanted.model.config
    torch.testing.assert_close(found.model.state_dict(), wanted.model.state_dict(), rtol=0, atol=0)


@BOTH
def test_a_saved_folder_comes_back_bit_for_bit_by_both_doors(scheme: Any, files: set[str], tmp_path: Path) -> None:
    checkpoint = made(scheme, about="trained on my clips")
    HubCheckpoint(checkpoint).save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == files
    found = HubCheckpoint.from_pretrained(tmp_path)
    assert_same(found.checkpoint, checkpoint)
    assert_same(load(tmp_path), checkpoint)
    found.save_pretrained(tmp_path / "again")
    for name in files:
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_another_layout_in_the_same_folder_leaves_nothing_of_the_one_before_that_counts(tmp_path: Path) -> None:
    for scheme in ("divided", "axial", "joint"):
        HubCheckpoint(made(scheme)).save_pretrained(tmp_path)
        assert_same(load(tmp_path), made(scheme))


def test_the_model_card_says_what_the_checkpoint_knows_and_makes_up_no_licence(tmp_path: Path) -> None:
    HubCheckpoint(made(about="trained on my clips, CC0"), licence="cc-by-nc-4.0").save_pretrained(tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert (card.data.license, card.data.library_name) == ("cc-by-nc-4.0", "transformers")
    assert card.data.pipeline_tag == "video-classification"
    assert all(text in card.text for text in ("my clips, CC0", 'jump, wave, 爬, say "hi"', "| rate | 5 |", "0.1, 0.2"))
    bare = HubCheckpoint(made("axial", task="regression")).generate_model_card()
    assert (bare.data.license, bare.data.library_name, bare.data.pipeline_tag) == (None, "timesformer", None)


SCRIPT = """
import sys
import torch
from timesformer.weights import fetch
from tests.weights.test_hub import assert_same, made
from timesformer.weights.hub import HubCheckpoint
from timesformer.weights.loading import load

folder = fetch.from_hub("someone/several")
assert {path.name for path in folder.iterdir()} == {"config.json", "open_clip_model.safetensors"}
for scheme in ("divided", "axial"):
    checkpoint, name = made(scheme), f"someone/{scheme}"
    if sys.argv[1] == "push":
        HubCheckpoint(checkpoint).push_to_hub(name, private=True)
    assert_same(HubCheckpoint.from_pretrained(name).checkpoint, checkpoint)
    found = load(name).model.state_dict()
    torch.testing.assert_close(found, checkpoint.model.state_dict(), rtol=0, atol=0)
"""


def test_what_is_pushed_is_loaded_by_its_name_in_one_format_and_later_without_network(tmp_path: Path) -> None:
    kinds = ("config.json", "open_clip_model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin", "x.bin")
    with made_hub.serving() as (address, repositories):
        repositories["someone/several"] = {name: name.encode() for name in kinds}
        here = os.environ | {
            "HF_ENDPOINT": address,
            "HF_TOKEN": "hf_x",
            "HF_HOME": str(tmp_path),
            "OMP_NUM_THREADS": "1",
        }
        here["PYTHONPATH"] = str(Path(__file__).parents[2])
        for action, offline in (("push", "0"), ("load", "1")):
            done = subprocess.run(
                [sys.executable, "-c", SCRIPT, action],
                env=here | {"HF_HUB_OFFLINE": offline},
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stderr
    assert set(repositories["someone/divided"]) >= TRANSFORMERS and set(repositories["someone/axial"]) >= OURS


def test_without_huggingface_hub_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "timesformer.weights.hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsError, match=r"needs huggingface_hub: pip install 'timesformer\[hub\]'"):
        importlib.import_module("timesformer.weights.hub")
