"""FGSM, PGD, Square, noise and transfer against what is known of them on small networks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from defensive_distillation.attacks import StopReason, fgsm, noise, pgd, square, transfer
from defensive_distillation.attacks.linf.square import square_side
from defensive_distillation.attacks.randomness import uniform
from support.networks import Counting, StepFunction, assert_equal, linear, reasons, smooth, starts


def middling(count: int, shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.4 + 0.2 * torch.rand(count, *shape, generator=generator, dtype=torch.float64)


def led_by(gap: float, features: int, seed: int) -> nn.Sequential:
    """A linear network of two classes, the first of which leads by about `gap` in the middle of the box."""
    weight = torch.randn(2, features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    middle = weight.sum(1) * 0.5
    return linear(weight, torch.stack([gap - middle[0] + middle[1], torch.zeros((), dtype=torch.float64)]))


def optimal_epsilon(model: nn.Sequential, images: Tensor) -> Tensor:
    """Margin over the L1 norm of its gradient (N,): the smallest L∞ ball that holds another class."""
    logits, weight = model(images).detach(), model[1].weight.detach()
    return (logits[:, 0] - logits[:, 1]) / (weight[0] - weight[1]).abs().sum()


@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
@pytest.mark.parametrize("targeted", [True, False])
def test_fgsm_is_one_step_along_the_sign(loss: str, targeted: bool) -> None:
    model, images = smooth(12, 4, 2), starts(6, (3, 2, 2), 2)
    labels = (model(images).argmax(1) + targeted) % 4
    x = images.clone().requires_grad_()
    z = model(x)
    if loss == "cross_entropy":
        value = nn.functional.cross_entropy(z, labels, reduction="sum") * (1 if targeted else -1)
    else:
        own = z.gather(1, labels[:, None]).squeeze(1)
        other = torch.stack([torch.cat([row[:k], row[k + 1 :]]).max() for row, k in zip(z, labels, strict=True)])
        value = (other - own).sum() * (1 if targeted else -1)
    (gradient,) = torch.autograd.grad(value, x)
    found = fgsm(model, images, labels, epsilon=0.1, targeted=targeted, loss=loss)  # type: ignore[arg-type]
    assert torch.equal(found.adversarial, (images - 0.1 * gradient.sign()).clamp(0, 1))
    assert found.gradient_evaluations.tolist() == [1] * 6


@pytest.mark.parametrize("seed", range(3))
def test_pgd_finds_the_smallest_ball_of_a_linear_network_within_5_per_cent(seed: int) -> None:
    model, images = led_by(3.0, 48, seed), middling(8, (3, 4, 4), seed)
    optimum, labels = optimal_epsilon(model, images), torch.zeros(8, dtype=torch.int64)
    assert bool(((optimum > 0) & (optimum < 0.3)).all())  # within the box
    for n in range(8):
        one, label = images[n : n + 1], labels[:1]
        assert not bool(pgd(model, one, label, epsilon=0.95 * float(optimum[n])).success)
        assert bool(pgd(model, one, label, epsilon=1.05 * float(optimum[n])).success)
        assert bool(pgd(model, one, 1 - label, epsilon=1.05 * float(optimum[n]), targeted=True).success)


@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_steps_are_at_least_as_strong_as_one_on_every_sample(loss: str) -> None:
    model, images = smooth(27, 4, 4, scale=6.0), starts(60, (3, 3, 3), 4)
    labels = model(images).argmax(1)
    single = fgsm(model, images, labels, epsilon=0.15, loss=loss)  # type: ignore[arg-type]
    iterated = pgd(model, images, labels, epsilon=0.15, loss=loss)  # type: ignore[arg-type]
    assert 0 < int(single.success.sum()) < 60
    assert bool((iterated.success | ~single.success).all())
    assert int(iterated.success.sum()) > int(single.success.sum())


def test_a_saturated_softmax_stops_both_where_the_margin_and_the_temperature_do_not() -> None:
    model, images = led_by(3.0, 48, 1), middling(4, (3, 4, 4), 1)
    labels, epsilon = torch.zeros(4, dtype=torch.int64), float(1.5 * optimal_epsilon(model, images).max())
    with torch.no_grad():
        model[1].weight.mul_(4096)
        model[1].bias.mul_(4096)
    for attack in (fgsm, pgd):
        masked = attack(model, images, labels, epsilon=epsilon, loss="cross_entropy")
        assert reasons(masked) == [StopReason.ZERO_GRADIENT] * 4
        assert torch.equal(masked.adversarial, images)
        assert bool(attack(model, images, labels, epsilon=epsilon, loss="margin").success.all())
        cooled = attack(model, images, labels, epsilon=epsilon, loss="cross_entropy", temperature=4096.0)
        assert bool(cooled.success.all())


class Plateau(nn.Module):
    """Two logits that are flat about 0.5 and then fall towards the ends of the box."""

    def forward(self, images: Tensor) -> Tensor:
        away = ((images - 0.5).abs() - 0.1).clamp(min=0).flatten(1).sum(1)
        return torch.stack([0.2 - away, away - 0.2], dim=1)


def test_a_restart_helps_where_the_source_has_no_gradient() -> None:
    images, labels = torch.full((4, 1, 2, 2), 0.5, dtype=torch.float64), torch.zeros(4, dtype=torch.int64)
    once = pgd(Plateau().eval(), images, labels, epsilon=0.3)
    assert reasons(once) == [StopReason.ZERO_GRADIENT] * 4
    assert once.gradient_evaluations.tolist() == [1] * 4
    again = pgd(Plateau().eval(), images, labels, epsilon=0.3, restarts=3)
    assert bool(again.success.all())


class Hedged(nn.Module):
    """From 0.5 class 1 comes nearer until 0.05 from it and never gets there; class 2 begins far off and takes over."""

    def forward(self, images: Tensor) -> Tensor:
        up = (images - 0.5).flatten(1).mean(1)
        return torch.stack([torch.zeros_like(up), -0.01 - 0.1 * (up + 0.05).abs(), -0.2 + up], dim=1)


def test_who_does_not_leave_for_the_largest_other_class_is_led_to_the_next() -> None:
    images, labels = torch.full((3, 1, 2, 2), 0.5, dtype=torch.float64), torch.zeros(3, dtype=torch.int64)
    model = Hedged().eval()
    for rivals, reached in ((0, False), (1, False), (2, True), (9, True)):
        found = pgd(model, images, labels, epsilon=0.25, restarts=3, rivals=rivals)
        assert found.success.tolist() == [reached] * 3, rivals
        assert bool((found.linf <= 0.25 * (1 + 1e-12)).all())
    assert not bool(pgd(model, images, labels, epsilon=0.19, rivals=9).success.any())  # class 2 begins at 0.2
    assert bool(pgd(model, images, labels, epsilon=0.21, rivals=9).success.all())
    assert model(found.adversarial).argmax(1).tolist() == [2] * 3


def test_rivals_are_of_the_untargeted_margin_alone_and_take_nothing_from_what_was_found() -> None:
    model, images = smooth(27, 4, 4, scale=6.0), starts(60, (3, 3, 3), 4)
    labels = model(images).argmax(1)
    for options in ({"loss": "cross_entropy"}, {"targeted": True}):
        classes = (labels + bool(options.get("targeted"))) % 4
        once = pgd(model, images, classes, epsilon=0.1, **options)  # type: ignore[arg-type]
        assert_equal(once, pgd(model, images, classes, epsilon=0.1, rivals=3, **options))  # type: ignore[arg-type]
    without = pgd(model, images, labels, epsilon=0.1, restarts=2)
    found = pgd(model, images, labels, epsilon=0.1, restarts=2, rivals=3)
    assert 0 < int(without.success.sum()) < 60
    assert torch.equal(found.adversarial[without.success], without.adversarial[without.success])
    assert bool((found.success | ~without.success).all())


def test_a_run_on_a_rival_is_a_descent_in_a_ball_that_shrinks_from_twice_its_radius() -> None:
    """The last run of one that fails, step by step."""
    model, images = smooth(12, 3, 2), middling(5, (3, 2, 2), 2)
    z = model(images).detach()
    labels, epsilon, steps = z.argmax(1), 0.01, 5
    found = pgd(model, images, labels, epsilon=epsilon, steps=steps, rivals=1)
    assert reasons(found) == [StopReason.BUDGET] * 5
    assert found.gradient_evaluations.tolist() == [2 * steps] * 5
    rival = z.scatter(1, labels[:, None], -torch.inf).argmax(1)
    low, high = images - 2 * epsilon, images + 2 * epsilon
    x = low + uniform(torch.arange(5), (3, 2, 2), images, stream=1) * (high - low)
    for radius, size in zip((1.6, 1.2, 1.0, 1.0, 1.0), (2.0, 1.6, 1.2, 0.8, 0.4), strict=True):
        x.requires_grad_()
        logits = model(x)
        own, other = (logits.gather(1, classes[:, None]).sum() for classes in (labels, rival))
        (gradient,) = torch.autograd.grad(own - other, x)
        x = x.detach() - size * epsilon * gradient.sign()
        x = images + (x - images).clamp(-radius * epsilon, radius * epsilon)
    torch.testing.assert_close(found.adversarial, x, atol=1e-12, rtol=0)


def test_gradients_are_counted_sample_by_sample_and_who_is_done_leaves() -> None:
    model = Counting(smooth(27, 4, 4, scale=6.0)).eval()
    images = starts(30, (3, 3, 3), 4)
    labels = model(images).argmax(1).detach()
    model.seen = model.differentiated = 0
    found = pgd(model, images, labels, epsilon=0.1, steps=7, restarts=2, batch_size=8)
    assert model.differentiated == int(found.gradient_evaluations.sum())
    assert model.differentiated < 30 * 14
    assert int(found.gradient_evaluations.max()) <= 14


def test_a_square_is_halved_as_in_the_paper() -> None:
    """Section 3.3: p is halved after 10, 50, 200, 500, 1,000, 2,000, 4,000, 6,000 and 8,000 of 10,000 queries."""
    sides = [square_side(0.8, query, 10_000, 224, 224) ** 2 / 224**2 for query in (10, 50, 200, 500, 1_000, 8_000)]
    after = [square_side(0.8, query + 1, 10_000, 224, 224) ** 2 / 224**2 for query in (10, 50, 200, 500, 1_000, 8_000)]
    assert sides == pytest.approx([0.8, 0.4, 0.2, 0.1, 0.05, 0.8 / 256], rel=0.12)  # rounded to whole pixels
    assert after == pytest.approx([0.4, 0.2, 0.1, 0.05, 0.025, 0.8 / 512], rel=0.12)
    assert square_side(0.8, 999, 1_000, 4, 6) == 1
    assert square_side(1.0, 0, 10, 4, 9) == 4


def test_square_needs_no_gradient_and_asks_no_more_often_than_it_may() -> None:
    inner = Counting(led_by(3.0, 48, 3)).eval()
    model, images = StepFunction(inner, fineness=1e6).eval(), middling(6, (3, 4, 4), 3)
    epsilon = float(2 * optimal_epsilon(inner.model, images).max())  # type: ignore[arg-type]
    labels = torch.zeros(6, dtype=torch.int64)
    found = square(model, images, labels, epsilon=epsilon, queries=400)
    assert bool(found.success.all())
    assert bool((found.linf <= epsilon * (1 + 1e-12)).all())
    assert found.gradient_evaluations.tolist() == [0] * 6
    inner.seen = 0
    hopeless = square(model, images, labels, epsilon=epsilon / 10, queries=25)
    assert not bool(hopeless.success.any())
    assert inner.seen == 6 * (1 + 1 + 25)  # a look at the batch, the sources, and the queries


def test_more_queries_never_leave_a_larger_margin() -> None:
    model, images = smooth(48, 4, 5), middling(10, (3, 4, 4), 5)
    labels = model(images).argmax(1)
    margins = []
    for queries in (1, 10, 60):
        found = square(model, images, labels, epsilon=0.02, queries=queries)
        z = model(found.adversarial).detach()
        margins.append(z.gather(1, labels[:, None])[:, 0] - z.scatter(1, labels[:, None], -torch.inf).amax(1))
    # the schedule of a longer search differs, so samples are compared on the whole
    assert float(margins[0].mean()) > float(margins[1].mean()) > float(margins[2].mean())


def test_noise_is_epsilon_up_or_down_in_every_feature() -> None:
    model, images = smooth(48, 4, 5), middling(4, (3, 4, 4), 5)
    found = noise(model, images, model(images).argmax(1), epsilon=0.05)
    moved = found.adversarial - images
    torch.testing.assert_close(moved.abs(), torch.full_like(moved, 0.05), atol=1e-12, rtol=0)
    assert 0.3 < float((moved > 0).double().mean()) < 0.7
    tries = noise(model, images, model(images).argmax(1), epsilon=0.5, tries=20)
    assert int(tries.success.sum()) >= int(noise(model, images, model(images).argmax(1), epsilon=0.5).success.sum())


def test_transfer_asks_the_model_for_decisions_alone_and_says_what_became_of_each_sample() -> None:
    surrogate, images = smooth(16, 3, 7, scale=6.0), middling(12, (1, 4, 4), 7)
    labels = surrogate(images).argmax(1)
    with torch.no_grad():
        other = smooth(16, 3, 7, scale=6.0)
        other[3].weight.add_(0.4 * torch.randn(other[3].weight.shape, generator=torch.Generator().manual_seed(1)))
    model = StepFunction(other).eval()
    rates = []
    for confidence in (0.0, 1.0, 4.0):
        found = transfer(
            model,
            images,
            labels,
            surrogate=surrogate,
            confidence=confidence,
            steps=50,
            search_steps=5,
            learning_rate=0.1,
            initial_constant=0.1,
        )
        assert torch.equal(found.success, model(found.adversarial).argmax(1) != labels)
        assert torch.equal(found.success, found.stop_reason == StopReason.SUCCESS)
        fools = surrogate(found.adversarial).argmax(1) != labels
        failed = ~found.success
        assert torch.equal(found.stop_reason[failed] == StopReason.NOT_TRANSFERRED, fools[failed])
        rates.append(int(found.success.sum()))
    assert rates == sorted(rates)
    assert rates[-1] > 0
