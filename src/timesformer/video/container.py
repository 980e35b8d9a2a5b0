"""Opening video files and decoding their packets, with every way in which they can be broken named."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from torch.utils.data import get_worker_info

from timesformer.video import tars

DecodeError = (av.error.FFmpegError, ValueError, OSError)
"""What PyAV raises for bytes that it can't make sense of."""


class VideoError(ValueError):
    """A video that can't be read: ``path`` says which, ``reason`` says why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)  # both, so that it survives the way out of a loader process
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class DamagedVideoWarning(UserWarning):
    """Part of a video did not decode; the message names the file and the frames."""


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video file at its first video stream that is not a cover picture.

    Raises :class:`VideoError`, also in place of every decoder error inside the ``with``.
    """
    options = {"protocol_whitelist": "file"}  # keeps playlists off the network
    try:
        with _source(path) as source, av.open(source, "r", options=options, metadata_errors="replace") as container:
            streams = [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]
            if not streams:
                raise VideoError(path, "holds no video stream")
            stream = streams[0]
            if stream.codec_context is None:
                raise VideoError(path, "is in a codec that can't be decoded here; convert it to H.264")
            stream.thread_type = "SLICE"  # frame threads delay frames and blur which packet an error belongs to
            if get_worker_info() is not None:
                stream.codec_context.thread_count = 1  # loader workers fill the cores already
            yield container, stream
    except VideoError:
        raise
    except av.error.InvalidDataError:
        raise VideoError(path, "is not a video, or is damaged beyond reading") from None
    except DecodeError as error:
        raise VideoError(path, f"can't be read ({reason(error)})") from None


@contextmanager
def _source(path: Path) -> Iterator[str | tars.Part | IO[bytes]]:
    """What FFmpeg is to open: the file itself, or a stretch of the tar file that the path leads into."""
    if path.is_file():
        yield f"file:{path}"  # "file:" keeps a name such as a:b.mp4 from being an address
    elif tars.containing(path):
        with tars.stream(path) as part:
            yield part
    else:
        raise VideoError(path, "is not a file; give a video file or a folder of images")


def decoded(packets: Iterable[av.Packet], stream: VideoStream) -> Iterator[tuple[av.VideoFrame | None, str]]:
    """Yield every frame with "", or with the reason why it is not sound; None with a reason where no frame came out."""
    source = iter(packets)
    ended = False
    while not ended:
        try:
            packet = next(source, None)
        except IndexError:  # how PyAV ends a file in which streams appeared on the way
            packet = None
        except DecodeError as error:
            yield None, reason(error)
            packet = None
        ended = packet is None
        try:
            frames = stream.decode(packet)
        except av.error.EOFError:
            return
        except DecodeError as error:
            yield None, reason(error)
            continue
        for frame in frames:
            yield frame, "it is marked as corrupt" if frame.is_corrupt else ""


def picture(path: Path) -> av.VideoFrame:
    """Decode an image file. Raises :class:`VideoError`."""
    try:
        # an open file instead of a name: FFmpeg would take a percent sign in a name for a numbered series
        with path.open("rb") as file, av.open(file, "r", metadata_errors="replace") as container:
            frame = next(container.decode(video=0), None)
    except (*DecodeError, IndexError) as error:
        raise VideoError(path, f"is not an image that decodes ({reason(error)})") from None
    if frame is None or frame.is_corrupt:
        raise VideoError(path, "is not an image that decodes completely")
    return frame


def quarter_turns(frame: av.VideoFrame) -> int:
    """Counter-clockwise quarter turns that bring a decoded frame upright; the decoder leaves them to the reader."""
    return round(frame.rotation / 90) % 4


def shown_size(frame: av.VideoFrame) -> tuple[int, int]:
    """Height and width of a decoded frame once it is upright."""
    return (frame.height, frame.width) if quarter_turns(frame) % 2 == 0 else (frame.width, frame.height)


def reason(error: Exception) -> str:
    """Say in a few words what a decoder error means."""
    return str(getattr(error, "strerror", None) or error)
