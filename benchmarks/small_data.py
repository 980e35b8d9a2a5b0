"""Train on small data sets over several seeds and print the accuracy on held-out videos.

    python benchmarks/small_data.py DATA... [--seeds 0 1 2] [--out small_data] [-- FLAGS OF timesformer train]
    python benchmarks/small_data.py --compare DATA... -- --init WEIGHTS
    python benchmarks/small_data.py --curve DATA... [--per-class 2 5 10 20] -- --init WEIGHTS

The first command trains on all clips, with no flag but the seed unless flags are given. The second compares three
starts on all clips: from scratch without any flag, a head on frozen weights (--freeze backbone; once, as it does not
depend on the seed), and fine-tuning with the given flags. The third measures learning curves: it trains on a few clips
of each class, once from scratch without any flag and once with the given flags, on the same clips and with the same
held-out videos, and draws learning_curves.png. A seed's 2 clips are among its 5.

The numbers are those of the last epoch, so that no epoch is picked by the held-out videos. A finished run is not
repeated, and an interrupted one is resumed. Prints a Markdown table and one JSON line.
"""

import argparse
import json
import random
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure

from timesformer.data import manifest
from timesformer.data.manifest import Manifest
from timesformer.pictures.palette import CARD, INK, LINE, SERIES, SOFT

SCRATCH = "from scratch"
FROZEN = "frozen"
TUNED = "fine-tuned"


@dataclass(frozen=True)
class Result:
    """What was reached on one training set, over the seeds; shares are between 0 and 1."""

    data: str
    start: str
    """What the trainings started from."""
    per_class: int | None
    """Clips drawn of each class; None for all."""
    clips: int
    """Training clips."""
    videos: int
    """Held-out videos."""
    classes: int
    majority: float
    """Share of the largest class among the held-out videos."""
    top1: list[float]
    mean_class: list[float]
    minutes: list[float]


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("small_data"))
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--curve", action="store_true")
    parser.add_argument("--per-class", nargs="+", type=int, default=[2, 5, 10, 20])
    own, flags = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    arguments = parser.parse_args(own)
    if (arguments.curve or arguments.compare) and "--init" not in flags:
        parser.error("weights are compared with learning from scratch; name them at the end: -- --init WEIGHTS")
    if arguments.compare:
        results = [row for data in arguments.data for row in compare(data, arguments.seeds, arguments.out, flags)]
        print(compare_table(results))
    elif not arguments.curve:
        results = [measure(data, arguments.seeds, arguments.out, flags) for data in arguments.data]
        print(table(results))
    else:
        results = []
        for data in arguments.data:
            results += curve(data, arguments.per_class, arguments.seeds, arguments.out, flags)
        if not results:
            sys.exit(f"no class has {min(arguments.per_class)} training clips; lower --per-class.")
        print(curve_table(results))
        draw(results, arguments.out / "learning_curves.png")
    print(json.dumps([asdict(result) for result in results]))


def measure(data: Path, seeds: Sequence[int], out: Path, flags: Sequence[str]) -> Result:
    """Train on all clips once for each seed."""
    runs = [train(data, out / f"{data.name}-{seed}", seed, flags) for seed in seeds]
    return result(manifest.load(data), runs, start_of(flags))


def compare(data: Path, seeds: Sequence[int], out: Path, flags: Sequence[str]) -> list[Result]:
    """Train on all clips from scratch, a head on frozen weights, and with the flags."""
    starts = ((SCRATCH, [], seeds), (FROZEN, [*flags, "--freeze", "backbone"], seeds[:1]), (TUNED, list(flags), seeds))
    found = []
    for start, given, drawn in starts:
        runs = [train(data, out / f"{data.name}-{seed}-{start.replace(' ', '-')}", seed, given) for seed in drawn]
        found.append(result(manifest.load(data), runs, start))
    return found


def curve(data: Path, per_class: Sequence[int], seeds: Sequence[int], out: Path, flags: Sequence[str]) -> list[Result]:
    """Train on subsets, from scratch and with the flags; sizes above the largest class add nothing and are left out."""
    whole = replace(manifest.load(data), notes=())
    results = []
    for size in sorted(per_class):
        if size > max(whole.class_counts("train")):
            continue
        for start, given in (("scratch", []), ("init", list(flags))):
            runs = []
            for seed in seeds:
                name = f"{data.name}-{size}-{seed}"
                drawn = out / "lists" / f"{name}.csv"
                drawn.parent.mkdir(parents=True, exist_ok=True)
                manifest.write(subset(whole, size, seed), drawn)
                runs.append(train(drawn, out / f"{name}-{start}", seed, given))
            found = result(subset(whole, size, seeds[0]), runs, start_of(given))
            results.append(replace(found, data=data.name, per_class=size))
    return results


def subset(whole: Manifest, per_class: int, seed: int) -> Manifest:
    """Draw so many training clips of each class, or all of a smaller one; the held-out videos stay."""
    kept = set()
    for label in whole.labels:
        clips = [item for item in whole.of("train") if item.label == label]
        random.Random(f"{seed} {label}").shuffle(clips)
        kept.update(clips[:per_class])
    return replace(whole, items=tuple(item for item in whole.items if item.split != "train" or item in kept))


