"""`timesformer scan`, `prepare` and `demo`."""

from pathlib import Path

import tyro


def demo(*, out: Path = Path("demo")) -> int:
    """Generate videos, train, evaluate, predict, and write a report: the main job in a few minutes.

    Args:
        out: Folder for the videos, the runs and report.html.
    """
    from timesformer.demo import run

    result = run(out)
    print(f"report: {result.report}")
    return 0


def scan(data: tyro.conf.Positional[Path]) -> int:
    """Find what is wrong with the videos of a data set before training does.

    Args:
        data: A folder or list of videos.
    """
    raise NotImplementedError


def prepare(
    data: tyro.conf.Positional[Path], out: tyro.conf.Positional[Path], *, short_side: int = 256, key_frames: int = 12
) -> int:
    """Re-encode a data set once, so that training reads it faster.

    Args:
        data: A folder or list of videos.
        out: Folder to write to.
        short_side: Short side in pixels; smaller videos keep theirs.
        key_frames: Frames from one key frame to the next.
    """
    raise NotImplementedError
