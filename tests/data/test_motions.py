"""The generated motions: what a viewer sees, what a single frame can't tell, and the files."""

import math
from pathlib import Path

import av
import numpy as np
import pytest

from timesformer import machine
from timesformer.config.checks import ConfigError
from timesformer.data.made import motions, scenes
from timesformer.data.made.motions import CLASSES, MOTIONS, PATHS, draw_paths, generate
from timesformer.data.made.scenes import Floats, Pixels

PAIRS = [("left", "right"), ("up", "down"), ("clockwise", "counter_clockwise"), ("grow", "shrink")]


def draw(label: str, *, size: int = 48, frames: int = 6, seed: int = 0) -> Pixels:
    return motions.frames(label, size=size, frames=frames, seed=seed)


def paint(paths: Floats, *, seed: int, size: int = 64) -> Floats:
    """An object on a black background: (t, c, h, w)."""
    clip = np.zeros((paths.shape[1], 3, size, size), dtype=np.float32)
    scenes.paint_object(clip, np.random.default_rng(seed), paths=paths, ground=np.zeros(3))
    return clip


def decode(path: Path) -> Pixels:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.mp4"))}


def small_set(folder: Path, *, train: int = 16, seed: int = 0) -> list[int]:
    reports: list[int] = []
    generate(folder, train=train, val=8, test=8, size=32, frames=4, seed=seed, progress=reports.append)
    return reports


@pytest.mark.parametrize(("one", "other"), PAIRS)
@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_a_clip_played_backwards_is_the_clip_of_the_opposite_class(one: str, other: str, seed: int) -> None:
    forwards, backwards = draw(one, seed=seed), draw(other, seed=seed)
    np.testing.assert_array_equal(forwards[::-1], backwards)
    assert not np.array_equal(forwards, backwards)


def test_clips_are_uint8_rgb_of_the_asked_size_and_depend_on_the_seed_only() -> None:
    clip = draw("grow", size=40, frames=5, seed=3)
    assert (clip.shape, clip.dtype) == ((5, 3, 40, 40), np.uint8)
    np.testing.assert_array_equal(clip, draw("grow", size=40, frames=5, seed=3))
    assert not np.array_equal(clip, draw("grow", size=40, frames=5, seed=4))


@pytest.mark.parametrize("label", CLASSES)
def test_the_covered_pixels_are_those_of_the_shape_in_each_frame(label: str) -> None:
    for seed in range(4):
        clip = draw(label, size=64, seed=seed)
        cover = motions.covered(label, size=64, frames=6, seed=seed)
        assert cover.shape == (6, 64, 64)
        assert 0 == cover.min() < cover.max() == 1
        saturation = np.ptp(clip.astype(float), axis=1)  # the shape is bright and saturated, its mark nearly white
        light = clip.mean(axis=1, dtype=float)
        for frame in range(6):
            inside, outside = cover[frame] == 1, cover[frame] == 0
            stands_out = np.maximum(saturation[frame], light[frame])
            assert np.quantile(stands_out[inside], 0.02) > np.quantile(stands_out[outside], 0.98)


@pytest.mark.parametrize("label", CLASSES)
def test_only_what_the_class_names_changes_and_by_as_much_as_promised(label: str) -> None:
    moving, _ = MOTIONS[label]
    low, high, shortest, longest = PATHS[moving]
    for seed in range(50):
        paths = draw_paths(np.random.default_rng(seed), moving, 16).astype(np.float64)
        np.testing.assert_array_equal(np.ptp(np.delete(paths, moving, axis=0), axis=1), 0)
        path = np.log(paths[moving]) if moving == 3 else paths[moving]
        steps = np.diff(path)
        np.testing.assert_allclose(steps, steps[0], rtol=1e-3)
        assert shortest - 1e-3 <= path[-1] - path[0] <= longest + 1e-3
        assert low - 1e-3 <= path[0] < path[-1] <= high + 1e-3


@pytest.mark.parametrize("label", ["right", "down", "grow"])
def test_a_viewer_sees_the_object_go_where_the_class_says(label: str) -> None:
    for seed in range(20):
        paths = draw_paths(np.random.default_rng(seed), MOTIONS[label][0], 8)
        if label != "grow":
            paths[3] = 0.15  # small enough to stay within the frame, so that its centre of mass is its own
        seen = np.abs(paint(paths, seed=seed)).max(axis=1) > 0.02
        area = seen.sum(axis=(1, 2))
        x = (seen.sum(axis=1) * np.arange(64)).sum(axis=1) / area
        y = (seen.sum(axis=2) * np.arange(64)).sum(axis=1) / area
        change = {"right": np.diff(x), "down": np.diff(y), "grow": np.diff(area)}
        assert (change[label] > 0).all()
        if label != "grow":
            assert np.abs(np.diff(change[label])).max() < 1.1, "the speed is constant but for whole pixels"


def test_a_quarter_turn_looks_like_the_frame_turned_clockwise_whatever_the_shape() -> None:
    for seed in range(40):
        still = np.full(2, 0.5)
        paths = np.stack([still, still, np.array([0.3, 0.3 + math.pi / 2]), np.full(2, 0.2)]).astype(np.float32)
        before, after = paint(paths, seed=seed)
        np.testing.assert_allclose(np.rot90(before, -1, axes=(1, 2)), after, atol=1e-3)
        assert np.abs(after - before).max() > 0.2, "the turn shows"


