"""Jacobian-based saliency map attack (Papernot et al., *The Limitations of Deep Learning in Adversarial Settings*)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.given import attack
from defensive_distillation.attacks.network import attacked_in_batches, logits_of, require_attackable, samples_at_once
from defensive_distillation.attacks.result import AttackResult
from defensive_distillation.attacks.saliency.batch import climb_in_batch
from defensive_distillation.attacks.saliency.slots import climb_in_slots
from defensive_distillation.attacks.saliency.step import Attempts, Climb
from defensive_distillation.errors import InputError
from defensive_distillation.networks.softmax import require_temperature


@attack
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
    without a wait for its results (`saliency.slots`); they are the same.

    Untargeted, a sample is led towards each other class in turn until it is classified as any but its own, and the
    attempt that changed fewest features stands.

    Args:
        model: returns logits (N, K); a function, or a module in evaluation mode.
        images: sources (N, C, H, W), or (N, ...) of any other shape, within `clip`, float.
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
    if not len(images):
        return AttackResult.none(images)
    attempts = functools.partial(Attempts, model, climb=Climb(theta, max_features, output, temperature, clip))
    size = samples_at_once(batch_size, images)
    way = climb_in_batch if images.device.type == "cpu" else climb_in_slots
    if targeted:
        return way(attempts(images, target_classes, None), size=size, on_finished=on_finished)
    with torch.no_grad():
        classes = logits_of(model, images[:1]).shape[1]

    def away(batch: Tensor, labels: Tensor) -> AttackResult:
        towards = torch.arange(classes, device=batch.device).expand(len(batch), -1)
        others = towards[towards != labels[:, None]]  # (len(batch) * (K - 1),)
        batch, labels = (of_each.repeat_interleave(classes - 1, dim=0) for of_each in (batch, labels))
        tried = way(attempts(batch, others, labels), size=size, on_finished=None)
        return _fewest(tried, classes - 1)

    at_once = max(1, size // (classes - 1))
    return attacked_in_batches(away, images, target_classes, batch_size=at_once, on_finished=on_finished)


def _fewest(tried: AttackResult, attempts: int) -> AttackResult:
    """Of the attempts on each sample the successful one with the fewest changes; every attempt's gradients count."""
    cost = torch.where(tried.success, tried.changed_features, torch.iinfo(torch.int64).max).view(-1, attempts)
    chosen = cost.argmin(dim=1) + attempts * torch.arange(len(cost), device=cost.device)
    spent = tried.gradient_evaluations.view(-1, attempts).sum(1)
    return replace(tried.rows(chosen), gradient_evaluations=spent)


def _require(theta: float, max_features: int, output: str, temperature: float) -> None:
    if not math.isfinite(theta) or theta == 0:
        raise InputError(f"theta: expected a finite number other than 0, got {theta}")
    if max_features < 0:
        raise InputError(f"max_features: expected 0 or more, got {max_features}")
    if output not in ("probabilities", "logits"):
        raise InputError(f"output: expected probabilities or logits, got {output!r}")
    require_temperature(temperature)
