"""Published checkpoints have names, numbers, licences and a way to get them; local paths never touch the network."""

import json
import logging
import socket
import sys
from pathlib import Path

import pytest
import torch

from tests.made_weights import SMALL, mmaction, official, random_model, save_official
from timesformer.cli import zoo as cli
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.model.transformer import TimeSformer
from timesformer.weights import labels, zoo
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.formats.writing import write
from timesformer.weights.loading import load
from timesformer.weights.report import WeightsError


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, and empty caches of our own."""

    def refuse(*_: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("TIMESFORMER_CACHE", str(tmp_path / "cache"))


def narrow(entry: zoo.Published) -> TimeSformer:
    """A model of a published one's frames, size and classes, but narrow."""
    return random_model(
        ModelConfig(frames=entry.frames, size=entry.size, classes=entry.classes, width=64, depth=1, heads=1)
    )


def hub_copy(cache: Path, repository: str, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository as the hub's client keeps it, with the network switched off."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = cache / f"models--{repository.replace('/', '--')}"
    write(checkpoint, folder / "snapshots" / ("a" * 40), to="huggingface")
    config = folder / "snapshots" / ("a" * 40) / "config.json"
    stated = json.loads(config.read_text())
    del stated["timesformer_description"]
    config.write_text(json.dumps(stated))
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("a" * 40)


def test_all_thirteen_official_checkpoints_and_mmaction2s_three_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    made_by = [entry.made_by for entry in zoo.PUBLISHED]
    assert (made_by.count("official"), made_by.count("mmaction2")) == (13, 3)
    assert sum(bool(entry.hub) for entry in zoo.PUBLISHED) == 9
    cli.zoo()
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines[2:18]]
    assert max(map(len, lines[:18])) <= 80
    assert [row[3] for row in rows] == [
        *("8x32", "16x16", "96x4", "8x32", "16x16", "96x4", "8", "16", "64"),
        *("8x32", "32x32", "64x32", "96x32", "8x32", "8x32", "8x32"),
    ]
    for entry, row in zip(zoo.PUBLISHED, rows, strict=True):
        assert (row[0], row[2], row[-3:]) == (
            entry.name,
            entry.scheme,
            [str(entry.size), str(entry.top1), str(entry.top5 or "-")],
        )
        assert 50 < entry.top1 < (entry.top5 or 100)
        assert ("NC" in entry.licence) == (entry.made_by == "official")
        cli.zoo(entry.name)
        said = capsys.readouterr().out
        for words in (entry.file, entry.page, entry.licence, str(entry.downloaded), entry.hub):
            assert words in said
        assert entry.page.startswith("https://") and entry.file.endswith((".pyth", ".pth"))


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("k400-base", ClipConfig(frames=8, rate=32, size=224)),
        ("k600-hr", ClipConfig(frames=16, rate=16, size=448)),
        ("k400-large", ClipConfig(frames=96, rate=4, size=224)),
        ("ssv2-large", ClipConfig(frames=64, sampling="segments", size=224, channels="bgr")),
        ("howto100m-96", ClipConfig(frames=96, rate=32, size=224)),
        ("mmaction2-k400-joint", ClipConfig(frames=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))),
    ],
)
def test_each_published_checkpoint_knows_its_clips(name: str, clip: ClipConfig) -> None:
    entry = zoo.find(name)
    assert entry is not None
    assert entry.clip == clip


def test_a_checkpoint_without_hub_copy_says_what_to_download_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        load("howto100m-8")
    for words in ("TimeSformer#model-zoo", "TimeSformer_divST_8x32_224_HowTo100M.pyth", str(tmp_path), "CC-BY-NC"):
        assert words in str(caught.value)


def test_without_a_cache_folder_the_file_is_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESFORMER_CACHE", "")
    with pytest.raises(WeightsError, match="to any folder, and name the file instead"):
        load("howto100m-8")


def test_a_file_in_the_cache_folder_is_taken_with_the_published_clip_and_licence() -> None:
    entry = zoo.find("mmaction2-k400-divided")
    assert entry is not None
    assert entry.downloaded is not None
    entry.downloaded.parent.mkdir(parents=True)
    torch.save({"state_dict": mmaction(narrow(entry))}, entry.downloaded)
    loaded = load("mmaction2-k400-divided")
    assert loaded.about == entry.about
    assert loaded.clip == entry.clip


