"""T̂ against its definition: where the softmax of the two largest logits is steepest."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from defensive_distillation.errors import InputError
from defensive_distillation.networks.softmax import STEEPEST, logit_temperature


def logits(seed: int = 0, count: int = 51, classes: int = 10) -> Tensor:
    return torch.randn(count, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 7


def test_it_is_where_the_slope_of_the_softmax_is_largest() -> None:
    margin = 7.3
    temperatures = torch.linspace(0.5, 40, 400_001, dtype=torch.float64)  # steps of 1e-4
    p = torch.sigmoid(margin / temperatures)
    slope = p * (1 - p) / temperatures  # |∂σ(m / T) / ∂m|
    best = float(temperatures[slope.argmax()])
    # the maximum is flat: a step of the grid is the tolerance
    assert logit_temperature(torch.tensor([[0.0, margin]])) == pytest.approx(best, abs=2e-4)


def test_the_constant_solves_its_equation() -> None:
    assert STEEPEST * math.tanh(STEEPEST / 2) == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize("factor", [20.0, 100.0, 1000.0, 1e-3])
def test_multiplied_logits_have_a_multiplied_temperature(factor: float) -> None:
    assert logit_temperature(factor * logits()) == pytest.approx(factor * logit_temperature(logits()), rel=1e-12)


def test_neither_a_shift_nor_the_order_of_the_classes_nor_a_third_class_counts() -> None:
    z = logits()
    top = z.topk(2, dim=1).values
    expected = logit_temperature(z)
    assert logit_temperature(z + 1000) == pytest.approx(expected, rel=1e-12)
    assert logit_temperature(z.flip(1)) == logit_temperature(z[torch.randperm(len(z))]) == expected
    assert logit_temperature(top) == expected


def test_it_is_the_median_so_that_a_few_huge_logits_do_not_count() -> None:
    z = torch.zeros(5, 3)
    z[:, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0, 1e9])
    assert logit_temperature(z) == pytest.approx(3 / STEEPEST)


def test_where_most_images_tie_it_is_one() -> None:
    assert logit_temperature(torch.zeros(3, 4)) == 1
    assert logit_temperature(torch.tensor([[2.0, 2.0], [3.0, 3.0], [0.0, 9.0]])) == 1


@pytest.mark.parametrize("shape", [(3,), (3, 1), (0, 4), (2, 3, 4)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"logits: expected shape \(N, K\) with K at least 2, got "):
        logit_temperature(torch.zeros(shape))
