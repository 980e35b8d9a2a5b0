"""Open files of weights, recognised by their content: raw tensors under their own names, with their metadata."""

import io
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from timesformer.weights import metadata
from timesformer.weights.checkpoint import KEY, read_tensors
from timesformer.weights.formats import contents, pickles
from timesformer.weights.formats.contents import Held
from timesformer.weights.report import WeightsError

Container = Literal["safetensors", "pickle", "arrays"]
FOLDER_WEIGHTS = (
    "model.safetensors",
    "pytorch_model.bin",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)
CONFIGS = ("open_clip_config.json", "config.json")
NESTED_PROCESSORS = ("video_processor", "image_processor")
"""Entries of processor_config.json, where transformers keeps preprocessor settings since release 5."""
PROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class Raw:
    """The tensors of a file or folder, and the metadata stored with them."""

    path: Path
    container: Container
    tensors: Mapping[str, Tensor]
    dropped: tuple[str, ...] = ()
    """Entries of the state dict that aren't tensors."""
    held: Held | None = None
    """The chosen model of the file; None for formats with a single model."""
    description: str = ""
    """JSON description of our own checkpoint."""
    beside: Mapping[Any, Any] = field(default_factory=dict)
    """The pickle's other entries."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The folder's config.json."""
    processor: Mapping[str, Any] = field(default_factory=dict)
    """The folder's preprocessor settings."""


def open_weights(path: Path, key: str = "") -> Raw:
    """Open a file of any known container, or a folder with config.json and weights.

    ``key`` selects one of several models. Raises :class:`WeightsError` if the path is missing, damaged, unpacks to a
    disproportionate size, or has no weights.
    """
    raw = _open_folder(path, key) if path.is_dir() else _open_file(path, key)
    beside = any((path.parent / name).is_file() for name in CONFIGS)
    if raw.container != "arrays" and not raw.description and path.name in FOLDER_WEIGHTS and beside:
        raw = _with_texts(raw, path.parent)
    if raw.description or raw.container == "arrays":
        if key:
            raise WeightsError(f"{path} holds one model without a name: leave key {key!r:.80} (--key) out.")
        return raw
    return raw if raw.held else replace(raw, held=contents.choose(dict(raw.tensors), str(raw.path), key))


def _open_file(path: Path, key: str = "", *, part: bool = False) -> Raw:
    """Open a file; ``part`` if it is one of several shards of a model."""
    if not path.is_file():
        raise WeightsError(f"{path} does not exist; check the path, or use a name that `timesformer zoo` lists.")
    with path.open("rb") as file:
        head = file.read(256)
    if head[:4] == b"PK\x03\x04":
        return _open_arrays(path) if _holds_arrays(path) else _open_pickle(path, key, part=part)
    # The length of a safetensors header can begin as a pickle does, but fits into four bytes
    if pickles.is_pickle(head) and not (head[8:9] == b"{" and head[4:8] == bytes(4)):
        return _open_pickle(path, key, part=part)
    if head[8:9] == b"{":
        tensors, notes = read_tensors(path)
        return Raw(path, "safetensors", tensors, description=notes.get(KEY, ""))
    text = head.lstrip().lower()
    if text.startswith(b"version https://git-lfs"):
        hint = "it is a git-lfs pointer: run `git lfs pull` where it comes from"
    elif text.startswith((b"<!doctype", b"<html")):
        hint = "it is a web page: download the file that the page links to"
    else:
        hint = "it is neither safetensors, a PyTorch file nor .npz: get the file again"
    raise WeightsError(f"{path} begins with {head[:16]!r}; {hint}.")


