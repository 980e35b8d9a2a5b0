"""Frames of a film that shows heat over a video: the frame in grey with colours, and words and a scale below it."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from timesformer.pictures import palette
from timesformer.pictures.heat import colours, text
from timesformer.pictures.heat.overlay import Heat
from timesformer.pictures.strips import Pixels
from timesformer.video.clock import clock

NARROWEST = 320
"""Width in pixels below which frames are enlarged, so that the words below them can be read."""
GROUND, INK, SOFT, MARK = palette.CARD.dark, palette.INK.dark, palette.SOFT.dark, palette.SERIES[1].dark


@dataclass(frozen=True, eq=False)
class Film:
    """What is drawn beside the frames of one video, and how large they are."""

    heat: Heat
    label: str
    """The class that is explained."""
    says: str
    """One sentence that says what the colours mean."""
    scores: tuple[str, ...]
    """The score of each clip as text."""
    starts: tuple[float, ...]
    """When each clip starts, in seconds, increasing."""
    duration: float
    """Length of the video in seconds."""
    scale: float = 1.0
    """Size of the frames in the film; enlarged where they are narrower than :data:`NARROWEST`."""

    @cached_property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of the frames in the film; both are even where they are not enlarged by a whole number."""
        tall, wide = (max(round(side * self.scale), 1) for side in self.heat.size)
        factor = math.ceil(NARROWEST / wide) if wide < NARROWEST else 1
        return tall * factor, wide * factor

    def frame(self, pixels: Pixels, time: float) -> Pixels:
        """The film's frame for a frame (h, w, 3) of the video, shown at a time in seconds."""
        tall, wide = self.frame_size
        canvas = self.heat.canvas(time)
        painted = self.heat.paint(resized(pixels, (tall, wide)), canvas)
        return np.concatenate([painted, self._footer(time)])

    @cached_property
    def _font(self) -> int:
        return round(12 * math.sqrt(self.frame_size[1] / NARROWEST))

    @cached_property
    def _line(self) -> int:
        return round(self._font * 1.4)

    def _footer(self, time: float) -> Pixels:
        """Class, score and time; relevance over time; and the scale."""
        footer = self._still.copy()
        pad = self._font // 2
        clip = max(int(np.searchsorted(self.starts, time + 1e-6, side="right")) - 1, 0)
        now = text.digits(clock(time), self._font, ink=INK, ground=GROUND)
        score = text.line(self.scores[clip], self._font, ink=INK, ground=GROUND)
        right = footer.shape[1] - pad - now.shape[1]
        text.put(footer, now, pad, right)
        text.put(footer, score, pad, right - 2 * pad - score.shape[1])
        head = pad + round((footer.shape[1] - 2 * pad - 1) * min(time / max(self.duration, 1e-9), 1.0))
        top = pad + self._line
        footer[top : top + self._line, max(head - 1, 0) : head + 1] = 255
        return footer

    @cached_property
    def _still(self) -> Pixels:
        """What is the same in every frame."""
        wide, pad = self.frame_size[1], self._font // 2
        tall = 2 * pad + 4 * self._line + pad
        footer = np.empty((tall + (self.frame_size[0] + tall) % 2, wide, 3), np.uint8)
        footer[:] = rgb(GROUND)
        room = wide - 2 * pad
        score = max(text.line(each, self._font, ink=INK, ground=GROUND).shape[1] for each in self.scores)
        longest = text.digits(clock(self.duration), self._font, ink=INK, ground=GROUND).shape[1]
        label = text.fitted(self.label, self._font, room - score - longest - 4 * pad, ink=INK, ground=GROUND)
        text.put(footer, label, pad, pad)
        self._course(footer[pad + self._line : pad + 2 * self._line, pad : wide - pad])
        top = pad + 2 * self._line + pad // 2
        ends = [
            text.line(each, self._font, ink=SOFT, ground=GROUND) for each in ("1×", f"{self.heat.top:g}× even share")
        ]
        text.put(footer, ends[0], top, pad)
        text.put(footer, ends[1], top, wide - pad - ends[1].shape[1])
        left, right = 2 * pad + ends[0].shape[1], wide - 2 * pad - ends[1].shape[1]
        if right - left > 2 * pad:
            text.put(footer, colours.bar(self._font, right - left), top + (self._line - self._font) // 2, left)
        text.put(footer, text.fitted(self.says, self._font, room, ink=SOFT, ground=GROUND), top + self._line, pad)
        return footer

    def _course(self, room: Pixels) -> None:
        """Draw the relevance of each frame that the model saw as a bar at its time."""
        tall, wide = room.shape[:2]
        room[-1] = rgb(SOFT)
        shares = self.heat.maps.mean(axis=(1, 2, 3))
        most = max(float(shares.max()), 1e-9)
        for time, share in zip(self.heat.times, shares, strict=True):
            at = round((wide - 1) * min(time / max(self.duration, 1e-9), 1.0))
            high = max(round((tall - 3) * float(share) / most), 1)
            room[tall - high : tall, max(at - 1, 0) : at + 2] = rgb(MARK)


def resized(frame: Pixels, size: tuple[int, int]) -> Pixels:
    """A frame (h, w, 3) of another size: pixels repeated for a whole multiple, smooth otherwise."""
    tall, wide = frame.shape[:2]
    if size == (tall, wide):
        return frame
    if size[0] % tall == 0 and size[1] % wide == 0:
        return frame.repeat(size[0] // tall, axis=0).repeat(size[1] // wide, axis=1)
    import torch
    import torch.nn.functional as F

    planes = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float()
    smooth = F.interpolate(planes, size, mode="bilinear", antialias=True)[0].round().clamp(0, 255)
    return np.ascontiguousarray(smooth.to(torch.uint8).permute(1, 2, 0).numpy())


def rgb(colour: str) -> NDArray[np.uint8]:
    """``#rrggbb`` as three bytes."""
    return np.frombuffer(bytes.fromhex(colour.removeprefix("#")), np.uint8)
