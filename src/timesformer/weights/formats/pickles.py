"""Pickled weights from strangers, opened so that nothing in them is ever executed.

``torch.load(weights_only=True)`` does the reading and nothing else is tried. Before it, the file's opcodes are walked
without running them: what it would call must be on a short list, and what it would unpack must be in proportion to its
size, since torch's own list still lets a small file ask for a huge buffer.
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
"""Everything that a state dict of tensors needs."""
INDIRECT = {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}
"""Opcodes that name what they call in ways that ``torch.save`` doesn't use."""
LARGEST_PICKLE = 2**24
"""Bytes of the pickled structure; a published checkpoint has a few hundred thousand."""
LARGEST_GROWTH = 4
"""Unpacked bytes per byte of file; weights don't compress by more than a tenth."""
LEGACY_PICKLES = 5
"""Pickles at the start of a file of torch before 1.6: magic, version, system, structure, storage names."""


def read(path: Path) -> Any:
    """What a pickled weights file holds, on the CPU.

    Raises :class:`WeightsError` for code or objects beside tensors, damage, and a size out of proportion.
    """
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # damaged pickles hold odd escapes, which Python deprecates
            _inspect(file, path)
            file.seek(0)
            # the open file, since torch takes a path that ends in .safetensors for something else
            return _bare(torch.load(file, map_location="cpu", weights_only=True), {})
    except WeightsError:
        raise
    except Exception as error:  # a damaged pickle can raise anything at all, and all of it means the same
        first = str(error).strip().split("\n")[0].partition("In PyTorch 2.6")[0].strip()
        raise WeightsError(
            f"{path} is not a whole PyTorch weights file ({type(error).__name__}: {first:.120}); get the file again."
        ) from error


def _bare(value: Any, seen: dict[int, Any]) -> Any:
    """The same with plain dicts and lists: a pickle can give those of other kinds attributes that hide their methods.

    What lies at several places stays one thing, or a small file could grow without end.
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
    """Raise :class:`WeightsError` if a file would call anything unusual or unpack to many times its size."""
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
    """Walk one pickle without running it; raise :class:`WeightsError` for a call that isn't on the list."""
    start = stream.tell()
    for opcode, argument, position in _opcodes(stream):
        if (position or 0) - start > LARGEST_PICKLE:
            raise WeightsError(f"{path} has an oversized pickle; it is no state dict: get the file again.")
        if opcode in INDIRECT or (opcode == "GLOBAL" and argument not in CALLABLE):
            wanted = argument if opcode == "GLOBAL" else opcode
            raise WeightsError(
                f"{path} holds Python objects beside tensors ({wanted!s:.80}), which could run code, so it stays shut. "
                "If you trust where it comes from, open it there and save its state dict alone: "
                "torch.save({'state_dict': ...}, NEW_FILE)."
            )


def _opcodes(stream: BinaryIO) -> Iterator[tuple[str, Any, int | None]]:
    """Name, argument and position of each opcode of one pickle."""
    for opcode, argument, position in pickletools.genops(stream):
        yield opcode.name, argument, position


def is_pickle(head: bytes) -> bool:
    """Whether a file that begins so may be a pickle."""
    return head[:1] == pickle.PROTO and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
