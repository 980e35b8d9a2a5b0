"""Damaged weights of every format: each is one clear error or loads whole; none crashes, hangs or grows."""

import io
import json
import random
import re
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
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import TimesformerConfig, TimesformerForVideoClassification

from tests import needs
from tests.made_weights import SMALL, jax_arrays, mmaction, random_model, save_official, vit
from timesformer.config.model import ClipConfig
from timesformer.weights.checkpoint import Checkpoint, save
from timesformer.weights.formats.writing import write
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


def shards(folder: Path) -> None:
    hugging_face(folder)
    (folder / "model.safetensors").rename(folder / "shard.safetensors")
    with safe_open(str(folder / "shard.safetensors"), framework="pt") as file:
        listed = dict.fromkeys(file.keys(), "shard.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": listed}))


def pickled_folder(folder: Path) -> None:
    hugging_face(folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def preprocessed(folder: Path) -> None:
    write(Checkpoint(random_model(TINY), ClipConfig(frames=2, size=16)), folder, to="huggingface")


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
    "native header": native,
    "timm": timm,
    "timm header": timm,
    "jax": arrays,
    "jax inside": arrays,
    "huggingface": hugging_face,
    "huggingface config": hugging_face,
    "huggingface index": shards,
    "huggingface bin": pickled_folder,
    "huggingface preprocessor": preprocessed,
}
VICTIMS = {
    "huggingface": "model.safetensors",
    "huggingface config": "config.json",
    "huggingface index": "model.safetensors.index.json",
    "huggingface bin": "pytorch_model.bin",
    "huggingface preprocessor": "preprocessor_config.json",
}
"""The file of a folder that is damaged."""


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


def mutate_header(data: bytes, chance: random.Random) -> bytes:
    """Damage to the meaning of a safetensors header: another value somewhere, or no value; its length is right."""
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    entry = header[chance.choice(list(header))]
    if "timesformer" in entry:  # a description: JSON in a text
        inner = json.loads(entry["timesformer"])
        _change(chance.choice([inner, inner["model"], inner["clip"]]), chance)
        entry["timesformer"] = json.dumps(inner)
    else:
        _change(chance.choice([header, entry]), chance)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def _change(entries: dict[str, Any], chance: random.Random) -> None:
    name = chance.choice(list(entries))
    value = chance.choice(
        (-1, 0, 2**31, 2**62, 1e308, "", "F64", "I8", None, True, [], [0, 2**40], [-8, 8], {}, [[[]]])
    )
    before = entries.pop(name)
    if chance.random() < 0.8:
        entries[name] = value if chance.random() < 0.8 or not isinstance(before, list) else [*before, value]


def attack(kind: str, folder: Path, count: int) -> int:
    """Load that many damaged files of a format; the number refused. Anything but a refusal or a whole model fails."""
    needs.linux()
    path = folder / "victim"
    MAKERS[kind](path)
    victim = path / VICTIMS[kind] if kind in VICTIMS else path
    whole = victim.read_bytes()
    first = 8 + struct.unpack("<Q", whole[:8])[0] if kind in ("native", "timm", "huggingface") else len(whole)
    before = needs.resource.getrusage(needs.resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for seed in range(count):
        chance = random.Random(seed)
        if "inside" in kind:
            damaged = mutate_inside(whole, chance)
        else:
            damaged = mutate_header(whole, chance) if "header" in kind else mutate(whole, chance, first)
        victim.write_bytes(damaged)
        began = time.monotonic()
        try:
            assert isinstance(load(path), Checkpoint)
        except WeightsError as error:
            refused += 1
            assert str(folder) in str(error), seed
        assert time.monotonic() - began < LONGEST, seed
    assert (needs.resource.getrusage(needs.resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < LARGEST
    return refused


@pytest.mark.parametrize("kind", list(MAKERS))
def test_sixty_damaged_files_of_each_format_are_refused_clearly_or_load_whole(kind: str, tmp_path: Path) -> None:
    assert attack(kind, tmp_path, 60) > 12


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", list(MAKERS))
def test_two_thousand_damaged_files_of_each_format_are_refused_clearly_or_load_whole(kind: str, tmp_path: Path) -> None:
    assert attack(kind, tmp_path, 2000) > 400


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if not re.search("inside|header|config|index|prep", kind)])
def test_a_file_cut_anywhere_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "w"
    MAKERS[kind](path)
    victim = path / VICTIMS[kind] if kind in VICTIMS else path
    whole = victim.read_bytes()
    for share in (0, 0.001, 0.1, 0.5, 0.9, 0.999):
        victim.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(WeightsError):
            load(path)
