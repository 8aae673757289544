"""One step of JSMA: the gradients of the saliency map, and whether a sample may move by the pair that it prefers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from defensive_distillation.attacks.pair_search import best_pair, largest_pair
from defensive_distillation.attacks.result import StopReason
from defensive_distillation.networks.softmax import softmax_at

MOVES = -1  # instead of a StopReason, of a sample that goes on


def saliency(
    forward: Callable[[Tensor], Tensor], images: Tensor, target: Tensor, output: str, temperature: float
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The logits (N, K), detached; α (N, D); and β (N, D), which is None where it is -α, as on probabilities.

    One backward pass on probabilities, two on logits: the sum of all outputs less the target's is the others'.
    """
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        logits = forward(images)
        outputs = logits if output == "logits" else softmax_at(logits, temperature)
        wanted = outputs.gather(1, target[:, None]).sum()
        (alpha,) = torch.autograd.grad(wanted, images, retain_graph=output == "logits")
        if output != "logits":
            return logits.detach(), alpha.flatten(1), None
        (total,) = torch.autograd.grad(outputs.sum(), images)
    return logits.detach(), alpha.flatten(1), (total - alpha).flatten(1)


def search_domain(x: Tensor, theta: float, clip: tuple[float, float]) -> Tensor:
    """Γ, (N, D) bool: a saturated feature cannot move, nor one by a theta that is lost in rounding."""
    return (x + theta).clamp(*clip) != x


def preferred_pair(alpha: Tensor, beta: Tensor | None, allowed: Tensor, theta: float) -> tuple[Tensor, Tensor]:
    """The pair of each sample that the saliency map prefers (N, 2), and whether there is one (N,) bool."""
    if beta is None:
        p, q, valid = largest_pair(alpha, allowed, increase=theta > 0)
    else:
        p, q, valid = best_pair(alpha, beta, allowed, increase=theta > 0)
    return torch.stack((p, q), dim=1), valid


def verdicts(
    x: Tensor,
    source: Tensor,
    pair: Tensor,
    valid: Tensor,
    reached: Tensor,
    alpha: Tensor,
    beta: Tensor | None,
    allowed: Tensor,
    max_features: int,
) -> Tensor:
    """Why each sample ends, as a StopReason, or `MOVES`. (N,) int8.

    Args:
        x: (N, D), the samples as they are.
        source: (N, D), as they began.
        pair: (N, 2), the features that the saliency map prefers.
        valid: (N,) bool, whether there is such a pair.
        reached: (N,) bool, whether the goal is reached.
        alpha: (N, D).
        beta: (N, D), or None where it is -α.
        allowed: (N, D) bool, Γ.
        max_features: the most features that may differ from the source.
    """
    changed = x != source
    would_change = changed.sum(1) + (~changed.gather(1, pair)).sum(1)
    flat = ((alpha == 0) if beta is None else (alpha == 0) & (beta == 0)) | ~allowed
    # not by torch.where: a number given to it is copied to the device, which waits for it
    reason = torch.full_like(would_change, MOVES, dtype=torch.int8)
    reason.masked_fill_(would_change > max_features, int(StopReason.BUDGET))
    reason.masked_fill_(~valid, int(StopReason.NO_PAIR))
    reason.masked_fill_(~valid & flat.all(1) & allowed.any(1), int(StopReason.ZERO_GRADIENT))
    return reason.masked_fill_(reached, int(StopReason.SUCCESS))


def moved(x: Tensor, pair: Tensor, theta: float, clip: tuple[float, float]) -> Tensor:
    """`x` with both features of each pair changed by theta, within the box; a new tensor."""
    return x.scatter(1, pair, x.gather(1, pair).add_(theta).clamp_(*clip))
