"""A clip that is mirrored or reversed in time has the label of the class that this makes it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import made_trainings, made_videos
from timesformer.config.checks import ConfigError
from timesformer.config.model import ClipConfig
from timesformer.config.training import AugmentConfig, TrainConfig
from timesformer.data import manifest
from timesformer.data.batches import dataset
from timesformer.data.batches.batch import Sample
from timesformer.data.batches.cache import decode_all
from timesformer.data.batches.clips import ClipDataset
from timesformer.data.batches.dataset import TrainingClips
from timesformer.data.batches.opposites import Opposites, expected_counts, opposites, partners
from timesformer.data.batches.order import epoch_order
from timesformer.data.items import Item
from timesformer.data.manifest import Manifest
from timesformer.video import augment

CLASSES = ("fade_in", "fade_out", "go_left", "go_right", "stay")
SHOWN = {"go_left": (0, 3), "go_right": (3, 0), "fade_in": (1, 2), "fade_out": (2, 1), "stay": (1, 1)}
"""The quarter that is bright in the first and the last frame, from the left; for fades the brightness of it all."""


def picture(label: str, last: bool) -> np.ndarray:
    """A frame of 32 x 32 px: one bright quarter on black; for the fades all of it, dark or bright."""
    frame = np.zeros((32, 32, 3), dtype=np.uint8)
    place = SHOWN[label][last]
    if label.startswith("fade"):
        frame[:] = 80 * place
    else:
        frame[:, 8 * place : 8 * place + 8] = 200
    return frame


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Two videos of two frames of each class."""
    folder = tmp_path_factory.mktemp("opposites")
    for split in ("train", "val"):
        for label in CLASSES:
            path = folder / split / label / "x.mkv"
            path.parent.mkdir(parents=True)
            frames = [picture(label, last) for last in (False, True)]
            made_videos.encode(path, frames, np.arange(2) / 10, fps=10, codec="ffv1")
    return manifest.load(folder)


def settings(**augment: Any) -> TrainConfig:
    """Both frames whole, in the videos' own pixels."""
    shape = {"frames": 2, "size": 32}
    clip = {**shape, "sampling": "dense", "rate": 1, "fps": 10.0, "mean": (0.0,) * 3, "std": (1.0,) * 3}
    bare = {"jitter": (1.0, 1.0), "flip": False, "colour": 0.0, "rand_augment": 0, "erase": 0.0}
    model = {**shape, "classes": len(CLASSES)}
    return made_trainings.config(clip=clip, model=model, augment={**bare, **augment})


def seen(sample: Sample) -> str:
    """The class that a clip shows."""
    first, last = (np.asarray(frame.mean(0) * 255) for frame in sample.clip)
    return min(
        CLASSES,
        key=lambda label: (
            np.abs(first - picture(label, False)[..., 0]).mean() + np.abs(last - picture(label, True)[..., 0]).mean()
        ),
    )


def drawn(data: Manifest, config: TrainConfig, *, times: int = 40) -> list[tuple[str, str, str]]:
    """The class of the video, the class of the label and the class that is seen, of many training clips."""
    clips = TrainingClips(data, data.of("train"), config)
    found = []
    for repeat in range(times):
        for position, item in enumerate(data.of("train")):
            sample = clips[(0, repeat, position)]
            assert isinstance(sample, Sample)
            found.append((str(item.label), data.labels[int(sample.target)], seen(sample)))
    return found


def test_a_mirrored_clip_has_the_label_of_its_other_side_and_others_keep_theirs(data: Manifest) -> None:
    found = drawn(data, settings(flip=True, mirror_labels=("go_left=go_right",)))
    moving = [(own, label, shown) for own, label, shown in found if own.startswith("go")]
    assert all(label == shown for _, label, shown in moving)
    assert 20 < sum(own != label for own, label, _ in moving) < 60
    assert all(own == label for own, label, _ in found if not own.startswith("go"))


def test_without_pairs_a_mirrored_clip_keeps_its_label(data: Manifest) -> None:
    found = drawn(data, settings(flip=True))
    assert all(own == label for own, label, _ in found)
    assert any(own != shown for own, _, shown in found)


