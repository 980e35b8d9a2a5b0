"""Neighbours and maps of features, from their files and for videos that are not in them."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

import timesformer
from tests.features.made_features import data, features
from tests.made_scores import tiny, write_grey
from timesformer.config.checks import ConfigError
from timesformer.features.files import FeaturesError
from timesformer.verbs.neighbours import contact_sheet
from timesformer.weights.checkpoint import save

LIKE = features(
    [[1, 0], [0.9, 0.1], [0, 1], [0.1, 1]], list("aabb"), paths=["a/x.mp4", "a/y.mp4", "b/x.mp4", "b/z.mp4"]
)


def test_the_nearest_videos_come_first_and_never_the_video_itself() -> None:
    found = timesformer.neighbours(LIKE, "a/x.mp4", count=2)
    assert [each.path for each in found] == ["a/y.mp4", "b/z.mp4"]
    assert found[0].cosine == pytest.approx(0.9 / np.hypot(0.9, 0.1)) and found[0].label == "a"
    assert timesformer.neighbours(LIKE, "z.mp4", count=1)[0].path == "b/x.mp4"
    assert len(timesformer.neighbours(LIKE, "a/x.mp4", count=9)) == 3


def test_a_video_that_can_not_be_meant_is_refused_with_what_may_be() -> None:
    for video, text in (
        ("x.mp4", "x.mp4 may be a/x.mp4 or b/x.mp4; give the whole path"),
        ("a/w.mp4", "neither one of these features' videos nor a file; did you mean a/"),
    ):
        with pytest.raises(FeaturesError, match=text):
            timesformer.neighbours(LIKE, video)


def test_any_other_video_is_computed_with_the_same_weights(tmp_path: Path) -> None:
    folder, weights = data(tmp_path / "data"), tmp_path / "m.safetensors"
    save(tiny(), weights)
    found = timesformer.embed(weights, folder, out=tmp_path / "f.npz", workers=0)
    new = write_grey(tmp_path / "new.mp4", 220, 225, 230, 235)
    first, *_ = timesformer.neighbours(tmp_path / "f.npz", new, out=tmp_path / "n.png")
    assert first.path == "train/light/4.mp4" and first.cosine > 0.999
    assert imread(tmp_path / "n.png").shape[1] > 500
    own = timesformer.neighbours(found, found.sources[0])
    assert found.paths[0] not in [each.path for each in own] and len(own) == 5
    contact_sheet(found, tmp_path / "sheet.png", count=2)
    assert imread(tmp_path / "sheet.png").shape[0] > 300
    other = tiny()
    other.model.head.weight.data.zero_()  # which features don't depend on
    save(other, weights)
    timesformer.neighbours(found, new)
    other.model.norm.bias.data.add_(1)
    save(other, weights)
    with pytest.raises(FeaturesError, match="now has other weights"):
        timesformer.neighbours(found, new)


def test_a_map_is_a_picture_or_a_page_with_the_frame_of_every_video(tmp_path: Path) -> None:
    found = timesformer.embed(tiny(), data(tmp_path / "data"), workers=0)
    done: list[tuple[int, int]] = []
    (places,) = timesformer.map(found, method="pca", out=tmp_path / "map.html", progress=lambda *at: done.append(at))
    text = (tmp_path / "map.html").read_text("utf-8")
    assert places.shape == (6, 2) and text.count("data:image/jpeg") == 6 and done[-1] == (7, 7)
    for path in map(Path, found.sources):
        path.unlink()
    timesformer.map([found, found], method="pca", out=tmp_path / "gone.html")
    text = (tmp_path / "gone.html").read_text("utf-8")
    assert "data:image/jpeg" not in text and "12 frames could not be read" in text
    blocks = features(np.eye(4), list("aabb"), paths=list("vvww"), places=[0, 1, 0, 1], per="block")
    assert len(timesformer.map(blocks, method="pca", out=tmp_path / "map.png")) == 2
    with pytest.raises(ConfigError, match=r"out is map.svg; a map is a file of .png or .html"):
        timesformer.map(found, out="map.svg")
