"""Train on small data sets from nothing, with no flag but the seed, and print held-out accuracy over the seeds.

    python benchmarks/small_data.py DATA... [--seeds 0 1 2] [--out small_data] [-- FLAGS OF timesformer train]

The numbers are those of the last epoch, so that no epoch is picked by the held-out videos. A run that is finished is
not repeated. Prints a Markdown table and one JSON line.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from timesformer.data import manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("small_data"))
    words = sys.argv[1:]
    flags = words[words.index("--") + 1 :] if "--" in words else []
    arguments = parser.parse_args(words[: words.index("--")] if "--" in words else words)
    results = [measure(data, arguments.seeds, arguments.out, flags) for data in arguments.data]
    print("| data | held-out videos | majority share | top-1 | mean class accuracy | minutes |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in results:
        print(
            f"| {row['data']} | {row['videos']} | {row['majority']:.1%} | {spread(row['top1'])} | "
            f"{spread(row['mean_class'])} | {statistics.mean(row['minutes']):.1f} |"
        )
    print(json.dumps(results))


def measure(data: Path, seeds: list[int], out: Path, flags: list[str]) -> dict:
    rows, minutes = [], []
    for seed in seeds:
        run = out / f"{data.name}-{seed}"
        clock = run / "minutes.txt"
        if not clock.exists():
            started = time.monotonic()
            command = [sys.executable, "-m", "timesformer", "train", str(data), "--out", str(run)]
            if (run / "last.pt").exists():
                command.append("--resume")
            subprocess.run([*command, "--engine.seed", str(seed), *flags], check=True)
            clock.write_text(f"{(time.monotonic() - started) / 60:.2f}")
        rows.append(json.loads((run / "metrics.jsonl").read_text().splitlines()[-1]))
        minutes.append(float(clock.read_text()))
    counts = manifest.load(data).class_counts("test")
    return {
        "data": data.name,
        "videos": sum(counts),
        "majority": max(counts) / sum(counts),
        "top1": [row["val_top1"] for row in rows],
        "mean_class": [row["val_mean_class"] for row in rows],
        "minutes": minutes,
    }


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.1%} ({', '.join(f'{value:.1%}' for value in values)})"


if __name__ == "__main__":
    main()
