"""Random noise, the floor: what a change of the same size does without any knowledge of the network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.given import attack
from defensive_distillation.attacks.linf.ball import require_ball
from defensive_distillation.attacks.network import attacked_in_batches, logits_of, reached, require_attackable
from defensive_distillation.attacks.randomness import random_signs, require_seeds, uniform
from defensive_distillation.attacks.result import AttackResult, success_or_budget
from defensive_distillation.errors import InputError


@attack
@torch.no_grad()
def noise(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    tries: int = 1,
    targeted: bool = False,
    clip: tuple[float, float] = (0.0, 1.0),
    seeds: Tensor | None = None,
    batch_size: int | None = None,
    on_finished: Callable[[int], None] | None = None,
) -> AttackResult:
    """±ε in each feature at random, the largest change that an L∞ ball allows, clipped to the box.

    Args:
        model: returns logits (N, K); a function, or a module in evaluation mode.
        images: sources (N, C, H, W), or (N, ...) of any other shape, within `clip`, float.
        labels: (N,) int64, the true classes; with `targeted`, the classes to reach.
        epsilon: radius of the L∞ ball, above 0.
        tries: draws a sample, at least 1; the first that succeeds is taken, else the last.
        targeted: whether `labels` are to be reached, or left.
        clip: the box (lo, hi).
        seeds: (N,) int64, one a sample; None means 0, 1, ….
        batch_size: samples in the network at once; None means 128 on a CPU, and elsewhere up to 4,096.
        on_finished: called with the number of samples that have ended, whenever it grows.

    Returns:
        The noisy images; a sample whose source already is where it should be is left as it is.

    Raises:
        InputError: for a model in training mode or one that returns probabilities, or a bad argument.
    """
    require_attackable(model, images, labels, clip, batch_size, name="labels")
    require_ball(epsilon, "margin", 1.0)
    if tries < 1:
        raise InputError(f"tries: expected at least 1, got {tries}")
    seeds = require_seeds(seeds, len(images))

    def drawn(batch: Tensor, classes: Tensor, own: Tensor) -> AttackResult:
        noisy = batch.clone()
        success = reached(logits_of(model, batch), classes, targeted=targeted)
        for draw in range(tries):
            active = (~success).nonzero().squeeze(1)
            if not len(active):
                break
            signs = random_signs(uniform(own[active.cpu()], batch.shape[1:], batch, stream=draw))
            noisy[active] = (batch[active] + epsilon * signs).clamp(*clip)
            logits = logits_of(model, noisy[active])
            success[active] = reached(logits, classes[active], targeted=targeted)
        return AttackResult.of(batch, noisy, success, success_or_budget(success), torch.zeros_like(classes))

    return attacked_in_batches(drawn, images, labels, seeds, batch_size=batch_size, on_finished=on_finished)
