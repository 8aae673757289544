"""Carlini and Wagner's L2 attack (Section VI-A): Adam in tanh space, and a binary search over the constant."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.line_search import nearest_on_line
from defensive_distillation.attacks.objective import linear_constants, margin_gradient
from defensive_distillation.attacks.tanh_space import Adam, Patience, to_box, to_tanh_space


def nearest_l2(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    search_steps: int,
    initial_constant: float,
    constant_factor: float,
    steps: int,
    learning_rate: float,
    abort_early: bool,
    clip: tuple[float, float],
    targeted: bool,
    confidence: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Minimises |x' - x|² + c max(margin + κ, 0) for a constant c that is searched for, sample by sample.

    Deviation: where even the first constant suffices, it is divided by `constant_factor` f until one does not; the
    authors halve it. Where it does not suffice, it is multiplied by f, f², f³ and so on; the authors multiply by ten.
    Between two constants the geometric mean is tried, not the arithmetic one. Where three quarters of the constants did
    not reach the goal, smaller ones than the first are tried: too large a one drives features to the ends of the box,
    where they stay.

    Deviation: what was found is at last moved towards its source along a line, as far as it stays adversarial; that
    takes forward passes only.

    Returns:
        The nearest samples (N, C, H, W), whether there is one (N,), and gradient evaluations (N,).
    """
    origin = to_tanh_space(images, clip)
    adam, everyone = Adam(origin, learning_rate), torch.arange(len(images), device=images.device)
    start, _ = to_box(origin, clip)
    at_start = margin_gradient(model, start, classes, targeted=targeted, confidence=confidence)  # of every constant
    first = initial_constant * linear_constants(at_start[0], at_start[2], "l2")
    constant, patience = first.clone(), Patience(first, steps, abort_early=abort_early)
    lower, upper = torch.zeros_like(constant), torch.full_like(constant, torch.inf)
    best, nearest = images.clone(), torch.full_like(constant, torch.inf)
    spent = torch.ones_like(classes)
    upwards = search_steps - search_steps // 4
    w = origin.clone()
    for search in range(1, search_steps + 1):
        found = torch.zeros_like(classes, dtype=torch.bool)  # with this constant
        active = everyone
        adam.restart(everyone)
        patience.restart(everyone)
        while len(active):
            x, c = images[active], constant[active]
            adversarial, slope = to_box(w[active], clip)
            if search == 1 and not bool(patience.age.any()):
                hinge, done, gradient = at_start
            else:
                hinge, done, gradient = margin_gradient(
                    model, adversarial, classes[active], targeted=targeted, confidence=confidence
                )
                spent[active] += 1
            moved = adversarial - x
            distance = moved.square().flatten(1).sum(1)
            better = done & (distance < nearest[active])
            best[active[better]], nearest[active[better]] = adversarial[better], distance[better]
            found[active] |= done
            pull = torch.where(done, 0.0, c)[:, None, None, None]
            adam.step(w, (2 * moved + pull * gradient) * slope, active)
            active = active[~patience.ends(distance + c * hinge, active)]
        upper = torch.where(found, torch.minimum(upper, constant), upper)
        lower = torch.where(found, lower, torch.maximum(lower, constant))
        between = torch.where(lower > 0, (lower * upper).sqrt(), upper / constant_factor)
        constant = torch.where(upper.isfinite(), between, constant * constant_factor**search)
        never = nearest.isinf().nonzero().squeeze(1)
        going_on = nearest.isinf()[:, None, None, None] & (search < upwards)
        w = torch.where(going_on, w, origin)
        if search < upwards:
            adam.lengthen(never)
        else:
            adam.shorten(never)
            constant[never], lower[never] = first[never] / constant_factor ** (search - upwards + 1), 0
    success = nearest.isfinite()
    if bool(success.any()):
        best[success] = nearest_on_line(
            model, images[success], best[success], classes[success], targeted=targeted, confidence=confidence
        )
    return best, success, spent
