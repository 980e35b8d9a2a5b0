"""Decode a whole video to count the frames that decode."""

from dataclasses import dataclass
from pathlib import Path

from timesformer.video.decoder.container import VideoError, decoded, opened, picture
from timesformer.video.decoder.index import index


@dataclass(frozen=True)
class Decodable:
    """Result of decoding a whole video."""

    path: Path
    frames: int
    """Frames that were decoded without errors."""
    expected: int
    """Frames that the file should have; 0 where it can't be read at all."""
    error: str
    """The first error; empty for an intact video."""


def count_decodable(path: Path | str) -> Decodable:
    """Decode a whole video and count its frames. Never raises: an unreadable video has 0 frames and an error."""
    path, frames, error = Path(path), 0, ""
    try:
        table = index(path)
        if table.images:
            for image in table.images:
                try:
                    picture(image)
                    frames += 1
                except VideoError as broken:
                    error = error or str(broken)
        else:
            with opened(path) as video:
                for step in decoded(video.container.demux(video.stream), video):
                    frames += step.frame is not None and not step.trouble
                    error = error or (step.trouble and f"after {frames} frames: {step.trouble}")
    except VideoError as broken:
        return Decodable(path, frames=0, expected=0, error=broken.reason)
    if not error and frames != table.frames:
        error = f"{frames} frames decode of {table.frames}"
    return Decodable(path, frames=frames, expected=table.frames, error=error)
