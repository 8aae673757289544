"""Confidence intervals of differences of means over few sources, by Student's t."""

from __future__ import annotations

from math import atan2, cos, inf, pi, sin, sqrt

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95


def paired_mean_interval(differences: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of the mean of `differences` (S,), one a source; infinite for fewer than two.

    The pairs of one source share its image, so a source is one observation: its mean over target classes. Student's
    t with S − 1 degrees of freedom.
    """
    count = len(differences)
    if count < 2:
        return -inf, inf
    half = t_quantile(count - 1) * float(differences.std(ddof=1)) / sqrt(count)
    mean = float(differences.mean())
    return mean - half, mean + half


def difference_of_means_interval(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of mean(`first`) − mean(`second`), two independent samples; infinite for fewer than two of one.

    Welch: The generalization of Student's problem when several different population variances are involved,
    Biometrika 34 (1947). The degrees of freedom are rounded down, which widens the interval.
    """
    if min(len(first), len(second)) < 2:
        return -inf, inf
    a, b = float(first.var(ddof=1)) / len(first), float(second.var(ddof=1)) / len(second)
    mean = float(first.mean() - second.mean())
    if not a + b:
        return mean, mean
    freedom = (a + b) ** 2 / (a**2 / (len(first) - 1) + b**2 / (len(second) - 1))
    half = t_quantile(max(1, int(freedom))) * sqrt(a + b)
    return mean - half, mean + half


def t_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """The t that |Student's t| stays below with probability `confidence`, by bisection."""
    low, high = 0.0, 1e6
    while high - low > 1e-12 * (1 + high):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if _within(middle, freedom) < confidence else (low, middle)
    return (low + high) / 2


def _within(t: float, freedom: int) -> float:
    """P(|Student's t| < t) for whole degrees of freedom (Abramowitz, Stegun 1964, 26.7.3 and 26.7.4)."""
    angle = atan2(t, sqrt(freedom))
    term = cos(angle) if freedom % 2 else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(3 if freedom % 2 else 2, freedom - 1, 2):
        term *= (k - 1) / k * cos(angle) ** 2
        total += term
    return 2 / pi * (angle + sin(angle) * total) if freedom % 2 else sin(angle) * total
