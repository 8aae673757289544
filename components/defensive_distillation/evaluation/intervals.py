"""Confidence intervals of success rates and of their differences."""

from __future__ import annotations

from math import sqrt

from defensive_distillation.errors import InputError

Z_95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval (1927, Eq. 4 in Brown, Cai, DasGupta 2001) for a share; (0, 1) without trials.

    Raises:
        InputError: unless 0 <= successes <= trials.
    """
    if not 0 <= successes <= trials:
        raise InputError(f"successes: expected 0 to {trials}, got {successes}")
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == trials else (centre + spread) / scale
    return low, high


def difference_interval(
    first: float, first_interval: tuple[float, float], second: float, second_interval: tuple[float, float]
) -> tuple[float, float]:
    """The 95 % interval of `first` − `second`, two proportions with their 95 % Wilson intervals.

    Newcombe: Interval estimation for the difference between independent proportions, Statistics in Medicine 17
    (1998), method 10. https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8%3C873::AID-SIM779%3E3.0.CO;2-I
    """
    (low, high), (other_low, other_high) = first_interval, second_interval
    difference = first - second
    return (
        max(-1.0, difference - sqrt((first - low) ** 2 + (other_high - second) ** 2)),
        min(1.0, difference + sqrt((high - first) ** 2 + (second - other_low) ** 2)),
    )


def paired_interval(both: int, first: int, second: int, neither: int) -> tuple[float, float]:
    """The 95 % interval of the difference of two success rates on the same pairs, first less second.

    Newcombe: Improved confidence intervals for the difference between binomial proportions based on paired data,
    Statistics in Medicine 17 (1998), method 10: Wilson's intervals of the two rates, joined with their correlation.

    Args:
        both: pairs that both attacks fool.
        first: pairs that the first fools alone.
        second: pairs that the second fools alone.
        neither: pairs that no attack fools.

    Returns:
        Lower and upper end in [-1, 1]; (-1, 1) without pairs.
    """
    count = both + first + second + neither
    if not count:
        return -1.0, 1.0
    p, q = (both + first) / count, (both + second) / count
    (p_low, p_high), (q_low, q_high) = wilson_interval(both + first, count), wilson_interval(both + second, count)
    phi = _correlation(both, first, second, neither)
    low = (p - p_low) ** 2 - 2 * phi * (p - p_low) * (q_high - q) + (q_high - q) ** 2
    high = (p_high - p) ** 2 - 2 * phi * (p_high - p) * (q - q_low) + (q - q_low) ** 2
    return max(-1.0, p - q - sqrt(max(0.0, low))), min(1.0, p - q + sqrt(max(0.0, high)))


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    """φ of the four counts, with the continuity correction of method 10 where it is positive."""
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    if not margins:
        return 0.0
    product = both * neither - first * second
    half = (both + first + second + neither) / 2
    return (max(0.0, product - half) if product > 0 else product) / sqrt(margins)
