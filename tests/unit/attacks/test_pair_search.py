from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from defensive_distillation.attacks import pair_search
from defensive_distillation.attacks.pair_search import best_pair, largest_pair


def literal(alpha: Tensor, beta: Tensor, allowed: Tensor, increase: bool) -> float | None:
    """The best objective of one sample as Algorithm 3 is written: every pair, one after the other."""
    a, b, features = alpha.tolist(), beta.tolist(), allowed.nonzero().flatten().tolist()
    best = None
    for p, q in combinations(features, 2):
        rise, fall = a[p] + a[q], b[p] + b[q]
        if (rise > 0 and fall < 0) if increase else (rise < 0 and fall > 0):
            objective = -rise * fall
            if best is None or objective > best:
                best = objective
    return best


def all_pairs(alpha: Tensor, beta: Tensor, allowed: Tensor, increase: bool) -> list[float | None]:
    """The same for many samples, with all D² pairs at once."""
    a, b, g = alpha.numpy(), beta.numpy(), allowed.numpy()
    rise, fall = a[:, :, None] + a[:, None, :], b[:, :, None] + b[:, None, :]
    valid = (rise > 0) & (fall < 0) if increase else (rise < 0) & (fall > 0)
    valid &= g[:, :, None] & g[:, None, :] & np.triu(np.ones(valid.shape[1:], dtype=bool), 1)
    objective = np.where(valid, -rise * fall, -np.inf).max(axis=(1, 2))
    return [value if found else None for value, found in zip(objective.tolist(), valid.any(axis=(1, 2)), strict=True)]


def objectives(
    found: tuple[Tensor, Tensor, Tensor], alpha: Tensor, beta: Tensor, allowed: Tensor, increase: bool
) -> list[float | None]:
    """The objective of each pair that was found, once it is checked to be one that may be taken.

    Equal-valued pairs may be exchanged, so values are compared and not indices. A value is computed from the same
    numbers by the same two additions and one multiplication, hence is the same to the last bit.
    """
    p, q, valid = found
    assert p.dtype == q.dtype == torch.int64
    values: list[float | None] = []
    for n in range(len(alpha)):
        if not valid[n]:
            values.append(None)
            continue
        assert 0 <= p[n] < q[n] < alpha.shape[1]
        assert allowed[n, p[n]]
        assert allowed[n, q[n]]
        rise, fall = alpha[n, p[n]] + alpha[n, q[n]], beta[n, p[n]] + beta[n, q[n]]
        assert (rise > 0 and fall < 0) if increase else (rise < 0 and fall > 0)
        values.append(float(-rise * fall))
    return values


def compare(alpha: Tensor, beta: Tensor, allowed: Tensor, increase: bool) -> int:
    """Compares with the brute force, and returns how many samples have a pair at all."""
    expected = all_pairs(alpha, beta, allowed, increase)
    found = best_pair(alpha, beta, allowed, increase=increase)
    assert objectives(found, alpha, beta, allowed, increase) == expected
    return sum(value is not None for value in expected)


def correlated(generator: torch.Generator, count: int, features: int, correlation: float) -> tuple[Tensor, Tensor]:
    alpha = torch.randn(count, features, generator=generator, dtype=torch.float64)
    other = torch.randn(count, features, generator=generator, dtype=torch.float64)
    return alpha, correlation * alpha + (1 - correlation**2) ** 0.5 * other


def some(generator: torch.Generator, count: int, features: int, share: float) -> Tensor:
    return torch.rand(count, features, generator=generator) < share


def test_the_two_slow_references_agree() -> None:
    generator = torch.Generator().manual_seed(0)
    for increase in (True, False):
        alpha, beta = correlated(generator, 100, 9, 0.0)
        allowed = some(generator, 100, 9, 0.6)
        each = [literal(alpha[n], beta[n], allowed[n], increase) for n in range(100)]
        assert each == all_pairs(alpha, beta, allowed, increase)


@pytest.mark.parametrize("increase", [True, False])
@pytest.mark.parametrize("correlation", [-1.0, -0.99, -0.5, 0.0, 0.5, 0.99, 1.0])
def test_it_is_the_best_of_all_pairs_in_thousands_of_random_cases(correlation: float, increase: bool) -> None:
    """Beta = -alpha is easy, two features beat all others; beta = +alpha leaves the most points undominated."""
    generator = torch.Generator().manual_seed(1)
    found = 0
    for features in [*range(2, 20), 25, 32, 47, 60]:
        alpha, beta = correlated(generator, 150, features, correlation)
        # seldom is a rise with a fall to be had where both go together
        beta = beta - 0.3 if increase else beta + 0.3
        allowed = some(generator, 150, features, 1.0 if features % 2 else 0.7)
        found += compare(alpha, beta, allowed, increase)
    assert found > 1500  # of 3,300: the comparison is about something


