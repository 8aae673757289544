"""The check of the logits' gradient where its answer is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from defensive_distillation.evaluation.verdict.gradient_check import LEVELS, check_gradients
from support.networks import StepFunction, linear, smooth, starts

IMAGES = starts(20, (1, 4, 4), saturated=0)
SMOOTH = smooth(16, 3)
LINEAR = linear(torch.randn(3, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64), [3.0, 0.0, -3.0])


def faults(model: Callable[[Tensor], Tensor], images: Tensor = IMAGES) -> list[str]:
    return [sign.name for sign in check_gradients(model, images).signs]


@pytest.mark.parametrize("factor", [1.0, 20.0, 1000.0, 1e-3])
def test_the_gradient_of_a_linear_model_predicts_all_however_large_its_logits_are(factor: float) -> None:
    found = check_gradients(lambda images: factor * LINEAR(images), IMAGES)
    assert found.slope == pytest.approx(1, abs=1e-9)  # rounding of float64
    assert found.repeat_difference == found.zero_share == 0
    assert found.levels is None
    assert found.signs == ()


def test_a_smooth_network_has_no_fault() -> None:
    found = check_gradients(SMOOTH, IMAGES)
    assert found.signs == ()
    assert found.slope == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("levels", [2, 4, 8, 16, 32, 256])
def test_rounded_inputs_are_named_with_their_levels(levels: int) -> None:
    assert levels in LEVELS

    def rounded(images: Tensor) -> Tensor:
        return SMOOTH((images * (levels - 1)).round() / (levels - 1))

    found = check_gradients(rounded, IMAGES)
    assert found.levels == levels
    assert found.zero_share >= 0.95  # of all images that moved from one level to the next
    assert [sign.name for sign in found.signs] == ["stepped"]
    said = "8 bits" if levels == 256 else f"{levels} levels"
    assert f"the input is rounded to {said}" in found.signs[0].sentence
    assert f"zero on {100 * found.zero_share:.0f} % of 20 images" in found.signs[0].sentence


def test_a_rounded_output_is_a_step_of_which_no_levels_can_be_told() -> None:
    model = StepFunction(SMOOTH)
    found = check_gradients(lambda images: model(images) + 0 * images.flatten(1).sum(1, keepdim=True), IMAGES)
    assert found.levels is None
    assert [sign.name for sign in found.signs] == ["stepped"]
    assert found.signs[0].sentence.endswith("a step has no gradient (rounding, JPEG, …)")


def test_a_detached_model_is_a_step() -> None:
    assert faults(lambda images: SMOOTH(images.detach()) + 0 * images.flatten(1).sum(1, keepdim=True)) == ["stepped"]


def test_a_random_model_is_named_and_nothing_else_is_said_of_it() -> None:
    generator = torch.Generator().manual_seed(0)

    def noisy(images: Tensor) -> Tensor:
        return SMOOTH(images + 0.1 * torch.randn(images.shape, generator=generator).to(images)).round()

    assert faults(lambda images: noisy(images) + 0 * images.flatten(1).sum(1, keepdim=True)) == ["random"]


def test_rounding_of_float32_is_no_chance() -> None:
    generator = torch.Generator().manual_seed(0)
    assert faults(lambda z: SMOOTH(z) * (1 + 1e-6 * torch.randn(1, generator=generator).double())) == []


def test_a_step_that_saturates_is_named() -> None:
    model = linear(torch.randn(3, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64))

    def steep(images: Tensor) -> Tensor:
        return model(torch.tanh(1000 * (images - 0.5)))

    # tanh(1000 x) has a gradient above 1e-4 on 12 of a thousand pixels, so of 16 mostly none: 0 or 1e-100
    found = check_gradients(steep, IMAGES)
    assert [sign.name for sign in found.signs] == ["saturating"]
    assert "something saturates before them" in found.signs[0].sentence


def test_a_gradient_far_larger_than_what_it_leads_to_is_shattered() -> None:
    def wiggling(images: Tensor) -> Tensor:
        return LINEAR(images) + torch.stack([(1e5 * images.flatten(1).sum(1)).sin(), *[0 * images[:, 0, 0, 0]] * 2], 1)

    assert faults(wiggling) == ["shattered"]


def test_a_model_that_does_not_look_at_the_image_has_no_slope() -> None:
    found = check_gradients(lambda images: 0 * LINEAR(images) + torch.tensor([1.0, 0.0, 0.0]), IMAGES)
    assert (found.slope, found.flat_half, found.signs) == (None, None, ())


def test_the_same_seed_makes_the_same_check_and_the_images_stay() -> None:
    images = IMAGES.clone()
    state = torch.get_rng_state()
    assert check_gradients(SMOOTH, images, seed=4) == check_gradients(SMOOTH, images, seed=4)
    assert torch.equal(images, IMAGES)
    assert not images.requires_grad
    assert torch.equal(torch.get_rng_state(), state)
