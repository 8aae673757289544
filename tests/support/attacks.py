"""Every attack with budgets so small that some samples are fooled and some are not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from defensive_distillation.attacks import AttackResult, carlini_wagner, fgsm, jsma, noise, pgd, square, transfer

Attack = Callable[..., AttackResult]
EPSILON = 0.2
CARLINI_WAGNER: dict[str, Any] = {"steps": 20, "learning_rate": 0.1, "initial_constant": 0.1}
GROWING: dict[str, Any] = {**CARLINI_WAGNER, "constant_factor": 10.0, "largest_constant": 10.0}


def transferred(model: nn.Module, images: Tensor, classes: Tensor, **options: Any) -> AttackResult:
    """From a copy of the network, which fools the network itself or hardly misses it."""
    settings = {"search_steps": 3, **CARLINI_WAGNER, **options}
    return transfer(model, images, classes, surrogate=copy.deepcopy(model), **settings)


def with_options(attack: Attack, **fixed: Any) -> Attack:
    return lambda model, images, classes, **options: attack(model, images, classes, **{**fixed, **options})


ATTACKS: dict[str, Attack] = {
    "jsma/probabilities": with_options(jsma, max_features=9),
    "jsma/logits": with_options(jsma, max_features=9, output="logits", theta=-0.4),
    "fgsm/cross_entropy": with_options(fgsm, epsilon=EPSILON),
    "fgsm/margin": with_options(fgsm, epsilon=EPSILON, loss="margin"),
    "pgd/cross_entropy": with_options(pgd, epsilon=EPSILON, steps=5, restarts=2, loss="cross_entropy"),
    "pgd/margin": with_options(pgd, epsilon=EPSILON, steps=5, restarts=2, rivals=2),
    "square": with_options(square, epsilon=EPSILON, queries=20),
    "noise": with_options(noise, epsilon=EPSILON, tries=3),
    "transfer": transferred,
    "cw_l2": with_options(carlini_wagner, norm="l2", search_steps=3, **CARLINI_WAGNER),
    "cw_l0": with_options(carlini_wagner, norm="l0", **GROWING),
    "cw_linf": with_options(carlini_wagner, norm="linf", **GROWING),
}
BALL = ("fgsm/cross_entropy", "fgsm/margin", "pgd/cross_entropy", "pgd/margin", "square", "noise")
RANDOM = ("pgd/cross_entropy", "pgd/margin", "square", "noise")
DESCENDING = ("transfer", "cw_l2", "cw_l0", "cw_linf")  # through real numbers, which a batch may round otherwise
