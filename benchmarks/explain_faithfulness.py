"""Do the shown patches matter to the model? Methods of relevance against last-layer attention and random numbers.

    timesformer demo --out demo
    python benchmarks/explain_faithfulness.py demo/divided/best.safetensors [--clips 64] [--real WEIGHTS DATA]

On the demo's generated motions, drawn anew: where the moving shape is, is known exactly. ``--real`` adds a model of
your own and the held-out videos of its data set, where "where it moves" is what differs from the median frame.

* mass: share of the relevance inside the shape / the shape's share of the area; 1 is chance.
* points: how often the most relevant patch lies in the shape (at least half of it).
* deletion, insertion: mean probability of the predicted class while patches are replaced by the mean colour, most
  relevant first, or put back into a clip of that colour. Lower is better for deletion, higher for insertion.
* frames: rank correlation of each frame's relevance with what its loss costs (the frame before in its place).
* own half: two clips side by side, relevance of one's class: its share in the half that shows it; 0.5 is chance.

Each number is a mean over clips with a 95 % bootstrap interval. Prints tables and one JSON line.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from timesformer.data.batches.clips import ClipDataset
from timesformer.data.made import motions
from timesformer.model import relevance
from timesformer.model.transformer import TimeSformer
from timesformer.video import transforms
from timesformer.weights import checkpoint
from timesformer.weights.checkpoint import Checkpoint

Method = Callable[[TimeSformer, Tensor, Tensor], Tensor]
PARTS = 8
"""Steps of the deletion and insertion curves."""
UNSEEN = 10**9
"""Seeds of clips from here on are in no generated data set."""
METHODS: dict[str, Method] = {
    "random": lambda model, clips, _: torch.rand(_grid(model, clips), generator=torch.Generator().manual_seed(0)),
    "last attention": lambda model, clips, _: relevance.last_attention(model, clips).patches,
    "rollout": lambda model, clips, _: relevance.rollout(model, clips).patches,
    "of class": lambda model, clips, classes: relevance.of_class(model, clips, classes).patches,
}


def _grid(model: TimeSformer, clips: Tensor) -> tuple[int, int, int, int]:
    side = model.config.patch
    return clips.shape[0], clips.shape[1], clips.shape[3] // side, clips.shape[4] // side


def generated(weights: Checkpoint, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Clips (b, t, c, h, w), the share of each patch that the shape covers (b, t, rows, columns), and classes."""
    frames, (size, _) = weights.clip.frames, weights.clip.frame_size
    clips, covers, classes = [], [], []
    for number in range(count):
        label = motions.CLASSES[number % len(motions.CLASSES)]
        made = {"size": size, "frames": 2 * frames, "seed": UNSEEN + number}
        clips.append(transforms.normalise(torch.from_numpy(motions.frames(label, **made)[1::2]), weights.clip))
        covers.append(torch.from_numpy(motions.covered(label, **made)[1::2]))
        classes.append(weights.labels.index(label))
    return torch.stack(clips), F.avg_pool2d(torch.stack(covers), weights.model.config.patch), torch.tensor(classes)


def real(weights: Checkpoint, data: Path) -> tuple[Tensor, Tensor, Tensor]:
    """The same of the held-out videos of a data set; the mask is where a pixel moves away from its median."""
    videos = ClipDataset(data, split="val", clip=weights.clip, labels=weights.labels)
    clips, targets = zip(*(videos[number] for number in range(len(videos))), strict=True)
    batch = torch.stack(clips)
    away = (batch - batch.median(dim=1, keepdim=True).values).abs().mean(dim=2)
    moving = (away > 0.25 * away.amax(dim=(1, 2, 3), keepdim=True)).float()
    return batch, F.avg_pool2d(moving, weights.model.config.patch), torch.stack(targets)


def mass(found: Tensor, cover: Tensor) -> Tensor:
    inside = (found * cover).sum(dim=(1, 2, 3)) / found.sum(dim=(1, 2, 3))
    return inside / cover.mean(dim=(1, 2, 3))


def points(found: Tensor, cover: Tensor) -> Tensor:
    return (cover.flatten(1).gather(1, found.flatten(1).argmax(dim=1, keepdim=True))[:, 0] >= 0.5).float()


@torch.no_grad()
def probability(model: TimeSformer, clips: Tensor, classes: Tensor) -> Tensor:
    return model(clips).softmax(dim=-1).gather(1, classes[:, None])[:, 0]


