"""Weights from strangers: nothing in them runs, and anything wrong with them is one clear error."""

import io
import json
import pickle
import random
import resource
import struct
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import TimesformerConfig, TimesformerForVideoClassification

from tests.made_weights import SMALL, jax_arrays, mmaction, official, random_model, save_official, vit
from timesformer.config import ClipConfig
from timesformer.weights.checkpoint import Checkpoint, save
from timesformer.weights.loading import load
from timesformer.weights.report import WeightsError

TINY = replace(SMALL, frames=2, size=16, width=8, depth=1, classes=3)
LONGEST = 5.0
"""Seconds that no damaged file may take, on a busy machine."""
LARGEST = 2**30
"""Bytes that this process may grow by over all damaged files of a format."""


def native(path: Path) -> None:
    save(Checkpoint(random_model(TINY), ClipConfig(frames=2, size=16), labels=("a", "b", "c")), path)


def hugging_face(folder: Path) -> None:
    config = TimesformerConfig(
        image_size=16,
        patch_size=8,
        num_frames=2,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=12,
        num_labels=3,
    )
    TimesformerForVideoClassification(config).save_pretrained(folder)


def arrays(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **jax_arrays(vit(TINY), heads=1))


def timm(path: Path) -> None:
    save_file({name: value.contiguous() for name, value in vit(TINY).items()}, path)


MAKERS: dict[str, Callable[[Path], Any]] = {
    "native": native,
    "official": lambda path: save_official(random_model(TINY), path),
    "official legacy": lambda path: save_official(random_model(TINY), path, legacy=True),
    "official inside": lambda path: save_official(random_model(TINY), path),
    "mmaction2": lambda path: torch.save({"meta": {}, "state_dict": mmaction(random_model(TINY))}, path),
    "timm": timm,
    "jax": arrays,
    "jax inside": arrays,
    "huggingface": hugging_face,
    "huggingface config": hugging_face,
}


def mutate(data: bytes, chance: random.Random, first: int) -> bytes:
    """Damage: flipped bytes (mostly among the first ones, where structure lies), cuts, repeats, swaps, numbers."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        place = chance.randrange(max(1, min(first, len(out)) if chance.random() < 0.8 else len(out)))
        kind = chance.randrange(6)
        if kind == 0:
            out[place : place + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            del out[place : place + chance.randint(1, 40)]
        elif kind == 2:
            out[place:place] = out[place : place + chance.randint(1, 40)]
        elif kind == 3:
            out[place : place + 8] = struct.pack("<q", chance.choice((-1, 0, 2**31, 2**40, 2**62)))
        elif kind == 4:
            other = chance.randrange(max(1, len(out)))
            out[place : place + 8], out[other : other + 8] = out[other : other + 8], out[place : place + 8]
        else:
            out[place : place + 1] = chance.choice((b".", b"0", b"R", b"c", b"}", b'"', b"9", b"\x00", b"\xff"))
        if not out:
            break
    return bytes(out if chance.random() < 0.9 else out[: chance.randrange(len(out) + 1)])


def mutate_inside(data: bytes, chance: random.Random) -> bytes:
    """Damage to one entry of a zip archive, packed again with the right checksum so that it is reached."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(packed, "w") as after:
        names = before.namelist()
        victim = next((name for name in names if name.endswith("data.pkl")), None) or chance.choice(names)
        for name in names:
            content = before.read(name)
            after.writestr(name, mutate(content, chance, len(content)) if name == victim else content)
    return packed.getvalue()


def attack(kind: str, folder: Path, count: int) -> int:
    """Load that many damaged files of a format; the number refused. Anything but a refusal or a whole model fails."""
    path = folder / "victim"
    MAKERS[kind](path)
    victim = {"huggingface": path / "model.safetensors", "huggingface config": path / "config.json"}.get(kind, path)
    whole = victim.read_bytes()
    first = 8 + struct.unpack("<Q", whole[:8])[0] if kind in ("native", "timm", "huggingface") else len(whole)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for seed in range(count):
        chance = random.Random(seed)
        victim.write_bytes(mutate_inside(whole, chance) if "inside" in kind else mutate(whole, chance, first))
        began = time.monotonic()
        try:
            assert isinstance(load(path), Checkpoint)
        except WeightsError as error:
            refused += 1
            assert str(folder) in str(error), seed
        assert time.monotonic() - began < LONGEST, seed
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < LARGEST
    return refused


@pytest.mark.parametrize("kind", list(MAKERS))
def test_a_hundred_damaged_files_of_each_format_are_refused_clearly_or_load_whole(kind: str, tmp_path: Path) -> None:
    assert attack(kind, tmp_path, 100) > 20


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", list(MAKERS))
def test_two_thousand_damaged_files_of_each_format_are_refused_clearly_or_load_whole(kind: str, tmp_path: Path) -> None:
    assert attack(kind, tmp_path, 2000) > 400


