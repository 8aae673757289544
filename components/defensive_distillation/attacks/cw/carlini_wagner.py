"""Carlini and Wagner's attacks: the nearest adversarial sample in L2, L0 or L∞.

Carlini, Wagner: Towards Evaluating the Robustness of Neural Networks, 2017, https://arxiv.org/abs/1608.04644. They
work on the margin of the logits, so a saturated softmax does not concern them: they show that distillation does not
defend. Each norm has a file of its own.

Deviation: the constant c that weighs the margin against the distance is counted in units of what a linear network with
this margin and gradient would need, source by source. The authors begin with 1e-3 (1e-5 in L∞) and multiply by ten or
two; but a distilled network's logits are T times larger and need constants T times smaller.

Deviation: where a constant does not suffice, Adam's steps are doubled as well, up to eight times. Once one has
sufficed, L0 and L∞ try no more than 16 times that for a nearer sample; the authors always go on to the largest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.cw.l0 import nearest_l0
from defensive_distillation.attacks.cw.l2 import nearest_l2
from defensive_distillation.attacks.cw.linf import nearest_linf
from defensive_distillation.attacks.cw.search import Search
from defensive_distillation.attacks.given import attack
from defensive_distillation.attacks.network import attacked_in_batches, require_attackable
from defensive_distillation.attacks.result import AttackResult, success_or_budget
from defensive_distillation.errors import InputError

Norm = Literal["l0", "l2", "linf"]

_SOLVERS = {  # with the step size of each norm's published code
    "l2": (nearest_l2, 0.01),
    "l0": (nearest_l0, 0.01),
    "linf": (nearest_linf, 0.005),
}


@attack
def carlini_wagner(
    model: nn.Module,
    images: Tensor,
    target_classes: Tensor,
    *,
    norm: Norm = "l2",
    targeted: bool = True,
    confidence: float = 0.0,
    steps: int = 1_000,
    search_steps: int = 9,
    learning_rate: float | None = None,
    initial_constant: float = 1.0,
    largest_constant: float = 1e3,
    constant_factor: float = 4.0,
    abort_early: bool = True,
    clip: tuple[float, float] = (0.0, 1.0),
    batch_size: int | None = None,
    on_finished: Callable[[int], None] | None = None,
) -> AttackResult:
    """The nearest sample in `norm` that is classified as the target, by a margin of κ.

    Args:
        model: returns logits (N, K); a function, or a module in evaluation mode.
        images: sources (N, C, H, W), or (N, ...) of any other shape, within `clip`, float.
        target_classes: (N,) int64; without `targeted`, the true classes, which are to be left.
        norm: l2 (Section VI-A), l0 (VI-B, counted in pixels) or linf (VI-C).
        targeted: whether the classes are to be reached, or left.
        confidence: κ >= 0 (Section V-A), by how much the wanted logit exceeds the others.
        steps: of Adam for one constant; at most, with `abort_early`.
        search_steps: of the binary search over the constant, L2 alone; L0 and L∞ multiply it until they succeed.
        learning_rate: of Adam; None means the authors' 0.01 for L2 and L0, 0.005 for L∞.
        initial_constant: c at first, in units of the constant that a linear network would need.
        largest_constant: L0 and L∞ give up beyond it, or beyond 16 times what sufficed; in the same units.
        constant_factor: above 1, what c is multiplied by where it did not suffice (and L2's is divided by where it
            did, until one does not).
        abort_early: leave a constant when the loss hardly falls (tanh_space.Patience).
        clip: the box (lo, hi).
        batch_size: samples in the network at once; None means 128 on a CPU, and elsewhere up to 4,096.
        on_finished: called with the number of samples that have ended, whenever it grows.

    Returns:
        The nearest samples found. One that was not found is the source itself, and its stop reason BUDGET. A source
        that is classified as wanted from the start is a success without a change.

    Raises:
        InputError: for a model in training mode or one that returns probabilities, or a bad argument.
    """
    require_attackable(model, images, target_classes, clip, batch_size)
    if norm not in _SOLVERS:
        raise InputError(f"norm: expected l0, l2 or linf, got {norm!r}")
    solve, usual_rate = _SOLVERS[norm]
    search = Search(
        targeted=targeted,
        confidence=confidence,
        steps=steps,
        search_steps=search_steps,
        learning_rate=usual_rate if learning_rate is None else learning_rate,
        initial_constant=initial_constant,
        largest_constant=largest_constant,
        constant_factor=constant_factor,
        abort_early=abort_early,
        clip=clip,
    )

    def nearest(batch: Tensor, classes: Tensor) -> AttackResult:
        at_start = search.needless(model, batch, classes)
        adversarial, success, spent = batch.clone(), at_start.clone(), torch.zeros_like(classes)
        rest = (~at_start).nonzero().squeeze(1)
        if len(rest):
            adversarial[rest], success[rest], spent[rest] = solve(model, batch[rest], classes[rest], search)
        return AttackResult.of(batch, adversarial, success, success_or_budget(success), spent)

    sources = images.contiguous()  # another memory layout would add up in another order
    return attacked_in_batches(nearest, sources, target_classes, batch_size=batch_size, on_finished=on_finished)
