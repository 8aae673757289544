"""Carlini and Wagner's attacks against closed forms on linear networks, and the pieces that they are made of."""

from __future__ import annotations

import functools
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from defensive_distillation.attacks import AttackResult, StopReason, carlini_wagner
from defensive_distillation.attacks.cw.l0 import fewer_pixels
from defensive_distillation.attacks.cw.search import Search
from defensive_distillation.attacks.cw.tanh_space import Adam, Patience, to_box, to_tanh_space
from defensive_distillation.attacks.network import margin
from defensive_distillation.errors import InputError
from support.networks import linear, reasons, smooth

Norm = Literal["l0", "l2", "linf"]
QUICK: dict[str, Any] = {"steps": 60, "learning_rate": 0.1}
FINE: dict[str, Any] = {"steps": 200, "learning_rate": 0.01}  # beside an L2 distance of tenths
FINEST: dict[str, Any] = {"steps": 200, "learning_rate": 0.004}  # beside an L∞ distance of hundredths


def randoms(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def middling(count: int, shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    """Images between 0.35 and 0.65: what is needed here does not meet the box."""
    generator = torch.Generator().manual_seed(seed)
    return 0.35 + 0.3 * torch.rand(count, *shape, generator=generator, dtype=torch.float64)


def two_classes(features: int, gap: float, seed: int) -> tuple[Tensor, Tensor]:
    """Weights (2, D) and biases for which class 0 leads by about `gap` in the middle of the box."""
    weight = randoms(2, features, seed=seed) / features**0.5
    middle = (weight * 0.5).sum(1)
    return weight, torch.stack([gap - middle[0] + middle[1], torch.zeros((), dtype=torch.float64)])


def faces(weight: Tensor, bias: Tensor, images: Tensor, target: int) -> list[tuple[Tensor, Tensor]]:
    """For each other class the margin that it leads by (N,), and the gradient of that margin (D,)."""
    logits = images.flatten(1) @ weight.T + bias
    others = [j for j in range(len(weight)) if j != target]
    return [(logits[:, j] - logits[:, target], weight[j] - weight[target]) for j in others]


@functools.cache
def attacked(
    norm: Norm, *, confidence: float = 0.0, factor: float = 1.0, abort_early: bool = True
) -> tuple[torch.nn.Module, Tensor, Tensor, AttackResult]:
    """A network whose logits are multiplied by `factor`, eight images, their classes, and what leads away from them."""
    model, images = smooth(16, 4, 3), middling(8, (1, 4, 4), 3)
    with torch.no_grad():
        for parameter in model[-1].parameters():
            parameter.mul_(factor)
        labels = model(images).argmax(1)
    options: dict[str, Any] = {"confidence": confidence, "abort_early": abort_early, **QUICK}
    return model, images, labels, carlini_wagner(model, images, labels, norm=norm, targeted=False, **options)


@pytest.mark.parametrize("seed", range(2))
def test_the_l2_distance_on_a_linear_network_is_margin_over_norm(seed: int) -> None:
    weight, bias = two_classes(48, 0.3, seed)
    images = middling(12, (3, 4, 4), seed)
    ((gap, normal),) = faces(weight, bias, images, 1)
    assert bool((gap > 0).all())
    found = carlini_wagner(linear(weight, bias), images, torch.ones(12, dtype=torch.int64), norm="l2", **FINE)
    assert bool(found.success.all())
    optimum = gap / normal.norm()
    assert bool((found.l2 >= optimum * (1 - 1e-9)).all())
    assert bool((found.l2 <= 1.05 * optimum).all()), (found.l2 / optimum).max()


@pytest.mark.parametrize("seed", range(2))
def test_the_linf_distance_on_a_linear_network_is_margin_over_l1_norm(seed: int) -> None:
    weight, bias = two_classes(48, 0.3, seed)
    images = middling(12, (3, 4, 4), seed)
    ((gap, normal),) = faces(weight, bias, images, 1)
    found = carlini_wagner(linear(weight, bias), images, torch.ones(12, dtype=torch.int64), norm="linf", **FINEST)
    assert bool(found.success.all())
    optimum = gap / normal.abs().sum()
    assert bool((found.linf >= optimum * (1 - 1e-9)).all())
    assert bool((found.linf <= 1.05 * optimum).all()), (found.linf / optimum).max()


@pytest.mark.parametrize("shape", [(1, 6, 8), (3, 4, 4)])
@pytest.mark.parametrize("seed", range(2))
def test_the_l0_distance_on_a_linear_network_is_that_of_the_largest_gains(
    shape: tuple[int, int, int], seed: int
) -> None:
    """Each pixel moved to the end of the box that helps, the most helpful first, until the margin is made up for."""
    features = shape[0] * shape[1] * shape[2]
    weight, bias = two_classes(features, 0.2 * features**0.5, seed)
    images = middling(8, shape, seed)
    ((gap, normal),) = faces(weight, bias, images, 1)
    flat = images.flatten(1)
    gains = torch.where(normal < 0, -normal * (1 - flat), normal * flat)  # by which a feature can lower the margin
    by_pixel = gains.view(8, shape[0], -1).sum(1).sort(dim=1, descending=True).values
    optimum = 1 + (by_pixel.cumsum(1) <= gap[:, None]).sum(1)
    found = carlini_wagner(linear(weight, bias), images, torch.ones(8, dtype=torch.int64), norm="l0", **QUICK)
    assert bool(found.success.all())
    assert bool((optimum >= 3).all())
    assert bool((found.changed_pixels >= optimum).all())
    # on the whole within 5 %; a single sample may need one pixel more
    assert int(found.changed_pixels.sum()) <= 1.05 * int(optimum.sum()) + 1


def test_untargeted_it_goes_to_the_nearest_of_several_faces() -> None:
    weight, bias = randoms(4, 27, seed=5) / 27**0.5, torch.tensor([0.6, 0.0, 0.1, 0.0], dtype=torch.float64)
    bias = bias - (weight * 0.5).sum(1)
    images = middling(6, (3, 3, 3), 5)
    model = linear(weight, bias)
    labels = model(images).argmax(1)
    # to the nearest face; behind it lies that face's class, for the faces are halfspaces. The label leads: gaps below 0
    distances = [
        min(float(-gap[n] / normal.norm()) for gap, normal in faces(weight, bias, images, int(label)))
        for n, label in enumerate(labels)
    ]
    optimum = torch.tensor(distances, dtype=torch.float64)
    found = carlini_wagner(model, images, labels, norm="l2", targeted=False, **FINE)
    assert bool(found.success.all())
    assert bool((found.l2 >= optimum * (1 - 1e-9)).all())
    # it follows the class that leads for the moment, so not every sample ends at the nearest face
    assert float((found.l2 / optimum).median()) <= 1.05
    assert bool((found.l2 <= 1.2 * optimum).all()), (found.l2 / optimum).max()


def test_at_the_end_of_the_box_the_rest_of_the_features_does_the_work() -> None:
    """One feature is strongest but at the end of the box already: the optimum is that of the other two."""
    model = linear([[0.0, 0.0, 0.0], [10.0, 3.0, 4.0]], [3.0 + 10.0, 0.0])
    image = torch.tensor([1.0, 0.2, 0.3], dtype=torch.float64).view(1, 1, 1, 3)  # logits 13 and 11.8: 1.2 short
    found = carlini_wagner(model, image, torch.tensor([1]), norm="l2", steps=300)
    assert float(found.l2) == pytest.approx(1.2 / 5, rel=0.05)
    assert float(found.adversarial.flatten()[0]) <= 1


@pytest.mark.parametrize("norm", ["l2", "l0", "linf"])
@pytest.mark.parametrize("confidence", [0.0, 0.5, 1.0])
def test_the_confidence_is_kept(norm: Norm, confidence: float) -> None:
    model, _, labels, found = attacked(norm, confidence=confidence)
    assert bool(found.success.any())
    reached = margin(model(found.adversarial).detach(), labels, targeted=False)
    assert bool((reached[found.success] <= -confidence).all())


def test_more_confidence_takes_more_distance() -> None:
    near, far = (attacked("l2", confidence=confidence)[-1] for confidence in (0.0, 1.0))
    both = near.success & far.success
    assert bool(both.any())
    assert bool((near.l2[both] < far.l2[both]).all())


@pytest.mark.parametrize("norm", ["l2", "l0", "linf"])
@pytest.mark.parametrize("factor", [1e-3, 1e6])
def test_logits_of_another_size_are_attacked_alike(norm: Norm, factor: float) -> None:
    """What distillation at T does to a network, and no more: logits T times larger."""
    found, other = attacked(norm)[-1], attacked(norm, factor=factor)[-1]
    assert bool(found.success.all())
    assert bool(other.success.all())
    torch.testing.assert_close(other.l2, found.l2, rtol=0.02, atol=0)


def test_a_margin_with_a_kink_that_short_steps_swing_about_is_left_by_longer_ones() -> None:
    """Towards class 0 two others lead in turn: the margin falls along their ridge, in steps that are far too short."""
    steep = 200.0
    # logits: 0 + x1, and ± steep (x0 - 1/2): the largest other logit is steep |x0 - 1/2|
    model = linear([[0.0, 1.0], [steep, 0.0], [-steep, 0.0]], [-0.6, -steep / 2, steep / 2])
    image = torch.tensor([0.48, 0.5], dtype=torch.float64).view(1, 1, 1, 2)
    found = carlini_wagner(model, image, torch.tensor([0]), steps=300, learning_rate=0.01)
    assert bool(found.success.all())


@pytest.mark.parametrize("norm", ["l2", "l0", "linf"])
def test_what_cannot_be_reached_is_given_back_as_it_was(norm: Norm) -> None:
    model = linear([[0.0] * 4, [1e-3] * 4], [5.0, 0.0])
    images = middling(3, (1, 2, 2))
    options = {"steps": 20, "constant_factor": 100.0}
    found = carlini_wagner(model, images, torch.ones(3, dtype=torch.int64), norm=norm, search_steps=3, **options)
    assert reasons(found) == [StopReason.BUDGET] * 3
    assert torch.equal(found.adversarial, images)
    assert bool((found.gradient_evaluations > 0).all())


@pytest.mark.parametrize("norm", ["l2", "l0", "linf"])
def test_giving_up_early_spends_less_and_finds_as_much(norm: Norm) -> None:
    patient, quick = (attacked(norm, abort_early=early)[-1] for early in (False, True))
    assert torch.equal(patient.success, quick.success)
    assert int(quick.gradient_evaluations.sum()) < int(patient.gradient_evaluations.sum())


@pytest.mark.parametrize("norm", ["l2", "l0", "linf"])
def test_the_authors_own_settings_reach_every_class_of_a_small_network(norm: Norm) -> None:
    """Random numbers of the size that logits have: whatever the box allows is reached."""
    model, images = smooth(16, 3, 7, scale=6.0), middling(3, (1, 4, 4), 7)
    targets = (model(images).argmax(1) + 1) % 3
    found = carlini_wagner(model, images, targets, norm=norm, steps=300 if norm == "l2" else 200)
    assert bool(found.success.all())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"norm": "l1"}, "norm: expected l0, l2 or linf, got 'l1'"),
        ({"confidence": -1.0}, "confidence: expected a finite number from 0, got -1"),
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"search_steps": 0}, "search_steps: expected at least 1, got 0"),
        ({"learning_rate": -0.1}, "learning_rate: expected a finite number above 0, got -0.1"),
        ({"initial_constant": float("inf")}, "initial_constant: expected a finite number above 0, got inf"),
        ({"constant_factor": 1.0}, "constant_factor: expected a finite number above 1, got 1"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        carlini_wagner(smooth(4, 2), middling(1, (1, 2, 2)), torch.tensor([0]), **arguments)


# the pieces


def test_tanh_space_and_the_box_are_inverse_to_each_other() -> None:
    for clip in ((0.0, 1.0), (-2.0, 3.0)):
        images = clip[0] + (clip[1] - clip[0]) * torch.linspace(0, 1, 21, dtype=torch.float64).view(1, 1, 3, 7)
        back, slope = to_box(to_tanh_space(images, clip), clip)
        # the ends are moved inside by half a thousandth of the box
        torch.testing.assert_close(back, images, atol=0.51e-3 * (clip[1] - clip[0]), rtol=0)
        w = to_tanh_space(images, clip).requires_grad_()
        low, high = clip
        (expected,) = torch.autograd.grad((low + (high - low) * (torch.tanh(w) + 1) / 2).sum(), w)
        torch.testing.assert_close(slope, expected)


def test_adam_steps_as_pytorchs_does() -> None:
    start, gradients = randoms(3, 1, 2, 2), [randoms(3, 1, 2, 2, seed=n) for n in range(8)]
    theirs = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([theirs], lr=0.05)
    ours, adam = start.clone(), Adam(start, 0.05)
    for gradient in gradients:
        theirs.grad = gradient.clone()
        optimiser.step()
        adam.step(ours, gradient, torch.arange(3))
        torch.testing.assert_close(ours, theirs.detach(), atol=1e-12, rtol=0)


def test_a_sample_that_begins_anew_steps_as_at_first() -> None:
    w, adam = torch.zeros(2, 1, 1, 2, dtype=torch.float64), Adam(torch.zeros(2, 1, 1, 2, dtype=torch.float64), 0.1)
    for n in range(5):
        adam.step(w, randoms(2, 1, 1, 2, seed=n), torch.arange(2))
    adam.restart(torch.tensor([1]))
    before, gradient = w.clone(), randoms(1, 1, 1, 2, seed=9)
    adam.step(w, gradient, torch.tensor([1]))
    torch.testing.assert_close(w[1] - before[1], -0.1 * gradient[0].sign())  # Adam's first step, by its ε
    assert torch.equal(w[0], before[0])


def test_a_line_search_comes_nearer_and_stays_on_the_far_side() -> None:
    model, images, labels, found = attacked("l2", confidence=1.0)
    images, far, labels = images[found.success], found.adversarial[found.success], labels[found.success]
    search = Search(
        targeted=False,
        confidence=0.0,
        steps=1,
        search_steps=1,
        learning_rate=0.01,
        initial_constant=1.0,
        largest_constant=1e3,
        constant_factor=4.0,
        abort_early=True,
        clip=(0.0, 1.0),
    )
    near = search.nearest_on_line(model, images, far, labels)
    assert bool((model(near).argmax(1) != labels).all())
    share = (near - images).flatten(1).norm(dim=1) / (far - images).flatten(1).norm(dim=1)
    assert bool((share <= 1).all())
    assert bool((share < 1).any())
    nearer = images + 0.99 * (near - images) - 2**-11 * (far - images)  # past the resolution of the bisection
    assert bool((model(nearer).argmax(1) == labels).all())


def test_pixels_that_did_not_move_and_those_that_matter_least_are_given_up() -> None:
    allowed = torch.ones(1, 1, 2, 4, dtype=torch.bool)
    moved = torch.tensor([0.5, 0.4, 0.0, 0.3, 1e-6, 0.2, 0.1, 0.6], dtype=torch.float64).view(1, 1, 2, 4)
    gradient = torch.tensor([1.0, 1.0, 9.0, 0.01, 9.0, 1.0, 1.0, 1.0], dtype=torch.float64).view(1, 1, 2, 4)
    kept = fewer_pixels(allowed, moved, gradient, (0.0, 1.0)).flatten().tolist()
    assert kept == [True, True, False, False, False, True, True, True]  # the fourth moved, to no effect


def test_of_many_pixels_several_are_given_up_at_once_and_never_one_that_is_out() -> None:
    allowed = torch.ones(2, 1, 20, 20, dtype=torch.bool)
    allowed[1, 0, :, 10:] = False
    moved, gradient = 0.1 + randoms(2, 3, 20, 20).abs(), randoms(2, 3, 20, 20, seed=1)
    moved = torch.where(allowed, moved, 0.0)
    kept = fewer_pixels(allowed, moved, gradient, (0.0, 1.0))
    assert (allowed & ~kept).flatten(1).sum(1).tolist() == [6, 4]  # 0.3 of the roots of 400 and 200
    assert not bool((kept & ~allowed).any())


# the search as a whole, literally


def literal_l2(model: torch.nn.Module, image: Tensor, target: int, steps: int, rate: float) -> tuple[Tensor, int]:
    """One sample towards `target` by PyTorch's own Adam, six constants: the nearest before the line search, gradients.

    With each constant it goes on from where the last one ended, and leaves it once the lowest loss has not fallen by a
    hundredth in two tenths of the steps, one after the other; before any sample is found, by a ten-thousandth. Until a
    constant suffices, steps double with each.
    """
    w = torch.atanh((2 * image - 1) * 0.999).requires_grad_()

    def look() -> tuple[Tensor, Tensor, Tensor]:
        x = (torch.tanh(w) + 1) / 2
        logits = model(x)[0]
        others = torch.cat([logits[:target], logits[target + 1 :]])
        return x, others.max() - logits[target], 100 * 2.0**-52 * logits.detach().abs().max()

    x, gap, _ = look()
    (slope,) = torch.autograd.grad(gap, x)
    constant = float(2 * gap.detach() / slope.square().sum())
    lower, upper, best, nearest, spent = 0.0, float("inf"), image, float("inf"), 0
    for attempt in range(1, 7):
        adam, losses, found, standing = torch.optim.Adam([w], lr=rate), [], False, 0
        for step in range(1, steps + 1):
            spent += 1
            x, gap, rounding = look()
            distance = (x - image).square().sum()
            adversarial = bool(gap <= -rounding)
            if adversarial and distance.item() < nearest:
                best, nearest = x.detach(), distance.item()
            found |= adversarial
            losses.append((distance + constant * gap.clamp(min=0)).item())
            adam.zero_grad()
            (distance if adversarial else distance + constant * gap).backward()
            adam.step()
            if step % (steps // 10) == 0:
                before = min(losses[: step - steps // 10], default=float("inf"))
                standing = 0 if min(losses) <= (0.99 if nearest < float("inf") else 0.9999) * before else standing + 1
                if standing == 2:
                    break
        lower, upper = (lower, min(upper, constant)) if found else (max(lower, constant), upper)
        if upper == float("inf"):
            constant *= 4.0**attempt
        else:
            constant = (lower * upper) ** 0.5 if lower else upper / 4
        rate = rate if nearest < float("inf") else 2 * rate
    return best, spent


@pytest.mark.parametrize("seed", [5, 7])
def test_each_sample_of_a_batch_goes_the_way_that_it_goes_alone_and_literally(seed: int) -> None:
    model, images = smooth(16, 4, seed), middling(6, (1, 4, 4), seed)
    targets = model(images).topk(2).indices[:, 1]
    found = carlini_wagner(model, images, targets, steps=50, learning_rate=0.05, search_steps=6)
    assert bool(found.success.all())
    for n in range(6):
        nearest, spent = literal_l2(model, images[n : n + 1], int(targets[n]), 50, 0.05)
        assert int(found.gradient_evaluations[n]) == spent
        towards, moved = (nearest - images[n]).flatten(), (found.adversarial[n] - images[n]).flatten()
        share = float(moved.norm() / towards.norm())
        assert 0 < share <= 1 + 1e-9  # the line search's
        torch.testing.assert_close(moved, share * towards, rtol=0, atol=1e-7)
    assert len(found.gradient_evaluations.unique()) > 1  # each was given up when its own loss stood still
    assert int(found.gradient_evaluations.max()) < 6 * 50


def test_a_loss_that_stands_still_is_given_up_after_two_tenths_of_the_steps() -> None:
    """The loss of one sample stands still from the tenth step on, that of another falls to the end, a little each step.

    Such a little is nothing to the third, which has met an adversarial sample.
    """
    patience = Patience(torch.zeros(3, dtype=torch.float64), 100, abort_early=True)
    met, going, steps = torch.tensor([False, False, True]), torch.arange(3), [0, 0, 0]
    for step in range(100):
        loss = torch.tensor([0.5 ** min(step, 10), 0.9995**step, 0.9995**step], dtype=torch.float64)
        for row in going.tolist():
            steps[row] += 1
        going = going[~patience.ends(loss[going], going, met[going])]
    assert steps == [40, 100, 30]  # the last two tenths brought nothing
    assert not len(going)
