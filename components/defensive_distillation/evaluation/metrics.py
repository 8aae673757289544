"""The paper's measures, and those that keep them honest."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from defensive_distillation.errors import InputError

# Figure 9's bins of the mean gradient amplitude, from 0 to 1
AMPLITUDE_EDGES = (0.0, 1e-40, 1e-35, 1e-30, 1e-25, 1e-20, 1e-15, 1e-10, 1e-5, 1e-3, 1.0)
NEAR_CHANCE = 0.1  # share of the way from the largest class to accuracy 1, below which a network hardly knows anything


def chance_where_near(accuracy: float, labels: Tensor) -> float | None:
    """The share of the largest class among labels (N,), if an accuracy is hardly above it; else None."""
    chance = float(torch.bincount(labels).max()) / len(labels)
    return chance if accuracy < chance + NEAR_CHANCE * (1 - chance) else None


def confidence(probabilities: Tensor, labels: Tensor) -> float:
    """Eq. 12: the mean over samples of max F(X) where that is the true class, and 0 where it is not.

    Args:
        probabilities: (N, K) at T = 1.
        labels: (N,) int64.
    """
    largest, predicted = probabilities.double().max(dim=1)
    return float(torch.where(predicted == labels, largest, 0.0).mean())


def robustness(
    sources: Tensor, success: Tensor, changed_features: Tensor, *, max_features: int, features: int
) -> tuple[float, float]:
    """Eq. 10: the mean over samples X of Δ_adv(X, F) (Eq. 4), the change needed, as a share of the features.

    Δ_adv of a sample is the mean over its target classes. An attack that failed is counted at the budget, so the
    value is a lower bound of what this attack would need.

    Args:
        sources: (P,) which sample each pair attacks.
        success: (P,) bool.
        changed_features: (P,) int.
        max_features: the budget.
        features: D.

    Returns:
        The robustness in [0, 1], and the share of pairs that failed.
    """
    needed = torch.where(success, changed_features, max_features).double() / features
    _, sample = sources.unique(return_inverse=True)
    totals = torch.zeros(int(sample.max()) + 1, dtype=torch.float64).index_add(0, sample, needed)
    means = totals / torch.bincount(sample)
    return float(means.mean()), float((~success).double().mean())


def success_by_budget(success: Tensor, changed_features: Tensor, max_features: int) -> tuple[list[int], list[float]]:
    """The success rate at each budget from 0 to `max_features` that changes it; it never falls.

    A greedy attack takes the same path under every budget, so one run gives the whole curve.
    """
    at = torch.bincount(changed_features[success].clamp(max=max_features), minlength=max_features + 1)
    rates = at.cumsum(0).double() / max(1, len(success))
    ends = {0, max_features}
    budgets = [b for b in range(max_features + 1) if b in ends or int(at[b])]
    return budgets, [float(rates[b]) for b in budgets]


def amplitude_counts(log10_amplitudes: Tensor) -> list[int]:
    """How many samples fall into each of the paper's ten bins (Figure 9).

    A bin holds its lower edge and not its upper one; the first takes all below 1e-40, the last all from 1e-3.

    Args:
        log10_amplitudes: (N,) base-10 logarithms, -inf for an amplitude of 0.

    Raises:
        InputError: for NaN, which belongs to no bin.
    """
    if bool(log10_amplitudes.isnan().any()):
        raise InputError(f"amplitudes: expected numbers, got NaN for {int(log10_amplitudes.isnan().sum())} samples")
    edges = torch.tensor([math.log10(edge) for edge in AMPLITUDE_EDGES[1:-1]], dtype=torch.float64)
    bins = torch.bucketize(log10_amplitudes.double(), edges, right=True)
    return [int(n) for n in torch.bincount(bins, minlength=len(AMPLITUDE_EDGES) - 1)]
