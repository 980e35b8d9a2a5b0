"""Shards give back every video once, on any number of processes, in an order that seed and epoch decide."""

import sys
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from tests.made_videos import numbers_of, write, write_images
from timesformer.data import shards
from timesformer.data.items import DataError, Item
from timesformer.data.manifest import Manifest, load
from timesformer.data.shards import Sample, ShardDataset, read, shards_of
from timesformer.video import reader

pytest.importorskip("webdataset", reason="needs the extra webdataset")


def files(folder: Path, count: int) -> Manifest:
    """A data set of files of 100 bytes that are no videos: shards never look inside."""
    items = []
    for number in range(count):
        path = folder / f"{number:03d}.mp4"
        path.write_bytes(bytes([number]) * 100)
        items.append(Item(path, "ab"[number % 2], "val" if number % 5 == 4 else "train", name=path.name))
    return Manifest(folder, tuple(items), ("a", "b"))


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of 7, 7, 7, 7, 7 and 2 training items, and 2 of validation items."""
    folder = tmp_path_factory.mktemp("uneven")
    (folder / "videos").mkdir()
    shards.write(files(folder / "videos", 46), folder / "shards", shard_bytes=700)
    return folder / "shards"


def keys(samples: object) -> list[str]:
    return [sample.key for sample in samples]  # type: ignore[attr-defined]


def key_of(sample: Sample) -> str:
    return sample.key


def test_videos_labels_and_stretches_come_back(tmp_path: Path) -> None:
    write(tmp_path / "x.mp4", frames=20)
    write(tmp_path / "y.AVI", frames=10, codec="mpeg4")
    (tmp_path / "list.csv").write_text("path,label,split,group,start,end\nx.mp4,run,val,g,0.1,0.5\ny.AVI,sit,val,,,\n")
    manifest = load(tmp_path / "list.csv")
    (file,) = shards.write(manifest, tmp_path / "shards")
    samples = sorted(read(tmp_path / "shards", "val"), key=key_of)
    assert [(s.key, s.label, s.target, s.group, s.start, s.end, s.suffix) for s in samples] == [
        ("x.mp4@0.1-0.5", "run", 0, "g", 0.1, 0.5, ".mp4"),
        ("y.AVI", "sit", 1, "", None, None, ".avi"),
    ]
    for sample, path in zip(samples, (tmp_path / "x.mp4", tmp_path / "y.AVI"), strict=True):
        assert sample.video == path.read_bytes()
        with sample.file() as opened:
            assert numbers_of(reader.read(opened, [3, 9])) == [3, 9]
        assert not opened.exists()
    with tarfile.open(file) as tar:
        names = tar.getnames()
    assert {name.partition(".")[2] for name in names} == {"json", "mp4", "avi"}
    assert [name.partition(".")[0] for name in names] == ["000000000"] * 2 + ["000000001"] * 2


def test_several_labels_and_numbers_come_back(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"x")
    (tmp_path / "y.mp4").write_bytes(b"y")
    (tmp_path / "tags.csv").write_text("path,label,split\nx.mp4,run;jump,val\ny.mp4,,val\n")
    (tmp_path / "angles.csv").write_text("path,angle,split\nx.mp4,0.5,val\ny.mp4,2,val\n")
    tags, angles = load(tmp_path / "tags.csv", task="multilabel"), load(tmp_path / "angles.csv", task="regression")
    shards.write(tags, tmp_path / "a")
    shards.write(angles, tmp_path / "b")
    for folder, manifest in (("a", tags), ("b", angles)):
        found = {sample.key: (sample.label, sample.target) for sample in read(tmp_path / folder, "val")}
        assert found == {item.key: (item.label, manifest.target(item)) for item in manifest.of("val")}


def test_shards_are_cut_by_size_and_counted(uneven: Path) -> None:
    assert [shard.count for shard in shards_of(uneven, "train")] == [7, 7, 7, 7, 7, 2]
    assert [shard.first for shard in shards_of(uneven, "val")] == [0, 7]
    assert sorted(path.name for path in uneven.glob("val*")) == ["val-00000.tar", "val-00001.tar"]


def test_every_shard_is_a_mixture_and_always_the_same(tmp_path: Path, uneven: Path) -> None:
    order = keys(read(uneven, "train"))
    assert order != sorted(order)
    (tmp_path / "videos").mkdir()
    again = shards.write(files(tmp_path / "videos", 46), tmp_path / "shards", shard_bytes=700)
    assert [path.read_bytes() for path in again] == [(uneven / path.name).read_bytes() for path in again]


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ranks=st.integers(1, 50), shuffle=st.sampled_from([0, 1, 5, 100]), epoch=st.integers(0, 3))
def test_every_item_comes_exactly_once_over_any_number_of_ranks(
    uneven: Path, ranks: int, shuffle: int, epoch: int
) -> None:
    parts = [keys(read(uneven, "train", epoch=epoch, shuffle=shuffle, rank=n, ranks=ranks)) for n in range(ranks)]
    assert Counter(key for part in parts for key in part) == Counter(keys(read(uneven, "train")))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(("ranks", "workers"), [(1, 0), (1, 2), (3, 1), (5, 2)])
def test_every_item_comes_exactly_once_over_ranks_and_loader_workers(uneven: Path, ranks: int, workers: int) -> None:
    found: Counter[str] = Counter()
    for rank in range(ranks):
        dataset = ShardDataset(uneven, "train", key_of, shuffle=4, rank=rank, ranks=ranks)
        part = list(DataLoader(dataset, batch_size=None, num_workers=workers))
        assert len(part) in (37 // ranks, 37 // ranks + 1)
        found.update(part)
    assert found == Counter(keys(read(uneven, "train")))


def test_seed_and_epoch_decide_the_order(uneven: Path) -> None:
    def order(seed: int, epoch: int) -> list[str]:
        return keys(read(uneven, "train", seed=seed, epoch=epoch, shuffle=10))

    assert order(0, 0) == order(0, 0)
    orders = [order(0, 0), order(0, 1), order(1, 0), keys(read(uneven, "train"))]
    assert len({tuple(each) for each in orders}) == 4
    assert len({tuple(sorted(each)) for each in orders}) == 1


def test_workers_that_live_on_see_a_new_epoch(uneven: Path) -> None:
    dataset = ShardDataset(uneven, "train", key_of, shuffle=10)
    loader = DataLoader(dataset, batch_size=None, num_workers=2, persistent_workers=True)
    first = list(loader)
    again = list(loader)
    dataset.epoch = 1
    second = list(loader)
    assert first == again and first != second and sorted(first) == sorted(second)


def test_images_foreign_folders_and_unfinished_ones_are_refused(tmp_path: Path, uneven: Path) -> None:
    write_images(tmp_path / "frames", frames=2)
    images = Manifest(tmp_path, (Item(tmp_path / "frames", "a", "train", name="frames"),), ("a",))
    with pytest.raises(DataError, match="prepare"):
        shards.write(images, tmp_path / "out")
    with pytest.raises(DataError, match="is not empty"):
        shards.write(Manifest(tmp_path, (), ()), uneven)
    with pytest.raises(DataError, match="was not written to its end"):
        list(read(tmp_path, "train"))
    with pytest.raises(DataError, match="no split 'test', only train and val"):
        list(read(uneven, "test"))
    with pytest.raises(ValueError, match="rank 2 of 2"):
        read(uneven, "train", rank=2, ranks=2)


def test_a_shard_that_lacks_items_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    shards.write(files(tmp_path / "videos", 8), tmp_path / "shards", shard_bytes=200)
    (tmp_path / "shards" / "train-00001.tar").write_bytes((tmp_path / "shards" / "train-00000.tar").read_bytes())
    with pytest.raises(DataError, match="write the shards again"):
        list(read(tmp_path / "shards", "train"))


def test_without_webdataset_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(ImportError, match=r"pip install 'timesformer\[webdataset\]'"):
        shards.write(Manifest(tmp_path, (), ()), tmp_path / "out")
