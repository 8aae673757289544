from __future__ import annotations

from itertools import product
from math import lgamma, log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defensive_distillation.errors import InputError
from defensive_distillation.evaluation.intervals import difference_interval, paired_interval, wilson_interval

COUNTS = st.tuples(*[st.integers(0, 200)] * 4)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe 1998 (Statistics in Medicine 17, 857), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_that_of_newcombes_table(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)  # four decimals


def test_the_interval_of_none_and_of_all_has_a_closed_form() -> None:
    z = 1.959963984540054
    assert wilson_interval(0, 10) == (0.0, pytest.approx(z * z / (10 + z * z)))
    assert wilson_interval(10, 10) == (pytest.approx(10 / (10 + z * z)), 1.0)
    assert wilson_interval(0, 0) == (0.0, 1.0)


@settings(deadline=None)
@given(trials=st.integers(1, 10**6), data=st.data())
def test_the_interval_holds_the_share_and_solves_the_score_equation(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    z, share = 2.5, successes / trials
    low, high = wilson_interval(successes, trials, z)
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        # |share - p| = z sqrt(p (1 - p) / n); both sides are below 3, and p is exact to 1e-15
        assert (share - end) ** 2 == pytest.approx(z * z * end * (1 - end) / trials, rel=1e-6, abs=1e-14)
    assert wilson_interval(trials - successes, trials, z) == pytest.approx((1 - high, 1 - low), abs=1e-15)


@pytest.mark.parametrize(("successes", "trials"), [(3, 2), (-1, 2), (1, 0)])
def test_more_successes_than_trials_or_fewer_than_0_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(InputError, match=f"successes: expected 0 to {trials}, got {successes}"):
        wilson_interval(successes, trials)


@settings(deadline=None)
@given(COUNTS)
def test_the_interval_of_paired_rates_holds_their_difference_and_turns_round_with_them(
    counts: tuple[int, int, int, int],
) -> None:
    both, first, second, neither = counts
    low, high = paired_interval(*counts)
    assert -1 <= low <= high <= 1
    assert low - 1e-12 <= (first - second) / max(1, sum(counts)) <= high + 1e-12
    assert paired_interval(both, second, first, neither) == pytest.approx((-high, -low), abs=1e-12)


def test_without_correlation_it_is_the_interval_of_independent_rates() -> None:
    """Where both · neither = first · second, φ is 0 and method 10 is the squares added."""
    both, first, second, neither = 20, 30, 20, 30
    rates = (50, 100), (40, 100)
    unpaired = difference_interval(0.5, wilson_interval(*rates[0]), 0.4, wilson_interval(*rates[1]))
    assert paired_interval(both, first, second, neither) == pytest.approx(unpaired, abs=1e-12)


def test_agreement_makes_it_narrower_than_that_of_independent_rates() -> None:
    low, high = paired_interval(40, 10, 0, 50)
    unpaired = difference_interval(0.5, wilson_interval(50, 100), 0.4, wilson_interval(40, 100))
    assert high - low < 0.7 * (unpaired[1] - unpaired[0])


def test_an_example_by_hand() -> None:
    """36, 12, 2 and 0 pairs: the product is negative, so φ is not corrected."""
    low, high = paired_interval(36, 12, 2, 0)
    phi = -24 / sqrt(48 * 2 * 38 * 12)
    (p_low, p_high), (q_low, q_high) = wilson_interval(48, 50), wilson_interval(38, 50)
    d, e, f, g = 0.96 - p_low, q_high - 0.76, p_high - 0.96, 0.76 - q_low
    assert low == pytest.approx(0.2 - sqrt(d * d - 2 * phi * d * e + e * e))
    assert high == pytest.approx(0.2 + sqrt(f * f - 2 * phi * f * g + g * g))


def test_without_pairs_nothing_is_known() -> None:
    assert paired_interval(0, 0, 0, 0) == (-1.0, 1.0)


@pytest.mark.parametrize("rates", [(0.4, 0.1, 0.1, 0.4), (0.1, 0.7, 0.05, 0.15), (0.8, 0.05, 0.05, 0.1)])
def test_it_holds_the_true_difference_about_as_often_as_it_says(rates: tuple[float, float, float, float]) -> None:
    """Over all outcomes of 30 pairs, each with its probability: Newcombe finds 0.95 on average and 0.93 at least."""
    count, covered, total = 30, 0.0, 0.0
    truth = rates[1] - rates[2]
    logs = [log(rate) for rate in rates]
    for a, b, c in product(range(count + 1), repeat=3):
        d = count - a - b - c
        if d < 0:
            continue
        outcome = (a, b, c, d)
        weight = np.exp(lgamma(count + 1) + sum(n * r - lgamma(n + 1) for n, r in zip(outcome, logs, strict=True)))
        low, high = paired_interval(*outcome)
        covered += weight * (low <= truth <= high)
        total += weight
    assert total == pytest.approx(1)
    assert covered > 0.93
