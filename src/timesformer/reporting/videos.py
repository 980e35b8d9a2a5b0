"""The videos that a report shows: what the model saw of each, and where it looked."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from timesformer.config.tasks import FACTS
from timesformer.data.items import Item
from timesformer.model import relevance
from timesformer.pictures.heat import overlay
from timesformer.pictures.report.values import Frames, Video
from timesformer.pictures.strips import Pixels
from timesformer.reporting import data
from timesformer.training.run.validated import Validated
from timesformer.video import reader, views
from timesformer.video.reader import VideoError
from timesformer.weights.checkpoint import Checkpoint

FRAMES, TOP = 8, 3
"""Frames that are shown of a video, and scores."""
SIDE = 160
"""Longest side of a frame in pixels."""


def shown(
    rows: Sequence[int],
    seen: Validated,
    checkpoint: Checkpoint,
    items: Mapping[str, Item],
    *,
    done: Callable[[], None] = lambda: None,
) -> tuple[Video, ...]:
    """The videos of some rows with their scores, frames and attention; ``items`` are found by their names."""
    found = []
    for row in rows:
        item = items.get(seen.keys[row])
        frames = looked_at(checkpoint, item, _asked(seen, row, checkpoint)) if item else None
        found.append(_video(row, seen, checkpoint, frames))
        done()
    return tuple(found)


def looked_at(checkpoint: Checkpoint, item: Item, output: int) -> Frames | None:
    """Frames of the middle clip of an item, and where the model looked for one of its outputs.

    None where it can't be read. Frames are what the model gets: cropped, and as large.
    """
    clip, model = checkpoint.clip, checkpoint.model
    try:
        info = reader.info(item.path)
        numbers = views.planned(info, clip, start=item.start, end=item.end)[0].tolist()
        seen = views.read_views(item.path, clip, start=item.start, end=item.end)
    except (VideoError, OSError):
        return None
    device = next(model.parameters()).device
    training, _ = model.training, model.eval()
    try:
        shares = relevance.of_class(model, seen.to(device), torch.tensor([output], device=device)).patches[0]
    finally:
        model.train(training)
    places = np.unique(np.linspace(0, len(numbers) - 1, min(FRAMES, len(numbers))).round().astype(int)).tolist()
    pixels = data.denormalised(seen[0, places], clip.mean, clip.std, bgr=clip.channels == "bgr").numpy()
    maps = shares[places].float().cpu().numpy()
    heat = overlay.strip(pixels, maps)
    times = tuple(f"{info.times[numbers[place]]:.2f} s" for place in places)
    return Frames([_small(each) for each in pixels], times, [_small(each) for each in heat])


def _asked(seen: Validated, row: int, checkpoint: Checkpoint) -> int:
    """The output that is explained: the answer, or the label or number that is furthest off."""
    if FACTS[checkpoint.task].exclusive:
        return int(seen.scores[row].argmax())
    apart = np.abs(seen.scores[row].astype(np.float64) - seen.targets[row].astype(np.float64))
    if checkpoint.target_stats:
        apart = apart / np.array([deviation for _, deviation in checkpoint.target_stats])
    return int(apart.argmax())


def _video(row: int, seen: Validated, checkpoint: Checkpoint, frames: Frames | None) -> Video:
    labels, scores, target = checkpoint.labels, seen.scores[row], seen.targets[row]
    about = labels[_asked(seen, row, checkpoint)]
    looked = f"Lower row: where it looked for “{about}”." if frames else ""
    if FACTS[checkpoint.task].numeric:
        pairs = zip(labels, scores.tolist(), np.asarray(target).tolist(), strict=True)
        lines = tuple(f"{name}: predicted {said:.4g}, true {true:.4g}" for name, said, true in pairs)
        return Video(lines[0], seen.keys[row], (), (), frames, (*lines[1:], looked))
    order = np.argsort(-scores, kind="stable")[:TOP].tolist()
    if FACTS[checkpoint.task].several:
        truth = tuple(labels[number] for number in np.flatnonzero(target))
        missed = [number for number in np.flatnonzero(target).tolist() if number not in order]
        title = f"is {', '.join(truth) or 'without labels'}"
        order += missed[:TOP]
    else:
        truth = (labels[int(target)],)
        said = int(scores.argmax())
        right = said == int(target)
        title = f"{labels[said]}: right" if right else f"is {truth[0]}, taken for {labels[said]}"
        order += [] if int(target) in order else [int(target)]
    said_ = tuple((labels[number], float(scores[number])) for number in order)
    return Video(title, seen.keys[row], said_, truth, frames, (looked,) if looked else ())


def _small(frame: Pixels) -> Pixels:
    """A frame (h, w, 3) reduced by a whole number, so that a page stays small."""
    by = max(-(-max(frame.shape[:2]) // SIDE), 1)
    if by == 1:
        return frame
    tall, wide = (side // by * by for side in frame.shape[:2])
    parts = frame[:tall, :wide].reshape(tall // by, by, wide // by, by, 3)
    small: Pixels = parts.mean(axis=(1, 3)).round().astype(np.uint8)
    return small
