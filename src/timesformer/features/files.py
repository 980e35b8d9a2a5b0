"""Files of named columns: .npz of NumPy, and .parquet for tables of any other program."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timesformer import atomic
from timesformer.errors import TimesformerError

SUFFIXES = (".npz", ".parquet")
KEY = "timesformer"
"""Name under which the description of all columns is stored."""
Columns = Mapping[str, NDArray[Any]]


class FeaturesError(TimesformerError, ValueError):
    """Features that can't be read, written or used as asked: the message says the value, the rule and the remedy."""


def check(path: Path) -> None:
    """Raise :class:`FeaturesError` for a file of another kind, ImportError where its kind needs a package."""
    if path.suffix.lower() not in SUFFIXES:
        raise FeaturesError(f"{path} ends in {path.suffix or 'nothing'!r}; name a file of .npz or .parquet.")
    if path.suffix.lower() == ".parquet":
        _arrow()


def write(path: Path, columns: Columns, about: Mapping[str, Any]) -> None:
    """Write columns of equal length and what is said about them, whole or not at all.

    A column of vectors is (n, d). Raises :class:`FeaturesError` for a file of another kind, WriteError where the system
    refuses.
    """
    check(path)
    text = json.dumps(about, allow_nan=False)
    with atomic.replacing(path) as temporary:
        if path.suffix.lower() == ".npz":
            with temporary.open("wb") as file:
                arrays: dict[str, Any] = {**columns, KEY: np.array(text)}
                np.savez(file, **arrays)
        else:
            _write_parquet(temporary, columns, text)


def read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The columns of a file, and what it says about them; nothing in the file is run.

    Raises :class:`FeaturesError` for a file that is missing, damaged or of another kind.
    """
    check(path)
    if not path.is_file():
        raise FeaturesError(f"{path} does not exist or is not a file; check the path, or make it: timesformer embed.")
    try:
        columns, text = _read_npz(path) if path.suffix.lower() == ".npz" else _read_parquet(path)
        about = json.loads(text)
        if not isinstance(about, dict):
            raise ValueError("its description is no table")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FeaturesError(
            f"{path} is not a whole file of features ({str(error).splitlines()[0]:.120}); make it again: "
            "timesformer embed."
        ) from error
    return columns, about


def _read_npz(path: Path) -> tuple[dict[str, NDArray[Any]], str]:
    # numpy leaves a file open that it opened itself and can't read
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        columns = {name: file[name] for name in file.files if name != KEY}
        return columns, str(file[KEY])


def _write_parquet(path: Path, columns: Columns, text: str) -> None:
    arrow, parquet = _arrow()
    made = {}
    for name, values in columns.items():
        if values.ndim == 2:
            flat = arrow.array(np.ascontiguousarray(values).reshape(-1))
            made[name] = arrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
        elif values.dtype.kind == "U":  # names that aren't UTF-8 become escapes
            made[name] = arrow.array([str(each).encode("utf-8", "backslashreplace").decode() for each in values])
        else:
            made[name] = arrow.array(values)
    table = arrow.table(made).replace_schema_metadata({KEY: text})
    parquet.write_table(table, path)


def _read_parquet(path: Path) -> tuple[dict[str, NDArray[Any]], str]:
    arrow, parquet = _arrow()
    table = parquet.read_table(path)
    columns: dict[str, NDArray[Any]] = {}
    for name in table.column_names:
        values = table[name].combine_chunks()
        if arrow.types.is_fixed_size_list(values.type):
            columns[name] = np.asarray(values.flatten()).reshape(len(values), values.type.list_size)
        elif arrow.types.is_string(values.type):
            columns[name] = np.array(values.to_pylist(), dtype=np.str_)
        else:
            columns[name] = np.asarray(values)
    return columns, (table.schema.metadata or {})[KEY.encode()].decode()


def _arrow() -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet; raises ImportError with what to install."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            "a .parquet file needs pyarrow: pip install 'timesformer[parquet]', or name a file that ends in .npz."
        ) from error
    return pyarrow, pyarrow.parquet
