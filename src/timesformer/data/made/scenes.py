"""Draw a moving scene: one textured object over a background of drifting waves.

Everything but the object's path is random: its shape, mark and colours, and the waves behind it. The mark makes the
turning of every shape visible.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Pixels = npt.NDArray[np.uint8]

Distance = Callable[[Floats, Floats], Floats]
"""Signed distance to an edge, negative inside, of points (u, v); all in radii of the object, which is about 1."""
SHAPES: dict[str, Distance] = {
    "circle": lambda u, v: np.hypot(u, v) - 0.95,
    "ring": lambda u, v: np.abs(np.hypot(u, v) - 0.7) - 0.3,
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) - 0.8,
    "cross": lambda u, v: np.minimum(_box(u, v, 1, 0.36), _box(u, v, 0.36, 1)),
    "triangle": lambda u, v: _sides(u, v, 3)[0] - 0.6,
    # The points on the inner side of at least four of the five lines that join the tips.
    "star": lambda u, v: _sides(u, v, 5)[1] - 0.36,
}
MARKS: dict[str, Distance] = {
    "half": lambda u, v: v,
    "wedge": lambda u, v: np.maximum(0.8 * v - u, -v),
    "spot": lambda u, v: np.hypot(u - 0.45, v) - 0.38,
}
WAVES = 10
"""Plane waves that make a background."""


def draw(rng: np.random.Generator, paths: Floats, *, size: int) -> tuple[Pixels, Floats]:
    """Draw an object on its path over a background: uint8 RGB (t, c, h, w) with ``size`` pixels a side.

    Also gives the share of each pixel that the object covers, (t, h, w).

    ``paths`` (4, t) holds the object's centre x and y in sides of the frame, its angle in radians and its radius in
    sides, for each frame.
    """
    ground = rng.uniform(0.1, 0.4, 3)
    clip = background(rng, ground, frames=paths.shape[1], size=size)
    covered = paint_object(clip, rng, paths=paths, ground=ground)
    contrast, brightness = rng.uniform((0.7, -0.12), (1.0, 0.12)).tolist()
    levels = (clip - 0.5) * (255 * contrast) + (128 + 255 * brightness)
    return np.clip(levels, 0, 255).astype(np.uint8), covered


def background(rng: np.random.Generator, ground: Floats, *, frames: int, size: int) -> Floats:
    """Draw plane waves around a colour that drift together, or stand still for a quarter of the clips: (t, c, h, w).

    cos(a + b) = cos a cos b - sin a sin b splits every wave into a factor of time and y and a factor of x, so the sum
    over waves is a matrix product.
    """
    at = (np.arange(size, dtype=np.float32) + 0.5) / size
    lengths = rng.uniform(3, 22, WAVES)  # radians per side
    waves = _vectors(rng, lengths)
    drift = _vectors(rng, np.maximum(rng.uniform(-0.05, 0.15, 1), 0))[0]  # sides over the clip
    # Long waves are stronger, as in pictures of the world, and all of them nearly grey.
    weights = rng.uniform(0.02, 0.1) / np.sqrt(lengths) * rng.uniform(0.5, 1.5, (3, WAVES))
    phases = rng.uniform(0, 2 * math.pi, WAVES) - np.outer(np.linspace(-0.5, 0.5, frames), waves @ drift)
    along_y = _single(phases)[:, None] + np.outer(at, waves[:, 1])  # (t, h, waves)
    along_x = np.outer(waves[:, 0], at)  # (waves, w)
    rows = np.concatenate([np.cos(along_y), -np.sin(along_y)], axis=-1)
    columns = np.concatenate([np.cos(along_x), np.sin(along_x)])
    drawn: Floats = rows[:, None] @ (_single(np.tile(weights, 2))[:, :, None] * columns)
    drawn += _single(ground)[:, None, None]
    return drawn


def paint_object(clip: Floats, rng: np.random.Generator, *, paths: Floats, ground: Floats) -> Floats:
    """Paint a random object over a background (t, c, h, w), in place, with edges one pixel soft.

    Returns the share of each pixel that it covers: (t, h, w).
    """
    # A bright, saturated object with a nearly white mark: both stand out against any of the dark backgrounds.
    colour = _single(rng.permutation([rng.uniform(0.85, 1), rng.uniform(0, 0.9), rng.uniform(0, 0.2)]))
    mark_colour = _single(rng.uniform(0.8, 1, 3))
    stripes = _vectors(rng, rng.uniform(4, 9, 1))[0]  # radians per radius
    size = clip.shape[-1]
    x, y, angle, radius = paths[:, :, None, None]
    # Only a square window that holds the longest tip, 1.2 radii away, is drawn.
    side = min(size, math.ceil(2.4 * float(radius.max()) * size) + 2)
    column = np.arange(side) + np.clip(np.rint(x * size - side / 2), 0, size - side).astype(np.intp)  # (t, 1, side)
    row = np.arange(side)[:, None] + np.clip(np.rint(y * size - side / 2), 0, size - side).astype(np.intp)
    right, below = _single(column + 0.5) / size - x, _single(row + 0.5) / size - y
    cosine, sine = np.cos(angle) / radius, np.sin(angle) / radius
    u = cosine * right + sine * below  # (t, side, side), in radii, turning with the object
    v = cosine * below - sine * right
    cover = _cover(SHAPES[rng.choice(list(SHAPES))](u, v), radius * size)[..., None]
    mark = _cover(MARKS[rng.choice(list(MARKS))](u, v), radius * size)[..., None]
    texture = 0.1 * np.sin(stripes[0] * u + stripes[1] * v)[..., None]
    inside = (np.arange(len(clip))[:, None, None], slice(None), row, column)
    behind = clip[inside]  # (t, side, side, c): indices around a slice put its axis last
    clip[inside] = behind + cover * (colour + (mark_colour - colour) * mark + texture - behind)
    covered = np.zeros((len(clip), size, size), dtype=np.float32)
    covered[np.arange(len(clip))[:, None, None], row, column] = cover[..., 0]
    return covered


def _single(values: Floats) -> Floats:
    return values.astype(np.float32)


def _vectors(rng: np.random.Generator, lengths: Floats) -> Floats:
    """Draw a direction for each length: (n, 2)."""
    angles = rng.uniform(0, 2 * math.pi, len(lengths))
    return _single((lengths * np.stack([np.cos(angles), np.sin(angles)])).T)


def _cover(distance: Floats, pixels: Floats) -> Floats:
    """Turn signed distances in radii of so many pixels into the share of each pixel that is covered."""
    return np.clip(0.5 - distance * pixels, 0, 1)


def _box(u: Floats, v: Floats, width: float, height: float) -> Floats:
    distance: Floats = np.maximum(np.abs(u) - width, np.abs(v) - height)
    return distance


def _sides(u: Floats, v: Floats, count: int) -> tuple[Floats, Floats]:
    """Return the largest and second largest distance from the centre along the normals of a regular polygon."""
    first = np.full_like(u, -np.inf)
    second = first
    for turn in range(count):
        angle = 2 * math.pi * turn / count
        distance = math.sin(angle) * u - math.cos(angle) * v
        second = np.maximum(second, np.minimum(first, distance))
        first = np.maximum(first, distance)
    return first, second
