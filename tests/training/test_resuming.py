"""A saved state that isn't this training's own is refused with a sentence, and nothing was taken from it."""

import copy
import math
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import made_trainings
from timesformer.config.checks import ConfigError
from timesformer.config.training import TrainConfig
from timesformer.data.manifest import Manifest
from timesformer.training.loop import train

KINDS = {
    "adamw": made_trainings.config(),
    "sgd": made_trainings.config(optim={"optimizer": "sgd"}),
    "average": made_trainings.everything(engine={"save_minutes": 60}, optim={"repeats": 1}),
    "frozen": made_trainings.config(freeze="backbone"),
}
Tamper = Callable[[dict[str, Any]], None]
NAME = "blocks.1.steps.space.qkv.weight"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return made_trainings.table(tmp_path_factory.mktemp("data") / "videos")


@pytest.fixture(scope="module")
def stopped(data: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, dict[str, Any]]]:
    """The folder and the saved state of a training of each kind, stopped in its second epoch."""
    made: dict[str, tuple[Path, dict[str, Any]]] = {}

    def get(kind: str) -> tuple[Path, dict[str, Any]]:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind) / "run"
            stop = {("step", 4): made_trainings.signalled(signal.SIGTERM)}
            made_trainings.run(data, KINDS[kind], folder, moments=stop)
            made[kind] = folder, torch.load(folder / "last.pt", weights_only=True)
        return made[kind]

    return get


def state(**values: Any) -> Tamper:
    return lambda saved: saved["state"].update(values)


def row(**values: Any) -> Tamper:
    return lambda saved: saved["state"]["rows"][0].update(values)


def top(**values: Any) -> Tamper:
    return lambda saved: saved.update(values)


def weight(change: Callable[[torch.Tensor], Any], name: str = NAME) -> Tamper:
    return lambda saved: saved["weights"].update({name: change(saved["weights"][name])})


def moment(part: str, change: Callable[[torch.Tensor], Any], name: str = "head.weight") -> Tamper:
    return lambda saved: saved["optimizer"]["state"][name].update(
        {part: change(saved["optimizer"]["state"][name][part])}
    )


def group(**values: Any) -> Tamper:
    return lambda saved: saved["optimizer"]["param_groups"][0].update(values)


def without(*path: str) -> Tamper:
    def drop(saved: dict[str, Any]) -> None:
        for name in path[:-1]:
            saved = saved[name]
        del saved[path[-1]]

    return drop


def spoiled(value: torch.Tensor) -> torch.Tensor:
    value = value.clone()
    value.view(-1)[0] = math.nan
    return value


TAMPERED: dict[str, Tamper] = {
    "no weights": top(weights={}),
    "weights are a list": top(weights=[]),
    "weights are missing": without("weights"),
    "one weight is missing": without("weights", NAME),
    "a strange weight": lambda saved: saved["weights"].update(strange=torch.ones(2)),
    "a weight of another shape": weight(lambda value: value[:-1]),
    "a weight of one number": weight(lambda value: torch.zeros(())),
    "a weight turned": weight(lambda value: value.T),
    "a weight of whole numbers": weight(torch.Tensor.int),
    "a weight in half precision": weight(torch.Tensor.half),
    "a weight that is no tensor": weight(torch.Tensor.tolist),
    "a weight that is no number": weight(spoiled),
    "an infinite weight": weight(lambda value: value / 0.0),
    "a sparse weight": weight(torch.Tensor.to_sparse),
    "weights by number": lambda saved: saved.update(weights=dict(enumerate(saved["weights"].values()))),
    "no optimiser": top(optimizer={}),
    "the optimiser is none": top(optimizer=None),
    "no memory of any parameter": lambda saved: saved["optimizer"].update(state={}),
    "no memory of a parameter": without("optimizer", "state", "head.weight"),
    "no memory of a kind": without("optimizer", "state", "head.weight", "exp_avg"),
    "memory of another shape": moment("exp_avg", lambda value: value[:1]),
    "memory that is no number": moment("exp_avg", spoiled),
    "negative squares": moment("exp_avg_sq", lambda value: -1 - value),
    "a negative step": moment("step", lambda value: value - 100),
    "steps of each number": moment("step", lambda value: torch.zeros(3)),
    "no groups": lambda saved: saved["optimizer"].update(param_groups=[]),
    "a group that is none": lambda saved: saved["optimizer"].update(param_groups=[None]),
    "a group of numbers": group(params=[0, 1, 2]),
    "a group too short": lambda saved: saved["optimizer"]["param_groups"][0]["params"].pop(),
    "a name twice": lambda saved: saved["optimizer"]["param_groups"][0]["params"].append("head.weight"),
    "a strange name": lambda saved: saved["optimizer"]["param_groups"][0]["params"].append("head.what"),
    "another decay": group(weight_decay=0.7),
    "another decay in words": group(weight_decay="much"),
    "other betas": group(betas=(0.1, 0.2)),
    "an optimiser turned round": group(maximize=True),
    "no state": top(state={}),
    "the state is a list": top(state=[]),
    "a field is missing": without("state", "done"),
    "a field too many": state(surprise=1),
    "steps backwards": state(done=-1),
    "steps that never were": state(done=10**12),
    "steps before the epoch's end": state(done=2),
    "steps after the epoch's end": state(done=7),
    "half a step": state(done=3.5),
    "steps in words": state(done="4"),
    "steps yes": state(done=True),
    "a loss that is no number": state(loss=math.nan),
    "an infinite loss": state(loss=math.inf),
    "a loss in words": state(loss="small"),
    "negative clips": state(clips=-3),
    "negative time": state(seconds=-1.0),
    "time without end": state(waited=math.inf),
    "rows that are none": state(rows=None),
    "rows of words": state(rows=["good"]),
    "no rows": state(rows=[]),
    "a row too many": lambda saved: saved["state"]["rows"].append(dict(saved["state"]["rows"][0])),
    "an empty row": state(rows=[{}]),
    "another epoch's row": row(epoch=2.0),
    "a measure in words": row(val_top1="high"),
    "a step that is no number": row(step=math.nan),
    "a row of other steps": row(step=4.0),
    "a row without measures": lambda saved: saved["state"]["rows"][0].pop("val_top1"),
    "found is a list": state(found=["a.mp4"]),
    "found without reasons": state(found={"a.mp4": 3}),
    "damaged is a text": state(damaged="a.mp4"),
    "missing is a text": state(missing="head.weight"),
    "missing numbers": state(missing=[1]),
    "data is a number": state(data=3),
    "an average that nobody asked for": state(average=[torch.ones(2)]),
    "an average that is none": state(average=None),
    "a scaler of anything": state(scaler={"a": 1}),
    "a scaler in words": state(scaler="on"),
    "parts elsewhere": top(parts="../../elsewhere"),
    "parts that aren't there": top(parts="last.parts.0"),
    "parts is a number": top(parts=7),
    "nothing but a tensor": lambda saved: saved.clear(),
}


