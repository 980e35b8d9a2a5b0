"""What preparing a data set gains: random training clips a second from 720p sources with rare key frames, and prepared.

    python benchmarks/prepare_gain.py [--videos 8] [--rounds 4] [--workers 0]

Makes its own sources (10 s at 30 frames a second, a key frame every 250), prepares them with the default settings, and
draws clips of 8 frames at rate 32, resized to 224 on the short side, from both. The last line is JSON.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from timesformer.config.model import ClipConfig
from timesformer.data.care.prepare import prepare
from timesformer.data.manifest import load
from timesformer.video import reader, sampling, transforms, writer

SIZE, FRAMES, FPS, KEY_DISTANCE = (720, 1280), 300, 30.0, 250
CLIP = ClipConfig()


class Clips(Dataset[Tensor]):
    """Random clips of some videos, a new one each time."""

    def __init__(self, paths: list[Path], rounds: int) -> None:
        self.paths, self.rounds = paths, rounds

    def __len__(self) -> int:
        return len(self.paths) * self.rounds

    def __getitem__(self, place: int) -> Tensor:
        path = self.paths[place % len(self.paths)]
        info = reader.info(path)
        generator = torch.Generator().manual_seed(place)
        numbers = sampling.training(info.frames, info.fps, CLIP, generator=generator)
        return transforms.resize_short(reader.read(path, numbers), CLIP.size)


def film(path: Path, seed: int) -> None:
    """Write a source: a textured picture that a camera pans over, with grain, so that it is as hard as real video."""
    draw = np.random.default_rng(seed)
    height, width = SIZE
    coarse = torch.from_numpy(draw.uniform(0, 255, (1, 3, 40, 80)).astype(np.float32))
    wall = torch.nn.functional.interpolate(coarse, (height + 160, width + 320), mode="bicubic").clamp(0, 255)[0]
    grain = torch.from_numpy(draw.normal(0, 3, (4, 3, height, width)).astype(np.float32))

    def part(number: int) -> Tensor:
        y, x = int(80 + 70 * np.sin(number / 40)), int(160 + 150 * np.cos(number / 60))
        frame = wall[:, y : y + height, x : x + width] + grain[number % 4]
        return frame.clamp(0, 255).byte()[None]

    path.parent.mkdir(parents=True, exist_ok=True)
    times = [number / FPS for number in range(FRAMES)]
    options = {"preset": "veryfast", "crf": "23", "g": str(KEY_DISTANCE), "sc_threshold": "0"}
    writer.write(path, map(part, range(FRAMES)), times=times, fps=FPS, options=options)


def rate(paths: list[Path], *, rounds: int, workers: int) -> float:
    """Clips a second."""
    loader = DataLoader(Clips(paths, rounds), batch_size=None, num_workers=workers)
    start = time.perf_counter()
    count = sum(1 for _ in loader)
    return count / (time.perf_counter() - start)


def main() -> None:
    """Make, prepare, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        sources, out = Path(folder) / "sources", Path(folder) / "prepared"
        for number in range(options.videos):
            film(sources / "val" / "ab"[number % 2] / f"{number}.mp4", number)
        start = time.perf_counter()
        prepare(load(sources), out)
        spent = time.perf_counter() - start
        before, after = sorted(sources.rglob("*.mp4")), sorted(out.rglob("*.mp4"))
        rates = [rate(paths, rounds=options.rounds, workers=options.workers) for paths in (before, after)]
        sizes = [sum(path.stat().st_size for path in paths) for paths in (before, after)]
    result = {
        "benchmark": "prepare_gain",
        "clips_per_second_before": round(rates[0], 2),
        "clips_per_second_after": round(rates[1], 2),
        "gain": round(rates[1] / rates[0], 1),
        "megabytes_before": round(sizes[0] / 1e6, 1),
        "megabytes_after": round(sizes[1] / 1e6, 1),
        "seconds_to_prepare_a_video": round(spent / options.videos, 2),
        "workers": options.workers,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
