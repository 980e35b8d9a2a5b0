"""Class names from a file, for weights that don't carry them."""

import json
from pathlib import Path

from timesformer.weights.report import WeightsError


def read(path: str | Path) -> tuple[str, ...]:
    """Class names in the order of the model's outputs.

    The file holds one name a line, or JSON: a list of names, {"0": name} or {name: "0"} (as Something-Something-V2's).
    Raises :class:`WeightsError` if it can't be read or numbers are missing.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(
            f"{path} can't be read as a list of labels ({error!s:.80}); give a text or JSON file."
        ) from error
    if text.lstrip()[:1] not in ("[", "{"):
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(
            f"{path} is not valid JSON ({error!s:.80}); correct it, or write one name a line."
        ) from error
    if isinstance(parsed, list):
        return _names(parsed, path)
    if parsed and all(str(value).isdecimal() for value in parsed.values()):
        parsed = {str(number): name for name, number in parsed.items()}
    absent = [number for number in range(len(parsed)) if str(number) not in parsed]
    if absent:
        raise WeightsError(f"{path} has no label {absent[0]}; number the labels from 0 without gaps.")
    return _names([parsed[str(number)] for number in range(len(parsed))], path)


def _names(values: list[object], path: str | Path) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise WeightsError(f"{path} holds labels that are not text; every label must be a string.")
    return tuple(map(str, values))
