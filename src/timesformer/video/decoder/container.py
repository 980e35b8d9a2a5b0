"""Open video files and decode their packets; every kind of damage becomes a :class:`VideoError` or a note."""

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from torch.utils.data import get_worker_info

from timesformer.errors import TimesformerError
from timesformer.video.decoder import tars
from timesformer.video.decoder.demuxers import ALLOWED
from timesformer.video.decoder.orientation import shown_size

DecodeError = (av.error.FFmpegError, ValueError, OSError, MemoryError)
"""Exceptions that PyAV raises for invalid data."""
MAX_PIXELS = 2**26
"""Largest frame in pixels, 8192 x 8192, more than 8K video: a file of 200 bytes can claim a thousand times as many."""
SQUARE = Fraction(1)
_ALLOCATOR = ("can't allocate memory", "cannot allocate memory", "not enough memory", "calculation overflowed")
"""Messages of torch's CPU allocator on Linux, macOS and Windows, and for sizes that overflow."""


class VideoError(TimesformerError, ValueError):
    """A video that can't be read: ``path`` says which, ``reason`` says why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)  # both, so that it can be pickled between processes
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class DamagedVideoWarning(UserWarning):
    """Part of a video did not decode; the message names the file and the frames."""


@dataclass(frozen=True, eq=False)
class Video:
    """A video file that is open for decoding."""

    container: InputContainer
    stream: VideoStream
    aspect: Fraction | None
    """Pixel aspect ratio (width / height) stated by the container; None where it is the codec's, frame by frame."""
    others: int
    """Number of other video streams in the file."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """One step of decoding: a frame, or the reason why there is none."""

    frame: av.VideoFrame | None
    trouble: str = ""
    """Why the frame is missing or damaged; empty for an intact one."""
    aspect: Fraction = SQUARE
    """Pixel aspect ratio (width / height)."""


@contextmanager
def opened(path: Path) -> Iterator[Video]:
    """Open a video file at the stream that FFmpeg considers best, without cover pictures.

    Raises :class:`VideoError`, and turns decoder errors inside the ``with`` into it.
    """
    try:
        with _container(path) as container:
            streams = [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]
            if not streams:
                raise VideoError(path, "holds no video stream")
            stream = _main(container, streams)
            _prepare(path, stream)
            stated, own = stream.sample_aspect_ratio, stream.codec_context.sample_aspect_ratio
            yield Video(container, stream, None if stated == own else stated, len(streams) - 1)
    except VideoError:
        raise
    except (av.error.InvalidDataError, av.error.EOFError):
        raise VideoError(path, "is not a video, or is damaged beyond reading") from None
    except DecodeError as error:
        raise VideoError(path, f"can't be read ({reason(error)})") from None


@contextmanager
def _container(path: Path) -> Iterator[InputContainer]:
    """Open a file, or a file in a tar file, with FFmpeg: by its content alone, and so that it can't open another."""
    options = {"format_whitelist": ALLOWED, "protocol_whitelist": "fd", "max_pixels": str(MAX_PIXELS)}
    with _source(path) as (source, own):
        try:
            container = av.open(source, "r", options=options | own, metadata_errors="replace")
        except av.error.ArgumentError:
            reason = "is not a video: FFmpeg takes its content for text, sound, a list of files or another kind that is"
            raise VideoError(path, f"{reason} not opened here") from None
        with container:
            yield container


@contextmanager
def _source(path: Path) -> Iterator[tuple[str | tars.Part, dict[str, str]]]:
    """Return what FFmpeg opens, with options: the file, or its byte range within a tar file.

    An open file has no name that could be an address, a series of numbers, or not UTF-8, and no neighbours.
    """
    if tars.containing(path):
        with tars.stream(path) as part:
            if not isinstance(part, tars.Part):
                raise VideoError(path, "is not a file in the tar file")
            yield part, {}
    elif not path.is_file():
        raise VideoError(path, "is not a file; give a video file or a folder of images")
    elif sys.platform == "win32":  # where libraries don't share the numbers of open files
        yield f"file:{path}", {"protocol_whitelist": "file"}
    else:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            yield "fd:", {"fd": str(descriptor)}
        finally:
            os.close(descriptor)


