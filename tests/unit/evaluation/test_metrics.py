from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from defensive_distillation.errors import InputError
from defensive_distillation.evaluation.metrics import (
    AMPLITUDE_EDGES,
    amplitude_counts,
    confidence,
    robustness,
    success_by_budget,
)
from defensive_distillation.networks.architectures import accuracy


def test_the_accuracy_is_the_share_of_largest_logits_that_are_the_labels() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.0], [5.0, 2.0, 0.0], [-3.0, -2.0, -1.0], [0.0, 0.5, 0.4]])
    assert accuracy(logits, torch.tensor([1, 0, 2, 2])) == 0.75


def test_the_confidence_is_0_for_a_wrong_sample_and_the_largest_probability_for_a_right_one() -> None:
    probabilities = torch.tensor([[0.75, 0.25, 0.0], [0.125, 0.375, 0.5], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]])
    # right at 0.75, wrong, right at 1, wrong
    assert confidence(probabilities, torch.tensor([0, 1, 1, 0])) == (0.75 + 0 + 1 + 0) / 4


def test_the_robustness_is_equation_10_by_hand() -> None:
    """Three samples with 2, 3 and 1 target classes; D = 10 features, a budget of 6."""
    sources = torch.tensor([7, 7, 2, 2, 2, 40])
    success = torch.tensor([True, False, True, True, True, False])
    changed = torch.tensor([2, 4, 0, 2, 4, 6])  # a failure counts as 6, whatever it changed
    mean_7, mean_2, mean_40 = (0.2 + 0.6) / 2, (0.0 + 0.2 + 0.4) / 3, 0.6
    value, failed = robustness(sources, success, changed, max_features=6, features=10)
    assert value == pytest.approx((mean_7 + mean_2 + mean_40) / 3)
    assert failed == pytest.approx(2 / 6)


def test_the_robustness_does_not_depend_on_the_order_of_the_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    sources = torch.randint(0, 7, (50,), generator=generator)
    success = torch.rand(50, generator=generator) < 0.6
    changed = torch.randint(0, 20, (50,), generator=generator)
    order = torch.randperm(50, generator=generator)
    there = robustness(sources, success, changed, max_features=20, features=100)
    back = robustness(sources[order], success[order], changed[order], max_features=20, features=100)
    assert there == pytest.approx(back)


def test_an_attack_that_never_succeeds_has_the_budget_as_robustness() -> None:
    none = torch.zeros(4, dtype=torch.bool)
    found = robustness(torch.tensor([0, 0, 1, 1]), none, torch.zeros(4, dtype=torch.int64), max_features=5, features=20)
    assert found == (0.25, 1.0)


def test_the_success_rate_by_budget_by_hand() -> None:
    success = torch.tensor([True, True, False, True, False])
    changed = torch.tensor([0, 4, 2, 4, 6])
    assert success_by_budget(success, changed, 6) == ([0, 4, 6], [0.2, 0.6, 0.6])
    assert success_by_budget(success, changed, 4) == ([0, 4], [0.2, 0.6])


def test_a_budget_of_0_is_one_point() -> None:
    assert success_by_budget(torch.tensor([True, False]), torch.tensor([0, 0]), 0) == ([0], [0.5])


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=1, max_size=40))
def test_the_success_rate_never_falls_and_ends_at_the_whole(pairs: list[tuple[bool, int]]) -> None:
    success = torch.tensor([pair[0] for pair in pairs])
    changed = torch.tensor([pair[1] for pair in pairs])
    budgets, rates = success_by_budget(success, changed, 12)
    assert budgets == sorted(set(budgets))
    assert (budgets[0], budgets[-1]) == (0, 12)
    assert rates == sorted(rates)
    assert rates[-1] == float(success.double().mean())
    for budget in range(13):  # the curve as a staircase holds every budget's rate
        last = max(place for place, value in enumerate(budgets) if value <= budget)
        assert rates[last] == sum(ok and count <= budget for ok, count in pairs) / len(pairs)


def test_there_is_one_bin_between_each_two_of_the_papers_edges() -> None:
    assert AMPLITUDE_EDGES == (0, 1e-40, 1e-35, 1e-30, 1e-25, 1e-20, 1e-15, 1e-10, 1e-5, 1e-3, 1)
    middles = [-41.0, -37.0, -32.0, -27.0, -22.0, -17.0, -12.0, -7.0, -4.0, -1.0]
    for place, middle in enumerate(middles):
        expected = [0] * 10
        expected[place] = 1
        assert amplitude_counts(torch.tensor([middle])) == expected


def test_an_edge_belongs_to_the_bin_above_it() -> None:
    for place, edge in enumerate(AMPLITUDE_EDGES[1:-1], start=1):
        at = math.log10(edge)
        found = amplitude_counts(torch.tensor([math.nextafter(at, -math.inf), at], dtype=torch.float64))
        expected = [0] * 10
        expected[place - 1], expected[place] = 1, 1
        assert found == expected


def test_an_amplitude_of_1e_minus_40_is_not_below_1e_minus_40() -> None:
    assert amplitude_counts(torch.tensor([-40.0], dtype=torch.float64))[:2] == [0, 1]


def test_an_amplitude_of_0_lies_in_the_first_bin_and_one_of_1_in_the_last() -> None:
    assert amplitude_counts(torch.tensor([-math.inf, -3500.0, 0.0, 2.0])) == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]


def test_every_sample_is_counted_once() -> None:
    amplitudes = 60 * torch.rand(1000, generator=torch.Generator().manual_seed(0)) - 55
    assert sum(amplitude_counts(amplitudes)) == 1000
    assert amplitude_counts(amplitudes[:0]) == [0] * 10


def test_an_amplitude_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match="amplitudes: expected numbers, got NaN for 2 samples"):
        amplitude_counts(torch.tensor([-3.0, math.nan, math.nan]))
