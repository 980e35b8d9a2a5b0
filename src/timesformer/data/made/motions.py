"""The generated data set of the demo: eight motions of a textured shape that no single frame tells apart.

Each clip has a path for the position, angle and size of one object. One of the four changes over the clip: that is the
motion. The other three stand still at a random moment of their own path. A frame taken at random therefore looks alike
whichever of them moves: it shows neither the direction nor what is changing. The two classes of a pair (left and right,
grow and shrink, ...) are the same clips in reverse order. Files hold only key frames of one fixed quality, so a
reversed clip decodes to the same pictures in reverse order, and the compression gives nothing away either.
"""

import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from timesformer import atomic, machine
from timesformer.config.checks import require
from timesformer.data.made import scenes
from timesformer.data.made.scenes import Floats, Pixels
from timesformer.video.writer import write

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
"""For each class the row of :data:`PATHS` that changes, and whether the clip is played backwards. Angles grow clockwise
because y points down."""
CLASSES: tuple[str, ...] = tuple(MOTIONS)

# If every angle were possible at every moment, a rotation would show only in how the mark moves about the object's
# centre. Small models learn that ten times later than everything else.
PATHS: tuple[tuple[float, float, float, float], ...] = (
    (0.25, 0.75, 0.3, 0.5),
    (0.25, 0.75, 0.3, 0.5),
    (-0.7 * math.pi, 0.7 * math.pi, math.pi / 2, math.pi),
    (math.log(0.22), math.log(0.4), math.log(1.5), math.log(1.8)),
)
"""Rows: centre x and y in sides of the frame, angle in radians, logarithm of the radius in sides. Columns: lowest and
highest value, and the least and greatest change over a clip."""
FPS = 15
MARKER = "motions.json"
"""The file in a generated folder that holds its settings."""
CLIPS_PER_PROCESS = 200
"""Starting another process takes about as long as writing this many clips."""


def frames(label: str, *, size: int, frames: int, seed: int) -> Pixels:
    """Draw one clip of a class as uint8 RGB (t, c, h, w).

    The same seed gives both members of a pair the same frames, in opposite orders.
    """
    return _drawn(label, size=size, frames=frames, seed=seed)[0]


def covered(label: str, *, size: int, frames: int, seed: int) -> Floats:
    """The share of each pixel that the shape covers in the clip that :func:`frames` draws, from 0 to 1: (t, h, w)."""
    return _drawn(label, size=size, frames=frames, seed=seed)[1]


def _drawn(label: str, *, size: int, frames: int, seed: int) -> tuple[Pixels, Floats]:
    require(label in MOTIONS, f"label is {label!r}; it must be one of {', '.join(CLASSES)}.")
    _check(size=size, frames=frames, seed=seed)
    moving, backwards = MOTIONS[label]
    rng = np.random.default_rng(seed)
    pixels, cover = scenes.draw(rng, draw_paths(rng, moving, frames), size=size)
    return (np.ascontiguousarray(pixels[::-1]), cover[::-1].copy()) if backwards else (pixels, cover)


def draw_paths(rng: np.random.Generator, moving: int, frames: int) -> Floats:
    """Draw x, y, angle and radius for each frame as (4, t): row `moving` changes, the others are constant."""
    low, high, shortest, longest = np.array(PATHS).T
    travel = rng.uniform(shortest, longest)
    centre = rng.uniform(low + travel / 2, high - travel / 2)
    moments = np.tile(rng.integers(frames, size=(len(PATHS), 1)), frames)
    moments[moving] = np.arange(frames)
    paths = centre[:, None] + travel[:, None] * np.linspace(-0.5, 0.5, frames)[moments]
    paths[3] = np.exp(paths[3])
    return paths.astype(np.float32)


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
    within a pair; no other two clips share one. After an interruption, a second call writes the clips that are missing.
    A call with other settings replaces the clips. `progress` receives the number of finished clips after each one.
    Large sets are written by several spawned processes, so a script that calls this needs
    `if __name__ == "__main__":`.

    Raises ConfigError for impossible settings, and for a folder that holds other files.
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
        atomic.clear(parent)
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
    """Write the files in order, on all cores where there are many."""
    processes = min(machine.cores(), len(clips) // CLIPS_PER_PROCESS)
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
    """Write the settings into the folder, and remove clips that were generated with others but no other file."""
    marker = folder / MARKER
    if marker.exists():
        if marker.read_text() == settings:
            return
        for label in CLASSES:
            for path in folder.glob(f"*/{label}/{label}_*.mp4"):
                path.unlink()
    else:
        require(
            not folder.exists() or not any(folder.iterdir()),
            f"{folder} is not empty and has no {MARKER}; choose a new or empty folder.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(marker) as temporary:
        temporary.write_text(settings, "utf-8")


def _write(path: Path, seed: int, *, size: int, length: int) -> None:
    """Write one clip, whole or not at all."""
    clip = frames(path.parent.name, size=size, frames=length, seed=seed)
    # Key frames of a fixed quantiser depend on nothing but their own pixels; 26 gives key frames the quality of crf 23.
    options = {"preset": "ultrafast", "qp": "26", "g": "1"}
    write(path, [torch.from_numpy(clip)], times=[number / FPS for number in range(length)], fps=FPS, options=options)
