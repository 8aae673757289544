"""What counts as within a radius though x + ε rounds, and whom transferred samples fool though they were not moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from defensive_distillation.attacks import AttackResult, fgsm, noise, pgd, square, transfer
from defensive_distillation.datasets.dataset import to_unit_interval
from defensive_distillation.evaluation.findings import transferred
from defensive_distillation.evaluation.outcome import Outcome, on_right_ones
from defensive_distillation.evaluation.results import ROUNDING
from defensive_distillation.evaluation.robust import NearestErrors, nearest_errors, robust_accuracy
from defensive_distillation.evaluation.stored_attack import counted, store_attack
from support.networks import linear

RADII = (0.003, 1 / 255, 0.01, 2 / 255, 0.03, 8 / 255, 0.1, 0.3, 0.7)


def images_of(count: int, shape: tuple[int, int, int]) -> Tensor:
    return torch.randint(0, 256, (count, *shape), generator=torch.Generator().manual_seed(4)).to(torch.uint8)


def outcome_of(attack: str, images: Tensor, labels: Tensor, result: AttackResult, level: float) -> Outcome:
    stored = store_attack(images, torch.arange(len(images)), labels, [result], dense=True)
    variant = {"square": "margin", "transfer": "", "noise": ""}.get(attack, "margin")
    name = f"{attack}/{variant}".rstrip("/")
    facts: dict[str, Any] = {"name": name, "attack": attack, "variant": variant, "arguments": {}, "levels": [level]}
    return Outcome(counted(facts, stored), stored)


@pytest.mark.parametrize("epsilon", RADII)
@pytest.mark.parametrize("attack", [fgsm, pgd, square, noise], ids=lambda one: str(one.__name__))
def test_a_success_at_its_own_radius_is_within_it(attack: Any, epsilon: float) -> None:
    """Every 255th is a source, and a network that any step to the right side fools."""
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 1, 256)
    # equal logits at the source: class 0, and class 1 as soon as anything moves
    x = to_unit_interval(images)

    class Moved(nn.Module):
        def forward(self, given: Tensor) -> Tensor:
            far = (given - x).square().flatten(1).sum(1)
            return torch.stack([torch.zeros_like(far), 1e6 * far + (given - x).flatten(1).sum(1) * 1e-3], dim=1)

    labels = torch.zeros(1, dtype=torch.int64)
    found = attack(Moved().eval(), x, labels, epsilon=epsilon)
    assert bool(found.success.all())
    outcome = outcome_of(attack.__name__, images, labels, found, epsilon)
    errors = nearest_errors(torch.tensor([True]), [outcome])
    assert errors is not None
    robust = robust_accuracy(errors)
    assert robust.fooled == (1,), float(errors.linf) - epsilon


def test_every_rounding_of_x_plus_epsilon_is_within_and_little_more_is_not() -> None:
    x = np.linspace(0, 1, 100_001, dtype=np.float32)
    for epsilon in RADII:
        for moved in (np.minimum(x + np.float32(epsilon), 1), np.maximum(x - np.float32(epsilon), 0)):
            assert float(np.abs(moved - x).max()) <= epsilon + ROUNDING
    errors = NearestErrors(torch.arange(2), torch.tensor([0.01 + ROUNDING, 0.01 + 3e-7], dtype=torch.float64), (0.01,))
    assert robust_accuracy(errors).fooled == (1,)


@pytest.mark.parametrize("confidence", [0.0, 1e4])
def test_sources_that_either_network_misses_unmoved_are_fooled_by_no_transferred_sample(confidence: float) -> None:
    images = images_of(12, (1, 4, 4))
    x = to_unit_interval(images)
    order = x.flatten(1).sum(1).argsort()
    images, x = images[order], x[order]  # brightest last: the networks say whether an image is bright
    between = (x.flatten(1).sum(1).unfold(0, 2, 1).mean(1)).tolist()
    model, surrogate = (linear([[0.0] * 16, [1.0] * 16], [between[n], 0.0]).float() for n in (4, 8))
    right, right_there = model(x).argmax(1), surrogate(x).argmax(1)
    # of the labels that the attacked network has, the surrogate misses four; and two that the attacked one misses
    labels = right.clone()
    labels[:2] = 1
    options: dict[str, Any] = {"steps": 30, "learning_rate": 0.1, "search_steps": 2}
    found = transfer(model, x, labels, surrogate=surrogate, confidence=confidence, **options)
    outcome = outcome_of("transfer", images, labels, found, confidence)
    (kept,) = on_right_ones({"transfer": outcome}, right == labels).values()
    findings = transferred(kept, "baseline")
    assert (findings.sources, findings.misclassified) == (10, 2)
    missed = int((right_there != labels)[2:].sum())
    assert missed == 4
    assert findings.surrogate_successes == ((6,) if confidence == 0 else (0,))
    if confidence:
        assert findings.successes == (0,)
        assert findings.mean_l2 == (None,)


def test_an_error_counts_from_the_radius_on_at_which_there_is_one() -> None:
    """With the margin 2 x - 1 the least step that fools 0.6 is 0.1."""
    images = torch.full((1, 1, 1, 1), 153, dtype=torch.uint8)
    model = linear([[2.0], [0.0]], [-1.0, 0.0]).float()
    for epsilon, fooled in ((0.09, 0), (0.11, 1)):
        found = pgd(model, to_unit_interval(images), torch.tensor([0]), epsilon=epsilon)
        errors = nearest_errors(torch.tensor([True]), [outcome_of("pgd", images, torch.tensor([0]), found, epsilon)])
        assert errors is not None
        assert robust_accuracy(errors).fooled == (fooled,)
