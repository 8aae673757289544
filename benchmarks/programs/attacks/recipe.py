"""JSMA in sixty lines of plain PyTorch."""

from __future__ import annotations

import functools
from typing import Any

from torch import nn

from benchmarks.programs.attacks.budgets import FEATURES, Attack
from benchmarks.programs.recipe import recipe


def _jsma(model: nn.Module, temperature: float | None) -> Attack:
    settings: dict[str, Any] = {"max_features": FEATURES, "batch": 64, "temperature": temperature}
    return functools.partial(recipe, model, **settings)


ATTACKS = {
    "jsma": lambda model: _jsma(model, None),
    "jsma_probabilities": lambda model: _jsma(model, 1.0),
}
