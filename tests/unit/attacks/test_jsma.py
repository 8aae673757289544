from __future__ import annotations

import dataclasses
import math
from itertools import combinations
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from defensive_distillation.attacks import AttackResult, StopReason, jsma
from defensive_distillation.attacks.pair_search import best_pair
from defensive_distillation.errors import InputError
from defensive_distillation.networks.architectures import build
from support.networks import Counting, assert_equal, linear, reasons, row, smooth, starts

OUTPUTS = ("probabilities", "logits")


def literal(
    model: nn.Module,
    image: Tensor,
    target: int,
    *,
    theta: float = 1.0,
    max_features: int = 112,
    output: str = "probabilities",
    temperature: float = 1.0,
    clip: tuple[float, float] = (0.0, 1.0),
    label: int | None = None,
) -> tuple[Tensor, StopReason]:
    """JSMA as it is written down: one sample, the whole Jacobian, all pairs. The image found, and why it stopped.

    It goes towards `target`, and ends there, or as soon as `label` is left, if one is given.
    """

    def outputs(x: Tensor) -> Tensor:
        z = model(x.view(1, *image.shape))[0]
        return z if output == "logits" else (z / temperature).softmax(0)

    x, (low, high) = image.clone().flatten(), clip
    changed: set[int] = set()
    while True:
        predicted = int(outputs(x).argmax())
        if predicted == target if label is None else predicted != label:
            return x.view_as(image), StopReason.SUCCESS
        jacobian = torch.autograd.functional.jacobian(outputs, x)  # (K, D)
        alpha = jacobian[target].tolist()
        beta = sum(jacobian[j] for j in range(len(jacobian)) if j != target).tolist()
        domain = [i for i in range(len(x)) if (x[i] < high if theta > 0 else x[i] > low)]
        best, pair = 0.0, None
        for p, q in combinations(domain, 2):
            rise, fall = alpha[p] + alpha[q], beta[p] + beta[q]
            valid = (rise > 0 and fall < 0) if theta > 0 else (rise < 0 and fall > 0)
            if valid and (pair is None or -rise * fall > best):
                best, pair = -rise * fall, (p, q)
        if pair is None:
            flat = domain and all(alpha[i] == 0 and beta[i] == 0 for i in domain)
            return x.view_as(image), StopReason.ZERO_GRADIENT if flat else StopReason.NO_PAIR
        if len(changed | set(pair)) > max_features:
            return x.view_as(image), StopReason.BUDGET
        for i in pair:
            x[i] = min(high, max(low, float(x[i]) + theta))
        changed |= set(pair)


def assert_as_literal(model: nn.Module, images: Tensor, targets: Tensor, **arguments: Any) -> AttackResult:
    found = jsma(model, images, targets, **arguments)
    for n, (image, target) in enumerate(zip(images, targets.tolist(), strict=True)):
        expected, reason = literal(model, image, target, **arguments)
        # the same additions of theta to the same features: exact
        assert torch.equal(found.adversarial[n], expected)
        assert StopReason(int(found.stop_reason[n])) == reason
        assert bool(found.success[n]) == (reason == StopReason.SUCCESS)
        assert int(found.changed_features[n]) == int((expected != image).sum())
    return found


# against the literal reference


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("theta", [1.0, -1.0, 0.3, -0.3])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_it_does_what_the_literal_algorithm_does(output: str, theta: float, classes: int) -> None:
    targets = torch.arange(12) % classes
    model, images = smooth(16, classes, seed=1), starts(12, (1, 4, 4), seed=1)
    found = assert_as_literal(model, images, targets, theta=theta, max_features=6, output=output)
    assert int((found.changed_features > 0).sum()) >= 3
    assert StopReason.SUCCESS in reasons(found)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("max_features", [0, 1, 2, 3, 5, 7, 12])
@pytest.mark.parametrize("theta", [1.0, -0.4])
def test_it_does_so_under_every_budget(output: str, max_features: int, theta: float) -> None:
    model, targets = smooth(12, 4, 5), torch.arange(10) % 4
    found = assert_as_literal(
        model, starts(10, (3, 2, 2), 5), targets, theta=theta, max_features=max_features, output=output
    )
    assert int(found.changed_features.max()) <= max_features


