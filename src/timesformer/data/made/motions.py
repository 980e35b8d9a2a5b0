"""The generated data set of the demo: eight motions of a textured shape that no single frame tells apart.

A *scene* draws a path for the position, angle and size of one object. Three of them stand still at a random moment of
their own path, and the fourth is the motion. So a frame taken at random looks alike whichever of them moves: it shows
neither the direction nor even what is changing. The two members of a pair (left and right, grow and shrink, ...) are
the same clips in reverse order. Files hold only key frames of one fixed quality, so a reversed clip decodes to the same
pictures in reverse order, and compression tells nothing either.
"""

import json
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from timesformer.config.checks import require
from timesformer.video.writer import write

Floats = npt.NDArray[np.floating[Any]]
Pixels = npt.NDArray[np.uint8]

# The row of PATHS that moves, and whether it runs backwards. Angles grow clockwise because y points down.
MOTIONS: dict[str, tuple[int, bool]] = {
    "left": (0, True),
    "right": (0, False),
    "up": (1, True),
    "down": (1, False),
    "clockwise": (2, False),
    "counter_clockwise": (2, True),
    "grow": (3, False),
    "shrink": (3, True),
}
CLASSES: tuple[str, ...] = tuple(MOTIONS)

# Centre x and y in sides of the frame, angle in radians, logarithm of the radius in sides: the range that a path stays
# in, then the range of its travel over the clip. Were every angle possible at every moment, turning would show only in
# how the mark moves about the object's own centre, which small models learn ten times later than all else.
PATHS: tuple[tuple[float, float, float, float], ...] = (
    (0.25, 0.75, 0.3, 0.5),
    (0.25, 0.75, 0.3, 0.5),
    (-0.7 * math.pi, 0.7 * math.pi, math.pi / 2, math.pi),
    (math.log(0.22), math.log(0.4), math.log(1.5), math.log(1.8)),
)
# Signed distances, negative inside, of points (u, v) in radii; shapes have a radius of about 1.
Distance = Callable[[Floats, Floats], Floats]
SHAPES: dict[str, Distance] = {
    "circle": lambda u, v: np.hypot(u, v) - 0.95,
    "ring": lambda u, v: np.abs(np.hypot(u, v) - 0.7) - 0.3,
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) - 0.8,
    "cross": lambda u, v: np.minimum(_box(u, v, 1, 0.36), _box(u, v, 0.36, 1)),
    "triangle": lambda u, v: _sides(u, v, 3)[0] - 0.6,
    # What lies within at least four of the five lines that join the tips.
    "star": lambda u, v: _sides(u, v, 5)[1] - 0.36,
}
# Marks make the turning of every shape visible.
MARKS: dict[str, Distance] = {
    "half": lambda u, v: v,
    "wedge": lambda u, v: np.maximum(0.8 * v - u, -v),
    "spot": lambda u, v: np.hypot(u - 0.45, v) - 0.38,
}
WAVES = 10
FPS = 15
MARKER = "motions.json"
# Starting another process costs about as much as writing this many clips.
CLIPS_PER_PROCESS = 200


def frames(label: str, *, size: int, frames: int, seed: int) -> Pixels:
    """Draw one clip of a class as uint8 RGB (t, c, h, w).

    The same seed gives both members of a pair the same frames, in opposite orders.
    """
    require(label in MOTIONS, f"label is {label!r}; it must be one of {', '.join(CLASSES)}.")
    _check(size=size, frames=frames, seed=seed)
    moving, backwards = MOTIONS[label]
    rng = np.random.default_rng(seed)
    paths = draw_paths(rng, moving, frames)
    ground = rng.uniform(0.1, 0.4, 3)
    clip = _background(rng, ground, frames=frames, size=size)
    _paint_object(clip, rng, paths=paths, ground=ground)
    contrast, brightness = rng.uniform((0.7, -0.12), (1.0, 0.12)).tolist()
    levels = (clip - 0.5) * (255 * contrast) + (128 + 255 * brightness)
    pixels = np.clip(levels, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels[::-1]) if backwards else pixels


def draw_paths(rng: np.random.Generator, moving: int, frames: int) -> Floats:
    """Draw x, y, angle and radius for each frame as (4, t): row `moving` runs forwards, the other rows stand still."""
    low, high, shortest, longest = np.array(PATHS).T
    travel = rng.uniform(shortest, longest)
    centre = rng.uniform(low + travel / 2, high - travel / 2)
    moments = np.tile(rng.integers(frames, size=(len(PATHS), 1)), frames)
    moments[moving] = np.arange(frames)
    paths = centre[:, None] + travel[:, None] * np.linspace(-0.5, 0.5, frames)[moments]
    paths[3] = np.exp(paths[3])
    return _single(paths)


