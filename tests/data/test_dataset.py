"""Training clips: batches are pure functions of seed, epoch and place, whoever decodes them and from wherever."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests import made_trainings, made_videos
from tests.video.test_broken_videos import wipe
from timesformer import machine
from timesformer.config.checks import ConfigError
from timesformer.config.training import TrainConfig
from timesformer.data import manifest
from timesformer.data.batches import dataset
from timesformer.data.batches.batch import Batch, Broken, Sample
from timesformer.data.batches.cache import FILLED, Video, decode_all, short_side
from timesformer.data.batches.dataset import TrainingClips
from timesformer.data.batches.order import derived_seed, epoch_order, fingerprint
from timesformer.data.items import Item
from timesformer.data.manifest import Manifest
from timesformer.video import reader


@pytest.fixture
def data(tmp_path: Path) -> Manifest:
    return made_trainings.table(tmp_path / "data")


def clips(data: Manifest, settings: TrainConfig, *, cache: bool = False) -> TrainingClips:
    items = data.of("train")
    return TrainingClips(data, items, settings, cache=decode_all(items, settings) if cache else None)


def batches(data: Manifest, settings: TrainConfig, *, workers: int = 0, cache: bool = False) -> list[Batch]:
    """Two epochs of three batches."""
    every = [
        batch
        for epoch in range(2)
        for batch in epoch_order(12, epoch=epoch, repeats=1, batch=4, seed=settings.engine.seed)
    ]
    return list(dataset.batches(clips(data, settings, cache=cache), every, workers=workers))


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(first.clips, second.clips)
        and torch.equal(first.targets, second.targets)
        and first.broken == second.broken
        for first, second in zip(one, other, strict=True)
    )


def test_an_epoch_has_every_clip_as_often_as_asked_and_drops_the_last_part() -> None:
    order = epoch_order(10, epoch=3, repeats=2, batch=4, seed=1)
    assert [len(batch) for batch in order] == [4] * 5
    assert Counter(position for batch in order for _, _, position in batch) == dict.fromkeys(range(10), 2)
    assert {(epoch, repeat) for batch in order for epoch, repeat, _ in batch} == {(3, 0), (3, 1)}
    assert [len(batch) for batch in epoch_order(11, epoch=0, repeats=1, batch=4, seed=1)] == [4, 4]
    assert [len(batch) for batch in epoch_order(3, epoch=0, repeats=1, batch=8, seed=1)] == [3]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {
        tuple(
            position for batch in epoch_order(30, epoch=epoch, repeats=1, batch=5, seed=seed) for *_, position in batch
        )
        for epoch in range(3)
        for seed in range(3)
    }
    assert len(orders) == 9
    assert epoch_order(30, epoch=2, repeats=1, batch=5, seed=7) == epoch_order(30, epoch=2, repeats=1, batch=5, seed=7)


def test_mixed_seeds_differ_in_every_number() -> None:
    found = {derived_seed(*numbers) for numbers in ((0,), (1,), (0, 0), (0, 1), (1, 0), (1, 23), (12, 3))}
    assert len(found) == 7 and all(0 <= seed < 2**63 for seed in found)


@pytest.mark.parametrize("changed", [{"workers": 2}, {"cache": True}, {"cache": True, "workers": 1}])
def test_workers_and_cache_change_no_pixel(data: Manifest, changed: dict[str, Any]) -> None:
    settings = made_trainings.everything()
    assert same(batches(data, settings), batches(data, settings, **changed))


def test_a_clip_is_drawn_anew_each_time_and_alike_for_the_same_place(data: Manifest) -> None:
    source = clips(data, made_trainings.everything())
    drawn = [source[place] for place in ((0, 0, 5), (0, 1, 5), (1, 0, 5), (0, 0, 5))]
    pixels: list[Tensor] = [sample.clip for sample in drawn if not isinstance(sample, Broken)]
    assert torch.equal(pixels[0], pixels[3])
    assert not torch.equal(pixels[0], pixels[1]) and not torch.equal(pixels[0], pixels[2])
    other = clips(data, made_trainings.everything(engine={"seed": 1}))[(0, 0, 5)]
    assert not isinstance(other, Broken) and not torch.equal(pixels[0], other.clip)


def test_targets_are_classes_labels_or_numbers(data: Manifest) -> None:
    settings = made_trainings.config()
    found = batches(data, settings)[0]
    assert found.clips.shape == (4, 2, 3, 16, 16) and found.targets.dtype == torch.long
    places = epoch_order(12, epoch=0, repeats=1, batch=4, seed=0)[0]
    assert found.targets.tolist() == [data.target(data.of("train")[position]) for _, _, position in places]
    several = made_trainings.relabelled(data, {"dark": ("dark",), "light": ("dark", "light")}, "multilabel")
    assert sorted(set(map(tuple, batches(several, settings)[0].targets.tolist()))) == [(1.0, 0.0), (1.0, 1.0)]
    numbers = made_trainings.relabelled(data, {"dark": (0.5, 2.0), "light": (-1.5, 3.0)}, "regression")
    assert sorted(set(map(tuple, batches(numbers, settings)[0].targets.tolist()))) == [(-1.5, 3.0), (0.5, 2.0)]


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("workers", [0, 1])
def test_broken_videos_are_named_and_left_out(data: Manifest, cache: bool, workers: int) -> None:
    bad = data.of("train")[3]
    made_trainings.break_video(bad)
    found = batches(data, made_trainings.config(), workers=workers, cache=cache)
    assert [len(batch.clips) + len(batch.broken) for batch in found] == [4] * 6
    named = [video for batch in found for video in batch.broken]
    assert [video.key for video in named] == [bad.key] * 2 and "not a video" in named[0].reason


def test_a_batch_of_broken_videos_is_empty_and_keeps_its_shape(data: Manifest) -> None:
    for item in data.of("train"):
        made_trainings.break_video(item)
    several = made_trainings.relabelled(data, {"dark": ("dark",), "light": ("light",)}, "multilabel")
    for table, shape in ((data, (0,)), (several, (0, 2))):
        batch = batches(table, made_trainings.config())[0]
        assert batch.clips.shape == (0, 2, 3, 16, 16) and batch.targets.shape == shape and len(batch.broken) == 4


def damaged(tmp_path: Path) -> Manifest:
    """A data set in which one frame of one video can't be decoded."""
    for label in ("a", "b"):
        (tmp_path / "train" / label).mkdir(parents=True)
        (tmp_path / "val" / label).mkdir(parents=True)
        for name in ("train", "val"):
            made_videos.write(tmp_path / name / label / "x.mp4", frames=12, size=(32, 32), gop=1)
    wipe(tmp_path / "train" / "a" / "x.mp4", packet=7)
    return manifest.load(tmp_path)


