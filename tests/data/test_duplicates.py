"""Look-alikes are the same whether all clips are compared or, in a crowd, the likely ones."""

import numpy as np

from timesformer.data.care.duplicates import alike
from timesformer.data.care.groups import Groups
from timesformer.data.care.signature import MOMENTS, SIDE, Signature

BACKGROUND = np.random.default_rng(0).integers(40, 200, (SIDE, SIDE))


def clip(seed: int, *, noise: float = 0.0) -> Signature:
    """Blobs that wander before one background; equal seeds but other noise are copies."""
    draw, grain = np.random.default_rng(seed), np.random.default_rng(seed + 10_000)
    y, x = np.mgrid[:SIDE, :SIDE]
    pictures = np.repeat(BACKGROUND[None], MOMENTS, axis=0).astype(float)
    for speed, height, phase, sign in draw.uniform(-3, 3, (3, 4)):
        for moment, picture in enumerate(pictures):
            time = moment / MOMENTS * speed * 2 + phase
            far = (x - 8 - 7 * np.sin(time)) ** 2 + (y - 8 - 7 * np.cos(time * height)) ** 2
            picture += np.sign(sign) * 60 * np.exp(-far / 6)
    pictures += grain.normal(0, 1, pictures.shape) * noise
    return Signature(pictures.clip(0, 255).round().astype(np.uint8), 2.0)


def test_copies_in_a_crowd_are_found_as_outside_of_one() -> None:
    clips = [*(clip(seed) for seed in range(60)), *(clip(seed, noise=2) for seed in range(12))]
    all_compared = alike(clips)
    assert set(all_compared) >= {(seed, 60 + seed) for seed in range(12)}
    assert alike(clips, crowd=5) == all_compared


def test_a_crowd_of_copies_that_differ_by_noise_is_one_group() -> None:
    base = clip(1).pictures.astype(int)
    grain = np.random.default_rng(1)
    copies = [
        Signature((base + grain.integers(-1, 2, base.shape)).clip(0, 255).astype(np.uint8), 2.0) for _ in range(150)
    ]
    seen: list[tuple[int, int]] = []
    groups = Groups(len(copies))
    for first, second in alike(copies, progress=lambda done, total: seen.append((done, total)), crowd=20):
        groups.join(first, second)
    assert list(groups.all()) == [list(range(150))]
    assert seen[-1] == (150, 150)


def test_clips_of_one_file_are_not_compared_with_each_other() -> None:
    same = [clip(1), clip(1, noise=1), clip(1, noise=2)]
    assert alike(same, files=["a", "a", "b"]) == [(0, 2), (1, 2)]
