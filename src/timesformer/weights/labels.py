"""Read class names from a file, for weights without them."""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path

from timesformer.weights.report import WeightsError


def read(path: str | Path) -> tuple[str, ...]:
    """Class names in the order of the model's outputs.

    The file has one name per line, or "number,name" lines, or is JSON: a list of names, {"0": name} or {name: "0"} (as
    Something-Something-V2's). Raises :class:`WeightsError` if it can't be read, is empty, or has other numbers than
    0, 1, 2, ..., each once.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(
            f"{path} can't be read as a list of labels ({error!s:.80}); give a text or JSON file."
        ) from error
    names = _of_json(text, path) if text.lstrip()[:1] in ("[", "{") else _of_lines(text, path)
    if not names:
        raise WeightsError(f"{path} holds no labels; give one for each output, in order.")
    return names


def _of_lines(text: str, path: str | Path) -> tuple[str, ...]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    header = bool(lines) and not lines[0][0].isdecimal()
    if len(lines) > header and all(re.match(r"\d+\s*,\s*\S", line) for line in lines[header:]):
        rows = list(csv.reader(lines[header:], skipinitialspace=True))
        return _in_order([(row[0].strip(), ", ".join(row[1:])) for row in rows], path)
    return tuple(lines)


def _of_json(text: str, path: str | Path) -> tuple[str, ...]:
    try:
        parsed = json.loads(text, object_pairs_hook=tuple)  # pairs, since a dict would drop repeated keys
    except (ValueError, RecursionError) as error:
        raise WeightsError(
            f"{path} is not valid JSON ({error!s:.80}); correct it, or write one name a line."
        ) from error
    if isinstance(parsed, list):
        return _names(parsed, path)
    if not all(key.isdecimal() for key, _ in parsed):
        parsed = [(number, name) for name, number in parsed]
    return _in_order(parsed, path)


def _in_order(pairs: Sequence[tuple[object, object]], path: str | Path) -> tuple[str, ...]:
    """Return names in the order of their numbers, which must be 0, 1, 2, ..., each once."""
    named: dict[str, object] = {}
    for number, name in pairs:
        if str(number) in named:
            raise WeightsError(f"{path} gives number {number!s:.20} to two labels; give each its own, from 0.")
        named[str(number)] = name
    absent = [number for number in range(len(named)) if str(number) not in named]
    if absent:
        raise WeightsError(f"{path} has no label {absent[0]}; number the labels from 0 without gaps.")
    return _names([named[str(number)] for number in range(len(named))], path)


def _names(values: list[object], path: str | Path) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise WeightsError(f"{path} holds labels that are not text; every label must be a string.")
    return tuple(map(str, values))
