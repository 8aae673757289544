"""Defensive distillation: what the teacher gives its student (Papernot et al. 2016, Section IV)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from defensive_distillation.errors import InputError
from defensive_distillation.networks.softmax import softmax_at


@torch.no_grad()
def soft_labels(model: nn.Module, images: Tensor, temperature: float) -> Tensor:
    """The model's probability vectors F(X) at temperature T, the student's labels (Section IV-B).

    Args:
        model: returns logits (N, K); must be in evaluation mode.
        images: (N, C, H, W) in [0, 1].
        temperature: T > 0.

    Returns:
        (N, K) float32, rows sum to 1. The softmax is taken in float64, so that rounding stays below float32's.
    """
    if model.training:
        raise InputError("model: expected evaluation mode (model.eval()), got training mode")
    return softmax_at(model(images).double(), temperature).float()
