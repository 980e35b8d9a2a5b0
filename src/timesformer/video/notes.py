"""Notes on frames that were replaced, may show damage, or were resized."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Given:
    """Facts of the frame returned for a number; see :class:`timesformer.video.decoder.shots.Shot`."""

    source: int
    clean: bool
    size: tuple[int, int]


def replaced_frames(given: Mapping[int, Given]) -> Iterator[str]:
    """Report frames that were replaced by others, and frames decoded between damage and the next key frame."""
    lost = [number for number, shot in given.items() if shot.source != number]
    marked = [number for number, shot in given.items() if shot.source == number and not shot.clean]
    if lost:
        instead = _ranges(sorted({given[number].source for number in lost}))
        yield f"frames {_ranges(lost)} do not decode and frames {instead} stand in for them"
    if marked:
        yield f"frames {_ranges(marked)} lie near damage and may show traces of it"


def resized_frames(given: Mapping[int, Given], size: tuple[int, int]) -> Iterator[str]:
    """Report frames of another size than the first of the video."""
    sizes: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, shot in given.items():
        if shot.size != size:
            sizes[shot.size].append(number)
    for (height, width), numbers in sizes.items():
        yield (
            f"frames {_ranges(numbers)} have {width}x{height} pixels where the video begins with {size[1]}x{size[0]}; "
            "they are put inside that size"
        )


def _ranges(numbers: Sequence[int]) -> str:
    """Return increasing numbers as text, consecutive ones as a range: "1, 4-7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)
