"""Shards give back every video once, on any number of processes, in an order that seed and epoch decide.

And a folder of them is a data set like any other, the same one that they were written from.
"""

import errno
import io
import json
import os
import re
import signal
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from tests import made_trainings
from tests.made_videos import numbers_of, write, write_images
from timesformer.config.training import TrainConfig
from timesformer.data.batches import dataset
from timesformer.data.care import shardwriting
from timesformer.data.care.scan import scan
from timesformer.data.care.shards import Sample, ShardDataset, read, shards_of
from timesformer.data.items import DataError, Item
from timesformer.data.manifest import Manifest, load
from timesformer.data.manifest import write as write_table
from timesformer.training.loop import train
from timesformer.video import reader
from timesformer.video.decoder import tars

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
    shardwriting.write(files(folder / "videos", 46), folder / "shards", shard_bytes=700)
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
    (file,) = shardwriting.write(manifest, tmp_path / "shards")
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
    shardwriting.write(tags, tmp_path / "a")
    shardwriting.write(angles, tmp_path / "b")
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
    again = shardwriting.write(files(tmp_path / "videos", 46), tmp_path / "shards", shard_bytes=700)
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
        part_of = ShardDataset(uneven, "train", key_of, shuffle=4, rank=rank, ranks=ranks)
        part = list(DataLoader(part_of, batch_size=None, num_workers=workers))
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
    samples = ShardDataset(uneven, "train", key_of, shuffle=10)
    loader = DataLoader(samples, batch_size=None, num_workers=2, persistent_workers=True)
    first = list(loader)
    again = list(loader)
    samples.epoch = 1
    second = list(loader)
    assert first == again and first != second and sorted(first) == sorted(second)


def test_images_foreign_folders_and_unfinished_ones_are_refused(tmp_path: Path, uneven: Path) -> None:
    write_images(tmp_path / "frames", frames=2)
    images = Manifest(tmp_path, (Item(tmp_path / "frames", "a", "train", name="frames"),), ("a",))
    with pytest.raises(DataError, match="prepare"):
        shardwriting.write(images, tmp_path / "out")
    with pytest.raises(DataError, match="is not empty"):
        shardwriting.write(Manifest(tmp_path, (), ()), uneven)
    with pytest.raises(DataError, match="was not written to its end"):
        list(read(tmp_path, "train"))
    with pytest.raises(DataError, match="no split 'test', only train and val"):
        list(read(uneven, "test"))
    with pytest.raises(ValueError, match="rank 2 of 2"):
        read(uneven, "train", rank=2, ranks=2)


def test_a_shard_that_lacks_items_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    shardwriting.write(files(tmp_path / "videos", 8), tmp_path / "shards", shard_bytes=200)
    (tmp_path / "shards" / "train-00001.tar").write_bytes((tmp_path / "shards" / "train-00000.tar").read_bytes())
    with pytest.raises(DataError, match="write the shards again"):
        list(read(tmp_path / "shards", "train"))


def test_without_webdataset_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(ImportError, match=r"pip install 'timesformer\[webdataset\]'"):
        shardwriting.write(Manifest(tmp_path, (), ()), tmp_path / "out")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return load(made_trainings.videos(tmp_path_factory.mktemp("videos") / "clips"))


