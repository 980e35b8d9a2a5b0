"""Time of an epoch whose lower blocks are frozen: computed in every step, or once for fixed versions of the clips.

    python benchmarks/frozen_cache.py [--rounds 2] [--clips 64] [--frozen 8] [--versions 1]

ViT-S/14 with divided attention, 8 frames of 112 px, batches of 8 clips, frames decoded before. Both ways train from the
same weights, one epoch each by turns, so a busy machine slows both; their losses must be equal. Beside the seconds
stand those of the processor, and what it took to compute the frozen blocks once. Ends in one JSON line.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.training import AugmentConfig, EngineConfig, OptimConfig, TrainConfig
from timesformer.data import manifest
from timesformer.data.batches.cache import decode_all
from timesformer.data.batches.dataset import TrainingClips
from timesformer.data.made import motions
from timesformer.data.manifest import Manifest
from timesformer.training.engine import processes
from timesformer.training.frozensupply import supply
from timesformer.training.run.runfolder import RunFolder
from timesformer.training.session import begin
from timesformer.training.shown.display import Display
from timesformer.training.step import step


def settings(data: Manifest, *, frozen: int, versions: int, cached: bool) -> TrainConfig:
    """The training of both ways."""
    shape = {"frames": 8, "size": 112}
    return TrainConfig(
        model=ModelConfig(**shape, patch=14, width=384, heads=6, drop_path=0.0, classes=len(data.labels)),
        clip=ClipConfig(**shape, sampling="segments"),
        augment=AugmentConfig(versions=versions),
        optim=OptimConfig(batch=8, epochs=1000, lr=1e-4),
        engine=EngineConfig(precision="fp32", workers=0, cache="on", frozen_cache=cached),
        frozen_blocks=frozen,
    )


class Way:
    """One of the two trainings."""

    def __init__(self, data: Manifest, config: TrainConfig, out: Path) -> None:
        display = Display(show=False)
        items = data.of("train")
        with processes.joined(config.engine) as world:
            self.session, _ = begin(data, config, world=world, run=RunFolder(out), display=display, resume=False)
        clips = TrainingClips(data, items, config, cache=decode_all(items, config))
        began = time.perf_counter(), time.process_time()
        self.batches = supply(self.session, clips, start=0, caught=[])
        self.filling = time.perf_counter() - began[0], time.process_time() - began[1]
        self.steps = 0
        self.epochs: list[tuple[float, float]] = []
        """Seconds, and seconds of the processor, of each epoch."""

    def epoch(self) -> list[float]:
        """Train an epoch, and return the loss of each step."""
        began = time.perf_counter(), time.process_time()
        losses = []
        for clips in self.batches.plan:
            losses.append(step(self.session, next(self.batches), expected=clips, number=self.steps))
            self.steps += 1
        self.epochs.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        return losses


def main() -> None:
    """Train both ways by turns and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rounds", 2), ("clips", 64), ("frozen", 8), ("versions", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        motions.generate(out / "data", train=given.clips, val=8, test=0, size=128, frames=8)
        data = manifest.load(out / "data")
        ways = []
        for cached in (True, False):
            config = settings(data, frozen=given.frozen, versions=given.versions, cached=cached)
            (out / str(cached)).mkdir()
            ways.append(Way(data, config, out / str(cached)))
        once, every = ways
        equal = True
        for number in range(given.rounds):
            equal &= once.epoch() == every.epoch()
            (short, _), (long, _) = once.epochs[-1], every.epochs[-1]
            print(f"epoch {number + 1}: kept {short:6.1f} s   in every step {long:6.1f} s   ratio {long / short:.2f}")
    ratios = [long[0] / short[0] for short, long in zip(once.epochs, every.epochs, strict=True)]
    row: dict[str, str | float] = {
        "benchmark": "frozen_cache",
        "clips": given.clips,
        "frozen_blocks": given.frozen,
        "versions": given.versions,
        "equal_losses": equal,
    }
    for name, way in (("kept", once), ("every_step", every)):
        row[f"{name}_s"] = round(statistics.median(wall for wall, _ in way.epochs), 2)
        row[f"{name}_cpu_s"] = round(statistics.median(cpu for _, cpu in way.epochs), 2)
    row["ratio"] = round(statistics.median(ratios), 2)
    row["filling_s"], row["filling_cpu_s"] = (round(value, 2) for value in once.filling)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
