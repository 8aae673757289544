from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from defensive_distillation.distillation import log_softmax_at, soft_cross_entropy, soft_labels, softmax_at
from defensive_distillation.errors import InputError

TEMPERATURES = (0.5, 1.0, 2.0, 20.0, 100.0)


def random_logits(count: int, classes: int, *, scale: float = 3.0, seed: int = 0) -> Tensor:
    return scale * torch.randn(count, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_soft_labels(count: int, classes: int, seed: int = 1) -> Tensor:
    return random_logits(count, classes, seed=seed).softmax(dim=1)


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 10)).eval()


def test_at_temperature_1_it_is_the_softmax() -> None:
    logits = random_logits(5, 10)
    assert torch.equal(softmax_at(logits, 1.0), logits.softmax(dim=1))


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_two_classes_give_the_logistic_function_of_their_difference_over_t(temperature: float) -> None:
    logits = random_logits(50, 2)
    difference = (logits[:, 0] - logits[:, 1]) / temperature
    torch.testing.assert_close(softmax_at(logits, temperature)[:, 0], torch.sigmoid(difference))


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_ratios_of_probabilities_are_exponentials_of_differences_over_t(temperature: float) -> None:
    logits = torch.tensor([[1.0, 3.0, -2.0]], dtype=torch.float64)
    probabilities = softmax_at(logits, temperature)[0]
    assert float(probabilities[1] / probabilities[0]) == pytest.approx(math.exp(2 / temperature))
    assert float(probabilities[2] / probabilities[0]) == pytest.approx(math.exp(-3 / temperature))
    assert float(probabilities.sum()) == pytest.approx(1.0)


def test_towards_an_infinite_temperature_it_is_uniform() -> None:
    # e^x = 1 + O(x): with |z| < 20 and T = 1e6 each share differs from 1/K by less than 40/T
    assert float((softmax_at(random_logits(20, 7), 1e6) - 1 / 7).abs().max()) < 4e-5


def test_towards_temperature_0_it_is_one_hot() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0]])
    assert softmax_at(logits, 1e-3).tolist() == [[0.0, 1.0, 0.0]]  # e^-1000 is 0 in float32


@given(
    logits=st.lists(st.floats(-500, 500), min_size=2, max_size=6),
    shift=st.floats(-1e3, 1e3),
    temperature=st.floats(0.5, 200),
)
@settings(max_examples=100, deadline=None)
def test_a_shift_of_all_logits_changes_nothing(logits: list[float], shift: float, temperature: float) -> None:
    z = torch.tensor([logits], dtype=torch.float64)
    # z + shift is rounded at 2^-53 * 1500, so log F moves by at most some 1e-12 at T = 0.5
    torch.testing.assert_close(softmax_at(z + shift, temperature), softmax_at(z, temperature), rtol=2e-12, atol=0)


@given(logits=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8), temperature=st.floats(0.5, 200))
@settings(max_examples=100, deadline=None)
def test_rows_are_probabilities_and_keep_the_order_of_the_logits(logits: list[float], temperature: float) -> None:
    z = torch.tensor([logits], dtype=torch.float64)
    probabilities = softmax_at(z, temperature)
    assert bool(((probabilities >= 0) & (probabilities <= 1)).all())
    assert float(probabilities.sum()) == pytest.approx(1.0, abs=1e-14)  # eight terms, each rounded at 1.1e-16
    assert bool((probabilities[0, z[0].argsort()].diff() >= 0).all())


def test_the_logarithm_stays_finite_where_the_probability_is_0() -> None:
    logits = torch.tensor([[0.0, -2000.0]], dtype=torch.float64)
    assert softmax_at(logits, 1.0).tolist() == [[1.0, 0.0]]
    assert log_softmax_at(logits, 1.0).tolist() == [[0.0, -2000.0]]
    assert log_softmax_at(logits, 20.0).tolist() == [[pytest.approx(0.0, abs=1e-40), pytest.approx(-100.0)]]


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_a_temperature_that_is_no_finite_number_above_0_is_refused(temperature: float) -> None:
    message = rf"temperature: expected a finite number above 0, got {temperature}"
    logits = random_logits(2, 3)
    with pytest.raises(InputError, match=message):
        softmax_at(logits, temperature)
    with pytest.raises(InputError, match=message):
        log_softmax_at(logits, temperature)
    with pytest.raises(InputError, match=message):
        soft_cross_entropy(logits, logits.softmax(1), temperature)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_loss_is_the_mean_over_samples_of_the_cross_entropy_in_words(temperature: float) -> None:
    logits, labels = random_logits(6, 4), random_soft_labels(6, 4)
    literal = 0.0
    for z, y in zip(logits.tolist(), labels.tolist(), strict=True):
        total = sum(math.exp(value / temperature) for value in z)
        literal -= sum(share * math.log(math.exp(v / temperature) / total) for share, v in zip(y, z, strict=True)) / 6
    assert float(soft_cross_entropy(logits, labels, temperature)) == pytest.approx(literal, rel=1e-13)


