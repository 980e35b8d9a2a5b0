"""Draw which frames of a video make a clip, for docs/clips.md: python -m docs.pictures.placement docs/placement.png

Every dot comes from timesformer.video.sampling, which training, evaluation and prediction use.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from torch import Tensor

from timesformer.config.model import ClipConfig
from timesformer.pictures.palette import CARD, GROUND, INK, LINE, SERIES, SOFT
from timesformer.video import sampling

SECONDS, FPS = 20.0, 30.0
"""The video of the picture."""
FRAMES = round(SECONDS * FPS)
DENSE = ClipConfig(frames=8, sampling="dense", rate=16)
SEGMENTS = replace(DENSE, sampling="segments")
DRAWS = 3
"""Random clips that are shown of a training."""
WIDTH, LEFT, RIGHT, LINE_HEIGHT, GAP = 12.0, 4.3, 0.4, 0.2, 0.22
"""Sizes in inches: the picture's width and margins, the height of a clip's line, and the gap between two choices."""


@dataclass(frozen=True)
class Choice:
    """One way to place clips, and the frames that it takes."""

    name: str
    """The options as they are given on the command line."""
    text: str
    numbers: Tensor
    """Frame numbers, (clips, t)."""
    fps: float = FPS
    """Frames a second of the video."""
    parts: int = 0
    """Equal parts of the video that are shown."""

    @property
    def height(self) -> float:
        """Inches that its clips take; at least what its name and text take."""
        return max(len(self.numbers) * LINE_HEIGHT, 0.36)


def training(clip: ClipConfig) -> Tensor:
    """Some random clips, (clips, t)."""
    draws = torch.Generator().manual_seed(3)
    return torch.stack([sampling.training(FRAMES, FPS, clip, generator=draws) for _ in range(DRAWS)])


def choices() -> dict[str, list[Choice]]:
    """All choices that the picture shows, by its headings."""
    views, slow = sampling.views, 10.0
    parts = SEGMENTS.frames
    return {
        "Training: one random clip in each epoch; three epochs are shown": [
            Choice("--clip.sampling dense", "8 frames, every 16th, from a random start", training(DENSE)),
            Choice(
                "--clip.sampling segments", "a random frame from each of 8 equal parts", training(SEGMENTS), parts=parts
            ),
        ],
        "Evaluation and prediction with dense clips": [
            Choice("--clips 1", "in the middle", views(FRAMES, FPS, DENSE)),
            Choice("--clips 3", "evenly spaced from start to end", views(FRAMES, FPS, DENSE, clips=3)),
            Choice(
                "--clips 3 --placement official",
                "as the released code: the end is left out",
                views(FRAMES, FPS, DENSE, clips=3, placement="official"),
            ),
            Choice(
                "--placement whole",
                "as many clips as fit without overlap",
                views(FRAMES, FPS, DENSE, placement="whole"),
            ),
        ],
        "Evaluation and prediction with segments": [
            Choice("--clips 1", "the middle frame of each part", views(FRAMES, FPS, SEGMENTS), parts=parts),
            Choice("--clips 3", "each part is divided once more", views(FRAMES, FPS, SEGMENTS, clips=3), parts=parts),
        ],
        "A video with another frame rate": [
            Choice(
                "--clips 1",
                f"dense, {slow:.0f} frames a second: the same time range",
                views(round(SECONDS * slow), slow, DENSE),
                fps=slow,
            ),
        ],
    }


def draw(out: Path) -> None:
    """Write the picture: a line for each clip, with a dot at the time of each of its frames."""
    sections = choices()
    rows = [choice for section in sections.values() for choice in section]
    height = 1.55 + sum(row.height + GAP for row in rows) + 0.55 * len(sections)
    figure = Figure(figsize=(WIDTH, height), dpi=110, facecolor=CARD.light)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    axes.text(0.3, 0.42, "Which frames of a video make a clip", fontsize=14, weight="bold", color=INK.light)
    text = f"A video of {SECONDS:.0f} seconds at {FPS:.0f} frames a second. A dot is a frame, a line of dots is a clip."
    axes.text(0.3, 0.7, text, color=SOFT.light, fontsize=10)
    top = 1.0
    for heading, section in sections.items():
        axes.text(0.3, top + 0.22, heading, weight="bold", fontsize=10.5, color=INK.light)
        top += 0.42
        for choice in section:
            _row(axes, choice, top)
            top += choice.height + GAP
        top += 0.13
    for second in range(0, round(SECONDS) + 1, 5):
        axes.text(across(second), top + 0.1, f"{second} s", ha="center", color=SOFT.light, fontsize=9)
    figure.savefig(out)


def across(seconds: float) -> float:
    """Where a time lies in the picture, in inches from the left."""
    return LEFT + (WIDTH - LEFT - RIGHT) * seconds / SECONDS


def _row(axes: Axes, choice: Choice, top: float) -> None:
    """A bar for the video, with the clips of a choice on it and its name beside it."""
    bar = Rectangle((LEFT, top), across(SECONDS) - LEFT, choice.height, facecolor=GROUND.light, edgecolor=LINE.light)
    axes.add_patch(bar)
    middle = top + choice.height / 2
    axes.text(0.3, middle - 0.06, choice.name, family="monospace", fontsize=9.5, color=SERIES[0].light)
    axes.text(0.3, middle + 0.16, choice.text, fontsize=9, color=SOFT.light)
    for part in range(1, choice.parts):
        axes.plot([across(SECONDS * part / choice.parts)] * 2, [top, top + choice.height], color=SOFT.light, lw=0.6)
    first = middle - LINE_HEIGHT * (len(choice.numbers) - 1) / 2
    for line, seconds in enumerate((choice.numbers / choice.fps).tolist()):
        _clip(axes, seconds, first + LINE_HEIGHT * line)


def _clip(axes: Axes, seconds: Sequence[float], y: float) -> None:
    first, last = across(seconds[0]), across(seconds[-1])
    axes.add_patch(FancyBboxPatch((first, y), last - first, 0, boxstyle="round,pad=0.055", facecolor=LINE.light, lw=0))
    axes.plot([across(time) for time in seconds], [y] * len(seconds), "o", markersize=5, color=SERIES[0].light)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
