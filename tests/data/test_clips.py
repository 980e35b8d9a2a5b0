"""One's own training loop gets clips by index: the training's own, the same whoever loads them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import timesformer
from tests import made_trainings
from timesformer import AugmentConfig, ClipConfig, ClipDataset
from timesformer.data.batches.batch import Sample
from timesformer.data.batches.dataset import TrainingClips
from timesformer.video.views import read_views

CLIP = ClipConfig(frames=3, size=(16, 24), sampling="segments")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_trainings.videos(tmp_path_factory.mktemp("clips"), train=6, val=2)


def test_a_dataset_gives_a_clip_and_its_target_for_each_index(folder: Path) -> None:
    dataset = ClipDataset(str(folder), split="val", clip=CLIP)
    assert len(dataset) == 2 and dataset.labels == ("dark", "light")
    clip, target = dataset[np.int64(1)]
    assert clip.shape == (3, 3, 16, 24) and clip.dtype == torch.float32
    assert target.dtype == torch.int64 and dataset.labels[target] == dataset.items[1].label
    assert torch.equal(clip, read_views(dataset.items[1].path, CLIP)[0]) and torch.equal(clip, dataset[-1][0])
    assert len(list(dataset)) == 2
    with pytest.raises(IndexError, match="index 2 of a dataset of 2"):
        dataset[2]


def test_random_clips_are_those_of_a_training_with_the_same_seed(folder: Path) -> None:
    config = made_trainings.config(engine={"seed": 5})
    table = made_trainings.table(folder)
    dataset = ClipDataset(table, clip=config.clip, augment=config.augment, seed=5)
    trained = TrainingClips(table, table.of("train"), config)
    for epoch in (0, 3):
        dataset.set_epoch(epoch)
        for index in range(len(dataset)):
            sample = trained[epoch, 0, index]
            assert isinstance(sample, Sample)
            assert torch.equal(dataset[index][0], sample.clip) and torch.equal(dataset[index][1], sample.target)
    assert not torch.equal(dataset[0][0], ClipDataset(table, clip=config.clip, augment=config.augment, seed=6)[0][0])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_load_the_same_clips_however_they_are_started(folder: Path, method: str) -> None:
    dataset = ClipDataset(folder, clip=CLIP, augment=AugmentConfig(colour=0.4), seed=1)
    loader = DataLoader(dataset, batch_size=4, num_workers=1, multiprocessing_context=method, persistent_workers=True)
    for epoch in (0, 1):  # the workers live on, and hear of the epoch all the same
        dataset.set_epoch(epoch)
        loaded = list(loader)
        assert [len(clips) for clips, _ in loaded] == [4, 2]
        assert torch.equal(torch.cat([clips for clips, _ in loaded]), torch.stack([clip for clip, _ in dataset]))
        assert torch.equal(torch.cat([targets for _, targets in loaded]), torch.stack([t for _, t in dataset]))


def test_a_broken_video_is_named(tmp_path: Path) -> None:
    folder = made_trainings.videos(tmp_path, train=4, val=2)
    for augment in (None, AugmentConfig()):
        dataset = ClipDataset(folder, clip=CLIP, augment=augment)
        made_trainings.break_video(dataset.items[0])
        with pytest.raises(timesformer.VideoError, match=dataset.items[0].path.name):
            dataset[0]
