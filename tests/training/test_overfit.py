"""The check overfits a few clips, and says what is wrong where it can't."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import made_trainings, made_videos
from tests.made_trainings import Watcher
from timesformer.config.checks import ConfigError
from timesformer.config.training import TrainConfig
from timesformer.data import manifest
from timesformer.data.items import DataError
from timesformer.data.manifest import Manifest
from timesformer.training.choose import settings as choose
from timesformer.training.overfit import STEPS, Overfit, overfit

REAL = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def data(tmp_path: Path) -> Manifest:
    return made_trainings.table(tmp_path / "data")


def check(data: Manifest, settings: TrainConfig | None = None, *, clips: int = 8, steps: int = STEPS) -> Overfit:
    return overfit(data, settings or made_trainings.config(), clips=clips, steps=steps, display=Watcher())


def uniform(folder: Path, levels: dict[str, list[int]]) -> Manifest:
    """A data set of videos of one grey level each, by class."""
    for label, values in levels.items():
        for split in ("train", "val"):
            (folder / split / label).mkdir(parents=True)
            for number, level in enumerate(values):
                picture = np.full((24, 24, 3), level, dtype=np.uint8)
                made_videos.encode(folder / split / label / f"{number}.mp4", [picture] * 4, np.arange(4) / 10, fps=10)
    return manifest.load(folder)


def test_a_sound_model_learns_its_clips_whatever_holds_the_training_back(data: Manifest) -> None:
    found = check(data, made_trainings.everything(optim={"weight_decay": 0.9, "lr": 5e-3}))
    assert found.reached == 1 and found.steps < STEPS
    assert found.advice.startswith(f"all 8 clips were memorised in {found.steps} steps")


@pytest.mark.slow
def test_eight_real_clips_are_learned_with_the_settings_that_are_chosen() -> None:
    if not REAL.is_dir():
        pytest.skip("the real videos (../shared/data) are not here")
    table = manifest.load(REAL / "tankwagon")
    found = check(table, choose.choose(table, gpu=False).config)
    assert found.reached == 1, found.advice


def test_clips_come_from_as_many_classes_as_there_are(data: Manifest) -> None:
    watcher = Watcher()
    found = overfit(data, made_trainings.config(), clips=2, display=watcher)
    # Two clips of one class would be at no loss after a few steps of the bias alone: one of each starts at ln 2
    assert watcher.losses[0] > 0.2 and found.reached == 1 and found.advice.startswith("all 2 clips")


def test_several_labels_and_numbers_are_learned_too(data: Manifest) -> None:
    several = made_trainings.relabelled(data, {"dark": ("dark",), "light": ("dark", "light")}, "multilabel")
    assert check(several, made_trainings.config(task="multilabel")).reached == 1
    angles = made_trainings.relabelled(data, {"dark": (90.0,), "light": (270.0,)}, "regression")
    angles = Manifest(angles.source, angles.items, ("angle",), "regression")
    assert check(angles, made_trainings.config(task="regression", model={"classes": 1})).reached == 1


def test_twins_with_different_labels_and_blank_clips_are_named(tmp_path: Path) -> None:
    data = uniform(tmp_path / "data", {"a": [20, 120], "b": [20, 220]})
    found = check(data, clips=4, steps=150)
    assert found.reached == 0.75 and found.steps == 150
    assert "clips look the same and have different labels: train/a/0.mp4 (a) and train/b/0.mp4 (b)" in found.advice
    assert "4 of the clips are blank" in found.advice


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"optim": {"optimizer": "sgd", "lr": 1e25}}, "the loss is not a number after"),
        ({"optim": {"lr": 1e-12}}, "never left chance level"),
        ({"optim": {"lr": 1e-12}, "freeze": "backbone"}, "by the head alone"),
    ],
)
def test_a_training_that_can_not_work_is_told_why(data: Manifest, changed: dict[str, Any], message: str) -> None:
    found = check(data, made_trainings.config(**changed), clips=4, steps=100)
    assert found.reached < 1 and message in found.advice


def test_broken_videos_are_passed_over_by_name_and_few_are_enough(data: Manifest) -> None:
    items = data.of("train")
    for item in items[:9]:
        made_trainings.break_video(item)
    found = check(data)
    assert found.reached == 1
    assert "9 videos are broken and were skipped" in found.advice and "there are only 3 training clips" in found.advice
    for item in items:
        made_trainings.break_video(item)
    with pytest.raises(DataError, match="none of the 12 training videos can be read"):
        check(data)


def test_no_clips_are_too_few(data: Manifest) -> None:
    with pytest.raises(ConfigError, match="clips is 0"):
        check(data, clips=0)
