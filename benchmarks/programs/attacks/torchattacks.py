"""torchattacks. Its C&W searches no constant: it takes all steps at one of them."""

from __future__ import annotations

from typing import Any

import torchattacks
from torch import nn

from benchmarks.programs.attacks import budgets
from benchmarks.programs.attacks.budgets import CLASSES, EPSILON, Attack
from benchmarks.programs.jsma import of_torchattacks

CONSTANT = 10.0  # of C&W: at its own, 1, it reaches fewer targets


def _cw_l2(model: nn.Module) -> Attack:
    steps = budgets.SEARCHES * budgets.STEPS
    made: Any = torchattacks.CW(model, c=CONSTANT, steps=steps, lr=budgets.RATE)
    made.set_mode_targeted_by_label(quiet=True)
    attack: Attack = made
    return attack


def _pgd(model: nn.Module) -> Attack:
    attack: Attack = torchattacks.PGD(
        model, eps=EPSILON, alpha=budgets.PGD_STEP, steps=budgets.PGD_STEPS, random_start=True
    )
    return attack


def _square(model: nn.Module) -> Attack:
    attack: Attack = torchattacks.Square(model, eps=EPSILON, n_queries=budgets.QUERIES)
    return attack


def _apgd(model: nn.Module, loss: str) -> Attack:
    attack: Attack = torchattacks.APGD(
        model, eps=EPSILON, steps=budgets.RESTART_STEPS, n_restarts=budgets.RESTARTS, loss=loss
    )
    return attack


def _apgd_targeted(model: nn.Module) -> Attack:
    attack: Attack = torchattacks.APGDT(model, eps=EPSILON, steps=budgets.RIVAL_STEPS, n_classes=CLASSES)
    return attack


def _fab(model: nn.Module) -> Attack:
    attack: Attack = torchattacks.FAB(
        model, eps=EPSILON, steps=budgets.RIVAL_STEPS, multi_targeted=True, n_classes=CLASSES
    )
    return attack


ATTACKS = {
    "cw_l2": _cw_l2,
    "pgd": _pgd,
    "square": _square,
    "apgd_ce": lambda model: _apgd(model, "ce"),
    "apgd_dlr": lambda model: _apgd(model, "dlr"),
    "apgd_targeted": _apgd_targeted,
    "fab": _fab,
    "jsma": lambda model: of_torchattacks(model, (1, 28, 28)),
}
