"""The Square attack against the loop that the paper writes down, one sample and one pixel at a time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from defensive_distillation.attacks import noise, square
from defensive_distillation.attacks.linf.square import square_side
from defensive_distillation.attacks.randomness import uniform
from support.networks import Counting, linear, smooth, starts

# after how many of 10,000 queries p is halved: Section 3.3
TABLE = (10, 50, 200, 500, 1_000, 2_000, 4_000, 6_000, 8_000)


def margin_of(model: nn.Module, image: Tensor, label: int, *, targeted: bool) -> float:
    z = model(image[None])[0].tolist()
    other = max(value for k, value in enumerate(z) if k != label)
    return other - z[label] if targeted else z[label] - other


def literal(
    model: nn.Module,
    image: Tensor,
    label: int,
    seed: int,
    *,
    epsilon: float,
    queries: int,
    targeted: bool,
    clip: tuple[float, float],
) -> tuple[Tensor, list[float]]:
    """Algorithms 1 and 2 with the draws of `seed`: the image found, and the margin after each query."""
    channels, height, width = image.shape
    one = torch.tensor([seed])
    stripes = uniform(one, (channels, 1, width), image)[0]
    draws = uniform(one, (queries, 2 + channels), image, stream=1)[0].tolist()

    def moved(i: int, j: int, k: int, number: float) -> float:
        sign = 1.0 if number >= 0.5 else -1.0
        return min(clip[1], max(clip[0], float(image[i, j, k]) + sign * epsilon))

    best, margins = image.clone(), [margin_of(model, image, label, targeted=targeted)]
    for query in range(queries):
        if margins[-1] < 0:
            break
        candidate = best.clone()
        if query == 0:
            for i in range(channels):
                for j in range(height):
                    for k in range(width):
                        candidate[i, j, k] = moved(i, j, k, float(stripes[i, 0, k]))
        else:
            step = (query - 1) * 10_000 // queries
            share = 0.8 / 2 ** len([after for after in TABLE if step > after])
            side = min(max(round(math.sqrt(share * height * width)), 1), height, width)
            row, column, *numbers = draws[query]
            top, left = int(row * (height - side + 1)), int(column * (width - side + 1))
            window = [
                (i, j, k) for i in range(channels) for j in range(top, top + side) for k in range(left, left + side)
            ]
            for i, j, k in window:
                candidate[i, j, k] = moved(i, j, k, numbers[i])
            if torch.equal(candidate, best):  # the same square as before: turned round
                for i, j, k in window:
                    candidate[i, j, k] = moved(i, j, k, 1 - numbers[i])
        value = margin_of(model, candidate, label, targeted=targeted)
        if value < margins[-1] or query == 0:
            best, value = candidate, value
        else:
            value = margins[-1]
        margins.append(value)
    return best, margins


@pytest.mark.parametrize("targeted", [True, False])
@pytest.mark.parametrize("clip", [(0.0, 1.0), (-1.0, 1.0)])
def test_it_does_what_the_literal_algorithm_does(targeted: bool, clip: tuple[float, float]) -> None:
    model = smooth(105, 4, 3)
    images = clip[0] + (clip[1] - clip[0]) * starts(8, (3, 5, 7), 3)
    labels = (model(images).argmax(1) + targeted) % 4
    seeds = torch.arange(50, 58)
    fooled = 0
    for epsilon in (0.02, 0.15):
        found = square(
            model, images, labels, epsilon=epsilon, queries=40, targeted=targeted, clip=clip, seeds=seeds, batch_size=3
        )
        for n in range(8):
            expected, margins = literal(
                model,
                images[n],
                int(labels[n]),
                50 + n,
                epsilon=epsilon,
                queries=40,
                targeted=targeted,
                clip=clip,
            )
            assert torch.equal(found.adversarial[n], expected)  # the same additions of ε to the same features: exact
            assert bool(found.success[n]) == (margins[-1] < 0)
            # the margin never rises once the stripes are there
            assert margins[1:] == sorted(margins[1:], reverse=True)
        fooled += int(found.success.sum())
    assert 0 < fooled < 16


def test_a_square_covers_what_the_papers_table_says() -> None:
    """On an image so large that rounding to whole pixels does not count."""
    for halvings, after in enumerate((*TABLE, 9_999)):
        share = 0.8 / 2**halvings
        assert square_side(0.8, after, 10_000, 10_000, 10_000) == round(math.sqrt(share) * 10_000)
        if after < 9_999:
            assert square_side(0.8, after + 1, 10_000, 10_000, 10_000) == round(math.sqrt(share / 2) * 10_000)
    # a search of 1,000 queries goes through the same table ten times as fast
    assert [square_side(0.8, query, 1_000, 100, 100) for query in (1, 2, 5, 6)] == [89, 63, 63, 45]


@pytest.mark.parametrize("share", [0.001, 0.3, 1.0])
def test_a_square_is_never_larger_than_the_image_nor_smaller_than_a_pixel(share: float) -> None:
    for height, width in ((1, 1), (1, 9), (9, 1), (5, 7), (28, 28)):
        for query in range(100):
            most = width if height == 1 else min(height, width)  # of one row, a stretch of the share
            assert 1 <= square_side(share, query, 100, height, width) <= most
    assert square_side(0.8, 0, 100, 1, 50) == 40


@pytest.mark.parametrize("seed", range(3))
def test_on_a_linear_network_half_again_the_smallest_ball_suffices(seed: int) -> None:
    """Two classes: the optimum is the margin over the L1 norm of its gradient; squares of one pixel find the signs."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(2, 36, generator=generator, dtype=torch.float64)
    images = 0.4 + 0.2 * torch.rand(6, 1, 6, 6, generator=generator, dtype=torch.float64)
    normal = weight[0] - weight[1]
    model = linear(weight, torch.stack([3.0 - (normal * 0.5).sum(), torch.zeros((), dtype=torch.float64)]))
    z = model(images).detach()
    optimum = (z[:, 0] - z[:, 1]) / normal.abs().sum()
    assert bool(((optimum > 0) & (1.5 * optimum < 0.4)).all())  # within the box
    for n in range(3):
        label = torch.zeros(1, dtype=torch.int64)
        one = images[n : n + 1]
        assert bool(square(model, one, label, epsilon=1.5 * float(optimum[n]), queries=600).success)
        assert not bool(square(model, one, label, epsilon=0.99 * float(optimum[n]), queries=600).success)


