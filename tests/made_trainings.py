"""Tiny data sets and trainings for tests: a few generated videos, a model of width 16, seconds of work."""

import faulthandler
import io
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing import get_context, set_start_method
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from tests import made_videos, needs
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.training import AugmentConfig, EngineConfig, OptimConfig, TrainConfig
from timesformer.data import manifest
from timesformer.data.items import Item
from timesformer.data.manifest import Manifest
from timesformer.training.loop import train
from timesformer.training.outcome import Outcome
from timesformer.training.run.epochs import EpochRow
from timesformer.training.shown.display import Display

SECTIONS = ("model", "clip", "augment", "optim", "engine")
TIMING = ("clips_per_second", "waited")


def videos(folder: Path, *, train: int = 12, val: int = 3, classes: Sequence[str] = ("dark", "light")) -> Path:
    """Write videos of grey noise around a level for each class, 6 frames of 24 px, and return the folder."""
    for split, count in (("train", train), ("val", val)):
        for number in range(count):
            label = number % len(classes)
            path = folder / split / classes[label] / f"{number:02}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng((number, split == "val")).integers(0, 60, (6, 24, 24, 3), dtype=np.uint8)
            made_videos.encode(
                path, noise + np.uint8(150 * label // max(len(classes) - 1, 1)), np.arange(6) / 10, fps=10
            )
    return folder


def table(folder: Path) -> Manifest:
    """The data set in a folder, made there first if it isn't yet."""
    return manifest.load(folder if folder.exists() else videos(folder))


def config(**changes: Any) -> TrainConfig:
    """A tiny training of three epochs of three steps, in two blocks; ``optim=dict(lr=1)`` changes single settings."""
    base = TrainConfig(
        model=ModelConfig(
            frames=2, size=16, patch=8, width=16, depth=2, heads=2, classes=2, weight_init="scratch", drop_path=0
        ),
        clip=ClipConfig(frames=2, size=16, sampling="segments"),
        augment=AugmentConfig(),
        optim=OptimConfig(lr=5e-3, epochs=3, batch=4),
        engine=EngineConfig(precision="fp32", workers=0, cache="off", save_minutes=60),
    )
    sections = {name: replace(getattr(base, name), **changes.pop(name, {})) for name in SECTIONS}
    return replace(base, **sections, **changes)


def everything(**changes: Any) -> TrainConfig:
    """A tiny training with everything on that draws random numbers or keeps a state."""
    whole: dict[str, dict[str, Any]] = {
        "model": {"drop_path": 0.3},
        "augment": {"mixup": 0.8, "cutmix": 1.0, "colour": 0.4, "rand_augment": 1, "erase": 0.5},
        "optim": {"ema": 0.9, "accumulate": 2, "clip_grad": 1.0, "repeats": 2, "warmup": 1.0, "label_smoothing": 0.1},
        "engine": {"save_minutes": 1e-9},
    }
    return config(**{name: whole.get(name, {}) | changes.get(name, {}) for name in SECTIONS})


def results(run: Path) -> dict[str, Any]:
    """All of a run that must not depend on when it was stopped: bytes of its checkpoints, and its measures."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    kept = [{name: value for name, value in row.items() if name not in TIMING} for row in rows]
    return {"rows": kept} | {name: (run / f"{name}.safetensors").read_bytes() for name in ("best", "final")}


def relabelled(data: Manifest, labels: dict[str, Any], task: Any) -> Manifest:
    """A table for another task: each class name replaced by what it stands for."""
    items = tuple(replace(item, label=labels[str(item.label)]) for item in data.items)
    return Manifest(data.source, items, data.labels, task)


def break_video(item: Item) -> None:
    """Make a video unreadable."""
    item.path.write_bytes(b"not a video")


Moment = tuple[str, int]
"""A kind of event and its number: ("step", 4), ("epoch", 1), ("validating", 2), ("decoding", 3)."""


def row(
    *, best: bool = False, epoch: int = 1, train_loss: float = 0.5, waited: float = 0.0, **measures: float
) -> EpochRow:
    """The row of an epoch with these measures of its validation videos."""
    return EpochRow(
        epoch=epoch,
        step=epoch,
        lr=1e-3,
        clips_per_second=1.0,
        waited=waited,
        train_loss=train_loss,
        broken=0,
        damaged=0,
        validation=measures,
        best=best,
    )


class Watcher(Display):
    """A display that remembers what it is told, and does things at given moments."""

    def __init__(self, moments: dict[Moment, Callable[[], None]] | None = None) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.moments = moments or {}
        self.said: list[str] = []
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.counts = {"decoding": 0, "validating": 0}

    def say(self, text: str, style: str = "") -> None:
        """Remember a line."""
        self.said.append(text)

    def step(self, *, done: int, loss: float, lr: float, clips_per_second: float) -> None:
        """Remember a step."""
        self.losses.append(loss)
        self.rates.append(lr)
        self._at("step", done)

    def advance(self) -> None:
        """Count a decoded video."""
        self.counts["decoding"] += 1
        self._at("decoding", self.counts["decoding"])

    def reach(self, done: int) -> None:
        """Count a look at validation videos."""
        self.counts["validating"] += 1
        self._at("validating", self.counts["validating"])

    def epoch(self, row: EpochRow, epochs: int) -> None:
        """Note the end of an epoch."""
        self._at("epoch", row.epoch)

    def _at(self, kind: str, number: int) -> None:
        if action := self.moments.get((kind, number)):
            action()


def run(data: Manifest, settings: TrainConfig, out: Path, *, resume: bool = False, **moments: Any) -> Outcome:
    """Train in silence."""
    return train(data, settings, out, resume=resume, display=Watcher(**moments))


def signalled(number: signal.Signals) -> Callable[[], None]:
    """Something that sends this process a signal."""
    needs.posix()
    return lambda: os.kill(os.getpid(), number)


class Obstacle:
    """Something in the way of a file, so that it can't be written, until it is taken away."""

    def __init__(self, path: Path) -> None:
        self.path, self.aside = path, path.with_name("aside")

    def put(self) -> None:
        """Put it there; what the file held is kept."""
        if self.path.exists():
            self.path.rename(self.aside)
        self.path.mkdir()

    def take(self) -> None:
        """Take it away."""
        self.path.rmdir()
        if self.aside.exists():
            self.aside.rename(self.path)


def started(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """A process of its own that runs a function of a module, forked from one that has imported torch and no more."""
    needs.posix()
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.made_trainings"])
    process = context.Process(target=_alone, args=(target, arguments))
    process.start()
    return process


def _alone(target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    set_start_method("fork", force=True)  # for loader workers; a child has its parent's method else
    torch.set_num_threads(1)
    faulthandler.dump_traceback_later(200)
    target(*arguments)
    faulthandler.cancel_dump_traceback_later()


def train_in_process(folder: Path, settings: TrainConfig, out: Path, die: Moment | str | None = None) -> None:
    """Resume a training, and kill the process at a moment, or when it has begun to write a file."""
    if isinstance(die, str):
        threading.Thread(target=_die_at_file, args=(out, die), daemon=True).start()
        die = None
    run(manifest.load(folder), settings, out, resume=True, moments={die: signalled(signal.SIGKILL)} if die else {})


def _die_at_file(out: Path, pattern: str) -> None:
    while not any(out.glob(pattern)):
        time.sleep(0.0002)
    os.kill(os.getpid(), signal.SIGKILL)


def together(target: Callable[..., None], count: int, *arguments: Any, seconds: float = 250) -> None:
    """Run a function in several processes that ``torch.distributed`` can join, and expect all to end well."""
    needs.posix()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [started(_as_rank, rank, count, port, target, arguments) for rank in range(count)]
    for process in processes:
        process.join(seconds)
        if process.is_alive():
            process.kill()
    assert [process.exitcode for process in processes] == [0] * count


def _as_rank(rank: int, count: int, port: int, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    target(*arguments)


def train_as_rank(
    folder: Path, settings: TrainConfig, out: Path, moments: dict[int, dict[Moment, signal.Signals]]
) -> None:
    """Go on with a training as one of several processes, which get signals at moments of their own, by rank."""
    mine = moments.get(int(os.environ["RANK"]), {})
    run(manifest.load(folder), settings, out, resume=True, moments={at: signalled(name) for at, name in mine.items()})
