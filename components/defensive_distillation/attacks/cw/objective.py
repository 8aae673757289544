"""What Carlini and Wagner's attacks descend: the margin of the logits, and the constants that weigh it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.network import logits_of, margin, slack


def margin_gradient(
    model: nn.Module, images: Tensor, classes: Tensor, *, targeted: bool, confidence: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The hinge max(margin + κ, 0) (f_6 of C&W), whether the goal is clearly reached, both (N,), and a gradient.

    The gradient (N, C, H, W) is the margin's with respect to the images, also where the hinge is zero.
    """
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        logits = logits_of(model, images, classes)
        value = margin(logits, classes, targeted=targeted)
        (gradient,) = torch.autograd.grad(value.sum(), images)
    value = value.detach()
    done = value <= -confidence - slack(logits.detach())  # as `clearly_reached`
    return (value + confidence).clamp(min=0), done, gradient


def linear_constants(hinge: Tensor, gradient: Tensor, norm: str) -> Tensor:
    """The constant c of C&W's objective that a linear network with this margin and gradient needs.

    Below 2 h / |g|² the least of |δ|² + c max(h + g δ, 0) leaves part of the hinge h; in L∞, below 1 / max |g_i| no
    feature exceeds the threshold for the hinge's sake. Logits s times larger need constants s times smaller.

    Args:
        hinge: (N,), from 0.
        gradient: (N, C, H, W), of the margin.
        norm: l2, l0 or linf.

    Returns:
        (N,), above 0; where the gradient vanishes it says nothing, and 1 is returned.
    """
    slopes = gradient.flatten(1)
    constants = 1 / slopes.abs().amax(1) if norm == "linf" else 2 * hinge / slopes.square().sum(1)
    return torch.where(constants.isfinite() & (constants > 0), constants, 1.0)