@pytest.mark.parametrize("temperature", [0.5, 5.0, 100.0])
@pytest.mark.parametrize("theta", [1.0, -0.3])
def test_it_does_so_at_every_temperature(temperature: float, theta: float) -> None:
    model = smooth(16, 5, 2)
    with torch.no_grad():
        model[3].weight.mul_(temperature)  # logits as a network trained at T has them
        model[3].bias.mul_(temperature)
    targets = torch.arange(15) % 5
    assert_as_literal(model, starts(15, (1, 4, 4), 7), targets, theta=theta, max_features=8, temperature=temperature)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("clip", [(-1.0, 1.0), (0.1, 0.9), (-3.0, -1.0)])
@pytest.mark.parametrize("theta", [0.7, -5.0])
def test_it_does_so_in_other_boxes(output: str, clip: tuple[float, float], theta: float) -> None:
    low, high = clip
    images = (low + (high - low) * starts(9, (1, 3, 4), 3)).clamp(low, high)
    found = assert_as_literal(
        smooth(12, 3, 4), images, torch.arange(9) % 3, theta=theta, max_features=5, output=output, clip=clip
    )
    assert bool(((found.adversarial >= low) & (found.adversarial <= high)).all())


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("theta", [1.0, -1.0])
def test_it_does_so_from_starts_that_are_saturated_everywhere_or_nearly(output: str, theta: float) -> None:
    images = starts(40, (1, 3, 3), 8, saturated=1.0)
    images[:5] = 1.0
    images[5:10] = 0.0
    images[10:15] = images[10:15].flatten(1).index_fill(1, torch.tensor([4]), 0.5).view(5, 1, 3, 3)
    targets = torch.arange(40) % 3
    assert_as_literal(smooth(9, 3, 6), images, targets, theta=theta, max_features=9, output=output)


def test_a_thousand_classes_need_no_jacobian_of_a_thousand_rows() -> None:
    model, targets = smooth(8, 1000, 9), torch.tensor([999, 0])
    for output in OUTPUTS:
        assert_as_literal(model, starts(2, (2, 2, 2), 9), targets, max_features=2, output=output)


def test_the_temperature_has_no_meaning_for_logits() -> None:
    model, images, targets = smooth(16, 3), starts(9, (1, 4, 4)), torch.arange(9) % 3
    at_1 = jsma(model, images, targets, output="logits")
    assert_equal(at_1, jsma(model, images, targets, output="logits", temperature=50.0))


def test_dividing_the_logits_by_t_undoes_a_multiplication_by_t() -> None:
    """The control of the honest report: the undistilled network with its logits multiplied by T."""
    model, images, targets = smooth(16, 3), starts(30, (1, 4, 4)), torch.arange(30) % 3
    plain = jsma(model, images, targets, max_features=8)
    with torch.no_grad():
        model[3].weight.mul_(1024.0)  # a power of 2 rounds nothing
        model[3].bias.mul_(1024.0)
    masked = jsma(model, images, targets, max_features=8)
    assert_equal(jsma(model, images, targets, max_features=8, temperature=1024.0), plain)
    assert float(masked.success.double().mean()) < float(plain.success.double().mean())
    assert StopReason.ZERO_GRADIENT in reasons(masked)


# untargeted


def literal_untargeted(
    model: nn.Module, image: Tensor, label: int, classes: int, **arguments: Any
) -> tuple[Tensor, StopReason]:
    """Towards each other class in turn until the label is left; of the fewest changes the first attempt."""
    attempts = [literal(model, image, t, label=label, **arguments) for t in range(classes) if t != label]
    fooled = [attempt for attempt in attempts if attempt[1] == StopReason.SUCCESS]
    return min(fooled, key=lambda attempt: int((attempt[0] != image).sum())) if fooled else attempts[0]


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("theta", [1.0, -1.0, 0.3, -0.3])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_untargeted_it_is_the_best_of_the_literal_attempts(output: str, theta: float, classes: int) -> None:
    model, images = smooth(16, classes, seed=12), starts(6, (1, 4, 4), seed=12)
    labels = model(images).argmax(1)
    labels[0] = (labels[0] + 1) % classes  # has left its class already
    arguments: dict[str, Any] = {"theta": theta, "max_features": 6, "output": output}
    found = jsma(model, images, labels, targeted=False, **arguments)
    for n in range(6):
        expected, reason = literal_untargeted(model, images[n], int(labels[n]), classes, **arguments)
        assert torch.equal(found.adversarial[n], expected)
        assert StopReason(int(found.stop_reason[n])) == reason
        assert bool(found.success[n]) == (reason == StopReason.SUCCESS)
    assert not bool(found.changed_features[0])
    assert int((found.success & (found.changed_features > 0)).sum()) > 0


