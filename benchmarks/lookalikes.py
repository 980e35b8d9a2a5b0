"""Time of finding clips that look alike, as their number grows.

    python benchmarks/lookalikes.py [--clips 2000 8000 32000]

Three kinds of data sets, made as signatures without any video: clips of different places; copies of one placeholder;
and a fixed camera, whose clips share their background and differ in what moves, a pair in a hundred being a copy.
Each line gives the seconds and how many clips were put into groups. Ends in one JSON line.
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

from timesformer.data.care.duplicates import alike
from timesformer.data.care.groups import Groups
from timesformer.data.care.signature import MOMENTS, SIDE, Signature

Made = Callable[[int, np.random.Generator], list[Signature]]


def places(count: int, draw: np.random.Generator) -> list[Signature]:
    """Clips of different places, each with something that moves."""
    backgrounds = draw.integers(0, 256, (count, 1, SIDE, SIDE))
    return [_moving(background, draw) for background in backgrounds]


def placeholder(count: int, draw: np.random.Generator) -> list[Signature]:
    """Copies of one clip, re-encoded: a grey level more or less."""
    first = _moving(draw.integers(20, 230, (1, SIDE, SIDE)), draw).pictures.astype(int)
    return [
        Signature((first + draw.integers(-1, 2, first.shape)).clip(0, 255).astype(np.uint8), 3.0) for _ in range(count)
    ]


def camera(count: int, draw: np.random.Generator) -> list[Signature]:
    """Clips of one fixed camera; each hundredth comes twice."""
    background = draw.integers(20, 230, (1, SIDE, SIDE))
    made = [_moving(background, draw) for _ in range(count)]
    made[1::100] = made[0 : len(made[1::100]) * 100 : 100]
    return made


def _moving(background: np.ndarray, draw: np.random.Generator) -> Signature:
    """A square that moves over a background at random speed."""
    pictures = np.repeat(background, MOMENTS, axis=0)
    steps = np.arange(MOMENTS)[:, None] * draw.uniform(-0.5, 0.5, 2) + draw.uniform(0, SIDE, 2)
    for picture, (y, x) in zip(pictures, (steps % (SIDE - 4)).astype(int), strict=True):
        picture[y : y + 4, x : x + 4] = 255
    return Signature(pictures.astype(np.uint8), 3.0)


def main() -> None:
    """Time every kind at every number of clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, nargs="+", default=[2000, 8000, 32000])
    given = parser.parse_args()
    kinds: dict[str, Made] = {"places": places, "placeholder": placeholder, "camera": camera}
    results = []
    for kind, make in kinds.items():
        for count in given.clips:
            signatures = make(count, np.random.default_rng(0))
            start = time.perf_counter()
            pairs = alike(signatures)
            seconds = time.perf_counter() - start
            groups = Groups(count)
            for first, second in pairs:
                groups.join(first, second)
            grouped = sum(map(len, groups.all()))
            print(f"{kind:<12} {count:>7} clips  {seconds:8.2f} s  {grouped} in groups", flush=True)
            results.append({"kind": kind, "clips": count, "seconds": round(seconds, 3), "grouped": grouped})
    print(json.dumps({"benchmark": "lookalikes", "results": results}))


if __name__ == "__main__":
    main()