def test_a_file_that_is_not_what_its_name_says_is_refused() -> None:
    entry = zoo.find("ssv2-hr")
    assert entry is not None
    assert entry.downloaded is not None
    entry.downloaded.parent.mkdir(parents=True)
    save_official(random_model(), entry.downloaded)
    with pytest.raises(WeightsError, match=r"is not ssv2-hr: it has frames 4 instead of 16, size 32 .* classes 5"):
        load("ssv2-hr")
    joint = zoo.find("mmaction2-k400-joint")
    assert joint is not None and joint.downloaded is not None
    save_official(narrow(joint), joint.downloaded)
    with pytest.raises(WeightsError, match="scheme divided instead of joint, official TimeSformer layout instead of"):
        load("mmaction2-k400-joint")


def test_a_hub_copy_is_taken_from_the_cache_and_its_licence_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entry = zoo.find("ssv2-base")
    assert entry is not None
    model = narrow(entry)
    hub_copy(tmp_path, entry.hub, Checkpoint(model, ClipConfig()), monkeypatch)
    with caplog.at_level(logging.WARNING):
        loaded = load("ssv2-base")
    assert torch.equal(loaded.model.head.weight, model.head.weight)
    assert (loaded.clip.sampling, loaded.clip.channels) == ("segments", "bgr")
    assert loaded.about == entry.about
    assert "CC-BY-NC" in entry.about and "CC-BY-NC" in caplog.text
    caplog.clear()
    assert load(entry.hub).about == entry.about
    assert "CC-BY-NC" in caplog.text
    hub_copy(tmp_path, "someone/other", Checkpoint(model, ClipConfig()), monkeypatch)
    assert "see there for its licence" in load("someone/other").about


def test_an_absent_hub_copy_says_the_way_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_copy(tmp_path, "someone/other", Checkpoint(random_model(), ClipConfig()), monkeypatch)
    with pytest.raises(WeightsError, match=r"HF_HUB_OFFLINE\. Or download TimeSformer_divST_8x32_224_K400\.pyth"):
        load("k400-base")


def test_without_huggingface_hub_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsError, match=r"pip install 'timesformer\[hub\]'"):
        load("someone/something")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("k400-bsae", "did you mean k400-base"),
        ("qqqqqq", "`timesformer zoo` lists"),
        ("folder/absent.pyth", "neither a path nor a published name"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_ones(name: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        load(name)
    with pytest.raises(WeightsError, match="does not exist"):
        load(Path(name))


def test_a_local_path_with_a_published_name_stays_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_official(random_model(), Path("k400-base"))
    assert load("k400-base").model.config == SMALL


@pytest.mark.parametrize(
    "text",
    [
        "a\nb\n\nc\nd\ne\n",
        "\ufeffid,name\n1,b\n0,a\n2, c\n3,d\n4,e\n",
        '["a", "b", "c", "d", "e"]',
        '{"1": "b", "0": "a", "2": "c", "3": "d", "4": "e"}',
        '{"b": "1", "a": "0", "c": "2", "d": "3", "e": "4"}',
        '{"b": 1, "a": 0, "c": 2, "d": 3, "e": 4}',
    ],
)
def test_class_names_are_read_from_a_file_in_any_usual_form(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text(text)
    torch.save({"model_state": official(random_model())}, tmp_path / "w.pyth")
    assert load(tmp_path / "w.pyth", labels=tmp_path / "labels").labels == ("a", "b", "c", "d", "e")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "not text"),
        ('{"0": "a", "2": "c"}', "no label 1"),
        ('{"0": ', "not valid JSON"),
        ("[]x", "valid"),
        *[(empty, "holds no labels") for empty in ("", "[]", "{}")],
        *[(twice, "number 0 to two") for twice in ('{"0": "a", "0": "b"}', '{"a": 0, "b": 0}', "0,a\n0,b")],
    ],
)
def test_a_label_file_that_can_not_be_right_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text(text)
    with pytest.raises(WeightsError, match=message):
        labels.read(tmp_path / "labels")
    with pytest.raises(WeightsError, match="can't be read"):
        labels.read(tmp_path / "absent")
