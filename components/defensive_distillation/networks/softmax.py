"""Softmax at temperature T, the loss that is trained with it, and soft labels (Papernot et al. 2016, Section IV)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from defensive_distillation.errors import InputError

STEEPEST = 1.5434046384182085  # u at which u σ'(u) is largest: the solution of u tanh(u / 2) = 1


def require_temperature(temperature: float) -> None:
    """Raises InputError unless T is a finite number above 0."""
    if not (math.isfinite(temperature) and temperature > 0):
        raise InputError(f"temperature: expected a finite number above 0, got {temperature}")


def softmax_at(logits: Tensor, temperature: float) -> Tensor:
    """F_i = exp(z_i/T) / sum_l exp(z_l/T), the probabilities at temperature T (Eq. 2).

    Args:
        logits: (..., K), never divided by T.
        temperature: T > 0; T = 1 is the ordinary softmax, T to infinity gives 1/K.

    Raises:
        InputError: if T is not a finite number above 0.
    """
    require_temperature(temperature)
    return torch.softmax(logits / temperature, dim=-1)


def log_softmax_at(logits: Tensor, temperature: float) -> Tensor:
    """Log F at temperature T: finite where F itself underflows. Arguments as in `softmax_at`."""
    require_temperature(temperature)
    return torch.log_softmax(logits / temperature, dim=-1)


def soft_cross_entropy(logits: Tensor, soft_labels: Tensor, temperature: float) -> Tensor:
    """Mean over samples of -sum_i Y_i log F_i(X) at temperature T (Eq. 7 and 9).

    Its gradient with respect to the logits is (F - Y) / (N T) where the rows of Y sum to 1.

    Args:
        logits: (N, K).
        soft_labels: (N, K), rows sum to 1; one-hot rows are hard labels.
        temperature: T > 0.
    """
    if logits.shape != soft_labels.shape:
        raise InputError(f"soft labels: expected shape {tuple(logits.shape)}, got {tuple(soft_labels.shape)}")
    return -(soft_labels * log_softmax_at(logits, temperature)).sum(dim=-1).mean()


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


def logit_temperature(logits: Tensor) -> float:
    """T̂, the temperature that fits the size of the logits: where the softmax's gradient is largest in the median.

    Of the two largest logits, a margin m apart, the softmax makes p = σ(m / T); |∂p/∂m| = σ'(m / T) / T is largest at
    T = m / 1.543. No label and no T of a training is needed, and logits multiplied by c have c times the T̂: what an
    attacker sees at z/T̂ is the same.

    Args:
        logits: (N, K), K at least 2.

    Returns:
        The median of the margins by 1.543; 1 where that is zero.

    Raises:
        InputError: for another shape.
    """
    if logits.dim() != 2 or logits.shape[0] < 1 or logits.shape[1] < 2:
        raise InputError(f"logits: expected shape (N, K) with K at least 2, got {tuple(logits.shape)}")
    top = logits.double().topk(2, dim=1).values
    return float((top[:, 0] - top[:, 1]).median()) / STEEPEST or 1.0


def smoothed(labels: Tensor, num_classes: int, share: float) -> Tensor:
    """(1 - s) [k = y] + s / K: labels of which a share s is spread over all classes (Szegedy et al. 2016, Section 7).

    Args:
        labels: (N,) int64, in [0, K).
        num_classes: K.
        share: s in [0, 1].

    Returns:
        (N, K) float32, rows sum to 1.
    """
    return nn.functional.one_hot(labels, num_classes).float() * (1 - share) + share / num_classes
