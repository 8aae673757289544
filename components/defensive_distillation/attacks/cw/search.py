"""How Carlini and Wagner's attacks are told to look for the nearest sample, and what they ask the network."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.network import (
    clearly_reached,
    gradient_of,
    in_single,
    logits_of,
    margin,
    reached,
    slack,
)
from defensive_distillation.errors import InputError

_HALVINGS = 12  # of the line to a sample


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
        """The hinge max(margin + κ, 0) (f_6 of C&W), whether the goal is clearly reached, both (N,), and a gradient.

        The gradient (N, C, H, W) is the margin's with respect to the images, also where the hinge is zero.
        """
        images = images.detach().requires_grad_()
        with torch.enable_grad():
            logits = logits_of(model, images)
            value = margin(in_single(logits), classes, targeted=self.targeted)
            gradient = gradient_of(value.sum(), images)
        value = value.detach()
        done = value <= -self.confidence - slack(logits.detach())  # as `clearly_reached`
        return (value + self.confidence).clamp(min=0), done, gradient

    @torch.no_grad()
    def needless(self, model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
        """Whether each source is where it should be as it is, however narrowly where κ is 0, (N,) bool."""
        logits = logits_of(model, images)
        if self.confidence == 0:
            return reached(logits, classes, targeted=self.targeted)
        return clearly_reached(logits, classes, targeted=self.targeted, confidence=self.confidence)

    @torch.no_grad()
    def suffices(self, model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
        """Whether each sample is clearly where it should be, (N,) bool."""
        logits = logits_of(model, images)
        return clearly_reached(logits, classes, targeted=self.targeted, confidence=self.confidence)

    @torch.no_grad()
    def nearest_on_line(self, model: nn.Module, images: Tensor, adversarial: Tensor, classes: Tensor) -> Tensor:
        """The samples moved towards their sources by bisection, by forward passes alone; all shapes (N, C, H, W).

        Every sample must be adversarial; the point returned is one that was tested and is.
        """
        near = images.new_zeros(len(images), 1, 1, 1)  # share of the way: not adversarial
        far = torch.ones_like(near)  # adversarial
        best = adversarial.clone()
        for _ in range(_HALVINGS):
            middle = (near + far) / 2
            candidate = images + middle * (adversarial - images)
            done = self.suffices(model, candidate, classes)[:, None, None, None]
            best = torch.where(done, candidate, best)
            near, far = torch.where(done, near, middle), torch.where(done, middle, far)
        return best
