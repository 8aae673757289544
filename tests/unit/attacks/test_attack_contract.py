"""What all attacks share, whatever they do inside."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from defensive_distillation.attacks import AttackResult, StopReason, transfer
from defensive_distillation.attacks.network import require_attackable
from defensive_distillation.errors import InputError
from defensive_distillation.networks.architectures import build
from support.attacks import ATTACKS, BALL, CARLINI_WAGNER, DESCENDING, EPSILON, RANDOM, with_options
from support.networks import assert_equal, reasons, smooth, starts

GOALS = (True, False)

every_attack = pytest.mark.parametrize("name", ATTACKS)
every_goal = pytest.mark.parametrize("targeted", GOALS)


def assert_is_what_it_says(
    found: AttackResult,
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    targeted: bool,
    clip: tuple[float, float] = (0.0, 1.0),
) -> None:
    count = len(images)
    assert (found.adversarial.shape, found.adversarial.dtype) == (images.shape, images.dtype)
    assert not found.adversarial.requires_grad
    for field, dtype in (
        ("success", torch.bool),
        ("changed_features", torch.int64),
        ("stop_reason", torch.int8),
        ("changed_pixels", torch.int64),
        ("l2", images.dtype),
        ("linf", images.dtype),
        ("gradient_evaluations", torch.int64),
    ):
        value = getattr(found, field)
        assert (value.shape, value.dtype, value.requires_grad) == ((count,), dtype, False), field
    assert bool(((found.adversarial >= clip[0]) & (found.adversarial <= clip[1])).all())
    for n in range(count):
        moved = (found.adversarial[n] - images[n]).detach()
        assert int(found.changed_features[n]) == int((moved != 0).sum())
        assert int(found.changed_pixels[n]) == sum(
            any(float(value) != 0 for value in moved[:, i, j])
            for i in range(moved.shape[1])
            for j in range(moved.shape[2])
        )
        # the same sum in another order, of at most 105 terms
        assert float(found.l2[n]) == pytest.approx(math.sqrt(float(moved.double().square().sum())), rel=1e-5)
        assert float(found.linf[n]) == float(moved.abs().max())
    # one sample at a time, as the result will be checked; a near tie of logits may fall either way in a batch
    logits = torch.cat([model(x[None]) for x in found.adversarial]).detach()
    top, order = logits.topk(2, dim=1)
    decided = top[:, 0] - top[:, 1] > 1e3 * torch.finfo(logits.dtype).eps * top[:, 0].abs()
    there = order[:, 0] == classes if targeted else order[:, 0] != classes
    assert torch.equal(found.success[decided], there[decided])
    assert torch.equal(found.success, found.stop_reason == StopReason.SUCCESS)
    assert set(found.stop_reason.tolist()) <= set(StopReason)
    assert bool((found.gradient_evaluations >= 0).all())


def case(
    classes: int, shape: tuple[int, int, int] = (3, 5, 7), count: int = 10, *, targeted: bool, seed: int = 1
) -> tuple[nn.Module, Tensor, Tensor]:
    """A network, images, and the classes to reach, or those they are in and are to leave."""
    model = smooth(math.prod(shape), classes, seed)
    images = starts(count, shape, seed)
    labels = model(images).argmax(1)
    return model, images, (labels + 1 + torch.arange(count) % (classes - 1)) % classes if targeted else labels


@functools.cache
def attacked(name: str, *, targeted: bool) -> tuple[nn.Module, Tensor, Tensor, AttackResult]:
    """Ten samples, the first of which is where it should be from the start, and what became of them."""
    model, images, labels = case(4, targeted=targeted)
    labels[0] = model(images[:1]).argmax() if targeted else (labels[0] + 1) % 4
    return model, images, labels, ATTACKS[name](model, images, labels, targeted=targeted)


# what comes back


@every_attack
@every_goal
def test_the_result_is_what_it_says(name: str, targeted: bool) -> None:
    model, images, labels, found = attacked(name, targeted=targeted)
    assert_is_what_it_says(found, model, images, labels, targeted=targeted)
    assert bool(found.adversarial.ne(images).any())


@every_attack
@every_goal
@pytest.mark.parametrize("classes", [2, 1000])
def test_the_result_is_what_it_says_with_two_classes_and_with_a_thousand(
    name: str, targeted: bool, classes: int
) -> None:
    count = 2 if name.startswith("jsma") and classes == 1000 else 6  # untargeted, 999 attempts a sample
    model, images, labels = case(classes, count=count, targeted=targeted)
    source = images.clone()
    found = ATTACKS[name](model, images, labels, targeted=targeted)
    assert torch.equal(images, source)
    assert_is_what_it_says(found, model, images, labels, targeted=targeted)
    assert bool(found.adversarial.ne(images).any())


@every_attack
@every_goal
def test_in_single_precision_too(name: str, targeted: bool) -> None:
    model, images, labels = case(4, targeted=targeted)
    model, images = model.float(), images.float()
    found = ATTACKS[name](model, images, labels, targeted=targeted)
    assert_is_what_it_says(found, model, images, labels, targeted=targeted)


@every_attack
@every_goal
@pytest.mark.parametrize("clip", [(-3.0, -1.0), (0.0, 255.0)])
def test_other_boxes_are_kept(name: str, targeted: bool, clip: tuple[float, float]) -> None:
    """The same images in other units, with a network that turns them back: about the same attack."""
    low, high = clip
    width = high - low

    class InUnits(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.model((x - low) / width)
            return logits

    model, images, labels = case(4, count=5, targeted=targeted)
    model = InUnits(model).eval()
    images = (low + width * images).clamp(low, high)
    options: dict[str, Any] = {"epsilon": EPSILON * width} if name in BALL else {}
    if name.startswith("jsma"):
        options["theta"] = 0.5 * width
    if name in ("transfer", "cw_l2", "cw_l0"):
        options["initial_constant"] = 0.1 * width**2  # beside a squared distance
    if name == "cw_l0":
        options["largest_constant"] = 10 * width**2
    found = ATTACKS[name](model, images, labels, targeted=targeted, clip=clip, **options)
    assert_is_what_it_says(found, model, images, labels, targeted=targeted, clip=clip)
    assert bool(found.adversarial.ne(images).any())


@pytest.mark.parametrize("name", BALL)
@every_goal
@pytest.mark.parametrize("epsilon", [0.003, 0.1, 0.3, 1.0])
def test_the_ball_is_kept(name: str, targeted: bool, epsilon: float) -> None:
    model, images, labels = case(3, targeted=targeted)
    found = ATTACKS[name](model, images, labels, targeted=targeted, epsilon=epsilon)
    assert float(found.linf.max()) <= epsilon + 1e-15  # x + epsilon - x, rounded at most thrice by 2^-53
    if not found.success.all():  # else PGD may have stopped on its way to the surface
        assert float(found.linf.max()) >= min(epsilon, 0.5) * (1 - 1e-12)  # any feature can move by one half


@every_attack
@every_goal
def test_a_source_that_is_where_it_should_be_is_a_success_without_a_change(name: str, targeted: bool) -> None:
    model, images, labels = case(3, targeted=False)
    found = ATTACKS[name](model, images, labels if targeted else (labels + 1) % 3, targeted=targeted)
    assert torch.equal(found.adversarial, images)
    assert set(reasons(found)) == {StopReason.SUCCESS}
    assert bool(found.success.all())
    for distance in (found.changed_features, found.changed_pixels, found.l2, found.linf):
        assert not distance.any()
    # one look at the gradient at most; JSMA untargeted looks once towards each of the two others, on logits twice
    assert int(found.gradient_evaluations.max()) <= 4


# what does not matter


def assert_same(name: str, found: AttackResult, whole: AttackResult, places: Tensor) -> None:
    """What moves by signs, pairs or draws is the same to the bit; what moves by real numbers is so to 1e-6.

    Adam divides by the root of the second moment, which makes a rounding of 1e-16 in the gradient larger.
    """
    for field in dataclasses.fields(AttackResult):
        one, other = getattr(found, field.name), getattr(whole, field.name)[places]
        if name in DESCENDING and one.is_floating_point():
            assert torch.allclose(one, other, rtol=0, atol=1e-6), field.name
        else:
            assert torch.equal(one, other), field.name


@every_attack
@every_goal
def test_neither_batch_size_nor_order_change_a_result_and_samples_are_counted_as_they_end(
    name: str, targeted: bool
) -> None:
    """In float64, where another batch rounds the logits otherwise by 1e-16."""
    model, images, labels, whole = attacked(name, targeted=targeted)
    assert (whole.success & (whole.changed_features > 0)).any()
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    for places, batch_size in ((order, 3),) if name in DESCENDING else ((order, 1), (order.flip(0), 4)):
        counts: list[int] = []
        again = ATTACKS[name](
            model,
            images[places],
            labels[places],
            targeted=targeted,
            batch_size=batch_size,
            on_finished=counts.append,
            **({"seeds": places} if name in RANDOM else {}),
        )
        assert_same(name, again, whole, places)
        assert counts == sorted(set(counts))
        assert len(counts) > 1
        assert counts[0] > 0
        assert counts[-1] == 10


@every_attack
@every_goal
def test_neither_no_grad_nor_a_required_gradient_nor_the_memory_layout_matter(name: str, targeted: bool) -> None:
    model, images, labels, plain = attacked(name, targeted=targeted)
    wanting = images.to(memory_format=torch.channels_last, copy=True).requires_grad_()
    with torch.no_grad():
        found = ATTACKS[name](model, wanting, labels, targeted=targeted)
    # the distance is summed up in another order
    assert torch.allclose(found.l2, plain.l2, rtol=1e-12, atol=0)
    assert_equal(dataclasses.replace(found, l2=plain.l2), plain)
    assert wanting.grad is None
    assert wanting.requires_grad


@pytest.mark.parametrize("name", RANDOM)
@every_goal
def test_the_same_seeds_give_the_same_numbers_and_others_give_others(name: str, targeted: bool) -> None:
    """An attack that fails and whose end is a random point: on a network too flat to be fooled."""
    model, images, labels = case(3, count=4, targeted=targeted)
    with torch.no_grad():
        model[3].weight.mul_(1e-3)
        model[3].bias.copy_(torch.nn.functional.one_hot(torch.tensor(0), 3) * 5.0)
    labels = torch.ones(4, dtype=torch.int64) if targeted else torch.zeros(4, dtype=torch.int64)
    attack = with_options(
        ATTACKS[name], targeted=targeted, **({"steps": 1, "step_size": 0.01} if name.startswith("pgd") else {})
    )
    first = attack(model, images, labels, seeds=torch.tensor([3, 4, 5, 6]))
    assert not first.success.any()
    assert_equal(attack(model, images, labels, seeds=torch.tensor([3, 4, 5, 6])), first)
    assert_equal(attack(model, images, labels), attack(model, images, labels, seeds=torch.arange(4)))
    # neither far seeds nor negative ones share numbers: torch's generator heeds the lower 32 bits alone
    for other in (7, 3 + 2**32, 3 + 2**40, -3, 2**63 - 1, -(2**63)):
        found = attack(model, images, labels, seeds=torch.tensor([other, 4, 5, 6]))
        assert not torch.equal(found.adversarial[0], first.adversarial[0])
        assert torch.equal(found.adversarial[1:], first.adversarial[1:])
    same = attack(model, images[:1].expand(2, -1, -1, -1), labels[:2], seeds=torch.tensor([8, 9])).adversarial
    assert not torch.equal(same[0], same[1])


# what is left alone


def lived_in() -> nn.Module:
    """A network with buffers, dropout, parameters of which some are frozen, and gradients of earlier work."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Dropout(), nn.Linear(96, 3)
    ).eval()
    for number, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(number % 2 == 0)
        parameter.grad = torch.full_like(parameter, 7.0) if number % 3 == 0 else None
    return model