@pytest.fixture(scope="module")
def folder(data: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve training videos in six shards, and three validation videos in two."""
    out = tmp_path_factory.mktemp("shards") / "a:b, c%d"
    shardwriting.write(data, out, shard_bytes=2 * data.items[0].path.stat().st_size - 1)
    assert [shard.count for shard in shards_of(out, "train")] == [2] * 6
    return out


def facts(manifest: Manifest) -> object:
    """All that a data set says but where its files lie."""
    items = [(i.key, i.name, i.label, i.split, i.group, i.start, i.end, manifest.target(i)) for i in manifest.items]
    return items, manifest.labels, manifest.task, manifest.notes


def test_a_folder_of_shards_is_the_data_set_it_was_written_from(tmp_path: Path, data: Manifest, folder: Path) -> None:
    assert facts(load(folder)) == facts(load(folder / "shards.json")) == facts(data)
    for name in ("x.mp4", "y@1-2.AVI", "deep/x.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    head = "path,split,group,start,end,"
    rows = ["x.mp4,train,g,0.1,2,", "x.mp4,val,g,,7.25,", "y@1-2.AVI,train,,,,", "deep/x.mp4,test,,1e-05,,"]
    tables = {
        "classes": ("label", ["10", "9", "9", "10"]),
        "multilabel": ("label", ["run;jump", "", "sit", "jump"]),
        "regression": ("far,angle", ["1,0.1", "2,1e-30", "3,-7", "4,5"]),
    }
    for task, (columns, labels) in tables.items():
        lines = [head + columns, *(row + label for row, label in zip(rows, labels, strict=True))]
        (tmp_path / f"{task}.csv").write_text("\n".join(lines))
        source = load(tmp_path / f"{task}.csv", task=task)
        shardwriting.write(source, tmp_path / task, shard_bytes=10)
        assert facts(load(tmp_path / task, task=task)) == facts(source)
        if task != "classes":
            with pytest.raises(DataError, match=rf"was written for {task}, not classes; .*--task"):
                load(tmp_path / task)
    assert load(tmp_path / "classes", labels=("9", "10")).labels == ("9", "10")
    angle = load(tmp_path / "regression", task="regression", labels=("angle",))
    assert [item.label for item in angle.of("val")] == [(1e-30,)]
    with pytest.raises(DataError, match="has no numbers near, only far and angle"):
        load(tmp_path / "regression", task="regression", labels=("near",))


def test_every_verb_works_on_videos_in_shards(tmp_path: Path, data: Manifest, folder: Path) -> None:
    packed = load(folder)
    looks = [scan(each, processes=0) for each in (packed, data)]
    assert [clip.digest for clip in looks[0].clips] == [clip.digest for clip in looks[1].clips]
    assert looks[0].findings == looks[1].findings and facts(looks[0].cleaned) == facts(looks[1].cleaned)
    write_table(packed, tmp_path / "list.csv")
    assert [item.path for item in load(tmp_path / "list.csv").items] == sorted(item.path for item in packed.items)
    shardwriting.write(packed, tmp_path / "again", shard_bytes=10**9)
    shardwriting.write(data, tmp_path / "direct", shard_bytes=10**9)
    tar = "train-00000.tar"
    assert (tmp_path / "again" / tar).read_bytes() == (tmp_path / "direct" / tar).read_bytes()


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("avi", "mpeg4"), ("webm", "libvpx"), ("ts", "h264")]
)
def test_frames_of_a_video_in_a_tar_are_those_of_the_file(tmp_path: Path, suffix: str, codec: str) -> None:
    path = write(tmp_path / f"video.{suffix}", frames=200, codec=codec)
    (tmp_path / "cut").write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    (tmp_path / "junk").write_bytes(b"no video" * 1000)
    with tarfile.open(tmp_path / "a,b:c,,:.TAR", "w") as tar:
        for name in (path.name, "cut", "junk"):
            tar.add(tmp_path / name, f"./in a folder/{name}" if name == path.name else f"{name}.{suffix}")
    packed = tmp_path / "a,b:c,,:.TAR"
    numbers = [0, 199, 100, 7, 7]
    frames = reader.read(packed / "in a folder" / path.name, numbers)
    assert numbers_of(frames) == numbers and frames.equal(reader.read(path, numbers))
    for name in ("cut", "junk"):
        (tmp_path / name).rename(tmp_path / f"{name}.{suffix}")
        here, there = (reader.count_decodable(each / f"{name}.{suffix}") for each in (tmp_path, packed))
        assert (here.frames, here.expected, here.error) == (there.frames, there.expected, there.error)
    with pytest.raises(reader.VideoError, match=r"can't be opened \(.*TAR holds no other.mp4\)"):
        reader.info(packed / "other.mp4")
    (tmp_path / "folder.tar").mkdir()
    path.rename(tmp_path / "folder.tar" / path.name)
    assert reader.read(tmp_path / "folder.tar" / path.name, numbers).equal(frames)


def test_damaged_missing_and_foreign_shards_are_named(tmp_path: Path, data: Manifest) -> None:
    shardwriting.write(data, tmp_path, shard_bytes=2 * data.items[0].path.stat().st_size - 1)
    tar, other, index = (tmp_path / name for name in ("train-00002.tar", "train-00001.tar", "shards.json"))
    whole, text = tar.read_bytes(), index.read_text()
    (item, *_) = [item for item in load(tmp_path).items if item.path.parent == tar]
    for change, message in {
        whole[:3000]: "train-00002.tar is damaged, cut off or no tar file: unexpected end of data; copy it again",
        b"no tar" * 999: "train-00002.tar is damaged, cut off or no tar file",
        whole[:1024] + b"?" + whole[1025:]: "train-00002.tar holds 0 items of the 2 that shards.json counts",
        other.read_bytes(): r"train-00001.tar/\d+.json and .*train-00002.tar/\d+.json are both .*mp4; write the",
        whole.replace(b'"key"', b'"kez"'): "does not tell the key and label",
    }.items():
        tar.write_bytes(change)
        with pytest.raises(DataError, match=message):
            load(tmp_path)
    tar.write_bytes(whole[:3000])
    with pytest.raises(reader.VideoError, match=r"train-00002.tar is damaged"):
        reader.info(item.path)
    tar.unlink()
    with pytest.raises(DataError, match=r"train-00002.tar is missing although shards.json names it"):
        load(tmp_path)
    tar.write_bytes(whole)
    for change, message in {
        "{": "is not JSON",
        "[]": 'no "splits"',
        text.replace("first", "second"): "other facts",
    }.items():
        index.write_text(change)
        with pytest.raises(DataError, match=message):
            load(tmp_path)


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(1, 5), min_size=1, max_size=12),
    repeats=st.integers(1, 3),
    seed=st.integers(0, 99),
    draw=st.randoms(use_true_random=False),
)
def test_an_epoch_over_shards_has_each_item_once_and_goes_from_window_to_window(
    counts: list[int], repeats: int, seed: int, draw: object
) -> None:
    lying = [shard for shard, count in enumerate(counts) for _ in range(count)]
    draw.shuffle(lying)  # type: ignore[attr-defined]
    order = [
        dataset.order(len(lying), epoch=epoch, repeats=repeats, batch=1, seed=seed, shards=lying) for epoch in (0, 0, 1)
    ]
    assert order[0] == order[1]
    places = [place for (place,) in order[0]]
    assert sorted(places) == [(0, repeat, n) for repeat in range(repeats) for n in range(len(lying))]
    for repeat in range(repeats):
        met = [lying[position] for _, its, position in places if its == repeat]
        ends = sorted((max(i for i, shard in enumerate(met) if shard == which), which) for which in set(met))
        for start in range(0, len(ends), dataset.WINDOW):
            window = {shard for _, shard in ends[start : start + dataset.WINDOW]}
            length = sum(counts[shard] for shard in window)
            assert set(met[:length]) == window
            met = met[length:]


def test_the_order_of_shards_and_of_items_changes_with_seed_and_epoch() -> None:
    lying = [number % 40 for number in range(400)]
    orders = [
        dataset.order(400, epoch=epoch, repeats=1, batch=400, seed=seed, shards=lying)
        for epoch, seed in ((0, 0), (1, 0), (0, 1))
    ]
    firsts = [tuple(lying[place[2]] for place in batches[0][:40]) for batches in orders]
    assert len(set(firsts)) == 3 and len({frozenset(first) for first in firsts}) == 3


def test_a_training_from_shards_resumes_bit_for_bit(tmp_path: Path, data: Manifest, folder: Path) -> None:
    packed, config = load(folder), made_trainings.config(optim={"epochs": 2, "repeats": 2}, engine={"workers": 1})
    made_trainings.run(packed, config, tmp_path / "whole")
    stop = {("step", 5): made_trainings.signalled(signal.SIGINT)}
    assert made_trainings.run(packed, config, tmp_path / "parts", moments=stop).stopped == signal.SIGINT
    with pytest.raises(DataError, match="not those"):  # their order is another one
        made_trainings.run(data, config, tmp_path / "parts", resume=True)
    made_trainings.run(packed, config, tmp_path / "parts", resume=True)
    assert made_trainings.results(tmp_path / "parts") == made_trainings.results(tmp_path / "whole")


def train_noting_keys(folder: Path, config: TrainConfig, out: Path) -> None:
    """Train as one of several processes, and write down what this one read."""
    get, keys = dataset.TrainingClips.__getitem__, []

    def noted(clips: dataset.TrainingClips, place: dataset.Place) -> dataset.Sample | dataset.Broken:
        keys.append((place[0], clips.items[place[2]].key))
        return get(clips, place)

    dataset.TrainingClips.__getitem__ = noted  # type: ignore[method-assign]
    train(load(folder), config, out, display=made_trainings.Watcher())
    (out / f"{os.environ['RANK']}.json").write_text(json.dumps(keys))


def test_two_processes_read_each_video_of_the_shards_once_an_epoch(
    tmp_path: Path, data: Manifest, folder: Path
) -> None:
    config = made_trainings.config(optim={"epochs": 2})
    made_trainings.together(train_noting_keys, 2, folder, config, tmp_path / "run")
    parts = [json.loads((tmp_path / "run" / f"{rank}.json").read_text()) for rank in range(2)]
    assert [len(part) for part in parts] == [12, 12]
    wanted = [[epoch, item.key] for epoch in range(2) for item in data.of("train")]
    assert sorted(parts[0] + parts[1]) == sorted(wanted)


def test_an_interrupted_writing_goes_on_to_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    data = files(tmp_path / "videos", 46)
    whole = shardwriting.write(data, tmp_path / "whole", shard_bytes=700)

    def stop(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shardwriting.write(data, tmp_path / "parts", shard_bytes=700, progress=stop)
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "parts").glob("*.tar")}
    assert 0 < len(kept) < len(whole)
    with pytest.raises(DataError, match="part of the shards of other videos"):
        shardwriting.write(data, tmp_path / "parts", shard_bytes=900)
    parts = shardwriting.write(data, tmp_path / "parts", shard_bytes=700)
    assert [path.read_bytes() for path in parts] == [path.read_bytes() for path in whole]
    assert all((tmp_path / "parts" / name).stat().st_mtime_ns == time for name, time in kept.items())
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == sorted(
        path.name for path in (tmp_path / "whole").iterdir()
    )
    with pytest.raises(DataError, match="not empty"):
        shardwriting.write(data, tmp_path / "parts", shard_bytes=700)


def test_a_file_that_can_not_be_read_is_named_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "videos").mkdir()
    data = files(tmp_path / "videos", 12)
    gone, torn = data.items[3], data.items[7]
    expected = replace(data, items=tuple(item for item in data.items if item not in (gone, torn)))
    whole = shardwriting.write(expected, tmp_path / "whole", shard_bytes=700)
    gone.path.unlink()
    stream = tars.stream

    @contextmanager
    def failing(path: Path) -> Iterator[Any]:  # a disk that gives the beginning of a file, and no more
        with stream(path) as file:
            yield io.BufferedReader(Torn()) if path == torn.path else file

    monkeypatch.setattr(tars, "stream", failing)
    named: list[tuple[str, str]] = []
    made = shardwriting.write(
        data, tmp_path / "made", shard_bytes=700, failed=lambda item, reason: named.append((item.key, reason))
    )
    assert [key for key, _ in named] == [gone.key, torn.key]
    assert "Input/output error" in named[1][1]
    assert [path.read_bytes() for path in made] == [path.read_bytes() for path in whole]
    with pytest.raises(DataError, match=re.escape(gone.key)):
        shardwriting.write(data, tmp_path / "strict", shard_bytes=700)


class Torn(io.RawIOBase):
    """A file of which one byte can be read."""

    given = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.given:
            raise OSError(errno.EIO, "Input/output error")
        self.given = True
        buffer[:1] = b"x"
        return 1
