"""The nearest point on the line to an adversarial sample that is still adversarial."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.network import clearly_reached, logits_of

_HALVINGS = 12


@torch.no_grad()
def nearest_on_line(
    model: nn.Module, images: Tensor, adversarial: Tensor, classes: Tensor, *, targeted: bool, confidence: float
) -> Tensor:
    """The samples moved towards their sources by bisection, by forward passes alone; all shapes (N, C, H, W).

    Every sample must be adversarial; the point returned is one that was tested and is.
    """
    near = torch.zeros(
        len(images), 1, 1, 1, dtype=images.dtype, device=images.device
    )  # share of the way: not adversarial
    far = torch.ones_like(near)  # adversarial
    best = adversarial.clone()
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        candidate = images + middle * (adversarial - images)
        logits = logits_of(model, candidate, classes)
        done = clearly_reached(logits, classes, targeted=targeted, confidence=confidence)[:, None, None, None]
        best = torch.where(done, candidate, best)
        near, far = torch.where(done, near, middle), torch.where(done, middle, far)
    return best
