"""Heat over frames: maps of patches where the model's crops lie, interpolated between the frames that it saw."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from timesformer.pictures.heat import colours
from timesformer.pictures.strips import Pixels

Floats = NDArray[np.float32]
Area = tuple[float, float, float, float]
"""Top, left, height and width of a crop, in pixels of the frame."""

FINE = 4
"""Points of the canvas, on which crops are joined, to the side of a patch."""
MOST = 512
"""Longest side of the canvas in points."""
DIM = 0.4
"""Brightness of what the model did not see."""
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in grey."""


@dataclass(frozen=True, eq=False)
class Heat:
    """Maps of some frames of a video."""

    times: NDArray[np.float64]
    """When each of these frames is shown, in seconds, increasing: (n,)."""
    maps: Floats
    """Multiples of the even share, (n, crops, rows, columns)."""
    areas: tuple[Area, ...]
    """Where each crop lies in the frame."""
    size: tuple[int, int]
    """Height and width of the frame."""

    @cached_property
    def top(self) -> float:
        """The value of the fullest colour."""
        return colours.top(self.maps)

    def canvas(self, time: float) -> Floats:
        """The map of the whole frame at a time, interpolated between the frames around it: a coarse (h', w').

        Before the first of them and after the last one, their own maps.
        """
        after = int(np.searchsorted(self.times, time))
        if after in (0, len(self.times)):
            return self._joined(min(after, len(self.times) - 1))
        before, next_ = self.times[after - 1], self.times[after]
        share = float((time - before) / (next_ - before))
        mixed: Floats = (1 - share) * self._joined(after - 1) + share * self._joined(after)
        return mixed.astype(np.float32)

    def paint(self, frame: Pixels, canvas: Floats) -> Pixels:
        """The frame (h, w, 3) in grey under the colours of a canvas; what no crop holds is dimmed.

        The frame may be an enlarged or reduced one.
        """
        tall, wide = frame.shape[:2]
        plane = F.interpolate(torch.from_numpy(canvas)[None, None], (tall, wide), mode="bilinear")[0, 0].numpy()
        seen = self._seen((tall, wide))
        grey = frame.astype(np.float32) @ LUMA * np.where(seen, np.float32(1), np.float32(DIM))
        return colours.blend(grey, np.where(seen, colours.levels(plane, self.top), np.uint8(0)))

    @cached_property
    def _shape(self) -> tuple[int, int]:
        """Height and width of the canvas."""
        _, _, rows, columns = self.maps.shape
        _, _, tall, wide = self.areas[0]
        points = [FINE * rows * self.size[0] / tall, FINE * columns * self.size[1] / wide]
        fewer = min(MOST / max(points), 1.0)
        down, across = (min(max(round(count * fewer), 1), side) for count, side in zip(points, self.size, strict=True))
        return down, across

    @cached_property
    def _kept(self) -> dict[int, Floats]:
        """The canvases of the last frames that were asked for."""
        return {}

    def _joined(self, number: int) -> Floats:
        """The canvas of one of the frames with maps."""
        if number not in self._kept:
            for old in list(self._kept)[:-1]:
                del self._kept[old]
            self._kept[number] = self._join(number)
        return self._kept[number]

    def _join(self, number: int) -> Floats:
        """Crops side by side; where they overlap, one fades into the other."""
        total = np.zeros(self._shape, np.float32)
        weight = np.zeros(self._shape, np.float32)
        for crop, area in enumerate(self.areas):
            (top, bottom), (left, right) = self._bounds(area, self._shape)
            plane = torch.from_numpy(self.maps[number, crop])[None, None]
            piece = F.interpolate(plane, (bottom - top, right - left), mode="bicubic").clamp_(min=0)[0, 0].numpy()
            share = np.minimum(_tent(bottom - top)[:, None], _tent(right - left)[None])
            total[top:bottom, left:right] += piece * share
            weight[top:bottom, left:right] += share
        joined: Floats = np.divide(total, weight, out=total, where=weight > 0)
        return joined

    def _seen(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Which pixels of a frame of a shape lie in a crop."""
        if shape not in self._masks:
            self._masks[shape] = self._mask(shape)
        return self._masks[shape]

    @cached_property
    def _masks(self) -> dict[tuple[int, int], NDArray[np.bool_]]:
        return {}

    def _mask(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        seen = np.zeros(shape, dtype=bool)
        for area in self.areas:
            (top, bottom), (left, right) = self._bounds(area, shape)
            seen[top:bottom, left:right] = True
        return seen

    def _bounds(self, area: Area, shape: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """First and last row, and column, of an area in a picture of the frame of another shape."""
        found = []
        for start, length, side, new in zip(area[:2], area[2:], self.size, shape, strict=True):
            first = min(round(start * new / side), new - 1)
            found.append((first, min(max(round((start + length) * new / side), first + 1), new)))
        return found[0], found[1]


def strip(frames: Pixels, maps: Floats, area: Area | None = None) -> list[Pixels]:
    """A few frames (t, h, w, 3) under the colours of their maps (t, rows, columns), in one scale: one picture each.

    Maps are shares, which need not add up to 1; ``area`` is where they lie in the frames, all of them by default.
    """
    size = (frames.shape[1], frames.shape[2])
    heat = Heat(np.arange(len(frames), dtype=np.float64), in_even_shares(maps)[:, None], (area or (0, 0, *size),), size)
    return [heat.paint(frame, heat.canvas(number)) for number, frame in enumerate(frames)]


def in_even_shares(shares: Floats) -> Floats:
    """Shares of patches as multiples of what each would have if all had the same; zero where all are zero."""
    mean = float(shares.mean())
    scaled: Floats = (shares / mean if mean > 0 else np.zeros_like(shares)).astype(np.float32)
    return scaled


def _tent(length: int) -> Floats:
    """Weights that fall from the middle to the ends of a line, none of them zero."""
    places = (np.arange(length, dtype=np.float32) + 0.5) / length
    return np.minimum(places, 1 - places)
