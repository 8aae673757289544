"""ART, the Adversarial Robustness Toolbox. It has no targeted APGD over all classes and no FAB."""

from __future__ import annotations

from typing import Any

from art.attacks.evasion import (
    AutoProjectedGradientDescent,
    CarliniL2Method,
    ProjectedGradientDescentPyTorch,
    SquareAttack,
)
from torch import nn

from benchmarks.programs.attacks import budgets
from benchmarks.programs.attacks.budgets import EPSILON, Attack
from benchmarks.programs.jsma import art_attack, art_classifier, of_art

BATCH = 128


def _cw_l2(model: nn.Module) -> Attack:
    made = CarliniL2Method(
        _classifier(model),
        targeted=True,
        learning_rate=budgets.RATE,
        binary_search_steps=budgets.SEARCHES,
        max_iter=budgets.STEPS,
        initial_const=budgets.CONSTANT,
        batch_size=BATCH,
        verbose=False,
    )
    return art_attack(made)


def _pgd(model: nn.Module) -> Attack:
    options: dict[str, Any] = {"eps": EPSILON, "eps_step": budgets.PGD_STEP, "max_iter": budgets.PGD_STEPS}
    made = ProjectedGradientDescentPyTorch(
        _classifier(model), num_random_init=1, batch_size=BATCH, verbose=False, **options
    )
    return art_attack(made)


def _square(model: nn.Module) -> Attack:
    made = SquareAttack(_classifier(model), eps=EPSILON, max_iter=budgets.QUERIES, batch_size=BATCH, verbose=False)
    return art_attack(made)


def _apgd(model: nn.Module, loss: str) -> Attack:
    options: dict[str, Any] = {"eps": EPSILON, "eps_step": 2 * EPSILON, "max_iter": budgets.RESTART_STEPS}
    options |= {"nb_random_init": budgets.RESTARTS, "loss_type": loss, "batch_size": BATCH, "verbose": False}
    return art_attack(AutoProjectedGradientDescent(_classifier(model), **options))


def _classifier(model: nn.Module) -> Any:
    return art_classifier(model, (1, 28, 28), "cpu")


ATTACKS = {
    "cw_l2": _cw_l2,
    "pgd": _pgd,
    "square": _square,
    "apgd_ce": lambda model: _apgd(model, "cross_entropy"),
    "apgd_dlr": lambda model: _apgd(model, "difference_logits_ratio"),
    "jsma": lambda model: of_art(model, (1, 28, 28), 64, "cpu", budgets.FEATURES),
}
