"""Transfer of samples from another network, at rising confidence (Carlini, Wagner 2017, Section VIII-D)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.cw.carlini_wagner import carlini_wagner
from defensive_distillation.attacks.given import attack
from defensive_distillation.attacks.network import logits_of, reached, require_attackable, samples_at_once
from defensive_distillation.attacks.result import AttackResult, StopReason


@attack
def transfer(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    surrogate: nn.Module,
    confidence: float = 0.0,
    steps: int = 1_000,
    search_steps: int = 9,
    learning_rate: float | None = None,
    initial_constant: float = 1.0,
    constant_factor: float = 4.0,
    targeted: bool = False,
    clip: tuple[float, float] = (0.0, 1.0),
    batch_size: int | None = None,
    on_finished: Callable[[int], None] | None = None,
) -> AttackResult:
    """Samples of C&W's L2 attack on `surrogate` with confidence κ, shown to `model`, which is never differentiated.

    Args:
        model: returns logits (N, K); a function, or a module in evaluation mode.
        images: sources (N, C, H, W), or (N, ...) of any other shape, within `clip`, float.
        labels: (N,) int64, the true classes; with `targeted`, the classes to reach.
        surrogate: the network that the samples are crafted on; likewise.
        confidence: κ, by which the samples fool the surrogate; the larger, the more transfer.
        steps: see `carlini_wagner`, as the next four.
        search_steps: of the binary search over the constant.
        learning_rate: of Adam.
        initial_constant: the first constant.
        constant_factor: what it is multiplied by.
        targeted: whether `labels` are to be reached, or left.
        clip: the box (lo, hi).
        batch_size: samples in the network at once; None means 128 on a CPU, and elsewhere up to 4,096.
        on_finished: called with the number of samples that have ended, whenever it grows.

    Returns:
        The samples crafted; success is `model`'s. A source that `model` already has where it should be is left as it
        is. A sample that fools the surrogate alone is NOT_TRANSFERRED, one that does not even fool that has spent its
        BUDGET. Gradient evaluations are the surrogate's.

    Raises:
        InputError: for a network in training mode or one that returns probabilities, or a bad argument.
    """
    for network in (model, surrogate):
        require_attackable(network, images, labels, clip, batch_size, name="labels")
    if not len(images):
        return AttackResult.none(images)
    size = samples_at_once(batch_size, images)
    images = images.detach()
    rest = (~_fooled(model, images, labels, size, targeted=targeted)).nonzero().squeeze(1)
    ended = len(images) - len(rest)
    if on_finished and ended:
        on_finished(ended)
    crafted = carlini_wagner(
        surrogate,
        images[rest],
        labels[rest],
        norm="l2",
        targeted=targeted,
        confidence=confidence,
        steps=steps,
        search_steps=search_steps,
        learning_rate=learning_rate,
        initial_constant=initial_constant,
        constant_factor=constant_factor,
        clip=clip,
        batch_size=batch_size,
        on_finished=(lambda count: on_finished(ended + count)) if on_finished else None,
    )
    return _shown(model, images, labels, rest, crafted, size, targeted=targeted)


def shown(
    model: nn.Module, images: Tensor, labels: Tensor, crafted: AttackResult, *, batch_size: int | None = None
) -> AttackResult:
    """What `transfer` returns, untargeted, of samples that C&W's L2 attack has crafted already, one for each source.

    Args:
        model: see `transfer`, as all but `crafted`.
        images: (N, C, H, W).
        labels: (N,).
        crafted: on the surrogate, from these images and labels.
        batch_size: samples in the network at once.
    """
    size = samples_at_once(batch_size, images)
    rest = (~_fooled(model, images, labels, size, targeted=False)).nonzero().squeeze(1)
    return _shown(model, images, labels, rest, crafted.rows(rest), size, targeted=False)


def _shown(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    rest: Tensor,
    crafted: AttackResult,
    size: int,
    *,
    targeted: bool,
) -> AttackResult:
    """The result of samples `crafted` of the sources `rest`; the model has the others where they should be."""
    success = torch.ones_like(labels, dtype=torch.bool)
    adversarial, spent = images.clone(), torch.zeros_like(labels)
    reason = torch.full_like(labels, StopReason.SUCCESS, dtype=torch.int8)
    if len(rest):
        adversarial[rest], spent[rest] = crafted.adversarial, crafted.gradient_evaluations
        success[rest] = _fooled(model, crafted.adversarial, labels[rest], size, targeted=targeted)
        fooled = torch.where(crafted.success, int(StopReason.NOT_TRANSFERRED), int(StopReason.BUDGET))
        reason[rest] = torch.where(success[rest], int(StopReason.SUCCESS), fooled).to(torch.int8)
    return AttackResult.of(images, adversarial, success, reason, spent)


@torch.no_grad()
def _fooled(model: nn.Module, images: Tensor, labels: Tensor, size: int, *, targeted: bool) -> Tensor:
    """Whether each sample is where it should be, (N,) bool, batch by batch."""
    batches = zip(images.split(size), labels.split(size), strict=True)
    return torch.cat([reached(logits_of(model, batch), own, targeted=targeted) for batch, own in batches])