@pytest.mark.parametrize("output", OUTPUTS)
def test_untargeted_it_never_changes_more_than_towards_the_best_target(output: str) -> None:
    """A target class that is reached is another class, so the label was left then or before."""
    model, images = smooth(16, 4, 12), starts(20, (1, 4, 4), 12)
    labels = model(images).argmax(1)
    arguments: dict[str, Any] = {"max_features": 8, "output": output}
    left = jsma(model, images, labels, targeted=False, **arguments)
    assert int(left.success.sum()) > 0
    for step in (1, 2, 3):
        reached = jsma(model, images, (labels + step) % 4, **arguments)
        assert bool((left.success | ~reached.success).all())
        assert bool((left.changed_features <= reached.changed_features)[reached.success].all())


@pytest.mark.parametrize(("output", "passes"), [("probabilities", 1), ("logits", 2)])
def test_every_backward_pass_is_counted_also_those_of_attempts_that_lost(output: str, passes: int) -> None:
    model, images = Counting(smooth(16, 4, 12)).eval(), starts(9, (1, 4, 4), 12)
    with torch.no_grad():
        labels = model(images).argmax(1)
    for targeted in (True, False):
        model.differentiated = 0
        found = jsma(model, images, labels, targeted=targeted, max_features=6, output=output, batch_size=4)
        assert int(found.gradient_evaluations.sum()) == model.differentiated
        assert int(found.gradient_evaluations.min()) >= passes * (1 if targeted else 3)


def test_untargeted_two_classes_are_the_other_one_as_target() -> None:
    model, images = smooth(16, 2, 3), starts(12, (1, 4, 4), 3)
    labels = model(images).argmax(1)
    assert_equal(jsma(model, images, labels, targeted=False), jsma(model, images, 1 - labels))


# properties


@st.composite
def attacks(draw: st.DrawFn) -> tuple[nn.Module, Tensor, Tensor, dict[str, Any]]:
    shape = draw(st.sampled_from([(1, 1, 2), (1, 2, 2), (3, 2, 2), (1, 5, 5)]))
    classes, count = draw(st.sampled_from([2, 3, 10])), draw(st.integers(1, 6))
    seed = draw(st.integers(0, 2**31))
    model = smooth(math.prod(shape), classes, seed, scale=draw(st.sampled_from([0.1, 2.0, 50.0])))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    images = starts(count, shape, seed, saturated=draw(st.sampled_from([0.0, 0.5, 1.0])))
    targets = torch.tensor(draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)))
    arguments = {
        "theta": draw(st.sampled_from([1.0, -1.0, 0.3, -0.3, 0.05, 7.0])),
        "max_features": draw(st.integers(0, 30)),
        "output": draw(st.sampled_from(OUTPUTS)),
        "temperature": draw(st.sampled_from([0.1, 1.0, 20.0])),
        "batch_size": draw(st.sampled_from([None, 1, 2, 5])),
    }
    return model.to(dtype), images.to(dtype), targets, arguments


