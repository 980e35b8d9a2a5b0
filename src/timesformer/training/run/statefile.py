"""The file of a saved state: written, and read without trust in what it holds.

A file may be damaged, cut off, swapped for another run's, or made to harm: reading it runs no code, and every part must
have the type that this package writes.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import torch

from timesformer.config.checks import ConfigError, fits
from timesformer.training.run.epochs import EpochRow
from timesformer.training.run.state import Saved, State
from timesformer.weights.formats import pickles
from timesformer.weights.report import WeightsError

RENAMED = {"lacking": "missing"}
"""Fields of the state that older versions saved under another name."""
LATER = {"scaler"}
"""Fields of the state that older versions did not save."""
PARTS = ("last.parts.0", "last.parts.1")
"""Folders beside the file, where every process writes its own part of weights and optimiser."""
MEASURED = ("epoch", "step", "lr", "train_loss", "broken", "damaged", "best")
"""Measures that every epoch has, among others."""


def refusal(path: Path, what: str) -> ConfigError:
    """The error for a saved state that can't be resumed."""
    return ConfigError(
        f"{path} is not a whole saved state ({what:.160}); restore it from a copy, or remove it to start again."
    )


def write(path: Path, saved: Saved) -> None:
    """Write a state as a file of torch: the fields of :class:`State`, and weights and optimiser or where they lie."""
    state = vars(saved.state) | {"rows": [row.as_dict() for row in saved.state.rows]}
    parts = saved.parts.name if saved.parts else ""
    torch.save({"state": state, "weights": saved.weights, "optimizer": saved.optimizer, "parts": parts}, path)


def read(path: Path) -> Saved:
    """Read what :func:`write` wrote, and check the type of every part; raises ConfigError.

    Weights and optimiser still have to be compared with those of the training (:mod:`.resuming`).
    """
    try:
        saved = pickles.read(path)
    except (WeightsError, OSError) as error:
        raise refusal(path, f"{error!s:.120}".replace(f"{path} ", "")) from error
    names = {"state": dict, "weights": dict, "optimizer": dict, "parts": str}
    if not isinstance(saved, dict) or set(dict.keys(saved)) != set(names):
        raise refusal(path, f"it must hold {', '.join(names)}")
    saved = dict(dict.items(saved))
    for name, kind in names.items():
        if not isinstance(saved[name], kind):
            raise refusal(path, f"{name} is a {type(saved[name]).__name__}")
    if saved["parts"] not in ("", *PARTS) or (saved["parts"] and not (path.parent / saved["parts"]).is_dir()):
        raise refusal(path, f"parts is {saved['parts']!r:.60}, which is no folder of it")
    if saved["parts"] and (saved["weights"] or saved["optimizer"]):
        raise refusal(path, "it holds weights and names parts")
    saved["state"] = {RENAMED.get(name, name): value for name, value in dict.items(saved["state"])}
    if problem := _progress(saved["state"]):
        raise refusal(path, problem)
    state = State(**saved["state"] | {"rows": [EpochRow.of(row) for row in saved["state"]["rows"]]})
    return Saved(state, saved["weights"], saved["optimizer"], path.parent / saved["parts"] if saved["parts"] else None)


def _progress(values: Mapping[Any, Any]) -> str:
    """What is wrong with the fields of a state, or nothing."""
    names = [field.name for field in fields(State) if field.default is not MISSING or field.default_factory]
    absent = [name for name in names if name not in values and name not in LATER]
    strange = [str(name) for name in values if name not in names]
    if absent or strange:
        return f"its state {f'has no {absent[0]}' if absent else f'has an unknown {strange[0]:.40}'}"
    for name in ("done", "clips"):
        if not fits(values[name], int) or values[name] < 0:
            return f"{name} is {values[name]!r:.40}"
    for name in ("loss", "seconds", "waited"):
        if not fits(values[name], float) or (name != "loss" and values[name] < 0):
            return f"{name} is {values[name]!r:.40}"
    for name in ("found", "damaged"):
        if not isinstance(values[name], dict) or not all(_text(pair) for pair in values[name].items()):
            return f"{name} is no table of texts"
    if not isinstance(values["missing"], list) or not _text(values["missing"]) or not isinstance(values["data"], str):
        return "missing or data is no text"
    return _rows(values["rows"], values["done"])


def _text(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _rows(rows: Any, done: int) -> str:
    """What is wrong with the rows of the epochs before, or nothing."""
    if not isinstance(rows, list):
        return "rows is no list"
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or not _text(row):
            return f"row {number} is no table of measures"
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in row.values()):
            return f"row {number} holds what is no number"
        if not all(name in row and math.isfinite(row[name]) for name in MEASURED) or row["epoch"] != number:
            return f"row {number} isn't that of epoch {number}"
        if row["step"] != rows[0]["step"] * number:
            return f"row {number} doesn't follow the ones before"
    if rows and not rows[-1]["step"] <= done <= rows[-1]["step"] + rows[0]["step"]:
        return f"{done} steps done do not follow {len(rows)} epochs"
    return ""
