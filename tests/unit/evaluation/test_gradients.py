from __future__ import annotations

import copy
import math

import pytest
import torch
from mpmath import mp
from torch import Tensor, nn

from defensive_distillation.errors import InputError
from defensive_distillation.evaluation.gradients import log10_mean_amplitude, logit_jacobian, zero_gradient

TEMPERATURES = (0.5, 1.0, 7.0, 100.0)


def drawn(count: int, classes: int, features: int, scale: float, seed: int) -> tuple[Tensor, Tensor]:
    """Logits up to ±scale and a Jacobian of them."""
    generator = torch.Generator().manual_seed(seed)
    logits = (2 * torch.rand(count, classes, generator=generator, dtype=torch.float64) - 1) * scale
    return logits, scale * torch.randn(count, classes, features, generator=generator, dtype=torch.float64)


def exact(logits: Tensor, jacobian: Tensor, temperature: float) -> float:
    """The amplitude of one sample by the softmax's Jacobian diag(F) - F F^T over T, with 4,000 digits.

    Logits 4,000 apart at T = 0.5 make probabilities of 10^-3475, so 1 - F needs that many digits.
    """
    with mp.workdps(4000):
        powers = [mp.exp(mp.mpf(z) / mp.mpf(temperature)) for z in logits.tolist()]
        f = [power / mp.fsum(powers) for power in powers]
        rows = [[mp.mpf(value) for value in row] for row in jacobian.tolist()]
        k, d = jacobian.shape
        total = mp.mpf(0)
        for i in range(k):
            softmax = [(f[i] if i == j else 0) - f[i] * f[j] for j in range(k)]
            total += mp.fsum(abs(mp.fsum(softmax[j] * rows[j][m] for j in range(k))) for m in range(d))
        return float(mp.log10(total / (mp.mpf(temperature) * k * d)))


def probability_jacobian(model: nn.Module, images: Tensor, temperature: float) -> Tensor:
    """All of ∂F_i/∂x_j by plain automatic differentiation in the dtype of the model, (N, K, D)."""
    x = images.clone().requires_grad_()
    probabilities = (model(x) / temperature).softmax(1)
    rows = [torch.autograd.grad(column.sum(), x, retain_graph=True)[0].flatten(1) for column in probabilities.unbind(1)]
    return torch.stack(rows, dim=1)


def network(classes: int, seed: int, gain: float = 1.0) -> nn.Sequential:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(36, classes)).double().eval()
    with torch.no_grad():
        model[3].weight.mul_(gain)
        model[3].bias.mul_(gain)
    return model


