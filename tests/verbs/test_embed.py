"""Features of videos: the numbers of the model itself, and none computed twice however often they are interrupted."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.features.made_features import data
from tests.made_scores import CLIP, tiny, write_grey
from tests.made_weights import vit
from timesformer.config.checks import ConfigError
from timesformer.config.model import ModelConfig
from timesformer.data import manifest
from timesformer.features.table import Features
from timesformer.training.run.lock import Lock
from timesformer.verbs.embed import embed
from timesformer.video import reader
from timesformer.video.views import planned, read_views
from timesformer.weights.checkpoint import Checkpoint, save


class Counting:
    """Counts the clips that a model computes, and breaks off when it is told."""

    def __init__(self, checkpoint: Checkpoint, *, most: int = 99) -> None:
        self.checkpoint, self.clips, self.most = checkpoint, 0, most
        self.whole = checkpoint.model.features
        checkpoint.model.features = self.features  # type: ignore[method-assign]

    def features(self, clips: torch.Tensor) -> torch.Tensor:
        """The model's own features."""
        if self.clips >= self.most:
            raise KeyboardInterrupt
        self.clips += len(clips)
        return self.whole(clips)


def test_each_vector_is_the_models_own_and_stands_beside_what_is_known_of_its_video(tmp_path: Path) -> None:
    folder, checkpoint = data(tmp_path / "data"), tiny()
    found = embed(checkpoint, folder, out=tmp_path / "f.npz", workers=0)
    table = manifest.load(folder)
    assert found.paths == tuple(item.key for item in table.items)
    assert found.labels == ("dark", "dark", "light", "light", "dark", "light")
    assert found.splits == ("train",) * 4 + ("val",) * 2
    with torch.no_grad():
        views = [read_views(item.path, CLIP) for item in table.items]
        wanted = torch.cat([checkpoint.model.features(view) for view in views]).numpy()
    np.testing.assert_allclose(found.vectors, wanted, atol=1e-6, rtol=0)
    numbers = planned(reader.info(table.items[0].path), CLIP)[0]
    assert found.times[0].tolist() == pytest.approx([int(number) / 10 for number in numbers])
    assert set(found.sizes.tolist()) == {Path(each).stat().st_size for each in found.sources}
    saved = Features.load(tmp_path / "f.npz")
    assert np.array_equal(saved.vectors, found.vectors) and saved.origin == found.origin
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "f.npz"]


def test_vectors_of_clips_frames_and_blocks_average_to_that_of_the_video(tmp_path: Path) -> None:
    path, checkpoint = write_grey(tmp_path / "v.mp4", *range(0, 200, 20)), tiny()
    dense = replace(checkpoint, clip=replace(CLIP, sampling="dense", rate=1, fps=10.0))
    clips = embed(dense, path, per="clip", crops=3, workers=0)
    assert (len(clips), clips.places.tolist()) == (5, [0, 1, 2, 3, 4])
    assert clips.times.tolist() == pytest.approx(np.array([[k / 5, k / 5 + 0.1] for k in range(5)]))
    video = embed(dense, path, placement="whole", crops=3, workers=0)
    np.testing.assert_allclose(clips.by_video().vectors, video.vectors, atol=1e-6)
    frames = embed(dense, path, per="frame", placement="whole", workers=0)
    assert frames.times[:, 0].tolist() == pytest.approx([k / 10 for k in range(10)])
    blocks = embed(dense, path, per="block", placement="whole", crops=3, workers=0)
    np.testing.assert_allclose(blocks.vectors[-1:], video.vectors, atol=1e-6)


def test_an_interrupted_computation_goes_on_and_computes_nothing_twice(tmp_path: Path) -> None:
    folder, out = data(tmp_path / "data"), tmp_path / "f.npz"
    whole = embed(tiny(), folder, workers=0)
    first = Counting(tiny(), most=3)
    with pytest.raises(KeyboardInterrupt):
        embed(first.checkpoint, folder, out=out, workers=0, batch=1)
    assert not out.exists()
    unfinished = tmp_path / ".f.npz.unfinished"
    lines = (unfinished / "videos.jsonl").read_text().splitlines()
    assert [json.loads(line)["path"] for line in lines] == list(whole.paths[:3])
    with (unfinished / "videos.jsonl").open("a") as file:  # as a killed program leaves it
        file.write('{"path": "train/li')
    with (unfinished / "vectors.f32").open("ab") as file:
        file.write(b"half")
    second, said, done = Counting(tiny()), [], []
    found = embed(
        second.checkpoint, folder, out=out, workers=0, batch=1, note=said.append, progress=lambda *at: done.append(at)
    )
    assert (first.clips, second.clips) == (3, 3)
    assert "3 of 6 videos were computed before" in said and done == [(4, 6), (5, 6), (6, 6)]
    assert found.paths == whole.paths
    np.testing.assert_allclose(found.vectors, whole.vectors, atol=1e-6)
    assert not unfinished.exists()


