"""Jacobian-based saliency map attack (Papernot et al., *The Limitations of Deep Learning in Adversarial Settings*)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.pair_search import best_pair, largest_pair
from defensive_distillation.attacks.result import AttackResult, StopReason
from defensive_distillation.distillation import require_temperature, softmax_at
from defensive_distillation.errors import InputError

DEFAULT_BATCH_SIZE = 128


def jsma(
    model: nn.Module,
    images: Tensor,
    target_classes: Tensor,
    *,
    theta: float = 1.0,
    max_features: int = 112,
    output: Literal["probabilities", "logits"] = "probabilities",
    temperature: float = 1.0,
    clip: tuple[float, float] = (0.0, 1.0),
    batch_size: int | None = None,
    on_finished: Callable[[int], None] | None = None,
) -> AttackResult:
    """Changes two features a step, those that the saliency map prefers, until the target class is reached.

    One backward pass a step on probabilities (there β = -α), two on logits; never the full Jacobian. A sample that
    is finished leaves the batch and the next takes its place. Only gradients with respect to the images are taken;
    the model, its parameters and their gradients are left as they were.

    Args:
        model: returns logits (N, K); must be in evaluation mode.
        images: sources (N, C, H, W) within `clip`, float.
        target_classes: (N,) int64 in [0, K).
        theta: signed change of a feature in a step, not 0; features are clipped to the box.
        max_features: budget, the most features that may differ from the source; 112 in the paper.
        output: what is differentiated: the probabilities at `temperature`, or the logits.
        temperature: T of the probabilities; without meaning for logits.
        clip: the box (lo, hi).
        batch_size: samples in the network at once; None means 128.
        on_finished: called with the number of samples that have ended, whenever it grows.

    Returns:
        The adversarial samples; a sample classified as its target from the start is a success with no change.

    Raises:
        InputError: for a model in training mode or with logits that are not finite, wrong shapes or types, values
            outside the box, or a bad argument.
    """
    _check(model, images, target_classes, theta, max_features, output, temperature, clip, batch_size)
    count, shape = len(images), images.shape[1:]
    adversarial = images.detach().clone().flatten(1)
    success = torch.zeros(count, dtype=torch.bool, device=images.device)
    changed_features = torch.zeros(count, dtype=torch.int64, device=images.device)
    stop_reason = torch.zeros(count, dtype=torch.int8, device=images.device)
    size = min(batch_size or DEFAULT_BATCH_SIZE, count)
    active = torch.arange(size, device=images.device)  # samples in the network, as indices into the arrays above
    waiting = size
    while len(active):
        x, target = adversarial[active], target_classes[active]
        reached, alpha, beta = _saliency(model, x.view(-1, *shape), target, output, temperature)
        allowed = (x + theta).clamp(*clip) != x  # Γ: a saturated feature cannot move, nor by a theta lost in rounding
        if beta is None:
            p, q, valid = largest_pair(alpha, allowed, increase=theta > 0)
        else:
            p, q, valid = best_pair(alpha, beta, allowed, increase=theta > 0)
        source = images[active].flatten(1)
        changed = x != source
        pair = torch.stack((p, q), dim=1)
        would_change = changed.sum(1) + (~changed.gather(1, pair)).sum(1)
        reason = torch.full_like(active, -1, dtype=torch.int8)
        reason[would_change > max_features] = StopReason.BUDGET
        reason[~valid] = StopReason.NO_PAIR
        flat = ((alpha == 0) if beta is None else (alpha == 0) & (beta == 0)) | ~allowed
        reason[~valid & flat.all(1) & allowed.any(1)] = StopReason.ZERO_GRADIENT
        reason[reached] = StopReason.SUCCESS
        moving = reason < 0
        step = x[moving].gather(1, pair[moving]).add_(theta).clamp_(*clip)
        x[moving] = x[moving].scatter(1, pair[moving], step)
        adversarial[active] = x
        ended = active[~moving]
        if len(ended):
            stop_reason[ended] = reason[~moving]
            success[ended] = reached[~moving]
            changed_features[ended] = changed[~moving].sum(1)
            following = torch.arange(waiting, min(waiting + len(ended), count), device=images.device)
            waiting += len(following)
            active = torch.cat((active[moving], following))
            if on_finished:
                on_finished(waiting - len(active))
    return AttackResult(adversarial.view_as(images), success, changed_features, stop_reason)


def _saliency(
    model: nn.Module, images: Tensor, target: Tensor, output: str, temperature: float
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Whether the target is reached (N,), α (N, D), and β (N, D), which is None where it is -α."""
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(images)
        _check_logits(logits, len(images), target)
        reached = logits.detach().argmax(1) == target
        outputs = logits if output == "logits" else softmax_at(logits, temperature)
        wanted = outputs.gather(1, target[:, None]).sum()
        (alpha,) = torch.autograd.grad(wanted, images, retain_graph=output == "logits")
        if output != "logits":
            return reached, alpha.flatten(1), None
        (total,) = torch.autograd.grad(outputs.sum(), images)
    return reached, alpha.flatten(1), (total - alpha).flatten(1)


def _check_logits(logits: Tensor, count: int, target: Tensor) -> None:
    if logits.dim() != 2 or len(logits) != count:
        raise InputError(f"model: expected logits of shape ({count}, K), got {tuple(logits.shape)}")
    if not bool(logits.isfinite().all()):
        raise InputError("model: expected finite logits, got NaN or infinity")
    if int(target.max()) >= logits.shape[1]:
        raise InputError(f"target_classes: expected values below {logits.shape[1]}, got {int(target.max())}")


def _check(
    model: nn.Module,
    images: Tensor,
    target_classes: Tensor,
    theta: float,
    max_features: int,
    output: str,
    temperature: float,
    clip: tuple[float, float],
    batch_size: int | None,
) -> None:
    if model.training:
        raise InputError("model: expected evaluation mode (model.eval()), got training mode")
    if images.dim() != 4 or not images.is_floating_point() or len(images) == 0:
        raise InputError(f"images: expected float (N, C, H, W) with N > 0, got {images.dtype} {tuple(images.shape)}")
    if images[0].numel() < 2:
        raise InputError("images: expected at least 2 features, since JSMA changes pairs, got 1")
    if target_classes.shape != images.shape[:1] or target_classes.dtype != torch.int64:
        expected, got = tuple(images.shape[:1]), tuple(target_classes.shape)
        raise InputError(f"target_classes: expected int64 {expected}, got {target_classes.dtype} {got}")
    if int(target_classes.min()) < 0:
        raise InputError(f"target_classes: expected values from 0, got {int(target_classes.min())}")
    low, high = clip
    if not -math.inf < low < high < math.inf:
        raise InputError(f"clip: expected finite (lo, hi) with lo < hi, got {clip}")
    if not bool(((images >= low) & (images <= high)).all()):
        raise InputError(f"images: expected values within [{low}, {high}], got {images.min():g} to {images.max():g}")
    if not math.isfinite(theta) or theta == 0:
        raise InputError(f"theta: expected a finite number other than 0, got {theta}")
    if max_features < 0:
        raise InputError(f"max_features: expected 0 or more, got {max_features}")
    if output not in ("probabilities", "logits"):
        raise InputError(f"output: expected probabilities or logits, got {output!r}")
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size: expected at least 1, got {batch_size}")
    require_temperature(temperature)
