"""Jacobian-based saliency map attack (Papernot et al., *The Limitations of Deep Learning in Adversarial Settings*)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import fields
from typing import Literal

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.network import logits_of, require_attackable, samples_at_once
from defensive_distillation.attacks.network import reached as goal_reached
from defensive_distillation.attacks.result import AttackResult
from defensive_distillation.attacks.saliency.slots import Climb, climb_in_slots
from defensive_distillation.attacks.saliency.step import MOVES, moved, preferred_pair, saliency, search_domain, verdicts
from defensive_distillation.errors import InputError
from defensive_distillation.networks.softmax import require_temperature


def jsma(
    model: nn.Module,
    images: Tensor,
    target_classes: Tensor,
    *,
    theta: float = 1.0,
    max_features: int = 112,
    output: Literal["probabilities", "logits"] = "probabilities",
    temperature: float = 1.0,
    targeted: bool = True,
    clip: tuple[float, float] = (0.0, 1.0),
    batch_size: int | None = None,
    on_finished: Callable[[int], None] | None = None,
) -> AttackResult:
    """Changes two features a step, those that the saliency map prefers, until the target class is reached.

    One backward pass a step on probabilities (there β = -α), two on logits; never the full Jacobian. A sample that
    is finished leaves the batch and the next takes its place. Only gradients with respect to the images are taken;
    the model, its parameters and their gradients are left as they were. A device other than the CPU is given work
    without a wait for its results (`jsma_slots`); they are the same.

    Untargeted, a sample is led towards each other class in turn until it is classified as any but its own, and the
    attempt that changed fewest features stands.

    Args:
        model: returns logits (N, K); must be in evaluation mode.
        images: sources (N, C, H, W) within `clip`, float.
        target_classes: (N,) int64 in [0, K); without `targeted`, the true classes, which are to be left.
        theta: signed change of a feature in a step, not 0; features are clipped to the box.
        max_features: budget, the most features that may differ from the source; 112 in the paper.
        output: what is differentiated: the probabilities at `temperature`, or the logits.
        temperature: T of the probabilities; without meaning for logits.
        targeted: whether the classes are to be reached, or left.
        clip: the box (lo, hi).
        batch_size: samples in the network at once; None means 128 on a CPU, and elsewhere up to 4,096.
        on_finished: called with the number of samples that have ended, whenever it grows.

    Returns:
        The adversarial samples; a sample classified as its target from the start is a success with no change.

    Raises:
        InputError: for a model in training mode or with logits that are not finite, wrong shapes or types, values
            outside the box, or a bad argument.
    """
    require_attackable(model, images, target_classes, clip, batch_size, least_features=2)  # it changes pairs
    _require(theta, max_features, output, temperature)
    size = samples_at_once(batch_size, images)
    settings = Climb(theta, max_features, output, temperature, clip)
    way = _climb if images.device.type == "cpu" else climb_in_slots
    climb = functools.partial(way, model, climb=settings, size=size)
    if targeted:
        return climb(images, target_classes, None, on_finished)
    with torch.no_grad():
        classes = logits_of(model, images[:1], target_classes).shape[1]
    parts: list[AttackResult] = []
    for rows in torch.arange(len(images), device=images.device).split(max(1, size // (classes - 1))):
        labels = target_classes[rows]
        towards = torch.arange(classes, device=images.device).expand(len(rows), -1)
        others = towards[towards != labels[:, None]]  # (len(rows) * (K - 1),)
        found = climb(
            images[rows].repeat_interleave(classes - 1, dim=0), others, labels.repeat_interleave(classes - 1), None
        )
        parts.append(_fewest(found, len(rows)))
        if on_finished:
            on_finished(int(rows[-1]) + 1)
    return AttackResult.joined(parts)


def _fewest(found: AttackResult, samples: int) -> AttackResult:
    """Of the attempts on each sample the successful one with the fewest changes; every attempt's gradients count."""
    cost = torch.where(found.success, found.changed_features, torch.iinfo(torch.int64).max).view(samples, -1)
    attempts = cost.shape[1]
    chosen = cost.argmin(dim=1) + attempts * torch.arange(samples, device=cost.device)
    best = {field.name: getattr(found, field.name)[chosen] for field in fields(AttackResult)}
    return AttackResult(**{**best, "gradient_evaluations": found.gradient_evaluations.view(samples, -1).sum(1)})


def _climb(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    labels: Tensor | None,
    on_finished: Callable[[int], None] | None,
    *,
    climb: Climb,
    size: int,
) -> AttackResult:
    """Towards `targets`, until they are reached, or `labels`, if given, are left."""
    count, shape = len(images), images.shape[1:]
    adversarial = images.detach().clone().flatten(1)
    success = torch.zeros(count, dtype=torch.bool)
    stop_reason = torch.zeros(count, dtype=torch.int8)
    spent = torch.zeros(count, dtype=torch.int64)
    active = torch.arange(min(size, count))  # samples in the network, by their place above
    waiting = len(active)
    while len(active):
        x, target = adversarial[active], targets[active]
        forward = functools.partial(logits_of, model, classes=target)
        logits, alpha, beta = saliency(forward, x.view(-1, *shape), target, climb.output, climb.temperature)
        reached = goal_reached(logits, target if labels is None else labels[active], targeted=labels is None)
        spent[active] += 1 if beta is None else 2
        allowed = search_domain(x, climb.theta, climb.clip)
        pair, valid = preferred_pair(alpha, beta, allowed, climb.theta)
        source = images[active].flatten(1)
        reason = verdicts(x, source, pair, valid, reached, alpha, beta, allowed, climb.max_features)
        moving = reason == MOVES
        adversarial[active[moving]] = moved(x[moving], pair[moving], climb.theta, climb.clip)
        ended = active[~moving]
        if len(ended):
            stop_reason[ended] = reason[~moving]
            success[ended] = reached[~moving]
            following = torch.arange(waiting, min(waiting + len(ended), count))
            waiting += len(following)
            active = torch.cat((active[moving], following))
            if on_finished:
                on_finished(waiting - len(active))
    return AttackResult.of(images, adversarial.view_as(images), success, stop_reason, spent)


def _require(theta: float, max_features: int, output: str, temperature: float) -> None:
    if not math.isfinite(theta) or theta == 0:
        raise InputError(f"theta: expected a finite number other than 0, got {theta}")
    if max_features < 0:
        raise InputError(f"max_features: expected 0 or more, got {max_features}")
    if output not in ("probabilities", "logits"):
        raise InputError(f"output: expected probabilities or logits, got {output!r}")
    require_temperature(temperature)
