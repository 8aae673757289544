"""BPDA and EOT against their definitions (Athalye et al. 2018, Sections 4.1 and 4.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from defensive_distillation.errors import InputError
from defensive_distillation.networks.input_steps import Expected, Stepped, StraightThrough, applied
from support.networks import smooth, starts

NETWORK = smooth(12, 3)
IMAGES = starts(5, (1, 3, 4), saturated=0)
STEPS: dict[str, Callable[[Any], Any]] = {
    "round": lambda images: (images * 7).round() / 7,
    "numpy": lambda images: np.round(images * 7) / 7,
    "numpy within": lambda images: torch.from_numpy(np.round(images.numpy() * 7) / 7),
}


class Noisy(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return NETWORK(images + 0.1 * torch.randn_like(images))


def gradient(model: Callable[[Tensor], Tensor], images: Tensor = IMAGES) -> Tensor:
    x = images.clone().requires_grad_()
    (found,) = torch.autograd.grad(model(x)[:, 0].sum(), x)
    return found


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_step_without_a_gradient_hides_it_and_straight_through_it_is_the_networks(
    step: Callable[[Any], Any],
) -> None:
    rounded = (IMAGES * 7).round() / 7
    as_it_is, around = Stepped(step, NETWORK), StraightThrough(step, NETWORK)
    assert torch.equal(as_it_is(IMAGES), NETWORK(rounded))
    assert torch.equal(around(IMAGES), NETWORK(rounded))
    assert torch.equal(gradient(as_it_is), torch.zeros_like(IMAGES))
    assert torch.equal(gradient(around), gradient(NETWORK, rounded))  # the network's, where the step leads


def test_the_gradient_of_a_step_is_the_identitys_whatever_the_step_is() -> None:
    weight = torch.randn(5, 1, 3, 4, dtype=torch.float64)

    def line(images: Tensor) -> Tensor:
        return (weight * images).flatten(1).sum(1, keepdim=True)

    class Line(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return line(images)

    assert torch.equal(gradient(StraightThrough(lambda x: x**3, Line())), weight)


def test_a_step_that_can_be_differentiated_keeps_its_gradient_where_nobody_goes_round_it() -> None:
    assert torch.allclose(gradient(Stepped(lambda x: x**2, NETWORK)), 2 * IMAGES * gradient(NETWORK, IMAGES**2))


def test_a_module_as_a_step_is_left_as_it_was() -> None:
    step = nn.Dropout().train()
    Stepped(step, NETWORK).eval().requires_grad_(False)
    assert step.training


def test_the_mean_of_draws_has_the_mean_of_their_gradients_the_same_at_every_call() -> None:
    draws = 4
    expected = Expected(Noisy(), draws, seed=3)
    logits, gradients = [], []
    for draw in range(draws):
        with torch.random.fork_rng():
            torch.manual_seed(3 + draw)
            logits.append(Noisy()(IMAGES))
            torch.manual_seed(3 + draw)
            gradients.append(gradient(Noisy()))
    # sums of four float64 in another order
    assert torch.allclose(expected(IMAGES), torch.stack(logits).mean(0), atol=1e-12)
    assert torch.allclose(gradient(expected), torch.stack(gradients).mean(0), atol=1e-12)
    assert torch.equal(expected(IMAGES), expected(IMAGES))
    assert torch.equal(gradient(expected), gradient(expected))


def test_draws_leave_the_callers_generator_as_it_was() -> None:
    before = torch.get_rng_state()
    Expected(Noisy(), 3)(IMAGES)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("draws", [0, -1, 2.5])
def test_less_than_one_draw_is_refused(draws: Any) -> None:
    with pytest.raises(InputError, match=f"^draws: expected a whole number, at least 1, got {draws}$"):
        Expected(NETWORK, draws)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (lambda x: x[:, :, 1:], r"expected images of shape \(5, 1, 3, 4\) back, got \(5, 1, 2, 4\)$"),
        (lambda x: None, r"back, got NoneType$"),
        (lambda x: (x * 255).to(torch.uint8), r"back, got torch\.uint8; divide it by 255$"),
        (lambda x: x.resize_by(2), r"expected a function of images \(N, C, H, W\) in \[0, 1\], got .*resize_by"),
    ],
)
def test_a_step_that_returns_no_images_is_refused(step: Callable[[Any], Any], expected: str) -> None:
    with pytest.raises(InputError, match=f"^input_step: .*{expected}"):
        applied(step, IMAGES)
