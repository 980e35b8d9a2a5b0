"""Peak memory of a timeline, of a short video and of a long one.

    python benchmarks/timeline_memory.py [--minutes 1 60] [--model small] [--size 1920 1080] [--fps 30] [--crops 3]

Makes H.264 videos: ten seconds are encoded once, and their packets are repeated up to the full length. A model of 8
frames of 224 px at rate 32 with divided attention and random weights (small: ViT-S, base: ViT-B, tiny: two blocks of
width 192) makes their timelines with the default windows. Each video has a process of its own; counted is its peak of
resident memory, all libraries and weights included. Prints one JSON line.
"""

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np
import torch

from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.inference.scoring import Scoring
from timesformer.inference.timeline.watching import watch
from timesformer.model.transformer import TimeSformer
from timesformer.weights.checkpoint import Checkpoint

SECONDS = 10
"""Length of what is encoded."""
MODELS = {"tiny": (192, 3, 2), "small": (384, 6, 12), "base": (768, 12, 12)}
"""Width, heads and blocks of each model."""


def encoded(size: tuple[int, int], fps: int) -> list[av.Packet]:
    """Packets of a few seconds of moving noise, in the order in which they are stored, from a key frame on."""
    width, height = size
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (height // 8 + 1, width // 8 + 33, 3), dtype=np.uint8)
    picture = np.kron(coarse, np.ones((8, 8, 1), dtype=np.uint8))
    stream = av.CodecContext.create("libx264", "w")
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.time_base, stream.options = Fraction(1, fps), {"preset": "ultrafast", "g": "50", "bf": "0"}
    packets = []
    for number in range(SECONDS * fps):
        shifted = picture[:height, number % 256 : number % 256 + width]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(shifted), format="rgb24")
        frame.pts, frame.time_base = number, stream.time_base
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def make(path: Path, *, minutes: float, size: tuple[int, int], fps: int) -> None:
    """Write a video by repeating the same packets."""
    packets = [(bytes(packet), packet.is_keyframe) for packet in encoded(size, fps)]
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, fps)
        number = 0
        while number < minutes * 60 * fps:
            for data, key in packets:
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, Fraction(1, fps)
                packet.pts = packet.dts = number
                packet.is_keyframe = key
                container.mux(packet)
                number += 1


def measure(path: Path, model: str, crops: int) -> dict[str, float]:
    """The timeline of a video, its time and its peak of memory; to be called once in a process."""
    torch.set_num_threads(max(int(os.environ.get("OMP_NUM_THREADS", "0")), 1))
    width, heads, depth = MODELS[model]
    config = ModelConfig(width=width, heads=heads, depth=depth, classes=400)
    checkpoint = Checkpoint(TimeSformer(config).eval(), ClipConfig())
    start = time.perf_counter()
    found = watch(checkpoint, path, Scoring(crops=crops))
    seconds = time.perf_counter() - start
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    return {
        "minutes": round(found.duration / 60, 2),
        "windows": len(found.spans),
        "peak_gb": round(peak / 1e9, 3),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Make each video, measure its timeline, and end in one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", nargs="+", type=float, default=[1, 60])
    parser.add_argument("--model", choices=MODELS, default="small")
    parser.add_argument("--size", nargs=2, type=int, default=[1920, 1080])
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--crops", type=int, choices=(1, 3), default=3)
    given = parser.parse_args()
    rows = []
    for minutes in given.minutes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "video.mp4"
            make(path, minutes=minutes, size=(given.size[0], given.size[1]), fps=given.fps)
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                rows.append(process.submit(measure, path, given.model, given.crops).result())
        print(rows[-1], flush=True)
    print(json.dumps({"benchmark": "timeline_memory", "torch": torch.__version__, **vars(given), "rows": rows}))


if __name__ == "__main__":
    main()
