"""foolbox. It has no Square and none of AutoAttack's parts."""

from __future__ import annotations

from typing import Any

import foolbox
from torch import Tensor, nn

from benchmarks.programs.attacks import budgets
from benchmarks.programs.attacks.budgets import Attack


def _cw_l2(model: nn.Module) -> Attack:
    made = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=budgets.SEARCHES,
        steps=budgets.STEPS,
        stepsize=budgets.RATE,
        initial_const=budgets.CONSTANT,
    )
    return _attack(model, made, foolbox.criteria.TargetedMisclassification, None)


def _pgd(model: nn.Module) -> Attack:
    made = foolbox.attacks.LinfPGD(abs_stepsize=budgets.PGD_STEP, steps=budgets.PGD_STEPS, random_start=True)
    return _attack(model, made, foolbox.criteria.Misclassification, budgets.EPSILON)


def _attack(model: nn.Module, made: Any, goal: Any, epsilon: float | None) -> Attack:
    bounded = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")

    def attack(images: Tensor, classes: Tensor) -> Tensor:
        _, clipped, _ = made(bounded, images, goal(classes), epsilons=epsilon)
        found: Tensor = clipped
        return found

    return attack


ATTACKS = {"cw_l2": _cw_l2, "pgd": _pgd}