def curves(model: TimeSformer, clips: Tensor, classes: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    """Areas under the deletion and the insertion curve of each clip: (b,) each."""
    rank = found.flatten(1).argsort(dim=1, descending=True).argsort(dim=1).view(found.shape)
    blank = clips.mean(dim=(1, 3, 4), keepdim=True).expand_as(clips)
    deleted, inserted = [], []
    for part in range(PARTS + 1):
        chosen = (rank < part * rank[0].numel() / PARTS).float()
        pixels = F.interpolate(chosen, scale_factor=model.config.patch)[:, :, None] > 0
        deleted.append(probability(model, torch.where(pixels, blank, clips), classes))
        inserted.append(probability(model, torch.where(pixels, clips, blank), classes))
    return tuple(torch.trapezoid(torch.stack(each, dim=1), dx=1 / PARTS) for each in (deleted, inserted))  # type: ignore[return-value]


def cost_of_frames(model: TimeSformer, clips: Tensor, classes: Tensor) -> Tensor:
    """What is lost of log probability with each frame replaced by the one before, the first by the second: (b, t)."""
    costs = []
    for frame in range(clips.shape[1]):
        changed = clips.clone()
        changed[:, frame] = clips[:, frame - 1 if frame else 1]
        costs.append(probability(model, clips, classes).log() - probability(model, changed, classes).log())
    return torch.stack(costs, dim=1)


def correlation(found: Tensor, costs: Tensor) -> Tensor:
    """Spearman's rank correlation of each row of two tables (b, t): (b,)."""
    one, other = (table.argsort(dim=1).argsort(dim=1).double() for table in (found, costs))
    return F.cosine_similarity(one - one.mean(dim=1, keepdim=True), other - other.mean(dim=1, keepdim=True))


def own_half(model: TimeSformer, clips: Tensor, classes: Tensor, method: Method) -> Tensor:
    """Two clips side by side; share in the half of the clip whose class is asked for, for both: (2b,)."""
    beside = torch.cat([clips, clips.roll(2, dims=0)], dim=-1)
    halves = []
    for asked, half in ((classes, 0), (classes.roll(2), 1)):
        found = method(model, beside, asked)
        halves.append(found.chunk(2, dim=-1)[half].sum(dim=(1, 2, 3)) / found.sum(dim=(1, 2, 3)))
    return torch.cat(halves)


def interval(values: Tensor) -> tuple[float, float, float]:
    """Mean and a 95 % bootstrap interval over clips."""
    drawn = np.random.default_rng(0).integers(len(values), size=(2000, len(values)))
    means = values.double().numpy()[drawn].mean(axis=1)
    return float(values.double().mean()), *(float(end) for end in np.quantile(means, (0.025, 0.975)))


def measure(
    model: TimeSformer, clips: Tensor, cover: Tensor, *, side_by_side: bool
) -> dict[str, dict[str, tuple[float, float, float]]]:
    """All measures of all methods, for the class that the model predicts."""
    with torch.no_grad():
        predicted = model(clips).argmax(dim=1)
    costs = cost_of_frames(model, clips, predicted)
    table = {}
    for name, method in METHODS.items():
        found = method(model, clips, predicted)
        deletion, insertion = curves(model, clips, predicted, found)
        row = {
            "mass": mass(found, cover),
            "points": points(found, cover),
            "deletion": deletion,
            "insertion": insertion,
            "frames": correlation(found.sum(dim=(2, 3)), costs),
        }
        if side_by_side:
            row["own half"] = own_half(model, clips, predicted, method)
        table[name] = {key: interval(values) for key, values in row.items()}
    return table


def untrained(model: TimeSformer, clips: Tensor, cover: Tensor) -> dict[str, dict[str, tuple[float, float, float]]]:
    """The mass of the same architecture before training."""
    torch.manual_seed(0)
    fresh = TimeSformer(model.config).eval()
    classes = torch.zeros(len(clips), dtype=torch.int64)
    return {name: {"mass": interval(mass(method(fresh, clips, classes), cover))} for name, method in METHODS.items()}


def show(title: str, table: dict[str, dict[str, tuple[float, float, float]]]) -> None:
    columns = list(next(iter(table.values())))
    print(f"\n{title}\n\n| method | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 1)}")
    for name, row in table.items():
        print(f"| {name} | " + " | ".join(f"{m:.2f} ({low:.2f} to {high:.2f})" for m, low, high in row.values()) + " |")


def main() -> None:
    """Measure every method on the generated motions, and on real videos if there are some."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="the checkpoint of a model of the motions")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--real", nargs=2, type=Path, metavar=("WEIGHTS", "DATA"))
    given = parser.parse_args()
    answer = {}
    lots = [("motions", given.weights, None), *([("real", *given.real)] if given.real else [])]
    for name, path, data in lots:
        weights = checkpoint.read(path)
        model = weights.model.eval().requires_grad_(False)
        clips, cover, classes = real(weights, data) if data else generated(weights, given.clips)
        right = float((model(clips).argmax(dim=1) == classes).float().mean())
        area = float(cover.mean())
        print(f"\n{name}: {len(clips)} clips, accuracy {right:.2f}, {area:.0%} of the area is shape or moves")
        most = float((cover.amax(dim=(1, 2, 3)) / cover.mean(dim=(1, 2, 3))).mean())
        print(f"All relevance on the best patch of each clip would be a mass of {most:.2f}.")
        trained, fresh = measure(model, clips, cover, side_by_side=data is None), untrained(model, clips, cover)
        show("Trained", trained)
        show("Untrained", fresh)
        answer[name] = {"clips": len(clips), "accuracy": right, "area": area, "trained": trained, "untrained": fresh}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
