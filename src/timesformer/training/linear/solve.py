"""A regularised linear model of features: logistic regression by L-BFGS, or ridge regression. Tensors alone.

Features are standardised for the fit, so that one strength of the penalty suits all of them, and the standardisation
is then folded into the weights: the result is a plain linear layer on the features as they are.

With this penalty the best weights are combinations of the rows. So the fit is made in the principal components of the
rows, of which there are at most as many as rows: its cost hardly grows with the number of features. Along them the
curvature of the loss is nearly known in advance, and L-BFGS on components that are scaled by it needs few steps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from timesformer.config.training import Task

ITERATIONS = 100
"""Most iterations of L-BFGS for one strength of the penalty."""
FINE, COARSE = 1e-6, 5e-5
"""Largest slope along a scaled component where a fit ends, and one that is only compared with others."""
FLAT = 1e-9
"""Components with less than this part of the largest variance are rounding errors, and are left out."""


@dataclass(frozen=True)
class Linear:
    """A linear layer in float64: ``features @ weight.T + bias``."""

    weight: Tensor
    """(outputs, d)"""
    bias: Tensor
    """(outputs,)"""

    def __call__(self, features: Tensor) -> Tensor:
        """Features (n, d) -> logits (n, outputs), float64."""
        return features.double() @ self.weight.T + self.bias


def path(
    features: Tensor,
    targets: Tensor,
    importance: Tensor,
    *,
    task: Task,
    penalties: Sequence[float],
    tolerance: float = FINE,
) -> Iterator[Linear]:
    """Fit a linear layer for each penalty, in the given order; each starts from the one before.

    ``features`` are (n, d), ``targets`` float (n, outputs): one-hot rows, zeros and ones, or normalised numbers.
    ``importance`` (n,) weighs the rows. The mean loss plus penalty / 2 times the sum of squared weights is minimised:
    cross-entropy (classes), the sum of binary cross-entropies (multilabel) or half the squared error (regression). The
    bias has no penalty.
    """
    targets = targets.double()
    share = (importance.double() / importance.double().sum())[:, None]
    standard, mean, deviation = _standardised(features.double(), share)
    components = _components(standard, share)
    weight = standard.new_zeros(targets.shape[1], len(components.variance))
    bias = (share * targets).sum(dim=0) if task == "regression" else standard.new_zeros(targets.shape[1])
    for penalty in penalties:
        if task == "regression":
            weight = ((share * (targets - bias)).T @ components.rows) / (components.variance + penalty)
        else:
            weight, bias = _logistic(
                components, targets, share, penalty, (weight, bias), task=task, tolerance=tolerance
            )
        folded = components.of_features(weight) / deviation
        yield Linear(folded, bias - folded @ mean)


def _standardised(features: Tensor, share: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features with mean 0 and standard deviation 1, their means and deviations; constant ones become 0."""
    mean = (share * features).sum(dim=0)
    centred = features - mean
    deviation = (share * centred.square()).sum(dim=0).sqrt()
    deviation = torch.where(deviation > 1e-9, deviation, torch.inf)  # a constant feature says nothing: weight 0
    return centred / deviation, mean, deviation


@dataclass(frozen=True)
class _Components:
    """Rows in the orthogonal directions of their variance."""

    rows: Tensor
    """(n, r), with r at most n and d"""
    variance: Tensor
    """(r,)"""
    back: tuple[Tensor, ...]
    """Matrices whose product (r, d) has the directions as rows; it isn't multiplied out, which would cost more."""

    def of_features(self, weight: Tensor) -> Tensor:
        """Weights of the components (outputs, r) as weights of the features (outputs, d)."""
        for matrix in self.back:
            weight = weight @ matrix
        return weight


def _components(features: Tensor, share: Tensor) -> _Components:
    """The principal components of features (n, d) whose rows have these shares (n, 1)."""
    root = share.sqrt()
    scaled = root * features
    wide = features.shape[1] > features.shape[0]
    variance, vectors = torch.linalg.eigh(scaled @ scaled.T if wide else scaled.T @ scaled)
    kept = variance > FLAT * variance[-1].clamp(min=1e-30)
    variance, vectors = variance[kept], vectors[:, kept]
    if not wide:
        return _Components(features @ vectors, variance, (vectors.T,))
    deviation = variance.sqrt()
    return _Components(vectors * deviation / root, variance, ((vectors / deviation).T, scaled))


def _logistic(
    components: _Components,
    targets: Tensor,
    share: Tensor,
    penalty: float,
    start: tuple[Tensor, Tensor],
    *,
    task: Task,
    tolerance: float,
) -> tuple[Tensor, Tensor]:
    """Weight of the components and bias of the least cross-entropy, by L-BFGS with a line search.

    The second derivative along a component is about its variance times that of the loss, plus the penalty.
    """
    curve = _curvature(components.rows @ start[0].T + start[1], share, task=task)
    ones = torch.ones_like(share)
    scale = torch.cat([curve * components.variance + penalty, curve[None]]).rsqrt()
    penalties = torch.cat([torch.full_like(components.variance, penalty), torch.zeros_like(curve[None])]) * scale**2
    rows = torch.cat([components.rows, ones], dim=1) * scale
    weight = torch.cat([start[0], start[1][:, None]], dim=1) / scale
    optimizer = torch.optim.LBFGS(
        [weight],
        max_iter=ITERATIONS,
        tolerance_grad=tolerance,
        tolerance_change=1e-12,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        logits = rows @ weight.T
        if task == "classes":
            logs = logits.log_softmax(dim=1)
            each, slopes = -(targets * logs).sum(dim=1), logs.exp() * targets.sum(dim=1, keepdim=True) - targets
        else:
            each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=1)
            slopes = logits.sigmoid() - targets
        weight.grad = (share * slopes).T @ rows + penalties * weight
        return (share[:, 0] * each).sum() + (penalties * weight.square()).sum() / 2

    optimizer.step(closure)
    found = weight * scale
    return found[:, :-1], found[:, -1]


def _curvature(logits: Tensor, share: Tensor, *, task: Task) -> Tensor:
    """The mean second derivative of the loss by a logit, no less than a hundredth of the most: a scalar."""
    chances = logits.softmax(dim=1) if task == "classes" else logits.sigmoid()
    return (share * chances * (1 - chances)).sum(dim=0).mean().clamp(min=0.0025)
