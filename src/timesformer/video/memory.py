"""Running out of memory is reported as an error of the video that needed it; and the limit for one clip."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from timesformer.video.reader import VideoError, is_out_of_memory

ITEM = 2**32
"""Largest size of the frames of one training clip in bytes; a file of a few kilobytes can claim frames of any size."""


@contextmanager
def error_for(path: Path | str) -> Iterator[None]:
    """Turn running out of memory within the ``with`` into a :class:`VideoError` of the video."""
    try:
        yield
    except (MemoryError, OSError, RuntimeError) as error:
        if isinstance(error, VideoError) or not is_out_of_memory(error):
            raise
        reason = "takes more memory than there is; shrink it, or decode in fewer processes"
        raise VideoError(Path(path), reason) from None


def check_frames(path: Path | str, frames: int, size: tuple[int, int]) -> None:
    """Raise :class:`VideoError` where RGB frames of a height and width would take more than :data:`ITEM` bytes."""
    needed = frames * 3 * size[0] * size[1]
    if needed > ITEM:
        raise VideoError(
            Path(path),
            f"needs {needed / 2**30:.1f} GiB for {frames} frames of {size[1]}x{size[0]} pixels, more than the "
            f"{ITEM / 2**30:.0f} GiB that one clip may take; shrink the video",
        )
