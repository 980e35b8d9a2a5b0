"""What a random clip of a large video costs, among more videos than memory holds indices of.

One video is made (and hard-linked under many names), every name is indexed once, and then clips of 8 frames are read as
a training does, in a process that knows only what lies on disk. The last line is JSON: milliseconds and megabytes read
for a clip with indices kept and with none, and microseconds of ``info()`` for a video of three hours.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np

from timesformer.video import reader
from timesformer.video.decoder import index, indexstore

HOURS = 324_000
"""Frames of three hours at 30 a second."""


def write(path: Path, *, seconds: int) -> Path:
    """Write noise at 30 frames a second that is hard to encode, with a key frame each second."""
    generator = np.random.default_rng(0)
    grain = generator.integers(0, 255, (256, 256, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast", "crf": "30", "g": "30"})
        stream.width, stream.height, stream.pix_fmt = 256, 256, "yuv420p"
        for number in range(30 * seconds):
            picture = np.roll(grain, (3 * number, number), (0, 1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def bytes_read() -> int:
    """Bytes that this process has read so far, from disk or the system's memory of it."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("rchar")).split()[1])


def cost(files: Sequence[Path], before: Callable[[], None]) -> tuple[float, float]:
    """Median milliseconds and megabytes of one clip of 8 frames out of 16, from each file once."""
    generator, times, sizes = random.Random(0), [], []
    for file in generator.sample(files, len(files)):
        before()
        start, size = time.perf_counter(), bytes_read()
        first = generator.randrange(reader.info(file).frames - 60)
        reader.read_noted(file, range(first, first + 16, 2), short_side=128)
        times.append(1000 * (time.perf_counter() - start))
        sizes.append((bytes_read() - size) / 1e6)
    return round(statistics.median(times), 2), round(statistics.median(sizes), 3)


def three_hours(folder: Path) -> float:
    """Median microseconds of ``info()`` of a video of three hours whose index lies in memory."""
    path = folder / "long.mp4"
    path.touch()
    ticks = np.arange(HOURS, dtype=np.int64) * 512
    status = path.stat()
    table = index.Index(path, "h264", 30.0, (1080, 1920), HOURS, tick=1 / 15360, pts=ticks, starts=ticks // 128_000)
    indexstore.keep(table, (status.st_mtime_ns, status.st_size, 0))
    times = []
    for _ in range(50):
        start = time.perf_counter()
        assert reader.info(path).frames == HOURS
        times.append(1e6 * (time.perf_counter() - start))
    return round(statistics.median(times), 1)


def forget() -> None:
    """Drop the indices that lie in memory, as in a new process."""
    indexstore._whole, indexstore._compact = indexstore._Held(), indexstore._Held()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=60)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["TIMESFORMER_CACHE"] = str(folder / "cache")
        made = write(folder / "made.mp4", seconds=arguments.seconds)
        files = [folder / f"{number}.mp4" for number in range(arguments.files)]
        for file in files:
            os.link(made, file)
            reader.info(file)
        kept = sum(each.stat().st_size for each in (folder / "cache").rglob("*") if each.is_file())
        warm = cost(files, before=lambda: None)
        on_disk = cost(files, before=forget)
        os.environ["TIMESFORMER_CACHE"] = ""
        none = cost(files[: min(len(files), 50)], before=forget)
        facts = {
            "files": arguments.files,
            "megabytes_a_file": round(made.stat().st_size / 1e6, 1),
            "index_bytes_a_file": kept // arguments.files,
            "clip_ms_index_in_memory": warm[0],
            "clip_mb_index_in_memory": warm[1],
            "clip_ms_index_on_disk": on_disk[0],
            "clip_mb_index_on_disk": on_disk[1],
            "clip_ms_no_index": none[0],
            "clip_mb_no_index": none[1],
            "info_us_three_hours": three_hours(folder),
        }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