def test_a_finished_file_gains_new_and_changed_videos_and_loses_none(tmp_path: Path) -> None:
    folder, out = data(tmp_path / "data"), tmp_path / "f.npz"
    before = embed(tiny(), folder, out=out, workers=0)
    again = Counting(tiny())
    assert np.array_equal(embed(again.checkpoint, folder, out=out, workers=0).vectors, before.vectors)
    assert again.clips == 0
    write_grey(folder / "train" / "light" / "new.mp4", 130, 130)
    write_grey(folder / "train" / "dark" / "0.mp4", 90, 10, 90, 10, 90)
    more = Counting(tiny())
    found = embed(more.checkpoint, folder, out=out, workers=0)
    assert (more.clips, len(found)) == (2, 7)
    assert not np.allclose(found.vectors[0], before.vectors[0]) and np.array_equal(found.vectors[1], before.vectors[1])
    (folder / "train" / "light" / "new.mp4").unlink()
    with pytest.raises(ConfigError, match=r"a video that the data lacks, train/light/new.mp4, which would be lost"):
        embed(tiny(), folder, out=out, workers=0)


def test_other_weights_and_settings_never_replace_features(tmp_path: Path) -> None:
    folder, out = data(tmp_path / "data"), tmp_path / "f.npz"
    embed(tiny(), folder, out=out, workers=0)
    before, other = out.read_bytes(), tiny()
    with torch.no_grad():
        other.model.head.weight.zero_()  # the head is no part of features
        embed(other, folder, out=out, workers=0)
        other.model.norm.weight.zero_()
    for weights, settings, text in (
        (other, {}, "other weights"),
        (tiny(), {"crops": 3}, "crops 1 instead of 3"),
        (tiny(), {"per": "frame"}, "per video instead of frame"),
    ):
        with pytest.raises(ConfigError, match=f"holds features with {text}, which would be lost"):
            embed(weights, folder, out=out, workers=0, **settings)
    assert out.read_bytes() == before
    stopped = Counting(tiny(), most=2)
    with pytest.raises(KeyboardInterrupt):
        embed(stopped.checkpoint, folder, out=tmp_path / "g.npz", workers=0, batch=1)
    with pytest.raises(ConfigError, match=r"unfinished features with clips 2 instead of 1; go on with the same"):
        embed(tiny(), folder, out=tmp_path / "g.npz", workers=0, clips=2)


def test_one_computation_at_a_time_writes_a_file(tmp_path: Path) -> None:
    folder = data(tmp_path / "data")
    (tmp_path / ".f.npz.unfinished").mkdir()
    lock = Lock(tmp_path / ".f.npz.unfinished")
    lock.take()
    with pytest.raises(ConfigError, match="another computation of features"):
        embed(tiny(), folder, out=tmp_path / "f.npz", workers=0)
    lock.release()


def test_broken_videos_are_named_and_tried_again(tmp_path: Path) -> None:
    folder, out = data(tmp_path / "data"), tmp_path / "f.npz"
    broken = folder / "train" / "dark" / "b.mp4"
    broken.write_text("no video")
    found = embed(tiny(), folder, out=out, workers=0)
    assert (len(found), [path for path, _ in found.failed]) == (6, ["train/dark/b.mp4"])
    assert Features.load(out).failed == found.failed and "not a video" in found.failed[0][1]
    write_grey(broken, 100, 100)
    assert len(embed(tiny(), folder, out=out, workers=0)) == 7
    with pytest.raises(ConfigError, match=r"none of 1 videos can be read \(.*not a video"):
        broken.write_text("no video")
        embed(tiny(), broken, workers=0)


def test_videos_without_labels_are_taken_as_they_are(tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    for number in range(2):
        write_grey(flat / f"{number}.mp4", 10, 20)
    (flat / "README.txt").write_text("about")
    for given, paths in (
        (flat, ("0.mp4", "1.mp4")),
        (flat / "1.mp4", ("1.mp4",)),
        ([flat / "1.mp4", flat], ("1.mp4", "0.mp4")),
    ):
        found = embed(tiny(), given, workers=0)
        assert (found.paths, set(found.labels), set(found.splits)) == (paths, {""}, {""})


def test_an_image_model_without_a_head_gives_its_own_features_of_each_frame(tmp_path: Path) -> None:
    config = ModelConfig(scheme="space", frames=1, size=32, patch=8, width=64, depth=1, heads=1, classes=5)
    tensors = {name: value for name, value in vit(config).items() if not name.startswith("head.")}
    torch.save(tensors, tmp_path / "vit.pth")
    path = write_grey(tmp_path / "v.mp4", 20, 60, 100, 140, size=(32, 32))
    whole = embed(tmp_path / "vit.pth", path, frames=4, workers=0)
    frames = embed(tmp_path / "vit.pth", path, per="frame", frames=4, workers=0)
    assert (whole.origin.scheme, whole.vectors.shape, frames.vectors.shape) == ("space", (1, 64), (4, 64))
    assert whole.origin.clip.sampling == "segments"
    still = write_grey(tmp_path / "s.mp4", 60, 60, 60, 60, size=(32, 32))
    alone = embed(tmp_path / "vit.pth", still, frames=1, workers=0)
    np.testing.assert_allclose(frames.vectors[1], alone.vectors[0], atol=1e-3)


def test_settings_are_checked_before_any_video_is_read(tmp_path: Path) -> None:
    folder = data(tmp_path / "data")
    save(tiny(), tmp_path / "m.safetensors")
    for given, text in (
        ({"cropz": 1}, "cropz"),
        ({"per": "patch"}, "per is 'patch'"),
        ({"frames": 4}, "frames is for weights that are loaded here"),
    ):
        with pytest.raises(ConfigError, match=text):
            embed(tiny(), folder, **given)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="missing is for reading a list"):
        embed(tmp_path / "m.safetensors", manifest.load(folder), missing="drop")