def assert_untouched(model: nn.Module, state: dict[str, Tensor]) -> None:
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    for number, parameter in enumerate(model.parameters()):
        assert parameter.requires_grad == (number % 2 == 0)
        assert parameter.grad is None if number % 3 else bool((parameter.grad == 7.0).all())
    assert not any(module.training for module in model.modules())
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())


@every_attack
@every_goal
def test_the_model_its_gradients_and_the_random_state_are_left_as_they_were(name: str, targeted: bool) -> None:
    model, surrogate = lived_in(), lived_in()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    images = starts(5, (3, 5, 7)).float()
    labels = model(images).argmax(1)
    rng, enabled = torch.get_rng_state(), torch.is_grad_enabled()
    options: dict[str, Any] = {"targeted": targeted}
    if name == "transfer":
        transfer(model, images, labels, surrogate=surrogate, **CARLINI_WAGNER, search_steps=2, **options)
    else:
        ATTACKS[name](model, images, (labels + 1) % 3 if targeted else labels, **options)
    assert_untouched(model, state)
    assert_untouched(surrogate, state)
    assert torch.equal(torch.get_rng_state(), rng)
    assert torch.is_grad_enabled() == enabled


# what is refused


@every_attack
def test_a_model_in_training_mode_is_refused(name: str) -> None:
    model, images, labels = case(3, targeted=True)
    message = r"model: expected evaluation mode \(model.eval\(\)\), got training mode"
    with pytest.raises(InputError, match=message):
        ATTACKS[name](model.train(), images, labels)
    partly = nn.Sequential(model.eval(), nn.Dropout()).eval()
    partly[1].train()  # one layer of which the network itself knows nothing
    with pytest.raises(InputError, match=message):
        ATTACKS[name](partly, images, labels)


