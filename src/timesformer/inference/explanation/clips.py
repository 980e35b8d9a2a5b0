"""The clips that cover a video, read one after the other in bounded memory, as often as they are needed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from timesformer.config.model import ClipConfig
from timesformer.pictures.heat.overlay import Area
from timesformer.video import memory, reader, transforms
from timesformer.video.reader import VideoInfo
from timesformer.video.views import PORTION, planned, portions


@dataclass(frozen=True, eq=False)
class Clips:
    """Which clips and crops a model sees of a video."""

    info: VideoInfo
    clip: ClipConfig
    crops: int
    numbers: Tensor
    """Frame numbers, (clips, t)."""
    areas: tuple[Area, ...]
    """Where each crop lies; a single one where all crops are the same, as in square videos."""
    most: int = PORTION
    """Bytes of a portion; the clips of a video that needs several are not kept."""
    _notes: dict[str, None] = field(default_factory=dict, init=False)
    _held: list[Tensor] = field(default_factory=list, init=False)

    @classmethod
    def of(cls, path: Path | str, clip: ClipConfig, *, crops: int) -> "Clips":
        """Plan the clips of a video; raises :class:`timesformer.video.reader.VideoError`."""
        with memory.error_for(path):
            info = reader.info(path)
            numbers = planned(info, clip, placement="whole")
        areas = transforms.areas((info.height, info.width), clip, crops=crops)
        return cls(info, clip, crops, numbers, tuple(areas if len(set(areas)) > 1 else areas[:1]))

    def read(self) -> Iterator[Tensor]:
        """The views of each clip, float (crops, t, c, h, w).

        A video that is read in one portion is kept, so that it is decoded once however often it is asked for.
        """
        if self._held:
            yield from self._held
            return
        whole = True
        for portion in portions(self.info.path, self.numbers, self.clip, crops=self.crops, most=self.most):
            self._notes.update(dict.fromkeys(portion.notes))
            whole = whole and not portion.left
            clips = [views[: len(self.areas)] for views in portion.views.unflatten(0, (-1, self.crops))]
            if whole:
                self._held.extend(clips)
            yield from clips

    def notes(self) -> tuple[str, ...]:
        """What was chosen of the file, and what of it does not decode."""
        return tuple(dict.fromkeys((*self.info.notes, *self._notes)))