def images(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# the amplitude


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("scale", [1.0, 30.0, 2000.0])
@pytest.mark.parametrize(("classes", "features"), [(2, 3), (4, 5)])
def test_the_amplitude_is_that_of_4000_digits(temperature: float, scale: float, classes: int, features: int) -> None:
    logits, jacobian = drawn(2, classes, features, scale, seed=classes)
    expected = [exact(z, j, temperature) for z, j in zip(logits, jacobian, strict=True)]
    found = log10_mean_amplitude(logits, jacobian, temperature)
    assert found.dtype == torch.float64
    # log F of up to 8,000 is rounded at some 1e-12; the rest is a few times 1e-16
    assert found.tolist() == pytest.approx(expected, rel=0, abs=1e-11)
    if scale == 2000.0 and temperature <= 1:
        assert min(expected) < -324  # below float64's smallest number


def test_equal_logits_give_the_amplitude_of_the_uniform_distribution() -> None:
    """F = 1/K: ∂F_i = (J_i - mean J) / (K T)."""
    _, jacobian = drawn(5, 4, 6, 1.0, seed=1)
    expected = ((jacobian - jacobian.mean(1, keepdim=True)).abs() / (4 * 3.0)).mean((1, 2)).log10()
    torch.testing.assert_close(log10_mean_amplitude(torch.full((5, 4), 2.5), jacobian, 3.0), expected)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_amplitude_agrees_with_automatic_differentiation_where_float64_can_hold_it(temperature: float) -> None:
    model, x = network(5, 0, gain=20.0), images(20)
    logits, jacobian = logit_jacobian(model, x)
    expected = probability_jacobian(model, x, temperature).abs().mean((1, 2))
    assert float(expected.min()) > 1e-250
    # automatic differentiation loses digits to ∂z_i - sum_l F_l ∂z_l: 1e-16 of a ∂F's natural size, here
    # of the largest of F (1 - F)
    f = (logits / temperature).softmax(1)
    lost = 1e-14 / (1 - f.max(1).values)
    assert bool(((log10_mean_amplitude(logits, jacobian, temperature) - expected.log10()).abs() < 1e-13 + lost).all())


def test_the_amplitude_is_finite_where_float64_gives_exactly_0() -> None:
    model, x = network(3, 1, gain=1e5), images(30)
    vanished = (probability_jacobian(model, x, 1.0) == 0).flatten(1).all(1)
    assert int(vanished.sum()) > 20
    found = log10_mean_amplitude(*logit_jacobian(model, x), 1.0)
    assert bool(found.isfinite().all())
    assert float(found[vanished].max()) < -300


def test_the_amplitude_of_scaled_logits_is_that_at_a_lower_temperature() -> None:
    logits, jacobian = drawn(10, 6, 4, 30.0, seed=2)
    torch.testing.assert_close(
        log10_mean_amplitude(64 * logits, 64 * jacobian, 64.0), log10_mean_amplitude(logits, jacobian, 1.0)
    )


def test_a_shift_of_all_logits_and_of_their_jacobian_changes_nothing() -> None:
    logits, jacobian = drawn(10, 6, 4, 30.0, seed=3)
    shifted = log10_mean_amplitude(logits + 8.0, jacobian + jacobian[:, :1].round(), 1.0)
    torch.testing.assert_close(shifted, log10_mean_amplitude(logits, jacobian, 1.0), rtol=1e-11, atol=1e-11)


def test_the_amplitude_is_minus_infinity_where_no_difference_of_logits_depends_on_the_input() -> None:
    logits, jacobian = drawn(4, 5, 6, 3.0, seed=4)
    for same in (torch.zeros_like(jacobian), jacobian[:, :1].expand(-1, 5, -1)):
        assert log10_mean_amplitude(logits, same, 1.0).tolist() == [-math.inf] * 4


def test_single_precision_logits_are_computed_with_in_double_precision() -> None:
    logits, jacobian = drawn(4, 5, 6, 500.0, seed=5)
    found = log10_mean_amplitude(logits.float(), jacobian.float(), 1.0)
    assert torch.equal(found, log10_mean_amplitude(logits.float().double(), jacobian.float().double(), 1.0))


@pytest.mark.parametrize("temperature", [0.0, -2.0, math.nan, math.inf])
def test_a_temperature_that_is_no_finite_number_above_0_is_refused(temperature: float) -> None:
    message = f"temperature: expected a finite number above 0, got {temperature}"
    with pytest.raises(InputError, match=message):
        log10_mean_amplitude(*drawn(2, 3, 4, 1.0, seed=0), temperature)
    with pytest.raises(InputError, match=message):
        zero_gradient(network(3, 0), images(2), temperature, torch.float64)


# the Jacobian of the logits


def test_the_jacobian_of_the_logits_is_pytorchs() -> None:
    model, x = network(4, 2), images(5)
    logits, jacobian = logit_jacobian(model, x)
    assert jacobian.shape == (5, 4, 16)
    assert not logits.requires_grad
    assert torch.equal(logits, model(x).detach())
    for n in range(5):
        single = torch.autograd.functional.jacobian(lambda image: model(image[None])[0], x[n])
        torch.testing.assert_close(jacobian[n], single.flatten(1), rtol=1e-12, atol=1e-14)


def test_the_jacobian_of_a_linear_network_is_its_weight() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 3)).eval()
    _, jacobian = logit_jacobian(model, torch.rand(4, 1, 2, 3))
    assert torch.equal(jacobian, model[1].weight.detach().expand(4, 3, 6))