@every_attack
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_probabilities_are_refused_also_where_the_softmax_is_saturated(name: str, scale: float) -> None:
    model, images, labels = case(3, targeted=True)
    with torch.no_grad():
        model[3].weight.mul_(scale)
        model[3].bias.mul_(scale)
    probabilities = nn.Sequential(model, nn.Softmax(dim=1)).eval()
    if scale > 1:
        assert bool(((probabilities(images) == 0) | (probabilities(images) == 1)).all())
    for dtype in (torch.float64, torch.float32):
        with pytest.raises(InputError, match="model: expected logits, got probabilities"):
            ATTACKS[name](probabilities.to(dtype), images.to(dtype), labels)


@every_attack
def test_log_probabilities_are_logits(name: str) -> None:
    model, images, labels = case(3, targeted=True)
    found = ATTACKS[name](nn.Sequential(model, nn.LogSoftmax(dim=1)).eval(), images, labels)
    assert bool(found.success.any())


@every_attack
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite_are_refused(name: str, value: float) -> None:
    model, images, labels = case(3, targeted=True)
    with torch.no_grad():
        model[3].bias[0] = value
    with pytest.raises(InputError, match="model: expected finite logits, got NaN or infinity"):
        ATTACKS[name](model, images, labels)


@every_attack
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Identity(), r"model: expected logits of shape \(2, K\), got \(2, 1, 2, 2\)"),
        (nn.Flatten(0), r"model: expected logits of shape \(2, K\), got \(8,\)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 1)), "model: expected logits of at least 2 classes, got 1"),
    ],
)
def test_a_model_that_returns_no_logits_is_refused(name: str, model: nn.Module, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ATTACKS[name](model.eval(), IMAGES, TARGETS)


def classes_of(name: str) -> str:
    """The argument of an attack that its classes are given by."""
    return "target_classes" if name.startswith(("jsma", "cw")) else "labels"


IMAGES, TARGETS = torch.full((2, 1, 2, 2), 0.5), torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": IMAGES.to(torch.uint8)}, r"images: expected float \(N, ...\), got torch.uint8 \(2, 1, 2, 2\)"),
        ({"images": IMAGES + 1}, r"images: expected values within \[0.0, 1.0\], got 1.5 to 1.5"),
        ({"images": -IMAGES}, r"images: expected values within \[0.0, 1.0\], got -0.5 to -0.5"),
        ({"images": IMAGES * math.nan}, r"images: expected values within \[0.0, 1.0\], got nan to nan"),
        ({"images": IMAGES * 255, "clip": (0.0, 100.0)}, r"images: expected values within \[0.0, 100.0\], got 127.5"),
        ({"classes": TARGETS[:1]}, r"target_classes: expected int64 \(2,\), got torch.int64 \(1,\)"),
        ({"classes": TARGETS[:, None]}, r"target_classes: expected int64 \(2,\), got torch.int64 \(2, 1\)"),
        ({"classes": TARGETS.int()}, r"target_classes: expected int64 \(2,\), got torch.int32 \(2,\)"),
        ({"classes": TARGETS.float()}, r"target_classes: expected int64 \(2,\), got torch.float32 \(2,\)"),
        ({"classes": TARGETS + 2}, "target_classes: expected values below 3, got 3"),
        ({"classes": TARGETS - 1}, "target_classes: expected values from 0, got -1"),
        ({"clip": (1.0, 0.0)}, r"clip: expected finite \(lo, hi\) with lo < hi, got \(1.0, 0.0\)"),
        ({"clip": (0.5, 0.5)}, r"clip: expected finite \(lo, hi\) with lo < hi, got \(0.5, 0.5\)"),
        ({"clip": (0.0, math.inf)}, r"clip: expected finite \(lo, hi\) with lo < hi, got \(0.0, inf\)"),
        ({"clip": (math.nan, 1.0)}, r"clip: expected finite \(lo, hi\) with lo < hi, got \(nan, 1.0\)"),
        ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
        ({"batch_size": -3}, "batch_size: expected at least 1, got -3"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    model = smooth(4, 3).float()
    arguments: dict[str, Any] = {"images": IMAGES, "classes": TARGETS, "clip": (0.0, 1.0), "batch_size": None}
    with pytest.raises(InputError, match=message):
        require_attackable(model, **{**arguments, **changes})


@every_attack
@every_goal
def test_every_attack_refuses_what_all_refuse(name: str, targeted: bool) -> None:
    wrong: tuple[tuple[Any, Any, dict[str, Any], str], ...] = (
        (IMAGES.byte(), TARGETS, {}, "images: expected float"),
        (IMAGES.flatten()[0], TARGETS, {}, r"images: expected shape \(N, ...\) with at least one feature, got \(\)"),
        (IMAGES[:, :0], TARGETS, {}, r"images: expected shape .* got \(2, 0, 2, 2\)"),
        (IMAGES.numpy(), TARGETS, {}, "images: expected a tensor, got ndarray; torch.as_tensor makes one"),
        (IMAGES, TARGETS.numpy(), {}, f"{classes_of(name)}: expected a tensor, got ndarray"),
        (IMAGES, TARGETS.int(), {}, f"{classes_of(name)}: expected int64"),
        (IMAGES, TARGETS + 2, {"batch_size": 1}, f"{classes_of(name)}: expected values below 3, got 3"),
        (IMAGES, TARGETS - 1, {}, f"{classes_of(name)}: expected values from 0, got -1"),
        (IMAGES, TARGETS, {"clip": (1.0, 0.0)}, "clip: expected finite"),
        (IMAGES, TARGETS, {"batch_size": 0}, "batch_size: expected at least 1, got 0"),
    )
    model = smooth(4, 3).float()
    for images, classes, options, message in wrong:
        with pytest.raises(InputError, match=message):
            ATTACKS[name](model, images, classes, targeted=targeted, **options)


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        (torch.arange(3), r"seeds: expected int64 \(2,\), got torch.int64 \(3,\)"),
        (torch.zeros(2), r"seeds: expected int64 \(2,\), got torch.float32 \(2,\)"),
        (torch.zeros(2, 1, dtype=torch.int64), r"seeds: expected int64 \(2,\), got torch.int64 \(2, 1\)"),
    ],
)
def test_wrong_seeds_are_refused(name: str, seeds: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ATTACKS[name](smooth(4, 3).float(), IMAGES, TARGETS, seeds=seeds)


@pytest.mark.parametrize("name", BALL)
@pytest.mark.parametrize("epsilon", [0.0, -0.1, math.nan, math.inf])
def test_a_ball_without_a_radius_is_refused(name: str, epsilon: float) -> None:
    with pytest.raises(InputError, match=f"epsilon: expected a finite number above 0, got {epsilon}"):
        ATTACKS[name](smooth(4, 3).float(), IMAGES, TARGETS, epsilon=epsilon)


# any classifier


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    return build("torchvision:resnet18", 3, (3, 32, 24), seed=1).eval()


@every_attack
def test_a_torchvision_network_on_small_oblong_images_is_attacked_too(name: str, resnet: nn.Module) -> None:
    """One of the thousands of classifiers; L0's constant ends at once, which on 768 pixels saves a thousand passes."""
    low, high = clip = (-2.0, 2.0)
    images = (low + (high - low) * torch.rand(2, 3, 32, 24, generator=torch.Generator().manual_seed(0))).float()
    with torch.no_grad():
        labels = resnet(images).argmax(1)
    options: dict[str, Any] = {"steps": 2, "search_steps": 2} if name in ("transfer", "cw_l2") else {}
    if name in ("cw_l0", "cw_linf"):
        options = {"steps": 2, "largest_constant": 0.2, "confidence": 1.0 if name == "cw_l0" else 0.0}
    if name.startswith("pgd"):
        options = {"steps": 2, "restarts": 2}
    if name == "square":
        options = {"queries": 3}
    found = ATTACKS[name](resnet, images, labels, targeted=False, clip=clip, batch_size=2, **options)
    assert found.adversarial.shape == (2, 3, 32, 24)
    assert bool(((found.adversarial >= low) & (found.adversarial <= high)).all())
    assert bool((found.changed_pixels <= 32 * 24).all())
    if name in BALL:
        assert float(found.linf.max()) <= EPSILON * (1 + 1e-5)  # float32
