"""Draw the picture of the README from a finished demo: python benchmarks/demo_picture.py demo docs/demo.png"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from timesformer.data.made import motions
from timesformer.pictures import strips
from timesformer.pictures.page import percent
from timesformer.pictures.palette import CARD, INK, SERIES, SOFT
from timesformer.verbs import demo, demo_results


def main(folder: Path, out: Path) -> None:
    page = demo_results.read(folder, demo.SCHEMES)
    rows = len(motions.CLASSES) // 2
    figure = Figure(figsize=(13, 4.4), dpi=110, facecolor=CARD.light)
    axes = figure.subplots(rows, 2, gridspec_kw={"left": 0.02, "right": 0.98, "top": 0.78, "bottom": 0.01})
    for place, video in zip(axes.flat, page.examples, strict=True):
        place.imshow(strips.row(video.frames))
        place.set_title(video.label.replace("_", " "), fontsize=10, loc="left", pad=4, color=INK.light)
        place.axis("off")
        place.set_anchor("W")
    names = {"divided": "divided space-time attention", "space": "space attention alone"}
    for number, result in enumerate(page.results):
        left, text = axes[0, number].get_position().x0, f"{percent(result.top1)}  {names[result.scheme]}"
        figure.text(left, 0.885, text, fontsize=15, weight="bold", color=SERIES[number].light)
    chance = percent(1 / len(page.labels))
    text = f"Top-1 accuracy on {page.results[0].videos} videos of eight motions; chance is {chance}"
    figure.text(0.02, 0.955, text, fontsize=10.5, color=SOFT.light)
    figure.savefig(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