def _holds_arrays(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise WeightsError(f"{path} is a damaged zip archive ({error!s:.80}); get the file again.") from error


def _open_pickle(path: Path, key: str, *, part: bool) -> Raw:
    content = pickles.read(path)
    if not isinstance(content, dict):
        raise WeightsError(
            f"{path} holds a {type(content).__name__} without model_state, state_dict or model in it; "
            "give a file with a state dict."
        )
    held = None if part else contents.choose(content, str(path), key)
    tensors, dropped = contents.tensors_of(contents.inside(content, held.keys if held else ()))
    check_size(tensors, path.stat().st_size, path)
    beside = contents.beside(content, held.keys) if held else {}
    return Raw(path, "pickle", tensors, dropped=dropped, held=held, beside=beside)


def check_size(tensors: Mapping[str, Tensor], size: int, path: Path) -> None:
    """Raise :class:`WeightsError` if tensors claim many times the file's bytes, by strides of zero."""
    claimed = sum(value.numel() * value.element_size() for value in tensors.values())
    if claimed > pickles.LARGEST_GROWTH * size + 4096:
        raise WeightsError(
            f"{path} claims {claimed} bytes of tensors in a file of {size}; it is damaged or malicious: "
            "get the file again."
        )


def _open_arrays(path: Path) -> Raw:
    """Return the arrays of a .npz file as tensors; raises :class:`WeightsError` for objects other than numbers."""
    tensors: dict[str, Tensor] = {}
    dropped: list[str] = []
    try:
        with zipfile.ZipFile(path) as archive:
            pickles.check_growth(archive, path)
            for entry in archive.infolist():
                _check_array(archive, entry, path)
        with warnings.catch_warnings(), np.load(path, allow_pickle=False) as arrays:
            warnings.simplefilter("ignore")
            for name in arrays.files:
                if arrays[name].dtype.kind == "f":
                    tensors[name] = torch.from_numpy(np.array(arrays[name], dtype=np.float32))
                else:
                    dropped.append(f"{name:.80}")
    except WeightsError:
        raise
    except Exception as error:  # a damaged archive can raise any exception
        raise WeightsError(f"{path} is not a whole .npz file ({error!s:.120}); get the file again.") from error
    return Raw(path, "arrays", tensors, dropped=tuple(dropped))


def _check_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    """Raise :class:`WeightsError` if an array claims another size than its entry, before it is allocated."""
    with archive.open(entry) as file:
        head = io.BytesIO(file.read(4096))
    version = np.lib.format.read_magic(head)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read_header(head)
    claimed = int(np.prod([int(side) for side in shape], dtype=object)) * kind.itemsize
    if kind.hasobject or claimed != entry.file_size - head.tell():
        raise WeightsError(f"{path}: {entry.filename:.80} claims {claimed} bytes that it doesn't hold; get it again.")


def _open_folder(path: Path, key: str) -> Raw:
    """Open a folder of transformers or timm: config.json, and weights in one file or in shards."""
    if (path / "adapter_config.json").is_file():
        base = _json(path / "adapter_config.json").get("base_model_name_or_path")
        raise WeightsError(contents.adapter(str(path), base if isinstance(base, str) else ""))
    for name in FOLDER_WEIGHTS:
        if (path / name).is_file():
            return _with_texts(_open_file(path / name, key), path)
        if (path / f"{name}.index.json").is_file():
            return _with_texts(_open_shards(path, f"{name}.index.json"), path)
    raise WeightsError(
        f"{path} is a folder without {' or '.join(FOLDER_WEIGHTS)} (or their index of shards); "
        "name the weights file itself, or a folder that transformers saved."
    )


def _open_shards(folder: Path, index: str) -> Raw:
    """Open all shards of an index, taking each tensor from its listed shard.

    Raises :class:`WeightsError` if a shard or a listed tensor is missing.
    """
    listed = _json(folder / index).get("weight_map")
    if not isinstance(listed, dict) or not listed or not all(isinstance(shard, str) for shard in listed.values()):
        raise WeightsError(f"{folder / index} has no weight_map; get the folder again.")
    tensors: dict[str, Tensor] = {}
    dropped: list[str] = []
    container: Container = "safetensors"
    for shard in sorted(set(listed.values())):
        if Path(shard).name != shard:
            raise WeightsError(f"{folder / index} lists {shard!r:.80}; shards must lie in the folder itself.")
        raw = _open_file(folder / shard, part=True)
        container = raw.container
        dropped += raw.dropped
        for name, value in raw.tensors.items():
            if name not in tensors and listed.get(name, shard) == shard:
                tensors[name] = value
            else:
                dropped.append(f"{name:.80} in {shard:.80}")
    absent = [name for name in listed if name not in tensors]
    if absent:
        raise WeightsError(
            f"{folder} misses {len(absent)} listed tensors, such as {absent[0]:.80}; get the shards again."
        )
    return Raw(folder, container, tensors, dropped=tuple(dropped))


def _with_texts(raw: Raw, folder: Path) -> Raw:
    """Add the folder's config.json and preprocessor settings."""
    configs = CONFIGS if raw.path.name.startswith("open_clip") else CONFIGS[1:]
    config = next((_json(folder / name) for name in configs if (folder / name).is_file()), {})
    nested = _json(folder / "processor_config.json") if (folder / "processor_config.json").is_file() else {}
    candidates = [nested[name] for name in NESTED_PROCESSORS if isinstance(nested.get(name), dict)]
    candidates += [_json(folder / name) for name in PROCESSORS if (folder / name).is_file()]
    return replace(raw, path=folder, config=config, processor=candidates[0] if candidates else {})


def _json(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path} can't be read as text ({error!s:.80}); get the file again.") from error
    return metadata.parse(text, str(path))
