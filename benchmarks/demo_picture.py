"""Draw the picture of the README from a finished demo: python benchmarks/demo_picture.py demo docs/demo.png"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from timesformer.data.made import motions
from timesformer.video import reader


def main(demo: Path, out: Path) -> None:
    figure, axes = plt.subplots(4, 17, figsize=(13, 3.4), width_ratios=[1] * 8 + [0.5] + [1] * 8)
    for axis in axes.flat:
        axis.axis("off")
    for place, label in enumerate(motions.CLASSES):
        video = sorted((demo / "motions" / "test" / label).iterdir())[3]
        numbers = np.linspace(0, reader.info(video).frames - 1, 8).round().astype(int)
        row, column = place // 2, 9 * (place % 2)
        for step, frame in enumerate(reader.read(video, numbers)):
            axes[row, column + step].imshow(frame.permute(1, 2, 0))
        axes[row, column].set_title(label.replace("_", " "), fontsize=9, loc="left", pad=3)
    scores = {
        scheme: json.loads((demo / scheme / "test" / "results.json").read_text())["numbers"]["top1"]
        for scheme in ("divided", "space")
    }
    figure.suptitle(
        f"Top-1 on held-out videos: divided space-time attention {scores['divided']:.1%}, "
        f"space attention alone {scores['space']:.1%}, chance {1 / len(motions.CLASSES):.1%}",
        fontsize=11,
    )
    figure.tight_layout(h_pad=0.4, w_pad=0.1)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
