"""Read untrusted pickled weights without executing anything in them.

The file is read by ``torch.load(weights_only=True)`` only. Before that, its opcodes are scanned without running them:
all callables must be on a short list, and the unpacked size must be in proportion to the file, since torch's own list
still lets a small file allocate a huge buffer.
"""

import io
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch

from timesformer.weights.report import WeightsError

CALLABLE = {
    "collections OrderedDict",
    "_codecs encode",
    "torch Size",
    "torch device",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch.storage UntypedStorage",
    *(
        f"torch {kind}Storage"
        for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
    ),
}
"""All callables that a state dict needs."""
INDIRECT = {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}
"""Opcodes for calls that ``torch.save`` never writes."""
LARGEST_PICKLE = 2**24
"""Largest pickled structure in bytes; a published checkpoint has a few hundred thousand."""
LARGEST_GROWTH = 4
"""Largest ratio of unpacked bytes to file size; weights hardly compress."""
LEGACY_PICKLES = 5
"""Number of pickles at the start of a file of torch before 1.6: magic, version, system, structure, storages."""


def read(path: Path) -> Any:
    """Return the content of a pickled weights file, on the CPU.

    Raises :class:`WeightsError` for code, for objects other than tensors, for damage, and for a disproportionate size.
    """
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # damaged pickles hold odd escapes, which Python deprecates
            _inspect(file, path)
            file.seek(0)
            # as an open file, since torch treats a path that ends in .safetensors differently
            return _bare(torch.load(file, map_location="cpu", weights_only=True), {})
    except WeightsError:
        raise
    except Exception as error:  # a damaged pickle can raise any exception
        first = str(error).strip().split("\n")[0].partition("In PyTorch 2.6")[0].strip()
        raise WeightsError(
            f"{path} is not a whole PyTorch weights file ({type(error).__name__}: {first:.120}); get the file again."
        ) from error


def _bare(value: Any, seen: dict[int, Any]) -> Any:
    """Copy into plain dicts and lists: a pickle can give subclasses attributes that hide their methods.

    Shared objects stay shared; otherwise a small file could expand without limit.
    """
    if not isinstance(value, dict | list | tuple) or isinstance(value, torch.Size):
        return value
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, dict):
        made: Any = {}
        seen[id(value)] = made
        made.update((key, _bare(item, seen)) for key, item in dict.items(value))
    elif isinstance(value, list):
        made = []
        seen[id(value)] = made
        made.extend(_bare(item, seen) for item in list.__iter__(value))
    else:
        made = tuple(_bare(item, seen) for item in tuple.__iter__(value))
        seen[id(value)] = made
    return made


def _inspect(file: BinaryIO, path: Path) -> None:
    """Raise :class:`WeightsError` if a file would call anything not allowed or unpack to many times its size."""
    if file.read(2) != b"PK":
        file.seek(0)
        for _ in range(LEGACY_PICKLES):
            _allow(file, path)
        return
    with zipfile.ZipFile(file) as archive:
        check_growth(archive, path)
        structures = [name for name in archive.namelist() if name.endswith(".pkl")]
        if [name.rsplit("/", 1)[-1] for name in structures] != ["data.pkl"]:
            raise WeightsError(
                f"{path} holds {', '.join(structures)[:120] or 'no pickle'}; a state dict has one data.pkl. "
                "TorchScript programs are not weights: save model.state_dict() instead."
            )
        if archive.getinfo(structures[0]).file_size > LARGEST_PICKLE:
            raise WeightsError(f"{path} has an oversized data.pkl; it is no state dict: get the file again.")
        _allow(io.BytesIO(archive.read(structures[0])), path)


def check_growth(archive: zipfile.ZipFile, path: Path) -> None:
    """Raise :class:`WeightsError` for an archive that would unpack to many times its size."""
    size = path.stat().st_size
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > LARGEST_GROWTH * size + 4096:
        raise WeightsError(
            f"{path} would unpack to {unpacked} bytes from {size}; weights don't compress like that: don't open it."
        )


def _allow(stream: BinaryIO, path: Path) -> None:
    """Scan one pickle without running it; raises :class:`WeightsError` for a call that isn't allowed."""
    start = stream.tell()
    for opcode, argument, position in _opcodes(stream):
        if (position or 0) - start > LARGEST_PICKLE:
            raise WeightsError(f"{path} has an oversized pickle; it is no state dict: get the file again.")
        if opcode in INDIRECT or (opcode == "GLOBAL" and argument not in CALLABLE):
            wanted = argument if opcode == "GLOBAL" else opcode
            raise WeightsError(
                f"{path} holds Python objects other than tensors ({wanted!s:.80}), which could run code, so it is not "
                "opened. If you trust its source, load it there and save only its state dict: "
                "torch.save({'state_dict': ...}, NEW_FILE)."
            )


def _opcodes(stream: BinaryIO) -> Iterator[tuple[str, Any, int | None]]:
    """Yield name, argument and position of each opcode of one pickle."""
    for opcode, argument, position in pickletools.genops(stream):
        yield opcode.name, argument, position


def is_pickle(head: bytes) -> bool:
    """Whether a file with these first bytes may be a pickle."""
    return head[:1] == pickle.PROTO and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
