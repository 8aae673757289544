"""Ours. PGD begins at the source; its rivals, nine targets in turn, are what stands for AutoAttack's parts."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from benchmarks.programs.attacks import budgets
from benchmarks.programs.attacks.budgets import Attack
from defensive_distillation.attacks import carlini_wagner, jsma, pgd, square


def _cw_l2(model: nn.Module) -> Attack:
    options: dict[str, Any] = {"search_steps": budgets.SEARCHES, "steps": budgets.STEPS}
    options |= {"learning_rate": budgets.RATE, "initial_constant": budgets.CONSTANT}

    def attack(images: Tensor, targets: Tensor) -> Tensor:
        return carlini_wagner(model, images, targets, norm="l2", **options).adversarial

    return attack


def _pgd(model: nn.Module, loss: Any, *, steps: int = budgets.PGD_STEPS, rivals: int = 0) -> Attack:
    options: dict[str, Any] = {"epsilon": budgets.EPSILON, "steps": steps, "rivals": rivals, "loss": loss}
    options |= {"step_size": None if rivals else budgets.PGD_STEP}

    def attack(images: Tensor, labels: Tensor) -> Tensor:
        return pgd(model, images, labels, **options).adversarial

    return attack


def _square(model: nn.Module) -> Attack:
    def attack(images: Tensor, labels: Tensor) -> Tensor:
        return square(model, images, labels, epsilon=budgets.EPSILON, queries=budgets.QUERIES).adversarial

    return attack


def _jsma(model: nn.Module, output: Any) -> Attack:
    def attack(images: Tensor, targets: Tensor) -> Tensor:
        return jsma(model, images, targets, max_features=budgets.FEATURES, output=output).adversarial

    return attack


ATTACKS = {
    "cw_l2": _cw_l2,
    "pgd": lambda model: _pgd(model, "cross_entropy"),
    "pgd_margin": lambda model: _pgd(model, "margin"),
    "rivals": lambda model: _pgd(
        model, "margin", steps=budgets.GRADIENTS // (1 + budgets.RIVALS), rivals=budgets.RIVALS
    ),
    "square": _square,
    "jsma": lambda model: _jsma(model, "logits"),
    "jsma_probabilities": lambda model: _jsma(model, "probabilities"),
}
