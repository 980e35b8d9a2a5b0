"""Weights from strangers: nothing in them runs, and anything wrong with them is one clear error."""

import io
import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.made_weights import SMALL, official, random_model, vit
from timesformer.config.model import ClipConfig
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.formats.writing import write
from timesformer.weights.loading import load
from timesformer.weights.report import WeightsError

TINY = replace(SMALL, frames=2, size=16, width=8, depth=1, classes=3)


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
    with pytest.raises(WeightsError, match="which could run code, so it is not opened"):
        load(tmp_path / "w.pyth")
    assert not (tmp_path / "ran").exists()


def test_plain_pickles_in_every_protocol_do_not_run(tmp_path: Path) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "w.pkl").write_bytes(pickle.dumps(Canary(tmp_path / "ran"), protocol=protocol))
        with pytest.raises(WeightsError):
            load(tmp_path / "w.pkl")
    assert not (tmp_path / "ran").exists()


def test_what_readers_say_of_damage_stays_short(tmp_path: Path) -> None:
    """Neither Python's warnings of odd escapes nor torch's advice on its own settings gets through."""
    (tmp_path / "escape").write_bytes(b"\x80\x02S'\\d'\n.")
    with zipfile.ZipFile(tmp_path / "call", "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02]}K\x01\x85R.")
        archive.writestr("a/version", b"3\n")
    for name, message in (("escape", "pickle exhausted"), ("call", r"Weights only load failed\.\)")):
        with pytest.raises(WeightsError, match=message):
            load(tmp_path / name)


class Buffer:
    """Asks for a large buffer when it is unpickled, by a call that torch itself allows."""

    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (2**34,)


def test_a_small_file_that_asks_for_a_large_buffer_is_refused(tmp_path: Path) -> None:
    torch.save({"model_state": official(random_model()), "epoch": Buffer()}, tmp_path / "w.pyth")
    with pytest.raises(WeightsError, match="is not opened"):
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
        (torch.nn.Linear(2, 2), "is not opened"),
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
    write(Checkpoint(random_model(TINY), ClipConfig()), tmp_path, to="huggingface")
    for text in ("[" * 200_000, '{"a":' * 200_000, json.dumps([1])):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(WeightsError, match=r"config\.json"):
            load(tmp_path)


def test_dicts_that_hide_their_methods_and_hold_themselves_are_read_as_plain_ones(tmp_path: Path) -> None:
    from collections import OrderedDict

    from tests.made_weights import mmaction

    def hidden(**entries: Any) -> Any:
        made: Any = OrderedDict(entries)
        for name in ("get", "keys", "values", "update"):
            setattr(made, name, 3)
        return made

    meta = hidden(dataset_meta=hidden(classes=["a", "b", "c", "d", "e"]))
    content = hidden(meta=meta, state_dict=hidden(**mmaction(random_model())))
    content["itself"] = [content, content]
    torch.save(content, tmp_path / "w.pth")
    assert load(tmp_path / "w.pth").labels == ("a", "b", "c", "d", "e")
    many: Any = {"a": torch.ones(1)}
    for _ in range(60):  # 2 ** 60 of them, if each were looked at
        many = {"a": many, "b": many}
    torch.save({"state_dict": official(random_model()), "many": many}, tmp_path / "many.pth")
    assert load(tmp_path / "many.pth").model.config.frames == SMALL.frames