def test_only_clips_of_named_classes_are_reversed_in_time_and_have_the_other_label(data: Manifest) -> None:
    found = drawn(data, settings(reverse_labels=("fade_in=fade_out",)))
    assert all(label == shown for _, label, shown in found)
    changed = [own for own, label, _ in found if own != label]
    assert set(changed) == {"fade_in", "fade_out"} and 20 < len(changed) < 60


def test_a_class_that_is_its_own_opposite_is_reversed_and_keeps_its_label(data: Manifest) -> None:
    found = drawn(data, settings(reverse_labels=("go_left=go_left",)))
    assert all(own == label for own, label, _ in found)
    assert {shown for own, _, shown in found if own == "go_left"} == {"go_left", "go_right"}
    assert all(own == shown for own, _, shown in found if own != "go_left")


def test_a_clip_mirrored_and_reversed_has_the_label_of_both_changes(data: Manifest) -> None:
    pair = ("go_left=go_right",)
    found = drawn(data, settings(flip=True, mirror_labels=pair, reverse_labels=pair))
    assert all(label == shown for own, label, shown in found if own.startswith("go"))


@pytest.mark.parametrize(("workers", "cached"), [(2, False), (0, True)])
def test_labels_change_alike_whoever_loads_the_batch(data: Manifest, workers: int, cached: bool) -> None:
    config = settings(flip=True, mirror_labels=("go_left=go_right",), reverse_labels=("fade_in=fade_out",))
    items = data.of("train")
    orders = [batch for epoch in range(3) for batch in epoch_order(len(items), epoch=epoch, repeats=4, batch=5, seed=0)]
    one, other = (
        list(dataset.batches(TrainingClips(data, items, config, cache=cache), orders, workers=count))
        for cache, count in ((None, 0), (decode_all(items, config) if cached else None, workers))
    )
    for first, second in zip(one, other, strict=True):
        assert torch.equal(first.clips, second.clips) and torch.equal(first.targets, second.targets)
    assert sorted({number for batch in one for number in batch.targets.tolist()}) == list(range(5))


def test_pairs_change_no_pixel_of_mirrored_clips(data: Manifest) -> None:
    plain, paired = (
        TrainingClips(data, data.of("train"), settings(flip=True, mirror_labels=pairs))
        for pairs in ((), ("go_left=go_right",))
    )
    for position in range(len(data.of("train"))):
        one, other = plain[(0, 0, position)], paired[(0, 0, position)]
        assert isinstance(one, Sample) and isinstance(other, Sample) and torch.equal(one.clip, other.clip)


def test_mixup_and_cutmix_blend_the_changed_targets(data: Manifest) -> None:
    config = settings(flip=True, mirror_labels=("go_left=go_right",), mixup=0.8)
    clips = TrainingClips(data, data.of("train"), config)
    batch = clips.batch([clips[(0, repeat, 2)] for repeat in range(16)])  # all from one video of go_left
    one_hot = torch.nn.functional.one_hot(batch.targets, len(CLASSES)).float()
    mixed, targets = augment.mix(batch.clips, one_hot, config.augment, generator=torch.Generator().manual_seed(0))
    left = mixed[:, 0, 0, :, :8].mean(dim=(1, 2)) * 255 / 200  # how much of the first frame's left quarter is bright
    torch.testing.assert_close(targets[:, 2], left, atol=0.02, rtol=0)
    assert ((targets > 0.05).sum(1) == 2).any() and targets[:, [0, 1, 4]].sum() == 0


def labelled(data: Manifest, names: dict[str, tuple[str, ...]]) -> Manifest:
    """The videos with several labels each."""
    return made_trainings.relabelled(data, {label: names.get(label, ()) for label in CLASSES}, "multilabel")


