from __future__ import annotations

from math import inf, sqrt

import mpmath
import numpy as np
import pytest

from defensive_distillation.comparison.means import (
    difference_of_means_interval,
    paired_mean_interval,
    t_quantile,
)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 10, 31, 100])
def test_the_quantile_is_where_students_density_has_95_per_cent(freedom: int) -> None:
    def density(t: mpmath.mpf) -> mpmath.mpf:
        scale = mpmath.gamma((freedom + 1) / mpmath.mpf(2)) / mpmath.gamma(freedom / mpmath.mpf(2))
        return scale / mpmath.sqrt(freedom * mpmath.pi) * (1 + t * t / freedom) ** (-(freedom + 1) / mpmath.mpf(2))

    assert float(2 * mpmath.quad(density, [0, 1, 3, t_quantile(freedom)])) == pytest.approx(0.95, abs=1e-9)


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.706), (4, 2.776), (9, 2.262), (30, 2.042)])
def test_the_quantile_is_that_of_the_printed_tables(freedom: int, quantile: float) -> None:
    assert t_quantile(freedom) == pytest.approx(quantile, abs=5e-4)


def test_a_paired_mean_lies_in_students_interval() -> None:
    low, high = paired_mean_interval(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    half = 2.7764451 * sqrt(2.5 / 5)
    assert (low, high) == pytest.approx((3 - half, 3 + half), abs=1e-6)


def test_two_means_of_equal_size_and_spread_are_pooled() -> None:
    first, second = np.array([1.0, 2.0, 3.0]), np.array([11.0, 12.0, 13.0])
    low, high = difference_of_means_interval(second, first)
    half = 2.7764451 * sqrt(2 / 3)  # Welch's degrees of freedom are 4 then
    assert (low, high) == pytest.approx((10 - half, 10 + half), abs=1e-6)


def test_the_degrees_of_freedom_are_those_of_welch_rounded_down() -> None:
    low, high = difference_of_means_interval(np.array([0.0, 10.0]), np.array([5.0, 5.1, 4.9, 5.0]))
    assert high - low == pytest.approx(2 * 12.7062047 * sqrt(50 / 2 + 0.02 / 3 / 4), rel=1e-6)


def test_one_source_bounds_nothing() -> None:
    assert paired_mean_interval(np.array([3.0])) == (-inf, inf)
    assert difference_of_means_interval(np.array([3.0]), np.array([1.0, 2.0])) == (-inf, inf)


def test_means_without_spread_are_known_exactly() -> None:
    assert paired_mean_interval(np.array([2.0, 2.0])) == (2.0, 2.0)
    assert difference_of_means_interval(np.array([3.0, 3.0]), np.array([1.0, 1.0])) == (2.0, 2.0)