@pytest.mark.parametrize("increase", [True, False])
def test_it_is_the_best_of_all_pairs_where_values_tie(increase: bool) -> None:
    generator = torch.Generator().manual_seed(2)
    found = 0
    for features in (2, 3, 4, 5, 8, 13, 30):
        for reach in (1, 2, 5):
            alpha, beta = (
                torch.randint(-reach, reach + 1, (100, features), generator=generator).double() for _ in range(2)
            )
            found += compare(alpha, beta, some(generator, 100, features, 0.8), increase)
    assert found > 1000  # of 2,100


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("increase", [True, False])
@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.9, 0.99, 0.99999])
def test_it_is_the_best_of_all_pairs_of_an_mnist_image(correlation: float, increase: bool, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    alpha, beta = (values.to(dtype) for values in correlated(generator, 3, 784, correlation))
    assert compare(alpha, beta, some(generator, 3, 784, 0.8), increase) == 3


@pytest.mark.parametrize("correlation", [0.0, 0.9, 0.99, 0.999])
def test_it_compares_no_more_pairs_than_a_few_passes_over_the_features_take(
    correlation: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on trained networks, where the gains and drops of most features oppose each other."""
    compared = 0
    compare_all = pair_search._best_of_all

    def counted(gain: Tensor, *others: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        nonlocal compared
        compared += gain.numel() * gain.shape[1]
        return compare_all(gain, *others)

    monkeypatch.setattr(pair_search, "_best_of_all", counted)
    generator = torch.Generator().manual_seed(5)
    alpha, beta = correlated(generator, 32, 784, correlation)
    best_pair(alpha, beta, torch.ones_like(alpha, dtype=torch.bool))
    assert compared <= 32 * 784 * 40


@pytest.mark.parametrize("increase", [True, False])
def test_a_batch_gives_what_each_of_its_samples_gives_alone(increase: bool) -> None:
    """Samples with many, two, one or no allowed features, and with and without a valid pair, side by side."""
    generator = torch.Generator().manual_seed(4)
    alpha, beta = correlated(generator, 60, 20, 0.3)
    alpha[10:20], beta[10:20] = alpha[10:20].abs(), beta[10:20].abs()  # both rise: no pair
    alpha[20:30] = alpha[20:30].round()
    allowed = some(generator, 60, 20, 0.5)
    allowed[30:35] = False
    allowed[35:50] = torch.arange(20) == 7
    allowed[40:50, 3] = True
    together = best_pair(alpha, beta, allowed, increase=increase)
    for n in range(60):
        alone = best_pair(alpha[n : n + 1], beta[n : n + 1], allowed[n : n + 1], increase=increase)
        assert bool(together[2][n]) == bool(alone[2])
        if together[2][n]:
            assert (int(together[0][n]), int(together[1][n])) == (int(alone[0]), int(alone[1]))
    assert not together[2][10:20].any()
    assert not together[2][30:40].any()
    compare(alpha, beta, allowed, increase)


@pytest.mark.parametrize("levels", [8, 40])
def test_of_equal_pairs_a_batch_takes_the_one_that_the_sample_takes_alone(levels: int) -> None:
    """Gains and drops oppose each other and are rounded; next to each is one that has half as many features."""
    generator = torch.Generator().manual_seed(6)
    alpha, beta = ((levels * part).round() for part in correlated(generator, 12, 784, 0.99))
    allowed = torch.ones_like(alpha, dtype=torch.bool)
    allowed[::2, 392:] = False
    together = torch.stack(best_pair(alpha, beta, allowed), dim=1)
    alone = [torch.stack(best_pair(alpha[n : n + 1], beta[n : n + 1], allowed[n : n + 1]), dim=1) for n in range(12)]
    assert bool(together[:, 2].all())
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("allowed", [[False] * 3, [False, True, False]])
@pytest.mark.parametrize("increase", [True, False])
def test_fewer_than_two_allowed_features_are_no_pair(allowed: list[bool], increase: bool) -> None:
    sign = 1.0 if increase else -1.0
    alpha = sign * torch.tensor([[3.0, 2.0, 1.0]])
    mask = torch.tensor([allowed])
    assert not bool(best_pair(alpha, -alpha, mask, increase=increase)[2])
    assert not bool(largest_pair(alpha, mask, increase=increase)[2])


def test_a_sum_of_exactly_0_satisfies_neither_condition() -> None:
    allowed = torch.ones(1, 2, dtype=torch.bool)
    for alpha, beta in (([1.0, -1.0], [-1.0, -1.0]), ([1.0, 1.0], [-1.0, 1.0]), ([0.0, 0.0], [0.0, 0.0])):
        for sign in (1, -1):
            a, b = sign * torch.tensor([alpha]), sign * torch.tensor([beta])
            assert not bool(best_pair(a, b, allowed, increase=sign > 0)[2])
    for sign in (1, -1):
        assert not bool(largest_pair(sign * torch.tensor([[1.0, -1.0]]), allowed, increase=sign > 0)[2])


def test_a_feature_may_be_bad_by_itself_and_part_of_the_best_pair() -> None:
    """Feature 1 alone lowers the target's output; with feature 0 it is the best pair, a single-feature search's blind
    spot."""
    alpha, beta = torch.tensor([[5.0, -1.0, 0.5]]), torch.tensor([[4.0, -9.0, -0.1]])
    p, q, valid = best_pair(alpha, beta, torch.ones(1, 3, dtype=torch.bool))
    assert (int(p), int(q), bool(valid)) == (0, 1, True)  # 4 * 5; (0, 2) has beta 3.9 > 0, (1, 2) alpha -0.5


def test_a_dominated_feature_is_found_where_its_partner_is_the_one_that_dominates() -> None:
    alpha, beta = torch.tensor([[9.0, 8.0, 1.0]]), torch.tensor([[-9.0, -8.0, -1.0]])
    p, q, _ = best_pair(alpha, beta, torch.ones(1, 3, dtype=torch.bool))
    assert (int(p), int(q)) == (0, 1)


def test_the_place_of_the_best_pair_in_a_wide_image_is_exact() -> None:
    """No index passes through a float, where it would be rounded above 2^24."""
    features = 5000
    generator = torch.Generator().manual_seed(5)
    for p, q in ((0, 1), (4998, 4999), (17, 4444)):
        alpha = 0.1 * torch.rand(1, features, generator=generator)
        beta = 0.1 * torch.randn(1, features, generator=generator)
        alpha[0, [p, q]], beta[0, [p, q]] = 2.0, -2.0
        allowed = torch.ones(1, features, dtype=torch.bool)
        assert [int(value) for value in best_pair(alpha, beta, allowed)] == [p, q, 1]
        assert [int(value) for value in best_pair(-alpha, -beta, allowed, increase=False)] == [p, q, 1]


@pytest.mark.parametrize("tiny", [1e-200, 5e-324])
def test_a_valid_pair_whose_objective_underflows_is_still_a_pair(tiny: float) -> None:
    alpha = torch.tensor([[tiny, tiny, -1.0]], dtype=torch.float64)
    allowed = torch.tensor([[True, True, False]])
    p, q, valid = best_pair(alpha, -alpha, allowed)
    assert (int(p), int(q), bool(valid)) == (0, 1, True)
    assert bool(largest_pair(alpha, allowed)[2])


@pytest.mark.parametrize("increase", [True, False])
def test_where_beta_is_minus_alpha_the_two_largest_alphas_are_the_best_pair(increase: bool) -> None:
    generator = torch.Generator().manual_seed(6)
    for features in (2, 3, 5, 20, 60):
        alpha = torch.randn(200, features, generator=generator, dtype=torch.float64)
        alpha[100:150] = alpha[100:150].round()
        alpha[150:170] = -alpha[150:170].abs() if increase else alpha[150:170].abs()  # no pair
        allowed = some(generator, 200, features, 0.7)
        quick = objectives(largest_pair(alpha, allowed, increase=increase), alpha, -alpha, allowed, increase)
        slow = objectives(best_pair(alpha, -alpha, allowed, increase=increase), alpha, -alpha, allowed, increase)
        assert quick == slow == all_pairs(alpha, -alpha, allowed, increase)


def test_the_arguments_are_left_as_they_were() -> None:
    generator = torch.Generator().manual_seed(7)
    alpha, beta = correlated(generator, 5, 10, 0.0)
    allowed = some(generator, 5, 10, 0.7)
    kept = alpha.clone(), beta.clone(), allowed.clone()
    for increase in (True, False):
        best_pair(alpha, beta, allowed, increase=increase)
        largest_pair(alpha, allowed, increase=increase)
    assert all(torch.equal(a, b) for a, b in zip((alpha, beta, allowed), kept, strict=True))
