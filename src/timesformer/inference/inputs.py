"""The forms in which a video may be given: a path, the bytes of a file, an open file, or frames in memory."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timesformer.video.reader import VideoError

Video = Path | str | bytes | IO[bytes] | Tensor | NDArray[Any]
"""One video: a path, bytes, an open file, or uint8 RGB frames, (n, h, w, 3) or (n, 3, h, w)."""
Several = list[Any] | tuple[Any, ...]
"""A list of frames or of pictures, which is one video, or a list of videos."""
_RIGHT = "RGB frames of a video are (n, h, w, 3), or (n, 3, h, w)"


def is_several(video: object) -> TypeGuard[Several]:
    """Whether this is a list of videos, not one video: a list of frames is one."""
    if not isinstance(video, list | tuple):
        return False
    if not video:
        raise ValueError("the list is empty; give at least one video, or the frames of one.")
    first = video[0]
    return isinstance(first, str | Path | bytes | bytearray) or hasattr(first, "read") or np.ndim(first) == 4


def is_file(video: object) -> TypeGuard[Path | str]:
    """Whether this is the path of a file."""
    return isinstance(video, str | Path)


def is_bytes(video: object) -> TypeGuard[bytes | IO[bytes]]:
    """Whether this holds the bytes of a file."""
    return isinstance(video, bytes | bytearray | memoryview) or hasattr(video, "read")


@contextmanager
def as_file(video: bytes | IO[bytes]) -> Iterator[Path]:
    """A file with the bytes, on disk for as long as the ``with`` lasts; errors name the open file, or its bytes."""
    with tempfile.TemporaryDirectory(prefix="timesformer-") as folder:
        path = Path(folder) / "video"
        with path.open("wb") as out:
            if isinstance(video, bytes | bytearray | memoryview):
                out.write(video)
            else:
                _copy(video, out)
        name = getattr(video, "name", None)
        shown = Path(name) if isinstance(name, str) else Path("the bytes given")
        if not path.stat().st_size:
            raise VideoError(shown, "is empty, or was already read to its end: call seek(0) first")
        try:
            yield path
        except VideoError as error:
            raise VideoError(shown, error.reason) from None


def _copy(file: IO[bytes], out: IO[bytes]) -> None:
    try:
        shutil.copyfileobj(file, out, 2**20)
    except TypeError:
        raise TypeError('the file gives text where bytes are needed; open it as open(path, "rb").') from None


def as_frames(video: object) -> Tensor:
    """Frames in memory as uint8 ``(n, 3, h, w)``, from any of their forms.

    Raises ``TypeError`` for anything but a video, and ``ValueError`` for frames of an ambiguous shape, or that are not
    RGB pixels from 0 to 255.
    """
    if isinstance(video, list | tuple):
        frames = _stacked(video)
    elif isinstance(video, Tensor):
        frames = video.detach().cpu()
    elif isinstance(video, np.ndarray):
        frames = _tensor(video)
    else:
        kind = type(video).__name__
        raise TypeError(
            f"a video can't be a {kind}; give a path, bytes, a file opened as bytes, or frames: an array or tensor "
            "(n, h, w, 3) or (n, 3, h, w), or a list of frames."
        )
    return _channels_second(frames)


def _stacked(frames: Sequence[Any]) -> Tensor:
    pictures = [_picture(frame) for frame in frames]
    odd = next((place for place, each in enumerate(pictures) if each.shape != pictures[0].shape), None)
    if odd is not None:
        first, other = tuple(pictures[0].shape), tuple(pictures[odd].shape)
        raise ValueError(f"frame 0 has the shape {first}, frame {odd} {other}; the frames of a video share one.")
    if pictures[0].ndim != 3:
        raise ValueError(f"a frame has the shape {tuple(pictures[0].shape)}; RGB frames are (h, w, 3) or (3, h, w).")
    return torch.stack(pictures)


def _picture(frame: Any) -> Tensor:
    """One frame: a tensor, an array, or a picture of Pillow."""
    if isinstance(frame, Tensor):
        return frame.detach().cpu()
    if hasattr(frame, "convert"):
        frame = np.asarray(frame.convert("RGB"))
    if not isinstance(frame, np.ndarray):
        raise TypeError(f"a frame can't be a {type(frame).__name__}; give arrays, tensors or pictures (h, w, 3).")
    return _tensor(frame)


def _tensor(array: NDArray[Any]) -> Tensor:
    if array.dtype == object or not (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
        raise TypeError(f"frames are an array of {array.dtype}; they must be uint8 pixels from 0 to 255.")
    plain = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
    return torch.from_numpy(plain if plain.flags.writeable else plain.copy())


def _channels_second(frames: Tensor) -> Tensor:
    shape = tuple(frames.shape)
    if frames.ndim == 5:
        raise ValueError(f"frames have the shape {shape}; one video's are (n, 3, h, w): give several as a list.")
    if frames.ndim == 3:
        raise ValueError(f"frames have the shape {shape}, a single picture; {_RIGHT}: several pictures.")
    if frames.ndim != 4:
        raise ValueError(f"frames have the shape {shape}; {_RIGHT}.")
    if not len(frames):
        raise ValueError(f"frames have the shape {shape}: there are none.")
    last, second = shape[3] == 3, shape[1] == 3
    if last and second:
        raise ValueError(
            f"frames have the shape {shape}, which may be (n, h, w, 3) or (n, 3, h, w); frames 3 pixels high or wide "
            "are ambiguous: resize them."
        )
    if not (last or second):
        colours = {1: "grey", 4: "RGBA"}.get(min(shape[1], shape[3]), "")
        also = f" These look {colours}: convert them to RGB." if colours else ""
        raise ValueError(f"frames have the shape {shape}; {_RIGHT}.{also}")
    if frames.dtype != torch.uint8:
        raise ValueError(
            f"frames are {frames.dtype}; they must be uint8 pixels from 0 to 255: "
            "multiply by 255 where they run from 0 to 1, round, and convert."
        )
    return frames.permute(0, 3, 1, 2) if last else frames


def named(video: object) -> Path | None:
    """The path of a video that has one."""
    return Path(os.fspath(video)) if isinstance(video, str | Path) else None
