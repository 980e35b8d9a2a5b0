"""Neighbours, votes, linear layers and flat places: as scikit-learn and plain mathematics have them."""

import numpy as np
import pytest

from tests.features.made_features import features
from timesformer.features import flat as flattening
from timesformer.features import nearest as near
from timesformer.features.files import FeaturesError
from timesformer.features.flat import flat
from timesformer.features.nearest import nearest, vote
from timesformer.features.worth import worth

DRAWN = np.random.default_rng(0)


def clusters(count: int, *, spread: float = 0.3, width: int = 16) -> tuple[np.ndarray, list[str]]:
    """Vectors around three centres, and the names of these."""
    centres = np.random.default_rng(5).normal(size=(3, width))
    labels = [number % 3 for number in range(count)]
    return (centres[labels] + DRAWN.normal(size=(count, width)) * spread).astype(np.float32), [f"c{n}" for n in labels]


def test_neighbours_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    sklearn = pytest.importorskip("sklearn.neighbors")
    vectors, _ = clusters(40, spread=1.0)
    queries, _ = clusters(7, spread=1.0)
    monkeypatch.setattr(near, "_TOGETHER", 100)  # in several parts
    found = nearest(queries, vectors, 5)
    other = sklearn.NearestNeighbors(n_neighbors=5, metric="cosine").fit(vectors)
    distances, numbers = other.kneighbors(queries)
    assert np.array_equal(found.numbers, numbers)
    np.testing.assert_allclose(found.cosines, 1 - distances, atol=1e-5)


def test_votes_are_those_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.neighbors")
    vectors, labels = clusters(60, spread=2.0)
    queries, _ = clusters(50, spread=2.0)
    other = sklearn.KNeighborsClassifier(
        n_neighbors=9, metric="cosine", weights=lambda distances: np.exp(-distances / near.TEMPERATURE)
    ).fit(vectors, labels)
    assert vote(nearest(queries, vectors, 9), labels) == other.predict(queries).tolist()


def test_a_vector_of_the_same_unit_is_no_neighbour() -> None:
    vectors = np.array([[1, 0], [1, 0.1], [1, 0.2], [0, 1]], dtype=np.float32)
    found = nearest(vectors, vectors, 4, query_units="aabb", units="aabb")
    assert found.numbers[0, :2].tolist() == [2, 3] and np.isneginf(found.cosines[:, 2:]).all()
    assert vote(found, ["x", "x", "y", "z"])[0] == "y"
    alone = nearest(vectors, vectors, 2, query_units="aaaa", units="aaaa")
    assert vote(alone, list("xxyz")) == [""] * 4


def test_features_that_show_the_class_are_worth_more_than_the_largest_class() -> None:
    vectors, labels = clusters(45)
    found = worth(features(vectors, labels))
    assert (found.majority.right, found.knn.accuracy, found.linear.accuracy) == (15, 1.0, 1.0)
    assert found.knn_groups is None and found.linear.how == "linear layer, 5 parts held out in turn"
    noise = worth(features(DRAWN.normal(size=(45, 16)), labels))
    assert noise.knn.accuracy < 0.6 and noise.linear.accuracy < 0.6


def test_with_splits_a_layer_learns_from_training_videos_and_is_measured_on_validation() -> None:
    vectors, labels = clusters(30)
    splits = ["train"] * 24 + ["val"] * 6
    wrong = [*labels[:24], *("c1", "c2", "c0") * 2]  # validation videos that are called something else
    found = worth(features(vectors, wrong, splits=splits))
    assert (found.linear.right, found.linear.videos, found.majority.videos) == (0, 6, 6)
    assert found.linear.how == "linear layer, from 24 train to 6 val videos"


def test_the_own_group_does_not_vote() -> None:
    vectors = np.repeat(np.eye(6), 2, axis=0)  # two like videos of each of six persons, whose classes say nothing else
    found = worth(features(vectors, list("aabbccaabbcc"), groups=[f"p{n // 2}" for n in range(12)]), count=1)
    assert found.knn.accuracy == 1.0 and found.knn_groups is not None and found.knn_groups.accuracy < 1.0
    assert "its group left out" in found.lines()[2]


def test_what_has_no_classes_is_refused() -> None:
    with pytest.raises(FeaturesError, match="0 classes; at least two are needed"):
        worth(features([[1], [2]], ["", ""]))
    with pytest.raises(FeaturesError, match="the labels are for regression"):
        worth(features([[1], [2]], ["1.0", "2.0"], task="regression"))


def test_principal_components_are_those_of_scikit_learn() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    vectors, _ = clusters(20)
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    other = decomposition.PCA(2).fit_transform(vectors / lengths)
    np.testing.assert_allclose(np.abs(flat(vectors, "pca")), np.abs(other), atol=1e-6)


def test_t_sne_keeps_classes_together_and_is_the_same_each_time() -> None:
    pytest.importorskip("sklearn")
    vectors, labels = clusters(24)
    places = flat(vectors)
    assert np.array_equal(places, flat(vectors))
    distances = np.linalg.norm(places[:, None] - places[None], axis=2) + np.diag([np.inf] * 24)
    assert [labels[n] for n in distances.argmin(axis=1)] == labels


def test_too_few_vectors_for_a_map_are_refused() -> None:
    with pytest.raises(FeaturesError, match="3 vectors; a map by tsne needs at least 4"):
        flattening.flat(np.eye(3, dtype=np.float32))
    with pytest.raises(FeaturesError, match="all vectors are the same"):
        flattening.flat(np.ones((5, 3), dtype=np.float32))