def test_who_is_fooled_is_not_shown_again() -> None:
    model, images = Counting(smooth(105, 4, 3)).eval(), starts(8, (3, 5, 7), 3)
    with torch.no_grad():
        labels = model(images).argmax(1)
    model.seen = 0
    found = square(model, images, labels, epsilon=0.15, queries=40)
    assert bool(found.success.any())
    options: dict[str, Any] = {"epsilon": 0.15, "queries": 40, "targeted": False, "clip": (0.0, 1.0)}
    asked = sum(len(literal(model.model, images[n], int(labels[n]), n, **options)[1]) for n in range(8))
    assert model.seen == 8 + asked  # a first look at the batch, the sources themselves, and their queries
    assert model.differentiated == 0


def test_noise_is_the_signs_of_its_draws_clipped_to_the_box() -> None:
    model, images = smooth(105, 4, 3), starts(5, (3, 5, 7), 3)
    with torch.no_grad():
        labels = model(images).argmax(1)
    seeds = torch.tensor([4, 8, 15, 16, 23])
    found = noise(model, images, labels, epsilon=0.3, seeds=seeds)
    for n, seed in enumerate(seeds.tolist()):
        numbers = uniform(torch.tensor([seed]), (3, 5, 7), images)[0].flatten().tolist()
        by_hand = [
            min(1.0, max(0.0, value + (0.3 if number >= 0.5 else -0.3)))
            for value, number in zip(images[n].flatten().tolist(), numbers, strict=True)
        ]
        assert found.adversarial[n].flatten().tolist() == by_hand


def test_draws_are_uniform_below_one_and_independent_of_the_type() -> None:
    seeds = torch.arange(4)
    double = uniform(seeds, (50, 50), torch.zeros((), dtype=torch.float64))
    # 2,500 draws a seed: the mean of a uniform number misses one half by 0.006, and five times that never
    assert bool((double.flatten(1).mean(1) - 0.5).abs().lt(0.03).all())
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        rounded = uniform(seeds, (50, 50), torch.zeros((), dtype=dtype))
        assert rounded.dtype == dtype
        assert float(rounded.max()) < 1  # also where rounding would have made it 1
        assert float((rounded.double() - double).abs().max()) <= torch.finfo(dtype).eps
    assert not torch.equal(double, uniform(seeds, (50, 50), double, stream=1))