@given(attacks())
@settings(max_examples=150, deadline=None)
def test_whatever_is_attacked_the_result_is_what_it_says(
    attack: tuple[nn.Module, Tensor, Tensor, dict[str, Any]],
) -> None:
    model, images, targets, arguments = attack
    source = images.clone()
    found = jsma(model, images, targets, **arguments)
    assert torch.equal(images, source)
    assert found.adversarial.shape == images.shape
    assert found.adversarial.dtype == images.dtype
    assert not found.adversarial.requires_grad
    assert (found.success.dtype, found.changed_features.dtype) == (torch.bool, torch.int64)
    assert bool(((found.adversarial >= 0) & (found.adversarial <= 1)).all())
    moved = found.adversarial - images
    assert bool((moved * arguments["theta"] >= 0).all())  # up only, or down only
    assert torch.equal(found.changed_features, (moved != 0).flatten(1).sum(1))
    assert int(found.changed_features.max()) <= arguments["max_features"]
    # one sample at a time, as the result will be checked; a near tie of logits may fall either way in a batch
    logits = torch.cat([model(x[None]) for x in found.adversarial]).detach()
    top, index = logits.topk(2, dim=1)
    decided = top[:, 0] - top[:, 1] > 1e-4 * top[:, 0].abs()
    assert torch.equal(found.success[decided], (index[:, 0] == targets)[decided])
    assert torch.equal(found.success, found.stop_reason == StopReason.SUCCESS)
    assert set(found.stop_reason.tolist()) <= set(StopReason)
    untouched = found.changed_features == 0
    assert torch.equal(found.adversarial[untouched], images[untouched])
    at_start = (model(images).argmax(1) == targets) & decided
    assert not found.changed_features[at_start & found.success].any()


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_larger_budget_continues_the_same_path(output: str) -> None:
    """So one run gives the success rate under every smaller budget, and that never falls."""
    model, images, targets = smooth(16, 3, 11), starts(40, (1, 4, 4), 11), torch.arange(40) % 3
    whole = jsma(model, images, targets, max_features=16, output=output)
    for budget in range(16):
        found = jsma(model, images, targets, max_features=budget, output=output)
        assert torch.equal(found.success, whole.success & (whole.changed_features <= budget))


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("theta", [1.0, 0.3])
def test_neither_batch_size_nor_order_change_a_result(output: str, theta: float) -> None:
    """In float64, where a batch rounds otherwise by 1e-16 and no two pairs come that close."""
    model, images, targets = smooth(16, 4, 12), starts(31, (1, 4, 4), 12), torch.arange(31) % 4
    arguments = {"theta": theta, "max_features": 9, "output": output}
    whole = jsma(model, images, targets, **arguments)
    assert len(set(whole.changed_features.tolist())) > 3  # they end at different steps
    for batch_size in (1, 7, 1000):
        assert_equal(jsma(model, images, targets, **arguments, batch_size=batch_size), whole)
    order = torch.randperm(31, generator=torch.Generator().manual_seed(0))
    shuffled = jsma(model, images[order], targets[order], **arguments, batch_size=5)
    for field in dataclasses.fields(AttackResult):
        assert torch.equal(getattr(shuffled, field.name), getattr(whole, field.name)[order])


def test_a_convolutional_network_in_single_precision_is_attacked_too() -> None:
    for channels, name in ((1, "papernot_mnist"), (3, "papernot_cifar10")):
        model = build(name, 10, (channels, 16, 16), seed=3).eval()
        images = starts(6, (channels, 16, 16), 3).float()
        for output in OUTPUTS:
            found = jsma(model, images, torch.arange(6), max_features=20, output=output, batch_size=4)
            assert bool(((found.adversarial == images) | (found.adversarial == 1)).all())
            assert int(found.changed_features.max()) <= 20
            assert int(found.changed_features.max()) > 0


# why it stops


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_start_in_the_target_class_is_a_success_without_a_change(output: str) -> None:
    model, images = smooth(16, 3), starts(10, (1, 4, 4))
    targets = model(images).argmax(1)
    for budget in (0, 112):
        found = jsma(model, images, targets, max_features=budget, output=output)
        assert bool(found.success.all())
        assert not found.changed_features.any()
        assert torch.equal(found.adversarial, images)
        assert set(reasons(found)) == {StopReason.SUCCESS}


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_constant_model_has_zero_gradient(output: str) -> None:
    model = linear([[0.0] * 4] * 3, [2.0, 0.0, 0.0])
    found = jsma(model, starts(3, (1, 2, 2)), torch.tensor([0, 1, 2]), output=output)
    assert reasons(found) == [StopReason.SUCCESS, StopReason.ZERO_GRADIENT, StopReason.ZERO_GRADIENT]
    assert torch.equal(found.adversarial, starts(3, (1, 2, 2)))


def test_a_saturated_softmax_has_zero_gradient_where_logits_and_a_temperature_do_not() -> None:
    model = linear([[-2000.0, -2000.0], [2000.0, 2000.0], [0.0, 0.0]], [5000.0, 0.0, 0.0])
    image, target = row(0.5, 0.2), torch.tensor([1])  # logits 3,600, 1,400 and 0; then 1,000, 4,000 and 0
    masked = jsma(model, image, target)
    assert reasons(masked) == [StopReason.ZERO_GRADIENT]
    assert torch.equal(masked.adversarial, image)
    assert reasons(jsma(model, image, target, temperature=100.0)) == [StopReason.SUCCESS]
    assert reasons(jsma(model, image, target, output="logits")) == [StopReason.SUCCESS]


