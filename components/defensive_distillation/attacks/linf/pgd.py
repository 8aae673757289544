"""Projected gradient descent, the iterated L∞ attack (Madry et al. 2018, https://arxiv.org/abs/1706.06083, Eq. 2.1)."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.linf.ball import Loss, descent, require_ball
from defensive_distillation.attacks.network import attacked_in_batches, logits_of, reached, require_attackable
from defensive_distillation.attacks.randomness import require_seeds, uniform
from defensive_distillation.attacks.result import AttackResult, StopReason
from defensive_distillation.errors import InputError


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    steps: int = 40,
    restarts: int = 1,
    step_size: float | None = None,
    targeted: bool = False,
    loss: Loss = "margin",
    temperature: float = 1.0,
    clip: tuple[float, float] = (0.0, 1.0),
    seeds: Tensor | None = None,
    batch_size: int | None = None,
    on_finished: Callable[[int], None] | None = None,
) -> AttackResult:
    """Steps along the sign of the gradient, projected back into the L∞ ball and the box, until the goal is reached.

    The first run starts at the source, as the basic iterative method does (Kurakin et al. 2017), so that it is never
    weaker for want of luck; each further one at a random point of the ball. A sample that has reached its goal, or
    whose gradient is zero and which can thus not move any more, leaves the batch.

    Args:
        model: returns logits (N, K); must be in evaluation mode.
        images: sources (N, C, H, W) within `clip`, float.
        labels: (N,) int64, the true classes; with `targeted`, the classes to reach.
        epsilon: radius of the L∞ ball, above 0.
        steps: of a run, at least 1.
        restarts: runs in all, at least 1.
        step_size: of a step in each feature; None means 2.5 ε / steps.
        targeted: whether `labels` are to be reached, or left.
        loss: the margin of the logits, or cross_entropy of the softmax at `temperature`.
        temperature: T of the softmax; without meaning for the margin.
        clip: the box (lo, hi).
        seeds: (N,) int64, of the random starts, one a sample; None means 0, 1, ….
        batch_size: samples in the network at once; None means 128 on a CPU, and elsewhere up to 4,096.
        on_finished: called with the number of samples that have ended, whenever it grows.

    Returns:
        The first adversarial sample that was met; where there is none, the last point of the last run.

    Raises:
        InputError: for a model in training mode or one that returns probabilities, or a bad argument.
    """
    require_attackable(model, images, labels, clip, batch_size)
    require_ball(epsilon, loss, temperature)
    for name, value in (("steps", steps), ("restarts", restarts)):
        if value < 1:
            raise InputError(f"{name}: expected at least 1, got {value}")
    if step_size is not None and not step_size > 0:
        raise InputError(f"step_size: expected a number above 0, got {step_size}")
    seeds = require_seeds(seeds, len(images))
    descend = functools.partial(
        _run,
        model,
        steps=steps,
        step_size=step_size or 2.5 * epsilon / steps,
        targeted=targeted,
        loss=loss,
        temperature=temperature,
    )

    def restarted(batch: Tensor, classes: Tensor, own: Tensor) -> AttackResult:
        low, high = (batch - epsilon).clamp(min=clip[0]), (batch + epsilon).clamp(max=clip[1])
        best, ended = batch.clone(), torch.zeros_like(classes, dtype=torch.bool)
        reason = torch.full_like(classes, StopReason.ZERO_GRADIENT, dtype=torch.int8)
        spent = torch.zeros_like(classes)
        for run in range(restarts):
            active = (~ended).nonzero().squeeze(1)
            if not len(active):
                break
            start = batch[active]
            if run:
                random = uniform(own[active.cpu()], batch.shape[1:], batch, stream=run)
                start = low[active] + random * (high[active] - low[active])
            found, success, stuck, evaluations = descend(start, classes[active], low[active], high[active])
            best[active], ended[active] = found, success
            spent[active] += evaluations
            reason[active[~stuck]] = StopReason.BUDGET
        reason[ended] = StopReason.SUCCESS
        return AttackResult.of(batch, best, ended, reason, spent)

    return attacked_in_batches(restarted, images, labels, seeds, batch_size=batch_size, on_finished=on_finished)


def _run(
    model: nn.Module,
    start: Tensor,
    classes: Tensor,
    low: Tensor,
    high: Tensor,
    *,
    steps: int,
    step_size: float,
    targeted: bool,
    loss: Loss,
    temperature: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One run: the points found, whether each succeeded, whether it got stuck, gradient evaluations."""
    found, spent = start.clone(), torch.zeros_like(classes)
    success, stuck = torch.zeros_like(classes, dtype=torch.bool), torch.zeros_like(classes, dtype=torch.bool)
    active = torch.arange(len(start), device=start.device)
    for _ in range(steps):
        x = found[active]
        done, gradient = descent(model, x, classes[active], targeted=targeted, loss=loss, temperature=temperature)
        success[active] = done
        spent[active] += 1
        moved = torch.minimum(torch.maximum(x - step_size * gradient.sign(), low[active]), high[active])
        flat = (gradient == 0).flatten(1).all(1)
        stuck[active] = flat & ~done
        found[active] = torch.where(done[:, None, None, None], x, moved)
        active = active[~done & ~flat]
        if not len(active):
            return found, success, stuck, spent
    with torch.no_grad():
        success[active] = reached(logits_of(model, found[active], classes[active]), classes[active], targeted=targeted)
    return found, success, stuck, spent