def test_a_frame_taken_at_random_has_the_same_geometry_whatever_moves() -> None:
    rng = np.random.default_rng(0)
    geometry = np.array(
        [[draw_paths(rng, moving, 16)[:, rng.integers(16)] for _ in range(2500)] for moving in range(4)]
    )
    quantiles = np.quantile(geometry, [0.05, 0.25, 0.5, 0.75, 0.95], axis=1)  # (quantile, moving, row)
    deviation = geometry.std(axis=(0, 1))
    assert (np.ptp(quantiles, axis=1) / deviation).max() < 0.2
    correlation = np.array([np.corrcoef(one.T) for one in geometry])
    assert np.abs(correlation - np.eye(4)).max() < 0.08


def test_backgrounds_move_as_often_one_way_as_the_other_and_some_stand_still() -> None:
    rng = np.random.default_rng(0)
    clips = [scenes.background(rng, np.full(3, 0.5), frames=2, size=16) for _ in range(200)]
    still = np.mean([np.allclose(first, last) for first, last in clips])
    assert 0.12 < still < 0.4


def test_a_clip_drawn_larger_is_the_same_picture_with_more_pixels() -> None:
    for seed in range(8):
        small = draw("right", size=64, seed=seed).astype(np.float64)
        large = draw("right", size=128, seed=seed).astype(np.float64)
        halved = large.reshape(6, 3, 64, 2, 64, 2).mean(axis=(3, 5))
        assert np.abs(halved - small).mean() < 1.5


def test_the_object_stands_out_from_the_background() -> None:
    for seed in range(50):
        clip = draw("left", seed=seed, frames=2).astype(np.float64)
        assert np.abs(clip[1] - clip[0]).max() > 40


def test_a_set_is_balanced_and_its_files_show_the_clips(tmp_path: Path) -> None:
    assert small_set(tmp_path) == list(range(1, 33))
    names = list(files(tmp_path))
    for split, count in {"train": 2, "val": 1, "test": 1}.items():
        for label in CLASSES:
            expected = [f"{split}/{label}/{label}_{number:05d}.mp4" for number in range(count)]
            assert [name for name in names if name.startswith(f"{split}/{label}/")] == expected
    with av.open(str(tmp_path / names[0])) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.average_rate, stream.frames) == (15, 4)
    for path, seed in motions._plan(tmp_path, {"train": 16, "val": 8, "test": 8}, 0).items():
        clip = motions.frames(path.parent.name, size=32, frames=4, seed=seed).transpose(0, 2, 3, 1)
        assert np.abs(decode(path).astype(np.float64) - clip).mean() < 12


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_files_of_opposite_classes_decode_to_exactly_the_same_frames_in_reverse(
    tmp_path: Path, one: str, other: str
) -> None:
    small_set(tmp_path)
    for number in range(2):
        forwards = decode(tmp_path / "train" / one / f"{one}_{number:05d}.mp4")
        backwards = decode(tmp_path / "train" / other / f"{other}_{number:05d}.mp4")
        np.testing.assert_array_equal(forwards[::-1], backwards)


def test_splits_and_seeds_share_no_scene() -> None:
    counts = {"train": 80, "val": 80, "test": 80}
    seeds = [list(motions._plan(Path(), counts, seed).values()) for seed in (0, 1)]
    assert [len(set(one)) for one in seeds] == [120, 120], "one scene for each pair"
    assert not set(seeds[0]) & set(seeds[1])


def test_a_generation_that_was_cut_short_goes_on_where_it_stopped(tmp_path: Path) -> None:
    small_set(tmp_path)
    whole = files(tmp_path)
    lost, kept = tmp_path / "train" / "up" / "up_00001.mp4", tmp_path / "val" / "up" / "up_00000.mp4"
    (lost.parent / ".up_00001.mp4.abc.part").mkdir()
    lost.rename(lost.parent / ".up_00001.mp4.abc.part" / "file.mp4")
    written = kept.stat().st_mtime_ns
    assert small_set(tmp_path) == [32]
    assert files(tmp_path) == whole
    assert kept.stat().st_mtime_ns == written
    assert not list(tmp_path.rglob("*.part"))


def test_other_settings_replace_the_clips_and_nothing_else(tmp_path: Path) -> None:
    small_set(tmp_path)
    before = files(tmp_path)
    notes = tmp_path / "train" / "left" / "notes.txt"
    notes.write_text("mine")
    small_set(tmp_path, train=8, seed=1)
    after = files(tmp_path)
    assert len(after) == 24
    assert not set(before.values()) & set(after.values())
    assert notes.read_text() == "mine"


def test_several_processes_write_the_same_files_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_set(tmp_path / "one")
    monkeypatch.setattr(motions, "CLIPS_PER_PROCESS", 16)
    monkeypatch.setattr(machine, "cores", lambda: 2)
    assert small_set(tmp_path / "two") == list(range(1, 33))
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_a_folder_that_holds_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.mp4").write_text("precious")
    with pytest.raises(ConfigError, match="not empty"):
        small_set(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.mp4"]


@pytest.mark.parametrize(
    ("size", "frames", "seed", "message"),
    [(33, 4, 0, "size is 33"), (8, 4, 0, "size is 8"), (32, 1, 0, "frames is 1"), (32, 4, -1, "seed is -1")],
)
def test_impossible_clips_are_refused_before_anything_is_written(
    tmp_path: Path, size: int, frames: int, seed: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        draw("left", size=size, frames=frames, seed=seed)
    with pytest.raises(ConfigError, match=message):
        generate(tmp_path, train=8, val=0, test=0, size=size, frames=frames, seed=seed)
    assert not list(tmp_path.iterdir())


def test_unequal_shares_and_unknown_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"val is 12; .* multiple of 8"):
        generate(tmp_path, train=8, val=12, test=8)
    with pytest.raises(ConfigError, match="label is 'sideways'; it must be one of left"):
        draw("sideways")