def test_gradients_leave_the_network_and_the_images_as_they_were() -> None:
    model, x = network(3, 3).float(), images(4).float()
    model[0].weight.requires_grad_(False)
    model[3].weight.grad = torch.full_like(model[3].weight, 7.0)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    logit_jacobian(model, x)
    for dtype in (torch.float32, torch.float64):
        zero_gradient(model, x, 1.0, dtype)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(value.dtype == torch.float32 for value in model.state_dict().values())
    assert not model[0].weight.requires_grad
    assert model[0].bias.grad is None
    assert bool((model[3].weight.grad == 7.0).all())
    assert not x.requires_grad


# exact zeros


@pytest.mark.parametrize(("dtype", "gain"), [(torch.float32, 200.0), (torch.float64, 1500.0)])
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_gradient_is_called_zero_exactly_where_all_of_the_probabilities_jacobian_is(
    dtype: torch.dtype, gain: float, classes: int, temperature: float
) -> None:
    zeros, others = 0, 0
    for seed, factor in enumerate((1, 4, 16, 64)):
        model, x = network(classes, seed, gain * temperature * factor).float(), images(150, seed).float()
        in_dtype = copy.deepcopy(model).to(dtype)
        expected = (probability_jacobian(in_dtype, x.to(dtype), temperature) == 0).flatten(1).all(1)
        assert torch.equal(zero_gradient(model, x, temperature, dtype), expected)
        zeros += int(expected.sum())
        others += int((~expected).sum())
    assert min(zeros, others) > 20  # the comparison is about something


def test_float32_vanishes_before_float64() -> None:
    model, x = network(3, 0, gain=500.0).float(), images(200).float()
    single, double = (zero_gradient(model, x, 1.0, dtype) for dtype in (torch.float32, torch.float64))
    assert int(double.sum()) < int(single.sum())
    assert not (double & ~single).any()


def test_a_temperature_brings_the_gradient_back() -> None:
    model, x = network(3, 1, gain=1e5).float(), images(50).float()
    assert int(zero_gradient(model, x, 1.0, torch.float64).sum()) > 30
    assert not zero_gradient(model, x, 1e5, torch.float32).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_network_has_zero_gradient(dtype: torch.dtype) -> None:
    model, x = network(3, 1, gain=0.0).float(), images(5).float()
    assert bool(zero_gradient(model, x, 1.0, dtype).all())
    assert log10_mean_amplitude(*logit_jacobian(model, x), 1.0).tolist() == [-math.inf] * 5


@pytest.mark.parametrize("ahead", [20.0, 50.0, 80.0])
def test_a_gradient_that_only_a_less_likely_class_has_is_not_called_zero(ahead: float) -> None:
    """1 - F rounds to 0 for the first class, and the second's logit is constant: F_1 alone has a gradient left."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2)).eval()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[1.0, 2.0], [0.0, 0.0]]))
        model[1].bias.copy_(torch.tensor([ahead, 0.0]))
    x = torch.full((1, 1, 1, 2), 0.5)
    jacobian = probability_jacobian(model, x, 1.0)[0]
    assert not jacobian[0].any()
    assert jacobian[1].any()
    assert not bool(zero_gradient(model, x, 1.0, torch.float32))


def test_dead_units_are_a_zero_gradient_without_saturation() -> None:
    model = network(3, 1)
    with torch.no_grad():
        model[0].bias.fill_(-100.0)  # no convolution is ever active
    assert bool(zero_gradient(model.float(), images(5).float(), 1.0, torch.float32).all())
