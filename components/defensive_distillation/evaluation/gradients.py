"""Input gradients of the softmax's probabilities, also where they are far too small for floating point.

A distilled network's logits lie hundreds apart, so at T = 1 its probabilities are 1 and e^-500, and their gradient is
zero in float32 and often in float64. The logits are not saturated: their Jacobian is an ordinary matrix. So

    ∂F_i/∂x_j = F_i / T * sum_{l != i} F_l (∂z_i/∂x_j - ∂z_l/∂x_j)                  (from Eq. 2 and Eq. 11)

is taken with log F in place of F. Leaving l = i out of the sum avoids the cancellation in ∂z_i - sum_l F_l ∂z_l.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from defensive_distillation.networks.softmax import log_softmax_at, require_temperature, softmax_at


def logit_jacobian(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (N, K) and their Jacobian ∂z_i/∂x_j (N, K, D), by one backward pass a class."""
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(images)
        rows = [
            torch.autograd.grad(logits[:, i].sum(), images, retain_graph=i + 1 < logits.shape[1])[0].flatten(1)
            for i in range(logits.shape[1])
        ]
    return logits.detach(), torch.stack(rows, dim=1)


def log10_mean_amplitude(logits: Tensor, jacobian: Tensor, temperature: float) -> Tensor:
    """log10 of the mean over i and j of |∂F_i/∂x_j| at temperature T: the amplitude that Figure 9 counts.

    Args:
        logits: (N, K).
        jacobian: (N, K, D) of the logits.
        temperature: T > 0.

    Returns:
        (N,) float64; -inf only where no difference of two logits depends on the input.
    """
    require_temperature(temperature)
    log_f = log_softmax_at(logits.double(), temperature)  # (N, K)
    classes = logits.shape[1]
    others = (
        log_f[:, None, :]
        .expand(-1, classes, -1)
        .masked_fill(torch.eye(classes, dtype=torch.bool, device=logits.device), -torch.inf)
    )  # (N, i, l): log F_l for l != i
    largest = others.max(dim=2).values  # (N, K)
    weights = (others - largest[:, :, None]).exp()
    jacobian = jacobian.double()
    # sum_l w_l (J_i - J_l), (N, K, D); subtracted before summing, so that logits moving together give exactly 0
    slope = torch.cat([weights[:, i : i + 1] @ (jacobian[:, i : i + 1] - jacobian) for i in range(classes)], dim=1)
    log_slope = slope.abs().mean(dim=2).log()
    log_amplitude = (log_f + largest + log_slope).logsumexp(dim=1) - math.log(temperature * classes)
    return log_amplitude / math.log(10)


def zero_gradient(model: nn.Module, images: Tensor, temperature: float, dtype: torch.dtype) -> Tensor:
    """Whether the gradient of the probabilities at T, as `dtype` computes it, is exactly zero in every feature.

    The probabilities are propagated to the input by ordinary backpropagation, the largest gradients with respect to
    the logits first, until one that does not vanish is found or all have been tried. Where they are exactly one-hot
    the first decides, since the softmax passes nothing on.

    Args:
        model: returns logits; a copy in `dtype` computes.
        images: (N, C, H, W) in [0, 1].
        temperature: T > 0.
        dtype: torch.float32 or torch.float64.

    Returns:
        (N,) bool.
    """
    twin = model if dtype == torch.float32 else copy.deepcopy(model).to(dtype)
    images = images.detach().to(dtype).requires_grad_()
    with torch.enable_grad():
        logits = twin(images)
        probabilities = softmax_at(logits, temperature)
        one_hot = (probabilities > 0).sum(dim=1) == 1
        zero = torch.ones_like(one_hot)
        for classes in _steepest_first(probabilities.detach()).split(1, dim=1):
            (gradient,) = torch.autograd.grad(probabilities.gather(1, classes).sum(), images, retain_graph=True)
            zero &= (gradient.flatten(1) == 0).all(dim=1)
            if bool((one_hot | ~zero).all()):
                break
    return zero


def _steepest_first(probabilities: Tensor) -> Tensor:
    """The classes i by max_l |∂F_i/∂z_l| T = F_i max(1 - F_i, max_{l != i} F_l), largest first, (N, K)."""
    top, classes = probabilities.topk(2, dim=1)
    highest_other = top[:, :1].expand_as(probabilities).scatter(1, classes[:, :1], top[:, 1:])
    return (probabilities * torch.maximum(1 - probabilities, highest_other)).argsort(dim=1, descending=True)