@pytest.mark.parametrize("cache", [False, True])
def test_damaged_videos_are_used_and_named_without_a_warning(tmp_path: Path, cache: bool) -> None:
    data = damaged(tmp_path)
    settings = made_trainings.config(clip={"frames": 12}, model={"frames": 12})
    source = clips(data, settings, cache=cache)
    batch = source.batch([source[(0, 0, 0)], source[(0, 0, 1)]])
    assert len(batch.clips) == 2 and not batch.broken
    assert [video.key for video in batch.damaged] == ["train/a/x.mp4"]
    assert batch.damaged[0].reason.startswith("frames 7 do not decode")


def test_a_cached_video_is_its_whole_stretch_at_the_training_size(tmp_path: Path) -> None:
    path = made_videos.write(tmp_path / "long.mp4", frames=40, fps=10, size=(96, 64))
    item = Item(path, "a", "train", start=1.0, end=2.5)
    settings = made_trainings.config(augment={"jitter": (1.0, 1.5)})
    (video,) = decode_all([item], settings)
    assert isinstance(video, Video) and video.fps == 10
    assert video.frames.shape == (15, 3, 24, 36) and short_side(settings, (24, 36)) == 24
    wide = replace(settings, model=replace(settings.model, size=(16, 32)), clip=replace(settings.clip, size=(16, 32)))
    assert short_side(wide, (64, 96)) == 32  # 48 of the width, which is two thirds in height
    whole = replace(settings, augment=replace(settings.augment, crop="resized"))
    (video,) = decode_all([item], whole)
    assert isinstance(video, Video) and made_videos.numbers_of(video.frames) == list(range(10, 25))