def refused(folder: Path, saved: Any, data: Manifest, settings: TrainConfig) -> str:
    """How a tampered state is answered; the file stays as it is, and so does everything beside it."""
    whole = (folder / "last.pt").read_bytes()
    torch.save(saved, folder / "last.pt")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    try:
        with pytest.raises(ConfigError) as answer:
            train(data, settings, folder, resume=True, display=made_trainings.Watcher())
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    finally:
        (folder / "last.pt").write_bytes(whole)
    return str(answer.value)


@pytest.mark.parametrize("name", list(TAMPERED))
def test_a_tampered_state_is_refused_with_a_sentence(name: str, data: Manifest, stopped: Any) -> None:
    folder, saved = stopped("adamw")
    saved = copy.deepcopy(saved)
    TAMPERED[name](saved)
    said = refused(folder, saved, data, KINDS["adamw"])
    assert "last.pt is not a whole saved state (" in said and "restore it from a copy, or remove it" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("kind", "tamper"),
    [
        ("sgd", moment("momentum_buffer", lambda value: value[:1])),
        ("sgd", moment("momentum_buffer", spoiled)),
        ("sgd", group(momentum=0.99)),
        ("average", state(average=[])),
        ("average", lambda saved: saved["state"]["average"].pop()),
        ("average", lambda saved: saved["state"]["average"].reverse()),
        ("average", lambda saved: saved["state"]["average"].__setitem__(0, spoiled(saved["state"]["average"][0]))),
        ("frozen", lambda saved: saved["optimizer"]["state"].update({NAME: saved["optimizer"]["state"]["head.bias"]})),
    ],
)
def test_what_other_trainings_save_is_checked_as_well(kind: str, tamper: Tamper, data: Manifest, stopped: Any) -> None:
    folder, saved = stopped(kind)
    saved = copy.deepcopy(saved)
    tamper(saved)
    assert "is not a whole saved state" in refused(folder, saved, data, KINDS[kind])


def test_a_state_of_another_run_or_another_kind_of_file_is_refused(data: Manifest, stopped: Any) -> None:
    folder, saved = stopped("adamw")
    for other in (stopped("sgd")[1], stopped("frozen")[1], saved["weights"], [saved], torch.ones(3), "text", None):
        assert "is not a whole saved state" in refused(folder, other, data, KINDS["adamw"])


def test_a_state_that_would_run_code_does_not(data: Manifest, stopped: Any, tmp_path: Path) -> None:
    class Canary:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.mkdir, (tmp_path / "ran",)

    folder, saved = stopped("adamw")
    assert "is not a whole saved state" in refused(folder, saved | {"state": Canary()}, data, KINDS["adamw"])
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", list(KINDS))
def test_what_was_not_tampered_with_goes_on(kind: str, data: Manifest, stopped: Any) -> None:
    folder, _ = stopped(kind)
    outcome = made_trainings.run(data, KINDS[kind], folder, resume=True)
    assert len(outcome.rows) == KINDS[kind].optim.epochs and not outcome.stopped


def test_a_state_of_an_older_version_goes_on(data: Manifest, stopped: Any, tmp_path: Path) -> None:
    folder, saved = stopped("adamw")
    older = shutil.copytree(folder, tmp_path / "run")
    values = {"lacking" if name == "missing" else name: value for name, value in saved["state"].items()}
    del values["scaler"]
    torch.save(saved | {"state": values}, older / "last.pt")
    assert len(made_trainings.run(data, KINDS["adamw"], older, resume=True).rows) == KINDS["adamw"].optim.epochs