def test_each_of_several_labels_changes_and_reversing_needs_all_of_them_named(data: Manifest) -> None:
    several = labelled(data, {"go_left": ("go_left", "stay"), "fade_in": ("fade_in", "stay")})
    config = settings(flip=True, mirror_labels=("go_left=go_right",), reverse_labels=("fade_in=fade_out",))
    change = opposites(several, config.augment)
    left = torch.tensor([0.0, 0.0, 1.0, 0.0, 1.0])
    assert change.mirrored(left).tolist() == [0, 0, 0, 1, 1]
    fades = torch.tensor([[1.0, 0, 0, 0, 0], [1.0, 1, 0, 0, 0], [1.0, 0, 0, 0, 1], [0.0] * 5])
    assert [change.reversible(labels) for labels in fades] == [True, True, False, False]
    assert change.reversed(fades[0]).tolist() == [0, 1, 0, 0, 0]
    clips = TrainingClips(several, several.of("train"), replace(config, task="multilabel"))
    batch = clips.batch([clips[(0, repeat, 2)] for repeat in range(20)])
    assert sorted(set(map(tuple, batch.targets.tolist()))) == [(0, 0, 0, 1, 1), (0, 0, 1, 0, 1)]


def test_numbers_to_predict_have_no_opposites(data: Manifest) -> None:
    for name in ("mirror_labels", "reverse_labels"):
        with pytest.raises(ConfigError, match=rf"^{name} is \('a=b',\), but a regression predicts numbers"):
            TrainConfig(task="regression", augment=replace(AugmentConfig(), **{name: ("a=b",)}))
    numbers = made_trainings.relabelled(data, dict.fromkeys(CLASSES, (0.5,) * 5), "regression")
    assert opposites(numbers, AugmentConfig()) == Opposites(None, None)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (
            ("go_left=go_rigt",),
            "mirror_labels names 'go_rigt', which is no class of the data; did you mean 'go_right'?",
        ),
        (
            ("Q=go_left",),
            "mirror_labels names 'Q', which is no class of the data; classes are fade_in, fade_out, go_left",
        ),
        (("go_left=go_right", "go_left=stay"), "mirror_labels names 'go_left' in two pairs; a class has one opposite"),
    ],
)
def test_pairs_that_the_data_does_not_have_are_refused(data: Manifest, pairs: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TrainingClips(data, data.of("train"), settings(flip=True, mirror_labels=pairs))
    assert message in str(caught.value)


@pytest.mark.parametrize("pair", ["left", "left=", " = right", "=", ""])
def test_a_text_that_joins_no_two_names_is_refused(pair: str) -> None:
    for name in ("mirror_labels", "reverse_labels"):
        with pytest.raises(ConfigError, match="is no pair of classes; join two class names by ="):
            AugmentConfig(**{name: (pair,)})


def test_pairs_without_mirroring_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^mirror_labels is \('a=b',\) but flip is off; turn flip on, or leave"):
        AugmentConfig(flip=False, mirror_labels=("a=b",))


def test_class_names_may_hold_the_sign_that_joins_them() -> None:
    labels = ("x=1 left", "x=1 right", "a", "b")
    assert partners(["x=1 left=x=1 right", "a = b"], labels, "mirror_labels") == {0: 1, 1: 0, 2: 3, 3: 2}


def test_expected_counts_are_those_of_the_clips_that_are_drawn(tmp_path: Path) -> None:
    counts = {"left": 6, "right": 2, "open": 4, "close": 0, "stay": 3}
    items = [Item(tmp_path / f"{label}{n}.mp4", label, "train") for label, many in counts.items() for n in range(many)]
    data = Manifest(tmp_path, tuple(items), tuple(counts))
    assert expected_counts(data, AugmentConfig()) == (6, 2, 4, 0, 3)
    assert expected_counts(data, AugmentConfig(mirror_labels=("left=right",))) == (4, 4, 4, 0, 3)
    both = AugmentConfig(mirror_labels=("left=right",), reverse_labels=("left=right", "open=close"))
    assert expected_counts(data, both) == (4, 4, 2, 2, 3)
    several = tuple(replace(item, label=(str(item.label), "stay")) for item in items)
    data = Manifest(tmp_path, several, tuple(counts), task="multilabel")
    assert expected_counts(data, both) == (4, 4, 4, 0, 15)  # none reversed: "stay" is not named


def test_a_dataset_for_a_loop_of_ones_own_changes_labels_too(data: Manifest) -> None:
    clip = ClipConfig(frames=2, size=32, sampling="segments")
    own = ClipDataset(data, clip=clip, augment=AugmentConfig(jitter=(1.0, 1.0), mirror_labels=("go_left=go_right",)))
    labels = set()
    for epoch in range(12):
        own.set_epoch(epoch)
        labels.add(int(own[2][1]))
    assert labels == {2, 3}