def test_decoding_stops_where_its_progress_says_so(data: Manifest) -> None:
    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode_all(data.of("train"), made_trainings.config(), progress=stop)
    assert calls == 3


def test_a_fingerprint_changes_with_items_and_targets_only(data: Manifest) -> None:
    items = data.of("train")
    found = fingerprint(data, items)
    assert found == fingerprint(manifest.load(data.source), items)
    swapped = made_trainings.relabelled(data, {"dark": "light", "light": "dark"}, "classes")
    assert len({found, fingerprint(data, items[1:]), fingerprint(swapped, swapped.of("train"))}) == 3


@pytest.mark.parametrize("cache", [False, True])
def test_clips_of_a_varying_rate_are_drawn_by_time(tmp_path: Path, cache: bool) -> None:
    times = [number / 5 for number in range(10)] + [2 + number / 50 for number in range(100)]
    path = made_videos.write(tmp_path / "v.mp4", frames=times, size=(64, 64))
    item = Item(path, "a", "train", name="v.mp4")
    data = Manifest(tmp_path, (item,), ("a",))
    settings = made_trainings.config(
        clip={"frames": 4, "rate": 15, "sampling": "dense", "size": 64, "mean": (0.0,) * 3, "std": (1.0,) * 3},
        model={"frames": 4, "size": 64},
        augment={"jitter": (1.0, 1.0), "flip": False, "colour": 0.0, "rand_augment": 0, "erase": 0.0},
    )
    source = TrainingClips(data, [item], settings, cache=decode_all([item], settings) if cache else None)
    for repeat in range(8):
        sample = source[(0, repeat, 0)]
        assert isinstance(sample, Sample)
        shown = torch.tensor([times[number] for number in made_videos.numbers_of(sample.clip * 255)])
        assert (shown.diff() - 0.65).abs().max() < 0.25  # thirds of 2 s less a frame, give or take a slow frame


def test_memory_that_runs_out_leaves_one_video_out(data: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = data.of("train")[3].path

    def read(path: Path, numbers: object, **options: object) -> object:
        if path == victim:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        return whole(path, numbers, **options)  # type: ignore[arg-type]

    whole = reader.read_noted
    monkeypatch.setattr(reader, "read_noted", read)
    for cache in (False, True):
        named = [video for batch in batches(data, made_trainings.config(), cache=cache) for video in batch.broken]
        assert [video.key for video in named] == [data.of("train")[3].key] * 2
        assert "takes more memory than there is" in named[0].reason


@pytest.mark.parametrize("cached", [False, True])
def test_a_damaged_video_is_named_each_time_however_well_it_is_known(
    tmp_path: Path, cached: bool, data: Manifest
) -> None:
    path = wipe(made_videos.write(tmp_path / "v.mp4", frames=40, gop=10), packet=0)
    item = replace(data.of("train")[0], path=path, start=None, end=None)
    config = made_trainings.config()
    reader.info(path)  # as a look over the data does before a training
    clips = TrainingClips(data, [item], config, cache=decode_all([item], config) if cached else None)
    for repeat in range(3):
        sample = clips[(0, repeat, 0)]
        assert isinstance(sample, Sample)
        assert "1 parts do not decode" in sample.damage and "numbered without them" in sample.damage


def test_frames_that_memory_has_no_room_for_are_refused_before_they_fill_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = made_trainings.table(tmp_path / "videos")
    items, settings = table.of("train"), made_trainings.config()
    whole = sum(video.frames.nbytes for video in decode_all(items, settings) if isinstance(video, Video))
    monkeypatch.setattr(machine, "memory", lambda: int(whole / FILLED) + 12)
    assert len(decode_all(items, settings)) == len(items)
    monkeypatch.setattr(machine, "memory", lambda: int(whole / FILLED) - 100)
    with pytest.raises(ConfigError, match=r"frames of the 12 videos take more than .*--engine.cache off"):
        decode_all(items, settings)
