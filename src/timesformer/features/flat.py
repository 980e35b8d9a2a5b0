"""Two numbers for each vector, so that alike ones lie together in a picture."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from timesformer.features.files import FeaturesError
from timesformer.features.kinds import Floats
from timesformer.features.nearest import unit_length

Method = Literal["tsne", "pca"]
FIRST = 50
"""Principal components that t-SNE starts from, as in its paper (van der Maaten and Hinton, 2008, section 4)."""
PERPLEXITY = 30.0
"""About how many neighbours of each point t-SNE keeps near; fewer where there are few points."""
SAME = 1e-6
"""Vectors that differ by less are the same."""
FEWEST = 4
"""Points that t-SNE needs."""


def flat(vectors: Floats, method: Method = "tsne") -> NDArray[np.float64]:
    """Places (n, 2) of vectors (n, d), the same in every call.

    Vectors are divided by their lengths first, so that distances rank as cosines do. "pca" keeps the two directions of
    largest variance. "tsne" keeps neighbours together, by scikit-learn; distances between far points mean nothing.
    Raises ImportError without it, FeaturesError for too few vectors.
    """
    least = FEWEST if method == "tsne" else 2
    if len(vectors) < least:
        raise FeaturesError(f"{len(vectors)} vectors; a map by {method} needs at least {least}.")
    units = unit_length(vectors).astype(np.float64)
    return principal(units, 2) if method == "pca" else _tsne(principal(units, min(FIRST, *units.shape)))


def principal(vectors: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The first principal components (n, count) of vectors (n, d), each with its largest weight positive."""
    centred = vectors - vectors.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    directions = directions[:count]
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], axis=1)
    found = centred @ (directions * np.where(largest < 0, -1.0, 1.0)).T
    return np.pad(found, ((0, 0), (0, count - found.shape[1])))


def _tsne(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise ImportError(
            "a map by t-SNE needs scikit-learn: pip install 'timesformer[map]', or choose --method pca."
        ) from error
    if np.ptp(vectors) < SAME:
        raise FeaturesError("all vectors are the same; t-SNE has nothing to tell apart: choose --method pca.")
    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    found: NDArray[np.float64] = TSNE(
        perplexity=perplexity, init="pca", learning_rate="auto", random_state=0
    ).fit_transform(vectors)
    return found.astype(np.float64)
