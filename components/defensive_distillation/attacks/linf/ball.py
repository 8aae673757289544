"""What an attack within an L∞ ball descends: the cross-entropy of the softmax, or the margin of the logits."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.network import gradient_of, in_single, logits_of, margin, reached
from defensive_distillation.errors import InputError
from defensive_distillation.networks.softmax import log_softmax_at, require_temperature

Loss = Literal["cross_entropy", "margin"]


def require_ball(epsilon: float, loss: str, temperature: float) -> None:
    """Raises InputError for a radius, loss or temperature that does not exist."""
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise InputError(f"epsilon: expected a finite number above 0, got {epsilon}")
    if loss not in ("cross_entropy", "margin"):
        raise InputError(f"loss: expected cross_entropy or margin, got {loss!r}")
    require_temperature(temperature)


def descent(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    targeted: bool,
    loss: Loss,
    temperature: float,
    rivals: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Whether the goal is reached (N,), and the gradient of the loss that leads to it (N, C, H, W).

    Cross-entropy is that of the softmax at T, as a training would compute it: where the softmax saturates, its
    gradient underflows to zero. The margin is the logits' own, and does not saturate; with `rivals` (N,) it is that of
    the class to leave over one other, whichever other is the largest.
    """
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        logits = in_single(logits_of(model, images))
        if rivals is not None:
            value = (logits.gather(1, classes[:, None]) - logits.gather(1, rivals[:, None])).squeeze(1)
        elif loss == "margin":
            value = margin(logits, classes, targeted=targeted)
        else:
            log_f = log_softmax_at(logits, temperature).gather(1, classes[:, None]).squeeze(1)
            value = -log_f if targeted else log_f
        gradient = gradient_of(value.sum(), images)
    return reached(logits.detach(), classes, targeted=targeted), gradient
