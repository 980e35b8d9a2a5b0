"""A checkpoint describes itself, is written whole or not at all, and is refused clearly when it is damaged."""

import json
import os
import random
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from timesformer.config.model import ClipConfig, ModelConfig, Scheme
from timesformer.model.transformer import TimeSformer
from timesformer.weights import checkpoint as checkpoints
from timesformer.weights.checkpoint import KEY, Checkpoint, read, save
from timesformer.weights.report import LoadReport, Resized, WeightsError

TINY = ModelConfig(frames=2, size=(32, 48), width=8, depth=2, heads=2, classes=3)


def tiny(config: ModelConfig = TINY, **settings: object) -> Checkpoint:
    """A checkpoint of a tiny model with random values in every tensor."""
    torch.manual_seed(0)
    model = TimeSformer(config)
    for value in model.parameters():
        torch.nn.init.normal_(value)
    return Checkpoint(model, ClipConfig(frames=config.frames), **settings)  # type: ignore[arg-type]


def header(path: Path) -> dict[str, object]:
    """The JSON header of a safetensors file."""
    data = path.read_bytes()
    return json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])


def with_description(path: Path, change: dict[str, object]) -> Path:
    """The file with entries of its description replaced."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    parsed = json.loads(data[8 : 8 + length])
    parsed["__metadata__"][KEY] = json.dumps(json.loads(parsed["__metadata__"][KEY]) | change)
    text = json.dumps(parsed).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    return path


@pytest.mark.parametrize("scheme", ["space", "joint", "divided", "local_global", "axial"])
def test_every_scheme_comes_back_bit_exact_with_all_its_settings(scheme: Scheme, tmp_path: Path) -> None:
    clip = ClipConfig(frames=2, sampling="segments", channels="bgr", mean=(0.5, 0.4, 0.3), size=48)
    written = replace(tiny(replace(TINY, scheme=scheme)), clip=clip, labels=("jump", "空翻", "c"), about="made")
    save(written, tmp_path / "new" / "model.safetensors")
    back = read(tmp_path / "new" / "model.safetensors")
    assert back.model.config == written.model.config
    assert (back.clip, back.labels, back.task, back.about) == (clip, ("jump", "空翻", "c"), "classes", "made")
    assert not back.model.training
    ours, theirs = written.model.state_dict(), back.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert back.report is not None
    assert back.report.loaded == len(ours)


def test_a_checkpoint_can_be_trained_further_and_does_not_change_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(tiny(), path)
    back = read(path)
    before = back.model.head.weight.clone()
    path.write_bytes(bytes(path.stat().st_size))
    assert torch.equal(back.model.head.weight, before)
    back.model(torch.randn(1, 2, 3, 32, 48)).sum().backward()
    assert all(value.grad is not None for value in back.model.parameters())


def test_half_precision_weights_are_read_as_float32(tmp_path: Path) -> None:
    written = tiny()
    save(replace(written, model=written.model.bfloat16()), tmp_path / "half.safetensors")
    back = read(tmp_path / "half.safetensors")
    assert back.model.head.weight.dtype == torch.float32
    assert torch.equal(back.model.head.weight, written.model.head.weight.float())


def test_a_failed_write_keeps_the_previous_file_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    save(tiny(), path)
    before = path.read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(WeightsError, match="No space left"):
        save(tiny(about="newer"), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_new_file_has_the_rights_of_any_other_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    save(tiny(), tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_as_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a folder"):
        save(tiny(), tmp_path)


def test_labels_must_match_the_outputs() -> None:
    with pytest.raises(WeightsError, match="2 labels for 3 outputs"):
        tiny(labels=("a", "b"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 2"),
        ({"surprise": 1}, "surprise is unknown; there are model, clip, .* get it again"),
        ({"model": {"depth": 2, "flavour": "mild"}}, "model.flavour is unknown; there are scheme"),
        ({"model": {"depth": "two"}}, "depth is 'two'; it must be a whole number"),
        ({"model": {"depth": True}}, "depth is True"),
        ({"model": {"scheme": "sideways"}}, "must be one of 'space'"),
        ({"model": {"size": [32]}}, r"size is \[32\]"),
        ({"model": {"mlp_ratio": 1e999}}, "mlp_ratio is inf"),
        ({"model": {"width": 7, "heads": 2}}, "not divisible by heads"),
        ({"model": []}, "model is .*; it must be a section"),
        ({"clip": {"mean": [0.5, 0.5]}}, "mean is"),
        ({"clip": {"std": [0, 1, 1]}}, "every channel must be above 0"),
        ({"labels": ["a", "b"]}, "2 labels for 3 outputs"),
        ({"labels": [1, 2, 3]}, r"labels\[0\] is 1"),
        ({"task": "guess"}, "task is 'guess'"),
        (
            {"target_stats": [[0, 1]] * 3},
            r"3 entries for 3 outputs \(classes\); only a regression has them",
        ),
        ({"task": "regression", "target_stats": [[0, 1]]}, "target_stats has 1 entries for 3 outputs"),
        ({"task": "regression", "target_stats": [[0]] * 3}, r"target_stats\[0\] is \[0\]"),
        ({"model": {"depth": 10**9}}, "depth is 1000000000; it must be at most 1,000"),
        ({"model": {"depth": 900}}, "too few for the 900 blocks"),
        ({"model": {"depth": 2, "width": 8, "heads": 2, "classes": 2**20}}, "wrong shape"),
        ({"model": {"frames": 10**9}}, "frames is 1000000000; it must be at most 65,536"),
        ({"clip": {"fps": 1e-308}}, "fps is 1e-308; it must be above 0"),
    ],
)
def test_a_description_that_can_not_be_true_is_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(tiny(), path)
    with pytest.raises(WeightsError, match=message):
        read(with_description(path, change))


def test_settings_that_an_older_file_lacks_have_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(tiny(), path)
    model = {"frames": 2, "size": [32, 48], "width": 8, "depth": 2, "heads": 2, "classes": 3}
    back = read(with_description(path, {"model": model, "clip": {}}))
    assert back.model.config == TINY
    assert back.clip == ClipConfig()


def test_missing_extra_and_misshaped_tensors_are_all_named(tmp_path: Path) -> None:
    model = tiny().model
    tensors = dict(model.state_dict())
    del tensors["norm.bias"]
    tensors |= {"surprise": torch.zeros(1), "head.bias": torch.zeros(4), "norm.weight": torch.zeros(8).int()}
    with pytest.raises(WeightsError) as caught:
        checkpoints.build(TINY, tensors, "file")
    for words in ("missing: norm.bias", "extra: surprise", "head.bias is [4] but [3]", "norm.weight is torch.int32"):
        assert words in str(caught.value)


def test_files_that_are_absent_or_from_elsewhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        read(tmp_path / "none.safetensors")
    checkpoints.write_tensors({"a": torch.zeros(1)}, tmp_path / "other.safetensors", {})
    with pytest.raises(WeightsError, match="without a timesformer description"):
        read(tmp_path / "other.safetensors")


def test_damaged_files_give_one_clear_error_or_a_whole_model(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(tiny(), path)
    whole = path.read_bytes()
    start = 8 + struct.unpack("<Q", whole[:8])[0]
    chance = random.Random(0)
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(start)] = chance.randrange(256)
        path.write_bytes(data[: chance.randrange(len(data))] if chance.random() < 0.2 else data)
        try:
            assert isinstance(read(path), Checkpoint)
        except WeightsError as error:
            refused += 1
            assert str(path) in str(error) or "labels for" in str(error)
    assert refused > 200


def test_the_header_names_every_tensor_and_one_description(tmp_path: Path) -> None:
    save(tiny(), tmp_path / "model.safetensors")
    names = header(tmp_path / "model.safetensors")
    assert set(names) - {"__metadata__"} == set(tiny().model.state_dict())
    assert set(names["__metadata__"]) == {KEY}  # type: ignore[call-overload]


def test_a_report_says_every_change_and_groups_equal_names_of_blocks() -> None:
    report = LoadReport(
        source="file.pyth",
        layout="official",
        loaded=5,
        zero=("blocks.0.steps.time.extra.bias", "blocks.1.steps.time.extra.bias", "embedding.time"),
        new=("head.weight",),
        resized=(Resized("embedding.position", (1, 5, 8), (1, 10, 8), "nearest in 2-D"),),
        notes=("no cfg",),
    )
    assert report.lines() == [
        "file.pyth: official, 5 tensors loaded",
        "  new, zero-initialised: blocks.*.steps.time.extra.bias (2)",
        "  new, zero-initialised: embedding.time",
        "  new, randomly initialised: head.weight",
        "  resized: embedding.position [1, 5, 8] -> [1, 10, 8], nearest in 2-D",
        "  note: no cfg",
    ]


def test_what_hinders_writing_is_told_from_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="choose a folder that you can write to"):
        save(tiny(), tmp_path / "file" / "model.safetensors")
