"""Fast gradient sign method (Goodfellow, Shlens, Szegedy 2015, https://arxiv.org/abs/1412.6572, Section 4)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.given import attack
from defensive_distillation.attacks.linf.ball import Loss, descent, require_ball
from defensive_distillation.attacks.network import attacked_in_batches, logits_of, reached, require_attackable
from defensive_distillation.attacks.result import AttackResult, StopReason, success_or_budget


@attack
def fgsm(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    targeted: bool = False,
    loss: Loss = "cross_entropy",
    temperature: float = 1.0,
    clip: tuple[float, float] = (0.0, 1.0),
    batch_size: int | None = None,
    on_finished: Callable[[int], None] | None = None,
) -> AttackResult:
    """One step of size ε in each feature, along the sign of the loss's gradient.

    Args:
        model: returns logits (N, K); a function, or a module in evaluation mode.
        images: sources (N, C, H, W), or (N, ...) of any other shape, within `clip`, float.
        labels: (N,) int64, the true classes; with `targeted`, the classes to reach.
        epsilon: radius of the L∞ ball, above 0.
        targeted: whether `labels` are to be reached, or left.
        loss: cross_entropy of the softmax at `temperature`, or the margin of the logits.
        temperature: T of the softmax; without meaning for the margin.
        clip: the box (lo, hi).
        batch_size: samples in the network at once; None means 128 on a CPU, and elsewhere up to 4,096.
        on_finished: called with the number of samples that have ended, whenever it grows.

    Returns:
        The adversarial samples; one whose source already is where it should be is left as it is.

    Raises:
        InputError: for a model in training mode or one that returns probabilities, or a bad argument.
    """
    require_attackable(model, images, labels, clip, batch_size, name="labels")
    require_ball(epsilon, loss, temperature)

    def stepped(batch: Tensor, classes: Tensor) -> AttackResult:
        at_start, gradient = descent(model, batch, classes, targeted=targeted, loss=loss, temperature=temperature)
        moved = (batch - epsilon * gradient.sign()).clamp(*clip)
        adversarial = torch.where(at_start[:, None, None, None], batch, moved)
        with torch.no_grad():
            success = reached(logits_of(model, adversarial), classes, targeted=targeted)
        reason = success_or_budget(success)
        reason[~success & (gradient == 0).flatten(1).all(1)] = StopReason.ZERO_GRADIENT
        return AttackResult.of(batch, adversarial, success, reason, torch.ones_like(classes))

    return attacked_in_batches(stepped, images, labels, batch_size=batch_size, on_finished=on_finished)