class Canary:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.path,)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("place", ["top", "inside", "beside"])
def test_a_malicious_pickle_is_refused_and_nothing_runs(legacy: bool, place: str, tmp_path: Path) -> None:
    canary = Canary(tmp_path / "ran")
    states = {name: dict(official(random_model())) for name in ("inside", "beside")}
    contents: dict[str, Any] = {
        "top": canary,
        "inside": {"model_state": {**states["inside"], "head.weight": canary}},
        "beside": {"model_state": states["beside"], "epoch": canary},
    }
    torch.save(contents[place], tmp_path / "w.pyth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WeightsError, match="which could run code, so it stays shut"):
        load(tmp_path / "w.pyth")
    assert not (tmp_path / "ran").exists()


def test_plain_pickles_in_every_protocol_do_not_run(tmp_path: Path) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "w.pkl").write_bytes(pickle.dumps(Canary(tmp_path / "ran"), protocol=protocol))
        with pytest.raises(WeightsError):
            load(tmp_path / "w.pkl")
    assert not (tmp_path / "ran").exists()


class Buffer:
    """Asks for a large buffer when it is unpickled, by a call that torch itself allows."""

    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (2**34,)


def test_a_small_file_that_asks_for_a_large_buffer_is_refused(tmp_path: Path) -> None:
    torch.save({"model_state": official(random_model()), "epoch": Buffer()}, tmp_path / "w.pyth")
    with pytest.raises(WeightsError, match="stays shut"):
        load(tmp_path / "w.pyth")


def test_tensors_larger_than_their_file_are_refused(tmp_path: Path) -> None:
    wide = {**official(random_model()), "time_embed": torch.zeros(1).expand(1, 10**9, 64)}
    torch.save({"model_state": wide}, tmp_path / "w.pyth")
    with pytest.raises(WeightsError, match="claims 256"):
        load(tmp_path / "w.pyth")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    for name in ("archive/data.pkl", "embedding/kernel.npy"):
        with zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, bytes(2**26))
        with pytest.raises(WeightsError, match="would unpack to 67108864 bytes"):
            load(tmp_path / "bomb")


def test_an_array_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        head = io.BytesIO()
        header = {"descr": "<f4", "fortran_order": False, "shape": (2**34,)}
        np.lib.format.write_array_header_1_0(head, header)
        archive.writestr("embedding/kernel.npy", head.getvalue() + bytes(64))
    with pytest.raises(WeightsError, match="claims 68719476736 bytes"):
        load(tmp_path / "w.npz")


def test_arrays_of_python_objects_are_refused_and_nothing_runs(tmp_path: Path) -> None:
    with (tmp_path / "w.npz").open("wb") as file:
        np.savez(file, **{"embedding/kernel": np.array([Canary(tmp_path / "ran")], dtype=object)})
    with pytest.raises(WeightsError, match="claims"):
        load(tmp_path / "w.npz")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if "inside" not in kind and "config" not in kind])
def test_a_file_cut_anywhere_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "w"
    MAKERS[kind](path)
    victim = path / "model.safetensors" if path.is_dir() else path
    whole = victim.read_bytes()
    for share in (0, 0.001, 0.1, 0.5, 0.9, 0.999):
        victim.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(WeightsError):
            load(path)


@pytest.mark.parametrize(
    ("head", "hint"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git-lfs pointer"),
        (b"\n<!DOCTYPE html><html>sign in</html>", "web page"),
        (b"weights, honestly", "neither safetensors"),
        (b"", "neither safetensors"),
    ],
)
def test_files_that_are_no_weights_are_named_for_what_they_are(head: bytes, hint: str, tmp_path: Path) -> None:
    (tmp_path / "w.pyth").write_bytes(head)
    with pytest.raises(WeightsError, match=hint):
        load(tmp_path / "w.pyth")


def test_programs_models_and_foreign_weights_are_told_apart_from_state_dicts(tmp_path: Path) -> None:
    for content, message in (
        ([1, 2], "holds a list without model_state"),
        ({"epoch": 3}, "holds a dict without model_state"),
        (torch.nn.Linear(2, 2), "stays shut"),
        ({"state_dict": {"layer1.conv.weight": torch.ones(3)}}, "no known layout"),
    ):
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(WeightsError, match=message):
            load(tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("m/constants.pkl", b"")
        archive.writestr("m/data.pkl", b"")
    with pytest.raises(WeightsError, match="TorchScript"):
        load(tmp_path / "w.pt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"is a folder without model\.safetensors"):
        load(tmp_path / "empty")


def test_safetensors_of_whole_numbers_and_of_our_names_without_description_are_refused(tmp_path: Path) -> None:
    whole = {name: value.contiguous() for name, value in vit(TINY).items()}
    save_file({**whole, "norm.weight": torch.ones(8, dtype=torch.int32)}, tmp_path / "w")
    with pytest.raises(WeightsError, match=r"norm\.weight is torch\.int32"):
        load(tmp_path / "w")
    save_file({name: value.contiguous() for name, value in random_model(TINY).state_dict().items()}, tmp_path / "w")
    with pytest.raises(WeightsError, match="no known layout"):
        load(tmp_path / "w")


def test_deeply_nested_json_is_refused(tmp_path: Path) -> None:
    hugging_face(tmp_path)
    for text in ("[" * 200_000, '{"a":' * 200_000, json.dumps([1])):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(WeightsError, match=r"config\.json"):
            load(tmp_path)
