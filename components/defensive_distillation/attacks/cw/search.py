"""How Carlini and Wagner's attacks are told to look for the nearest sample."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.cw.line_search import nearest_on_line
from defensive_distillation.attacks.cw.objective import margin_gradient
from defensive_distillation.attacks.network import clearly_reached, logits_of
from defensive_distillation.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Search:
    """What `carlini_wagner` is given for each norm; its docstring says what each means."""

    targeted: bool
    confidence: float
    steps: int
    search_steps: int
    learning_rate: float
    initial_constant: float
    largest_constant: float
    constant_factor: float
    abort_early: bool
    clip: tuple[float, float]

    def __post_init__(self) -> None:
        """Raises InputError for a number out of its range."""
        if not (math.isfinite(self.confidence) and self.confidence >= 0):
            raise InputError(f"confidence: expected a finite number from 0, got {self.confidence}")
        for name in ("steps", "search_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected at least 1, got {getattr(self, name)}")
        for name, least in (
            *(("learning_rate", 0), ("initial_constant", 0), ("largest_constant", 0)),
            ("constant_factor", 1),
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > least):
                raise InputError(f"{name}: expected a finite number above {least}, got {value}")

    def margin_gradient(self, model: nn.Module, images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `objective.margin_gradient`."""
        return margin_gradient(model, images, classes, targeted=self.targeted, confidence=self.confidence)

    @torch.no_grad()
    def suffices(self, model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
        """Whether each sample is clearly where it should be, (N,) bool."""
        logits = logits_of(model, images, classes)
        return clearly_reached(logits, classes, targeted=self.targeted, confidence=self.confidence)

    def nearest_on_line(self, model: nn.Module, images: Tensor, found: Tensor, classes: Tensor) -> Tensor:
        """See `line_search.nearest_on_line`."""
        return nearest_on_line(model, images, found, classes, targeted=self.targeted, confidence=self.confidence)