def _main(container: InputContainer, streams: list[VideoStream]) -> VideoStream:
    """Return the stream that FFmpeg considers best, or another one if that is a single picture."""
    moving = [each for each in streams if each.frames != 1] or streams
    best = container.streams.best("video")
    if isinstance(best, VideoStream) and best in moving:
        return best
    return max(moving, key=lambda each: (bool(each.disposition & Disposition.default), each.bit_rate or 0))


def _prepare(path: Path, stream: VideoStream) -> None:
    """Set up a stream for decoding; raises :class:`VideoError` for unsupported codecs and oversized frames."""
    context = stream.codec_context
    if context is None:
        raise VideoError(path, "is in a codec that can't be decoded here; convert it to H.264")
    check_pixels(path, context.height, context.width)
    context.options = {"max_pixels": str(MAX_PIXELS)}  # also for frames that are larger than the header says
    stream.thread_type = "SLICE"  # with frame threads, errors could not be assigned to packets
    if get_worker_info() is not None:
        context.thread_count = 1  # loader workers already use all cores


def check_pixels(path: Path, height: int, width: int) -> None:
    """Raise :class:`VideoError` for frames of more than :data:`MAX_PIXELS`."""
    if height * width > MAX_PIXELS:
        limit = f"{MAX_PIXELS / 1e6:.0f} million pixels are the limit; make it smaller"
        raise VideoError(path, f"has frames of {width}x{height} pixels; {limit}")


def perhaps_too_large(stream: VideoStream) -> str:
    """Return a hint for a file of which nothing decodes: FFmpeg drops the size of frames above the limit."""
    if stream.codec_context.width:
        return ""
    return f", or has frames of more than {MAX_PIXELS / 1e6:.0f} million pixels, which are not read"


def decoded(packets: Iterable[av.Packet], video: Video) -> Iterator[Decoded]:
    """Yield every frame, with the reason where it is damaged, and a reason without a frame where decoding fails."""
    source = iter(packets)
    ended = False
    while not ended:
        try:
            packet = next(source, None)
        except IndexError:  # PyAV's end of a file in which streams appeared midway
            packet = None
        except DecodeError as error:
            yield Decoded(None, reason(error))
            packet = None
        ended = packet is None
        try:
            frames = video.stream.decode(packet)
        except av.error.EOFError:
            return
        except DecodeError as error:
            yield Decoded(None, reason(error))
            continue
        aspect = pixel_aspect(video) if frames else SQUARE
        for frame in frames:
            yield Decoded(frame, "it is marked as corrupt" if frame.is_corrupt else "", aspect)


def pixel_aspect(video: Video) -> Fraction:
    """Return the pixel aspect ratio (width / height) of the last decoded frame; 1 where none is stated."""
    aspect = video.aspect or video.stream.codec_context.sample_aspect_ratio
    return aspect if aspect is not None and aspect.numerator > 0 else SQUARE


def picture(path: Path) -> av.VideoFrame:
    """Decode an image file. Raises :class:`VideoError`."""
    hint = ""
    try:
        with _container(path) as container:
            for stream in container.streams.video[:1]:
                _prepare(path, stream)
                hint = perhaps_too_large(stream)
            frame = next(container.decode(video=0), None)
    except VideoError:
        raise
    except (*DecodeError, IndexError) as error:
        raise VideoError(path, f"is not an image that decodes ({reason(error)}){hint}") from None
    if frame is None or frame.is_corrupt:
        raise VideoError(path, f"is not an image that decodes completely{hint}")
    return frame


def picture_size(frame: av.VideoFrame) -> tuple[int, int]:
    """Return height and width of an image after rotation; its resolution in dots per inch is ignored."""
    return shown_size(frame, SQUARE)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, numpy, torch or the system means that CPU memory ran out."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _ALLOCATOR)


def reason(error: Exception) -> str:
    """Return a short description of a decoder error."""
    if is_out_of_memory(error):
        return "it takes more memory than there is"
    return str(getattr(error, "strerror", None) or error)
