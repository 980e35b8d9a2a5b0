"""The generator from views of videos to what a model computes of each video; every use of a model goes through it.

Parts of bounded size come in, and a video's outputs go out as soon as its last view is computed. So memory grows
neither with the length of a video nor with their number.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from timesformer.inference.parts import Part
from timesformer.machine import Precision, autocast_type


@dataclass(frozen=True)
class Answer:
    """What came of one video."""

    number: int
    """Its number in the list of items."""
    outputs: Tensor
    """What was computed of each view, (views, ...), float32 on the CPU; empty where the video could not be read."""
    failed: str = ""
    """Why it could not be read; empty where it could."""
    notes: tuple[str, ...] = ()
    """What of it does not decode, each once."""
    remarks: tuple[str, ...] = ()
    """What was chosen of its file, where nothing is wrong with it."""
    times: NDArray[np.float64] | None = None
    """Presentation time of each frame of each clip in seconds, (clips, t), for a video that was read from a file."""


def answers(parts: Iterable[Part], compute: Callable[[Tensor], Tensor]) -> Iterator[Answer]:
    """What ``compute`` makes of each video's views, (v, t, c, h, w) -> (v, ...), in the order in which videos end.

    Of a video that has not ended, the outputs are held, not its views.
    """
    computed: dict[int, list[Tensor]] = {}
    notes: dict[int, dict[str, None]] = {}
    remarks: dict[int, dict[str, None]] = {}
    times: dict[int, NDArray[np.float64]] = {}

    def answer(number: int, failed: str = "") -> Answer:
        given = computed.pop(number, [])
        said, chosen = notes.pop(number, {}), remarks.pop(number, {})
        outputs = torch.empty(0) if failed else torch.cat(given)
        return Answer(number, outputs, failed, tuple(said), tuple(chosen), times.pop(number, None))

    for part in parts:
        if part.numbers:
            each = compute(part.views).split(list(part.counts))
            for number, some in zip(part.numbers, each, strict=True):
                computed.setdefault(number, []).append(some)
        times |= part.times
        for held, new in ((notes, part.notes), (remarks, part.remarks)):
            for number, sentences in new.items():
                held.setdefault(number, {}).update(dict.fromkeys(sentences))
        for number in part.ended:
            yield answer(number)
        for number, reason in part.failed.items():
            yield answer(number, reason)


def forward(
    model: nn.Module,
    clips: Tensor,
    *,
    batch: int,
    precision: Precision = None,
    compute: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Logits of normalised clips, ``batch`` at a time on the device of the model: (v, t, c, h, w) -> (v, classes).

    ``compute`` is another function of the model, such as its ``features``. Nothing is kept for gradients; the result
    is float32 on the CPU.
    """
    device, kind = next(model.parameters()).device, autocast_type(precision)
    compute = compute or model
    with torch.no_grad(), torch.autocast(device.type, dtype=kind, enabled=kind is not None):
        parts = [compute(part.to(device, non_blocking=True)).float() for part in clips.split(batch)]
    return torch.cat(parts).cpu()
