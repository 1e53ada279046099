"""What a linear classifier makes of frozen features: logistic regression, cross-validated."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def stratified_folds(labels: Tensor, *, num_folds: int, seed: int = 0) -> Tensor:
    """In which fold each sample is held out: every class is dealt out evenly, in a seeded order.

    Args:
        labels: (N,) integers.
        num_folds: At least 2.
        seed: Of the order within a class.

    Returns:
        (N,) int64, 0 to ``num_folds`` - 1.

    Raises:
        ValueError: There are fewer than two folds.
    """
    if num_folds < 2:
        raise ValueError(f"num_folds must be >= 2, got {num_folds}")
    generator = torch.Generator().manual_seed(seed)
    folds = torch.empty(len(labels), dtype=torch.long)
    dealt = 0
    for label in sorted(set(labels.tolist())):
        members = torch.nonzero(labels.cpu() == label)[:, 0]
        members = members[torch.randperm(len(members), generator=generator)]
        # going on where the class before ended, or small classes would all lie in the first folds
        folds[members] = (dealt + torch.arange(len(members))) % num_folds
        dealt += len(members)
    return folds


def logistic_regression(
    features: Tensor, labels: Tensor, *, num_classes: int, l2: float = 1.0, max_steps: int = 200
) -> tuple[Tensor, Tensor]:
    """Fit a softmax classifier: least sum of cross-entropies + l2 / 2 times the squared weights.

    From zero by full-batch L-BFGS in double precision: the same result whenever it is called.

    Args:
        features: (N, D), standardised.
        labels: (N,) integers, 0 to ``num_classes`` - 1.
        num_classes: How many classes there are.
        l2: > 0; 1 is scikit-learn's C = 1. The bias is free.
        max_steps: Of L-BFGS, which ends sooner where nothing changes.

    Returns:
        Weight (``num_classes``, D) and bias (``num_classes``,), float64.

    Raises:
        ValueError: A number is out of range.
    """
    if not l2 > 0 or max_steps < 1:
        raise ValueError(f"l2 must be > 0 and max_steps >= 1, got {l2} and {max_steps}")
    features = features.detach().double()
    count, dim = features.shape
    weight = features.new_zeros(num_classes, dim, requires_grad=True)
    bias = features.new_zeros(num_classes, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, bias],
        max_iter=max_steps,
        tolerance_grad=1e-7,
        tolerance_change=1e-10,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(features @ weight.T + bias, labels)
        loss = loss + l2 / (2 * count) * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


def cross_validated_probe(
    features: Tensor,
    labels: Tensor,
    *,
    num_classes: int,
    num_folds: int = 5,
    l2: float = 1.0,
    max_steps: int = 200,
    seed: int = 0,
) -> Tensor:
    """The class of each sample as a linear classifier tells it that has not seen it.

    Features are standardised with the mean and deviation of the samples that are trained on.

    Args:
        features: (N, D).
        labels: (N,) integers, 0 to ``num_classes`` - 1.
        num_classes: How many classes there are.
        num_folds: As many classifiers are trained; at least 2.
        l2: See :func:`logistic_regression`.
        max_steps: See :func:`logistic_regression`.
        seed: Of the folds.

    Returns:
        (N,) int64, classes.

    Raises:
        ValueError: A number is out of range, a feature is not finite, or there are fewer samples
            than folds.
    """
    if not features.isfinite().all():
        raise ValueError("features must be finite")
    if len(features) < num_folds:
        raise ValueError(f"{num_folds} folds need as many samples, got {len(features)}")
    features = features.double()
    folds = stratified_folds(labels, num_folds=num_folds, seed=seed).to(labels.device)
    told = torch.empty_like(labels, dtype=torch.long)
    for fold in range(num_folds):
        held = folds == fold
        mean = features[~held].mean(dim=0)
        deviation = features[~held].std(dim=0, correction=0)
        # a feature that is the same everywhere tells nothing
        deviation = torch.where(deviation > 1e-12 * (1 + mean.abs()), deviation, torch.inf)
        scaled = (features - mean) / deviation
        weight, bias = logistic_regression(
            scaled[~held], labels[~held], num_classes=num_classes, l2=l2, max_steps=max_steps
        )
        told[held] = (scaled[held] @ weight.T + bias).argmax(dim=1)
    return told
