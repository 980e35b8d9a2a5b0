"""Features are saved whole, come back the same, and are averaged by video."""

from pathlib import Path

import numpy as np
import pytest

from tests.features.made_features import features
from timesformer.config.model import ClipConfig
from timesformer.features.files import FeaturesError
from timesformer.features.table import Features


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_a_file_gives_back_what_was_saved(tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    made = features([[1, 2], [3, 4], [5, 6]], ["a", "", "日本"], splits=["train", "val", ""], groups=["x", "", "y"])
    made.save(tmp_path / f"f{suffix}")
    found = Features.load(tmp_path / f"f{suffix}")
    assert found.origin == made.origin and isinstance(found.origin.clip, ClipConfig)
    for name in ("paths", "labels", "splits", "groups", "sources", "failed"):
        assert getattr(found, name) == getattr(made, name)
    for name in ("vectors", "times", "places", "sizes"):
        one, other = getattr(found, name), getattr(made, name)
        assert one.dtype == other.dtype and np.array_equal(one, other)
    assert [path.name for path in tmp_path.iterdir()] == [f"f{suffix}"]


def test_a_table_program_reads_the_parquet_file(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    features([[1, 2], [3, 4]], ["a", "b"]).save(tmp_path / "f.parquet")
    rows = parquet.read_table(tmp_path / "f.parquet").to_pylist()
    assert [(row["path"], row["label"], row["vector"]) for row in rows] == [
        ("0.mp4", "a", [1.0, 2.0]),
        ("1.mp4", "b", [3.0, 4.0]),
    ]


def test_names_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    made = features([[1], [2]], ["a", "a"], paths=["\udcff.mp4", "b.mp4"])
    made.save(tmp_path / "f.npz")
    assert Features.load(tmp_path / "f.npz").paths == made.paths


def test_other_files_are_refused_with_what_to_do(tmp_path: Path) -> None:
    made = features([[1], [2]], ["a", "b"])
    with pytest.raises(FeaturesError, match=r"ends in '\.csv'; name a file of \.npz or \.parquet"):
        made.save(tmp_path / "f.csv")
    with pytest.raises(FeaturesError, match=r"does not exist .* timesformer embed"):
        Features.load(tmp_path / "none.npz")
    made.save(tmp_path / "f.npz")
    whole = (tmp_path / "f.npz").read_bytes()
    np.savez(tmp_path / "other.npz", a=np.zeros(2))
    np.savez(tmp_path / "objects.npz", timesformer=np.array([{}], dtype=object))
    for name, data in (("cut", whole[:300]), ("text", b"no archive"), ("empty", b"")):
        (tmp_path / f"{name}.npz").write_bytes(data)
    for name in ("cut", "text", "empty", "other", "objects"):
        with pytest.raises(FeaturesError, match="is not a whole file of features"):
            Features.load(tmp_path / f"{name}.npz")


def test_vectors_of_clips_and_frames_are_averaged_by_video_in_order() -> None:
    made = features(
        [[1, 0], [0, 8], [3, 0], [0, 4]],
        ["b", "a", "b", "a"],
        paths=["b", "a", "b", "a"],
        places=[0, 0, 1, 1],
        per="clip",
    )
    found = made.by_video()
    assert (found.paths, found.labels, found.vectors.tolist()) == (("b", "a"), ("b", "a"), [[2, 0], [0, 6]])
    assert made.blocks == ()


def test_of_blocks_the_last_one_stands_for_the_video() -> None:
    made = features([[1], [2], [3], [4]], list("aabb"), paths=["v", "v", "w", "w"], places=[0, 1, 0, 1], per="block")
    assert (made.blocks, made.by_video().vectors.tolist()) == ((0, 1), [[2], [4]])
    assert made.of_block(0).vectors.tolist() == [[1], [3]]