def train(data: Path, run: Path, seed: int, flags: Sequence[str]) -> dict[str, float]:
    """Train unless that was done before; return the last epoch's measures and the minutes."""
    clock, given = run / "minutes.txt", run / "flags.txt"
    said = shlex.join(flags)
    if given.exists() and given.read_text() != said:
        sys.exit(f"{run} was trained with the flags {given.read_text() or '(none)'}; name another folder with --out.")
    if not clock.exists():
        started = time.monotonic()
        command = [sys.executable, "-m", "timesformer", "train", str(data), "--out", str(run)]
        if (run / "last.pt").exists():
            command.append("--resume")
        subprocess.run([*command, "--engine.seed", str(seed), *flags], check=True)
        clock.write_text(f"{(time.monotonic() - started) / 60:.2f}")
        given.write_text(said)
    row = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    return {**row, "minutes": float(clock.read_text())}


def result(data: Manifest, runs: Sequence[dict[str, float]], start: str) -> Result:
    counts = data.class_counts("test")
    return Result(
        data=data.source.name,
        start=start,
        per_class=None,
        clips=len(data.of("train")),
        videos=sum(counts),
        classes=len(counts),
        majority=max(counts) / sum(counts),
        top1=[run["val_top1"] for run in runs],
        mean_class=[run["val_mean_class"] for run in runs],
        minutes=[run["minutes"] for run in runs],
    )


def start_of(flags: Sequence[str]) -> str:
    """Return what a training with these flags starts from, as a heading."""
    return f"from {Path(flags[list(flags).index('--init') + 1]).name}" if "--init" in flags else SCRATCH


def table(results: Sequence[Result]) -> str:
    lines = ["| data | held-out videos | majority share | top-1 | mean class accuracy | minutes |", "| --- " * 6 + "|"]
    for row in results:
        shown = (f"{row.videos}", f"{row.majority:.1%}", each(row.top1), each(row.mean_class), minutes(row))
        lines.append(f"| {row.data} | {' | '.join(shown)} |")
    return "\n".join(lines)


def compare_table(results: Sequence[Result]) -> str:
    starts = list(dict.fromkeys(row.start for row in results))
    heads = [f"{start}: {what}" for start in starts for what in ("top-1 / mean class", "minutes")]
    lines = [f"| data | training clips | held-out videos | largest class | {' | '.join(heads)} |"]
    lines.append("| --- " * (4 + len(heads)) + "|")
    for data in dict.fromkeys(row.data for row in results):
        rows = [row for row in results if row.data == data]
        cells = [
            cell for row in rows for cell in (f"{deviation(row.top1)} / {deviation(row.mean_class)}", minutes(row))
        ]
        first = rows[0]
        lines.append(f"| {data} | {first.clips} | {first.videos} | {first.majority:.1%} | {' | '.join(cells)} |")
    return "\n".join(lines)


def curve_table(results: Sequence[Result]) -> str:
    starts = list(dict.fromkeys(row.start for row in results))
    heads = [f"{start}: {what}" for start in starts for what in ("top-1", "mean class accuracy", "minutes")]
    lines = [f"| data | clips per class | training clips | {' | '.join(heads)} |", "| --- " * (3 + len(heads)) + "|"]
    rows: dict[tuple[str, int | None], list[Result]] = {}
    for row in results:
        rows.setdefault((row.data, row.per_class), []).append(row)
    for (data, size), found in rows.items():
        cells = [cell for row in found for cell in (deviation(row.top1), deviation(row.mean_class), minutes(row))]
        lines.append(f"| {data} | {size} | {found[0].clips} | {' | '.join(cells)} |")
    return "\n".join(lines)


def each(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.1%} ({', '.join(f'{value:.1%}' for value in values)})"


def deviation(values: Sequence[float]) -> str:
    """Return mean and standard deviation over the seeds."""
    return f"{statistics.mean(values):.1%}" + (f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else "")


def minutes(row: Result) -> str:
    return f"{statistics.mean(row.minutes):.1f}"


def draw(results: Sequence[Result], path: Path) -> None:
    """Draw mean class accuracy over clips per class, a panel for each data set; small points are single seeds."""
    names = list(dict.fromkeys(row.data for row in results))
    starts = list(dict.fromkeys(row.start for row in results))
    figure = Figure(figsize=(4.2 * len(names) + 0.4, 3.4), dpi=110, facecolor=CARD.light, layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        rows = [row for row in results if row.data == name]
        for colour, start in zip(SERIES, starts, strict=True):
            shown = [row for row in rows if row.start == start]
            sizes = [row.per_class for row in shown]
            means = [100 * statistics.mean(row.mean_class) for row in shown]
            axes.plot(sizes, means, "-o", color=colour.light, linewidth=2, markersize=5, label=start)
            for row in shown:
                single = [100 * value for value in row.mean_class]
                axes.plot([row.per_class] * len(single), single, "o", color=colour.light, markersize=3, alpha=0.45)
        axes.axhline(100 / rows[0].classes, color=SOFT.light, linestyle=":", linewidth=1, label="chance")
        axes.set_xscale("log")
        ticks = sorted({row.per_class or row.clips for row in rows})
        axes.set_xticks(ticks, list(map(str, ticks)))
        axes.minorticks_off()
        axes.set_ylim(0, 102)
        axes.set_title(name, loc="left", color=INK.light)
        axes.set_xlabel("training clips per class", color=SOFT.light)
        axes.set_ylabel("mean class accuracy, %", color=SOFT.light)
        axes.grid(color=LINE.light, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), frameon=False, loc="outside upper right", ncols=3)
    figure.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1:])
