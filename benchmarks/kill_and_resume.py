"""Kill a training at random moments, resume it each time, and compare its end with that of an undisturbed one.

    python benchmarks/kill_and_resume.py --kills 50
    python benchmarks/kill_and_resume.py --kills 10 --processes 2 --parallel fsdp

One process must end bit for bit alike (both checkpoints, and all measures but the timing), several to 1e-6. A training
that ends before it was killed often enough is compared and begun anew. Ends in one JSON line.
"""

import argparse
import json
import os
import random
import socket
import tempfile
import time
from dataclasses import dataclass, replace
from multiprocessing import get_context, set_start_method
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.training import AugmentConfig, EngineConfig, OptimConfig, TrainConfig
from timesformer.data import manifest
from timesformer.data.made import motions
from timesformer.training.loop import train
from timesformer.training.shown.display import Display

TIMING = ("clips_per_second", "waited")
# Everything that draws random numbers or keeps a state is on, and the state is saved after each step
CONFIG = TrainConfig(
    model=ModelConfig(frames=4, size=32, patch=8, width=32, depth=2, heads=2, classes=8, drop_path=0.2),
    clip=ClipConfig(frames=4, size=32, sampling="segments"),
    augment=AugmentConfig(flip=False, mixup=0.8, cutmix=1.0, colour=0.2, rand_augment=1, erase=0.2),
    optim=OptimConfig(lr=1e-3, epochs=4, batch=8, accumulate=2, clip_grad=1.0, warmup=1.0, ema=0.9),
    engine=EngineConfig(precision="fp32", workers=0, cache="off", save_minutes=0.0),
)
STEPS = 32


@dataclass(frozen=True)
class Bench:
    """The training that is killed, and how it is started."""

    data: Path
    config: TrainConfig
    processes: int

    def start(self, out: Path) -> list[BaseProcess]:
        """Begin, or go on, in processes that are forked from one that has imported torch and no more."""
        context = get_context("forkserver")
        context.set_forkserver_preload(["timesformer.training.loop"])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        started: list[BaseProcess] = []
        for rank in range(self.processes):
            started.append(context.Process(target=life, args=(self, out, rank, port)))
            started[-1].start()
        return started

    def whole(self, out: Path) -> float:
        """Run to the end undisturbed, and return how long it took."""
        begun = time.monotonic()
        processes = self.start(out)
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            raise SystemExit(f"the training in {out} failed.")
        return time.monotonic() - begun

    def killed(self, out: Path, saves: int, seconds: float) -> bool:
        """Run until killed so many seconds after so many saves; False where the training came to its end before."""
        processes = self.start(out)
        seen, before = -1, None
        while seen < saves and all(process.is_alive() for process in processes):
            now = (out / "last.pt").stat().st_mtime_ns if (out / "last.pt").exists() else 0
            seen, before = seen + (now != before), now
            time.sleep(0.001)
        if seen == saves:
            time.sleep(seconds)
        alive = any(process.is_alive() for process in processes)
        for process in processes:
            process.kill()
        for process in processes:
            process.join()
        return alive


def life(bench: Bench, out: Path, rank: int, port: int) -> None:
    """One process of one life of the training."""
    set_start_method("fork", force=True)  # for loader workers; a child has its parent's method else
    torch.set_num_threads(1)
    if bench.processes > 1:
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(bench.processes)}
        os.environ |= address | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    train(manifest.load(bench.data), bench.config, out, resume=True, display=Display(show=False))


def difference(one: Path, other: Path) -> float:
    """Largest difference of weights and measures of two runs."""
    largest = 0.0
    for name in ("best.safetensors", "final.safetensors"):
        if (one / name).read_bytes() != (other / name).read_bytes():
            first, second = load_file(one / name), load_file(other / name)
            apart = max(float((first[key] - second[key]).abs().max()) for key in first)
            largest = max(largest, apart, 1e-12)  # never 0 where bytes differ
    rows, others = ([json.loads(line) for line in (run / "metrics.jsonl").open()] for run in (one, other))
    if len(rows) != len(others):
        return float("inf")
    pairs = [(row[key], second[key]) for row, second in zip(rows, others, strict=True) for key in row.keys() - TIMING]
    return max(largest, max(abs(first - second) for first, second in pairs))


def measure(bench: Bench, kills: int, folder: Path) -> dict[str, Any]:
    """Kill until it is enough, compare every training that came to its end, and count."""
    draw = random.Random(0)
    duration = bench.whole(folder / "whole")
    startup = bench.whole(folder / "whole")
    step = (duration - startup) / STEPS
    writing, done, ends = 0, 0, [0.0]
    run = folder / "run0"
    while done < kills:
        saves = draw.randrange(4)
        # Before the first save of a life also while it starts
        if bench.killed(run, saves, draw.uniform(0, startup if saves == 0 else 2 * step)):
            done += 1
            writing += any(run.glob(".*.part"))
            print(f"killed {done} times", end="\r", flush=True)
        else:
            ends.append(difference(run, folder / "whole"))
            run = folder / f"run{len(ends)}"
    bench.whole(run)
    ends.append(difference(run, folder / "whole"))
    return {"kills": done, "while_writing": writing, "trainings": len(ends) - 1, "largest_difference": max(ends)}


def main() -> None:
    """Make the data, kill, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--parallel", choices=("ddp", "fsdp"), default="ddp")
    parser.add_argument("--workers", type=int, default=0)
    given = vars(parser.parse_args())
    engine = replace(CONFIG.engine, parallel=given["parallel"], workers=given["workers"])
    with tempfile.TemporaryDirectory() as folder:
        motions.generate(Path(folder, "data"), train=64, val=8, test=0, size=32, frames=8)
        bench = Bench(Path(folder, "data"), replace(CONFIG, engine=engine), given["processes"])
        result = measure(bench, given["kills"], Path(folder))
    allowed = 0.0 if given["processes"] == 1 else 1e-6
    print(json.dumps({"benchmark": "kill_and_resume", **given, **result}))
    if result["largest_difference"] > allowed:
        raise SystemExit(f"the trainings differ by {result['largest_difference']:.3g}, more than {allowed:g}.")


if __name__ == "__main__":
    main()
