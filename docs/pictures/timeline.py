"""Draw the timeline of the documentation: python -m docs.pictures.timeline demo docs/timeline.png

The first argument is the folder of a finished `timesformer demo`, whose model with divided attention is used. It
learned from clips that show one motion each. The video is new: one object makes all eight motions, one after another.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

import timesformer
from timesformer.data.made import motions, scenes
from timesformer.data.made.scenes import Pixels
from timesformer.video.writer import write

ORDER = ("right", "down", "clockwise", "grow", "left", "up", "counter_clockwise", "shrink")
"""The motions; at the end, the object is where and as it was at the start."""
FRAMES = 32
"""Frames of each motion, two windows."""
SIZE, SEED = 160, 6


def video() -> Pixels:
    """A video of the motions in order, uint8 RGB (t, c, h, w)."""
    low, high, _, longest = np.array(motions.PATHS).T
    state = (low + high) / 2 - longest / 2
    paths = []
    for label in ORDER:
        moving, backwards = motions.MOTIONS[label]
        path = np.tile(state[:, None], FRAMES)
        path[moving] += np.linspace(0, -longest[moving] if backwards else longest[moving], FRAMES)
        state = path[:, -1]
        paths.append(path)
    joined = np.concatenate(paths, axis=1)
    joined[3] = np.exp(joined[3])
    return scenes.draw(np.random.default_rng(SEED), joined.astype(np.float32), size=SIZE)


def main(demo: Path, out: Path) -> None:
    """Make the video, and print and draw its timeline."""
    frames = video()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "motions.mp4"
        times = [number / motions.FPS for number in range(len(frames))]
        write(path, [torch.from_numpy(frames)], times=times, fps=motions.FPS, options={"crf": "18"})
        found = timesformer.timeline(demo / "divided", path, window=16 / motions.FPS)
    for segment in found.segments:
        print(f"{segment.start:5.1f} {segment.end:5.1f}  {segment.label:<18} {segment.score:.1%}")
    found.write(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
