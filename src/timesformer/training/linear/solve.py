"""A regularised linear model of features: logistic regression by L-BFGS, or ridge regression. Tensors alone.

Features are standardised for the fit, so that one strength of the penalty suits all of them, and the standardisation
is then folded into the weights: the result is a plain linear layer on the features as they are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from timesformer.config.training import Task

ITERATIONS = 100
"""Most iterations of L-BFGS for one strength of the penalty."""


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
    features: Tensor, targets: Tensor, importance: Tensor, *, task: Task, penalties: Sequence[float]
) -> Iterator[Linear]:
    """Fit a linear layer for each penalty, in the given order; each starts from the one before.

    ``features`` are (n, d), ``targets`` float (n, outputs): one-hot rows, zeros and ones, or normalised numbers.
    ``importance`` (n,) weighs the rows. The mean loss plus penalty / 2 times the sum of squared weights is minimised:
    cross-entropy (classes), the sum of binary cross-entropies (multilabel) or half the squared error (regression). The
    bias has no penalty.
    """
    features, targets = features.double(), targets.double()
    share = (importance.double() / importance.double().sum())[:, None]
    mean = (share * features).sum(dim=0)
    deviation = (share * (features - mean).square()).sum(dim=0).sqrt()
    deviation = torch.where(deviation > 1e-9, deviation, torch.inf)  # a constant feature says nothing: weight 0
    standard = (features - mean) / deviation
    weight = standard.new_zeros(targets.shape[1], features.shape[1])
    bias = standard.new_zeros(targets.shape[1])
    for penalty in penalties:
        if task == "regression":
            weight, bias = _ridge(standard, targets, share, penalty)
        else:
            weight, bias = _logistic(standard, targets, share, penalty, task=task, start=(weight, bias))
        folded = weight / deviation
        yield Linear(folded, bias - folded @ mean)


def _ridge(features: Tensor, targets: Tensor, share: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weight and bias of the least squared error, in closed form; features have mean 0."""
    bias = (share * targets).sum(dim=0)
    square = features.T @ (share * features) + penalty * torch.eye(features.shape[1], dtype=features.dtype)
    return torch.linalg.solve(square, features.T @ (share * (targets - bias))).T, bias


def _logistic(
    features: Tensor, targets: Tensor, share: Tensor, penalty: float, *, task: Task, start: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Weight and bias of the least cross-entropy, by L-BFGS with a line search."""
    weight, bias = (value.clone().requires_grad_() for value in start)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=ITERATIONS,
        tolerance_grad=1e-5,
        tolerance_change=1e-9,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits = features @ weight.T + bias
        if task == "classes":
            each = -(targets * logits.log_softmax(dim=1)).sum(dim=1)
        else:
            each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=1)
        loss = (share[:, 0] * each).sum() + penalty / 2 * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return weight.detach(), bias.detach()