def test_one_hot_labels_at_temperature_1_give_pytorchs_cross_entropy() -> None:
    logits, classes = random_logits(32, 10), torch.arange(32) % 10
    one_hot = nn.functional.one_hot(classes, 10).double()
    expected = nn.functional.cross_entropy(logits, classes)
    torch.testing.assert_close(soft_cross_entropy(logits, one_hot, 1.0), expected)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_gradient_of_the_loss_is_the_error_over_n_and_t(temperature: float) -> None:
    logits, labels = random_logits(8, 5).requires_grad_(), random_soft_labels(8, 5)
    (gradient,) = torch.autograd.grad(soft_cross_entropy(logits, labels, temperature), logits)
    expected = (softmax_at(logits.detach(), temperature) - labels) / (8 * temperature)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_gradient_of_the_loss_agrees_with_finite_differences(temperature: float) -> None:
    logits, labels = random_logits(3, 4).requires_grad_(), random_soft_labels(3, 4)
    (gradient,) = torch.autograd.grad(soft_cross_entropy(logits, labels, temperature), logits)
    h = 1e-5 * temperature  # of the natural scale of z
    numeric = torch.zeros_like(gradient)
    for i, j in torch.cartesian_prod(torch.arange(3), torch.arange(4)).tolist():
        up, down = logits.detach().clone(), logits.detach().clone()
        up[i, j] += h
        down[i, j] -= h
        rise = soft_cross_entropy(up, labels, temperature) - soft_cross_entropy(down, labels, temperature)
        numeric[i, j] = rise / (2 * h)
    # central differences: truncation (h/T)^2 = 1e-10 of a third derivative below 1, rounding 1e-15 / (h/T) = 1e-10,
    # both over T
    torch.testing.assert_close(gradient, numeric, rtol=0, atol=1e-9 / temperature)


def test_the_loss_is_least_where_the_prediction_is_the_label() -> None:
    labels = random_soft_labels(10, 4)
    at_label = soft_cross_entropy(20 * labels.log(), labels, 20.0)
    assert float(at_label) == pytest.approx(float(-(labels * labels.log()).sum(1).mean()))  # the labels' entropy
    for seed in range(20):
        other = 20 * labels.log() + random_logits(10, 4, seed=seed)
        assert soft_cross_entropy(other, labels, 20.0) > at_label


def test_the_loss_of_logits_far_apart_is_finite() -> None:
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]])
    assert float(soft_cross_entropy(logits, torch.tensor([[0.0, 1.0], [0.0, 1.0]]), 1.0)) == pytest.approx(1e4)


def test_labels_of_another_shape_are_refused_rather_than_broadcast() -> None:
    with pytest.raises(InputError, match=r"soft labels: expected shape \(3, 4\), got \(3, 1\)"):
        soft_cross_entropy(torch.zeros(3, 4), torch.zeros(3, 1), 1.0)
    with pytest.raises(InputError, match=r"soft labels: expected shape \(3, 4\), got \(4,\)"):
        soft_cross_entropy(torch.zeros(3, 4), torch.zeros(4), 1.0)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_soft_labels_are_the_networks_probabilities_and_sum_to_1(network: nn.Sequential, temperature: float) -> None:
    images = torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = soft_labels(network, images, temperature)
    assert labels.dtype == torch.float32
    assert not labels.requires_grad
    # each probability is rounded once to float32, by at most 2^-24 of itself; those errors add to at most 2^-24,
    # and float64's own are 1e-15
    assert float((labels.double().sum(1) - 1).abs().max()) <= 2**-24 + 1e-14
    expected = softmax_at(network(images).double(), temperature)
    torch.testing.assert_close(labels.double(), expected, rtol=2**-24, atol=2**-149)


def test_soft_labels_keep_what_float32s_softmax_would_round_away(network: nn.Sequential) -> None:
    with torch.no_grad():
        network[-1].weight.mul_(200.0)
    images = torch.rand(200, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    z = network(images).double()
    exact = (z - z.logsumexp(1, keepdim=True)).exp()
    torch.testing.assert_close(soft_labels(network, images, 1.0).double(), exact, rtol=2**-23, atol=2**-149)


def test_soft_labels_of_a_network_in_training_mode_are_refused(network: nn.Sequential) -> None:
    with pytest.raises(InputError, match=r"model: expected evaluation mode \(model.eval\(\)\), got training mode"):
        soft_labels(network.train(), torch.rand(2, 1, 4, 4), 20.0)
