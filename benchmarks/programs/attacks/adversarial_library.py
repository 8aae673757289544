"""adversarial-library, adv-lib in the registry. It has no Square and no JSMA."""

from __future__ import annotations

import functools
import math
import sys
import types
from typing import Any

from torch import nn

from benchmarks.programs.attacks import budgets
from benchmarks.programs.attacks.budgets import EPSILON, Attack

# it imports this plotting library at once, for callbacks that nobody asks for here
sys.modules.setdefault("visdom", types.ModuleType("visdom"))
from adv_lib import attacks  # noqa: E402


def _cw_l2(model: nn.Module) -> Attack:
    options: dict[str, Any] = {"binary_search_steps": budgets.SEARCHES, "max_iterations": budgets.STEPS}
    options |= {"learning_rate": budgets.RATE, "initial_const": budgets.CONSTANT, "targeted": True}
    return functools.partial(attacks.carlini_wagner_l2, model, **options)


def _pgd(model: nn.Module) -> Attack:
    options: dict[str, Any] = {"steps": budgets.PGD_STEPS, "absolute_step_size": budgets.PGD_STEP}
    return functools.partial(attacks.pgd_linf, model, ε=EPSILON, random_init=True, loss_function="ce", **options)


def _apgd(model: nn.Module, loss: str) -> Attack:
    options: dict[str, Any] = {"n_iter": budgets.RESTART_STEPS, "n_restarts": budgets.RESTARTS, "loss_function": loss}
    return functools.partial(attacks.apgd, model, eps=EPSILON, norm=math.inf, **options)


def _apgd_targeted(model: nn.Module) -> Attack:
    return functools.partial(attacks.apgd_targeted, model, eps=EPSILON, norm=math.inf, n_iter=budgets.RIVAL_STEPS)


def _fab(model: nn.Module) -> Attack:
    options: dict[str, Any] = {"n_iter": budgets.RIVAL_STEPS, "ε": EPSILON, "targeted_restarts": True}
    return functools.partial(attacks.fab, model, norm=math.inf, **options)


ATTACKS = {
    "cw_l2": _cw_l2,
    "pgd": _pgd,
    "apgd_ce": lambda model: _apgd(model, "ce"),
    "apgd_dlr": lambda model: _apgd(model, "dlr"),
    "apgd_targeted": _apgd_targeted,
    "fab": _fab,
}