def _single(values: Floats) -> Floats:
    return values.astype(np.float32)


def _vectors(rng: np.random.Generator, lengths: Floats) -> Floats:
    """Draw a direction for each length: (n, 2)."""
    angles = rng.uniform(0, 2 * math.pi, len(lengths))
    return _single((lengths * np.stack([np.cos(angles), np.sin(angles)])).T)


def _background(rng: np.random.Generator, ground: Floats, *, frames: int, size: int) -> Floats:
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


def _paint_object(clip: Floats, rng: np.random.Generator, *, paths: Floats, ground: Floats) -> None:
    """Paint a random object over a background (t, c, h, w), in place, with edges one pixel soft."""
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


def generate(
    folder: Path,
    *,
    train: int,
    val: int,
    test: int,
    size: int = 64,
    frames: int = 16,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write a balanced data set as `folder/{train,val,test}/<class>/<class>_00012.mp4`: H.264, 15 frames a second.

    `train`, `val` and `test` count the clips of all classes together. Clips of one split and number share their scene
    within a pair; nothing else shares one. A generation that was cut short goes on where it stopped; other settings
    replace the clips. `progress` receives the number of clips that are ready, after each one. Scripts that call this
    need the usual `if __name__ == "__main__":`, because large sets are written by several spawned processes.

    Errors: ConfigError for impossible settings, and for a folder that holds other things.
    """
    counts = {"train": train, "val": val, "test": test}
    for split, count in counts.items():
        require(
            count >= 0 and count % len(CLASSES) == 0,
            f"{split} is {count}; classes get equal shares, so use a multiple of {len(CLASSES)}.",
        )
    _check(size=size, frames=frames, seed=seed)
    _claim(folder, json.dumps({**counts, "size": size, "frames": frames, "seed": seed}))
    clips = _plan(folder, counts, seed)
    for parent in {path.parent for path in clips}:
        parent.mkdir(parents=True, exist_ok=True)
    missing = {path: clip_seed for path, clip_seed in clips.items() if not path.exists()}
    draw = partial(_write, size=size, length=frames)
    for ready, _ in enumerate(_run(draw, missing), start=len(clips) - len(missing) + 1):
        if progress is not None:
            progress(ready)


def _plan(folder: Path, counts: dict[str, int], seed: int) -> dict[Path, int]:
    """Return the seed of every file."""
    clips: dict[Path, int] = {}
    for number, (split, count) in enumerate(counts.items()):
        for label, (moving, _) in MOTIONS.items():
            seeds = np.random.SeedSequence((seed, number, moving)).generate_state(count // len(CLASSES), np.uint64)
            clips |= {folder / split / label / f"{label}_{i:05d}.mp4": int(value) for i, value in enumerate(seeds)}
    return clips


def _run(write: Callable[[Path, int], None], clips: dict[Path, int]) -> Iterator[None]:
    """Write the files on all cores, in order."""
    processes = min(os.cpu_count() or 1, len(clips) // CLIPS_PER_PROCESS)
    if processes < 2:
        yield from map(write, clips.keys(), clips.values())
        return
    # Spawned, because a forked process may hang on a lock that one of torch's threads held.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(write, clips.keys(), clips.values(), chunksize=16)


def _check(*, size: int, frames: int, seed: int) -> None:
    require(size >= 16 and size % 2 == 0, f"size is {size}; it must be even, for the files, and at least 16.")
    require(frames >= 2, f"frames is {frames}; a motion needs at least 2.")
    require(seed >= 0, f"seed is {seed}; it must be at least 0.")


def _claim(folder: Path, settings: str) -> None:
    """Mark the folder with the settings; remove the clips of other settings, never anything that is not ours."""
    marker = folder / MARKER
    if marker.exists():
        if marker.read_text() == settings:
            return
        for label in CLASSES:
            for pattern in (f"*/{label}/{label}_*.mp4", f"*/{label}/.{label}_*.mp4.part"):
                for path in folder.glob(pattern):
                    path.unlink()
    else:
        require(
            not folder.exists() or not any(folder.iterdir()),
            f"{folder} is not empty and has no {MARKER}; choose a new or empty folder.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(settings)


def _write(path: Path, seed: int, *, size: int, length: int) -> None:
    """Write one clip, whole or not at all."""
    clip = frames(path.parent.name, size=size, frames=length, seed=seed)
    # Key frames of a fixed quantiser depend on nothing but their own pixels; 26 gives key frames the quality of crf 23.
    options = {"preset": "ultrafast", "qp": "26", "g": "1"}
    write(path, [torch.from_numpy(clip)], times=[number / FPS for number in range(length)], fps=FPS, options=options)
