"""Projected gradient descent, the iterated L∞ attack (Madry et al. 2018, https://arxiv.org/abs/1706.06083, Eq. 2.1)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.given import attack
from defensive_distillation.attacks.linf.ball import Loss, descent, require_ball
from defensive_distillation.attacks.network import attacked_in_batches, logits_of, reached, require_attackable
from defensive_distillation.attacks.randomness import require_seeds, uniform
from defensive_distillation.attacks.result import AttackResult, StopReason
from defensive_distillation.errors import InputError


@attack
def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    steps: int = 40,
    restarts: int = 1,
    rivals: int = 0,
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

    The largest other class at one point of the ball need not be the one that can be reached in it. So those whom the
    margin does not get to leave their class are led to each of the likeliest others in turn, as the targeted attacks of
    AutoAttack do (Croce and Hein 2020, https://arxiv.org/abs/2003.01690), each time from a random point, with steps
    that shrink evenly from 2 ε to nothing, and within a ball of 2 ε that has shrunk to ε by half of the steps: the way
    to a sample in the ball may lead round outside.

    Args:
        model: returns logits (N, K); a function, or a module in evaluation mode.
        images: sources (N, C, H, W), or (N, ...) of any other shape, within `clip`, float.
        labels: (N,) int64, the true classes; with `targeted`, the classes to reach.
        epsilon: radius of the L∞ ball, above 0.
        steps: of a run, at least 1.
        restarts: runs on the loss, at least 1.
        rivals: further runs, each on the logit of the true class less that of one other, those of the largest logits at
            the source; at most all others. Of the untargeted margin alone: a cross-entropy towards another class does
            not saturate, and is none that an attacker differentiates who does not know the defense.
        step_size: of a step in each feature; None means 2.5 ε / steps. Not of the runs on rivals.
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
    require_attackable(model, images, labels, clip, batch_size, name="labels")
    require_ball(epsilon, loss, temperature)
    for name, value in (("steps", steps), ("restarts", restarts)):
        if value < 1:
            raise InputError(f"{name}: expected at least 1, got {value}")
    if rivals < 0:
        raise InputError(f"rivals: expected at least 0, got {rivals}")
    if step_size is not None and not step_size > 0:
        raise InputError(f"step_size: expected a number above 0, got {step_size}")
    seeds = require_seeds(seeds, len(images))
    descend = functools.partial(_run, model, targeted=targeted, loss=loss, temperature=temperature, clip=clip)
    even = [(epsilon, step_size or 2.5 * epsilon / steps)] * steps
    shrinking = [
        (epsilon * max(1.0, 2 - 2 * (step + 1) / steps), 2 * epsilon * (1 - step / steps)) for step in range(steps)
    ]
    others = 0 if targeted or loss != "margin" else rivals

    def restarted(batch: Tensor, classes: Tensor, own: Tensor) -> AttackResult:
        best, ended = batch.clone(), torch.zeros_like(classes, dtype=torch.bool)
        reason = torch.full_like(classes, StopReason.ZERO_GRADIENT, dtype=torch.int8)
        spent = torch.zeros_like(classes)
        led_to = _likeliest(model, batch, classes, others)
        for run in range(restarts + led_to.shape[1]):
            active = (~ended).nonzero().squeeze(1)
            if not len(active):
                break
            source = start = batch[active]
            course, towards = (even, None) if run < restarts else (shrinking, led_to[active, run - restarts])
            if run:
                random = uniform(own[active.cpu()], batch.shape[1:], batch, stream=run)
                low, high = _ball(source, epsilon if towards is None else 2 * epsilon, clip)
                start = low + random * (high - low)
            found, success, stuck, evaluations = descend(start, source, classes[active], course=course, rivals=towards)
            best[active], ended[active] = found, success
            spent[active] += evaluations
            reason[active[~stuck]] = StopReason.BUDGET
        reason[ended] = StopReason.SUCCESS
        return AttackResult.of(batch, best, ended, reason, spent)

    return attacked_in_batches(restarted, images, labels, seeds, batch_size=batch_size, on_finished=on_finished)


@torch.no_grad()
def _likeliest(model: nn.Module, images: Tensor, classes: Tensor, most: int) -> Tensor:
    """Of each image the classes other than its own that have the largest logits, at most so many: (N, most)."""
    if not most:
        return classes.new_empty(len(classes), 0)
    others = logits_of(model, images).scatter(1, classes[:, None], -torch.inf)
    return others.topk(min(most, others.shape[1] - 1), dim=1).indices


def _ball(source: Tensor, radius: float, clip: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """The least and the largest value of each feature in the L∞ ball about `source` and the box."""
    return (source - radius).clamp(min=clip[0]), (source + radius).clamp(max=clip[1])


def _run(
    model: nn.Module,
    start: Tensor,
    source: Tensor,
    classes: Tensor,
    *,
    course: Sequence[tuple[float, float]],
    targeted: bool,
    loss: Loss,
    temperature: float,
    clip: tuple[float, float],
    rivals: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One run: the points found, whether each succeeded, whether it got stuck, gradient evaluations.

    `course` has a radius and a step size for each step, the radii falling to that of the attack. While they are above
    it, nothing is a success.
    """
    final = course[-1][0]
    inside = rivals is None  # the start; from then on the points
    found, spent = start.clone(), torch.zeros_like(classes)
    success, stuck = torch.zeros_like(classes, dtype=torch.bool), torch.zeros_like(classes, dtype=torch.bool)
    active = torch.arange(len(start), device=start.device)
    for radius, size in course:
        x = found[active]
        done, gradient = descent(
            model,
            x,
            classes[active],
            targeted=targeted,
            loss=loss,
            temperature=temperature,
            rivals=None if rivals is None else rivals[active],
        )
        done &= inside
        success[active] = done
        spent[active] += 1
        low, high = _ball(source[active], radius, clip)
        moved = torch.minimum(torch.maximum(x - size * gradient.sign(), low), high)
        inside = radius == final
        flat = (gradient == 0).flatten(1).all(1)
        stuck[active] = flat & ~done
        found[active] = torch.where(done[:, None, None, None], x, moved)
        active = active[~done & ~flat]
        if not len(active):
            break
    low, high = _ball(source, final, clip)
    found = torch.minimum(torch.maximum(found, low), high)  # who got stuck may lie outside
    if not len(active):
        return found, success, stuck, spent
    with torch.no_grad():
        success[active] = reached(logits_of(model, found[active]), classes[active], targeted=targeted)
    return found, success, stuck, spent