def test_a_gradient_that_is_zero_only_where_nothing_can_move_is_zero() -> None:
    model = linear([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 5.0, 5.0]], [100.0, 0.0])
    found = jsma(model, row(0.2, 0.4, 1.0, 1.0), torch.tensor([1]), output="logits")
    assert reasons(found) == [StopReason.ZERO_GRADIENT]


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize(
    "image",
    [
        row(1.0, 1.0, 1.0),  # nothing can move
        row(1.0, 0.3, 1.0),  # one feature is no pair
    ],
)
def test_without_two_features_that_can_move_there_is_no_pair(output: str, image: Tensor) -> None:
    model = linear([[-1.0, -1.0, -1.0], [1.0, 2.0, 3.0]], [100.0, 0.0])
    found = jsma(model, image, torch.tensor([1]), output=output, temperature=50.0)
    assert reasons(found) == [StopReason.NO_PAIR]
    assert torch.equal(found.adversarial, image)


def test_the_budget_stops_it_before_the_step_that_would_exceed_it() -> None:
    model = linear([[0.0] * 6, [1.0] * 6], [100.0, 0.0])  # e^-100 is no zero gradient
    for budget, changed in ((0, 0), (1, 0), (2, 2), (3, 2), (4, 4), (5, 4)):
        found = jsma(model, torch.zeros(1, 1, 2, 3, dtype=torch.float64), torch.tensor([1]), max_features=budget)
        assert reasons(found) == [StopReason.BUDGET]
        assert int(found.changed_features) == changed


def test_success_on_the_last_step_of_the_budget_counts() -> None:
    model = linear([[0.0] * 4, [1.0] * 4], [1.5, 0.0])
    found = jsma(model, torch.zeros(1, 1, 2, 2, dtype=torch.float64), torch.tensor([1]), max_features=2)
    assert reasons(found) == [StopReason.SUCCESS]
    assert int(found.changed_features) == 2


def test_a_step_lost_in_rounding_ends_the_attack_instead_of_repeating_for_ever() -> None:
    model = linear([[-1.0, -1.0], [1.0, 1.0]], [100.0, 0.0]).float()
    found = jsma(model, row(0.5, 0.5).float(), torch.tensor([1]), theta=1e-9, output="logits")  # 0.5 + 1e-9 = 0.5
    assert reasons(found) == [StopReason.NO_PAIR]
    assert not found.changed_features.any()


# where the known implementations go wrong (attacks.md)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("budget", [1, 2, 3, 7, 8])
def test_the_budget_is_not_overrun_by_two_as_in_art_and_torchattacks(output: str, budget: int) -> None:
    model = linear([[-1.0] * 16, [float(n) for n in range(1, 17)]], [400.0, 0.0])
    image = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    found = jsma(model, image, torch.tensor([1]), max_features=budget, output=output, temperature=50.0)
    assert int(found.changed_features) == budget // 2 * 2
    assert reasons(found) == [StopReason.BUDGET]


def test_on_logits_beta_is_heeded_unlike_in_art() -> None:
    """The two largest target gradients raise the other classes even more."""
    model = linear([[20.0, 20.0, -3.0, -3.0], [10.0, 9.0, 2.0, 1.0]], [30.0, 0.0])
    found = jsma(model, row(0.0, 0.0, 0.0, 0.0), torch.tensor([1]), max_features=2, output="logits")
    assert found.adversarial.flatten().tolist() == [0.0, 0.0, 1.0, 1.0]


def test_a_used_feature_stays_so_that_a_theta_below_1_accumulates_unlike_in_torchattacks_and_advertorch() -> None:
    model = linear([[0.0] * 4, [3.0, 3.0, 1.0, 1.0]], [5.0, 0.0])
    found = jsma(model, row(0.0, 0.0, 0.0, 0.0), torch.tensor([1]), theta=0.3, max_features=2)
    # 3 (x + y) > 5 after the third step of 0.3 on the same pair, 0.9 each
    assert found.adversarial.flatten().tolist() == pytest.approx([0.9, 0.9, 0.0, 0.0])
    assert reasons(found) == [StopReason.SUCCESS]


def test_saturated_features_cost_no_budget_unlike_in_advertorch() -> None:
    model = linear([[0.0] * 6, [9.0, 8.0, 7.0, 1.0, 1.0, 1.0]], [25.5, 0.0])
    found = jsma(model, row(1.0, 1.0, 1.0, 0.0, 0.0, 0.0), torch.tensor([1]), max_features=2)
    assert reasons(found) == [StopReason.SUCCESS]
    assert int(found.changed_features) == 2
    assert found.adversarial.flatten().tolist()[:3] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("theta", [1.0, -1.0])
