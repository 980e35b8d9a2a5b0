"""Checkpoints come back whatever their file, folder or labels are called, and huge claims cost little."""

import time
import unicodedata
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests import needs
from tests.made_weights import SMALL, random_model, vit
from timesformer.config.model import ClipConfig
from timesformer.weights.checkpoint import KEY, Checkpoint, describe, save
from timesformer.weights.formats.writing import Target, write
from timesformer.weights.loading import load
from timesformer.weights.metadata import to_json
from timesformer.weights.report import WeightsError

NAMES = (
    "m" * 243 + ".safetensors",
    "é" * 127,
    "line\nbreak\r.safetensors",
    "not\udcff utf-8.safetensors",
    "at 12:30.safetensors",
    unicodedata.normalize("NFD", "Gähnen"),
    "a." + "b" * 250,
)
LABELS = ("not\udcff utf-8", "line\nbreak\r", "<b>", "é\u2028", "\U0001f600")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("to", ["native", "official", "huggingface"])
def test_a_checkpoint_of_any_name_and_labels_comes_back(name: str, to: Target, tmp_path: Path) -> None:
    made = Checkpoint(random_model(), ClipConfig(frames=4, size=32), LABELS, about="from\udcfe\n")
    write(made, tmp_path / name, to=to)
    back = load(tmp_path / name)
    assert (back.labels, back.about) == (LABELS, made.about)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_names_that_no_file_can_have_are_refused_with_a_sentence(tmp_path: Path) -> None:
    made = Checkpoint(random_model(), ClipConfig(frames=4, size=32))
    for name in ("m" * 256, "nul\0.safetensors"):
        with pytest.raises(WeightsError, match=r"could not be written .* choose another name"):
            save(made, tmp_path / name)
        with pytest.raises((WeightsError, OSError, ValueError)):
            load(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_two_savings_at_once_do_not_meet(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    made = Checkpoint(random_model(), ClipConfig(frames=4, size=32))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: save(made, tmp_path / f"{number % 2}"), range(16)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]
    assert load(tmp_path / "0").model.config == SMALL


def claims(path: Path, blocks: int, tensors: dict[str, torch.Tensor], description: str = "") -> float:
    """Seconds that it takes to refuse a file."""
    needs.linux()
    save_file(tensors, path, metadata={KEY: description} if description else None)
    before, began = needs.resource.getrusage(needs.resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(WeightsError, match=r"blocks|depth|lacks|missing"):
        load(path, classes=5)
    assert (needs.resource.getrusage(needs.resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 2**28
    return time.monotonic() - began


@pytest.mark.parametrize("blocks", [1_001, 9_999, 20_000])
def test_a_file_that_claims_thousands_of_blocks_is_refused_at_once(blocks: int, tmp_path: Path) -> None:
    """A description that claims them, with as many small tensors; and names that number them."""
    small = {f"t{number}": torch.zeros(1) for number in range(blocks)}
    made = Checkpoint(random_model(), ClipConfig(frames=4, size=32))
    said = to_json(describe(made)).replace('"depth": 2', f'"depth": {blocks}')
    assert claims(tmp_path / "ours", blocks, small, said) < 5
    plain = {name: value.contiguous() for name, value in vit().items()}
    assert claims(tmp_path / "last", blocks, {**plain, f"blocks.{blocks - 1}.norm1.weight": torch.ones(64)}) < 5
    numbered = {f"blocks.{number}.norm1.weight": torch.zeros(1) for number in range(blocks)}
    assert claims(tmp_path / "all", blocks, {**plain, **numbered}) < 5


def test_a_thousand_blocks_that_are_there_take_time_in_proportion(tmp_path: Path) -> None:
    from dataclasses import replace

    seconds = []
    for depth in (64, 256):
        config = replace(SMALL, width=8, heads=1, depth=depth, size=8, mlp_ratio=1.0)
        save(Checkpoint(random_model(config), ClipConfig(frames=4, size=8)), tmp_path / f"{depth}")
        began = time.monotonic()
        assert load(tmp_path / f"{depth}").model.config.depth == depth
        seconds.append(time.monotonic() - began)
    assert seconds[1] < 4 * 4 * seconds[0] + 1
