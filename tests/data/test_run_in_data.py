"""`train .` from within the folder of clips: what it leaves there is never taken for data."""

import shutil
import signal
from pathlib import Path

import pytest

from tests import made_trainings
from timesformer.config.checks import ConfigError
from timesformer.data import manifest
from timesformer.inference import results
from timesformer.inference.scoring import Scoring
from timesformer.verbs.evaluate import evaluate
from timesformer.weights import loading


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder of class folders without splits."""
    made = made_trainings.videos(tmp_path / "made", train=8, val=4)
    for path in made.glob("*/*/*.mp4"):
        target = tmp_path / "clips" / path.parent.name / f"{path.parent.parent.name}{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)
    return tmp_path / "clips"


def test_a_training_into_its_own_data_is_resumed_evaluated_and_trained_beside(clips: Path) -> None:
    once = made_trainings.config(optim={"epochs": 1})
    table = manifest.load(clips)
    outcome = made_trainings.run(table, once, clips / "run")
    assert manifest.load(clips).items == table.items
    longer = made_trainings.config(optim={"epochs": 2})
    assert len(made_trainings.run(manifest.load(clips), longer, clips / "run", resume=True).rows) == 2
    found = evaluate(loading.load(outcome.best), manifest.load(clips), Scoring(workers=0, crops=1))
    folder = results.claimed(clips / "run" / "evaluation", videos=clips)
    assert "results.json" in results.write(found, folder) and manifest.load(clips).items == table.items
    with pytest.raises(ConfigError, match="lies among the videos"):
        results.claimed(clips / "dark" / "evaluation", videos=clips)
    made_trainings.run(manifest.load(clips), once, clips / "dark" / "run")
    assert manifest.load(clips).items == table.items


def test_a_training_killed_before_its_first_save_leaves_no_class(clips: Path) -> None:
    table = manifest.load(clips)
    settings = made_trainings.config(engine={"cache": "on"})
    process = made_trainings.started(made_trainings.train_in_process, clips, settings, clips / "run", ("decoding", 2))
    process.join(100)
    assert process.exitcode == -signal.SIGKILL and not (clips / "run" / "last.pt").exists()
    assert manifest.load(clips).items == table.items