def test_without_a_valid_pair_feature_0_is_not_driven_to_1_as_in_torchattacks_and_cleverhans(
    output: str, theta: float
) -> None:
    sign = math.copysign(1.0, theta)
    model = linear([[sign, sign, sign], [-sign, -sign, -sign]], [9.0, 0.0])
    image = row(0.5, 0.5, 0.5)
    found = jsma(model, image, torch.tensor([1]), theta=theta, output=output)
    assert reasons(found) == [StopReason.NO_PAIR]
    assert torch.equal(found.adversarial, image)
    assert not bool(found.success)


def test_a_negative_theta_lowers_features_and_stays_in_the_box_unlike_in_cleverhans() -> None:
    model = linear([[1.0] * 4, [-3.0, 5.0, -4.0, 0.0]], [-1.0, 0.0])
    for output in OUTPUTS:
        found = jsma(model, row(0.5, 0.5, 0.9, 0.2), torch.tensor([1]), theta=-1.0, output=output)
        assert found.adversarial.flatten().tolist() == [0.0, 0.5, 0.0, 0.2]
        assert reasons(found) == [StopReason.SUCCESS]


def test_two_features_move_in_a_step_not_one_as_in_foolbox() -> None:
    model = linear([[0.0] * 4, [4.0, 3.0, 2.0, 1.0]], [3.5, 0.0])
    found = jsma(model, torch.zeros(1, 1, 2, 2, dtype=torch.float64), torch.tensor([1]))
    assert found.adversarial.flatten().tolist() == [1.0, 1.0, 0.0, 0.0]  # the first alone would have done


def test_finished_samples_leave_the_batch_unlike_in_advertorch_and_cleverhans() -> None:
    model = Counting(linear([[0.0] * 8, [1.0] * 8], [3.5, 0.0])).eval()
    images = torch.zeros(10, 1, 2, 4, dtype=torch.float64)
    images[::2] = 1.0  # already the target
    found = jsma(model, images, torch.ones(10, dtype=torch.int64), batch_size=4)
    assert bool(found.success.all())
    # a first look at a batch tells logits from probabilities; then each is shown as often as it must, 0 or 2 steps and
    # once more
    assert model.seen == 4 + 5 * 1 + 5 * 3
    assert torch.equal(found.adversarial[::2], images[::2])


def test_targets_are_given_and_never_assumed_to_be_of_10_classes_as_in_torchattacks() -> None:
    for classes in (2, 3, 11):
        targets = torch.full((4,), classes - 1)
        assert_as_literal(smooth(9, classes, 3), starts(4, (1, 3, 3)), targets, max_features=4)


# what is refused

IMAGES, TARGETS = torch.full((2, 1, 2, 2), 0.5), torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": IMAGES[..., :1, :1]}, "images: expected at least 2 features, got 1"),
        ({"theta": 0.0}, "theta: expected a finite number other than 0, got 0.0"),
        ({"theta": math.nan}, "theta: expected a finite number other than 0, got nan"),
        ({"theta": -math.inf}, "theta: expected a finite number other than 0, got -inf"),
        ({"max_features": -1}, "max_features: expected 0 or more, got -1"),
        ({"temperature": 0.0}, "temperature: expected a finite number above 0, got 0.0"),
        ({"temperature": math.nan, "output": "logits"}, "temperature: expected a finite number above 0, got nan"),
        ({"output": "scaled"}, "output: expected probabilities or logits, got 'scaled'"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"images": IMAGES, "target_classes": TARGETS, **changes}
    with pytest.raises(InputError, match=message):
        jsma(smooth(4, 3).float(), **arguments)


def test_images_of_bytes_scaled_to_their_own_box_are_taken() -> None:
    assert jsma(smooth(4, 3).float(), IMAGES * 255, TARGETS, clip=(0.0, 200.0)).adversarial.shape == IMAGES.shape


def test_the_reference_itself_prefers_the_pair_that_the_search_prefers() -> None:
    """One step by hand: alpha (3, 1, 2), beta (-1, -4, 1); objectives 4 * 5, 5 * 0 and 3 * 3."""
    model = linear([[-1.0, -4.0, 1.0], [3.0, 1.0, 2.0]], [50.0, 0.0])
    expected, reason = literal(model, row(0.0, 0.0, 0.0)[0], 1, max_features=2, output="logits")
    assert expected.flatten().tolist() == [1.0, 1.0, 0.0]
    assert reason == StopReason.NO_PAIR  # one feature is left
    alpha, beta = torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[-1.0, -4.0, 1.0]])
    assert [int(v) for v in best_pair(alpha, beta, torch.ones(1, 3, dtype=torch.bool))] == [0, 1, 1]
