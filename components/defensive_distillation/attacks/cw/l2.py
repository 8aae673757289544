"""Carlini and Wagner's L2 attack (Section VI-A): Adam in tanh space, and a binary search over the constant."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.cw.objective import linear_constants
from defensive_distillation.attacks.cw.search import Search
from defensive_distillation.attacks.cw.tanh_space import Adam, Patience, to_box, to_tanh_space


def nearest_l2(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    search: Search,
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
    origin = to_tanh_space(images, search.clip)
    adam, everyone = Adam(origin, search.learning_rate), torch.arange(len(images), device=images.device)
    start, _ = to_box(origin, search.clip)
    at_start = search.margin_gradient(model, start, classes)
    first = search.initial_constant * linear_constants(at_start[0], at_start[2], "l2")
    constant, patience = first.clone(), Patience(first, search.steps, abort_early=search.abort_early)
    lower, upper = torch.zeros_like(constant), torch.full_like(constant, torch.inf)
    best, nearest = images.clone(), torch.full_like(constant, torch.inf)
    spent = torch.ones_like(classes)
    upwards = search.search_steps - search.search_steps // 4
    known: tuple[Tensor, Tensor, Tensor] | None = at_start
    w = origin.clone()
    for attempt in range(1, search.search_steps + 1):
        found = torch.zeros_like(classes, dtype=torch.bool)  # with this constant
        active = everyone
        adam.restart(everyone)
        patience.restart(everyone)
        while len(active):
            x, c = images[active], constant[active]
            adversarial, slope = to_box(w[active], search.clip)
            if known is not None:
                (hinge, done, gradient), known = known, None
            else:
                hinge, done, gradient = search.margin_gradient(model, adversarial, classes[active])
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
        between = torch.where(lower > 0, (lower * upper).sqrt(), upper / search.constant_factor)
        constant = torch.where(upper.isfinite(), between, constant * search.constant_factor**attempt)
        never = nearest.isinf().nonzero().squeeze(1)
        going_on = nearest.isinf()[:, None, None, None] & (attempt < upwards)
        w = torch.where(going_on, w, origin)
        if attempt < upwards:
            adam.lengthen(never)
        else:
            adam.shorten(never)
            constant[never], lower[never] = first[never] / search.constant_factor ** (attempt - upwards + 1), 0
    success = nearest.isfinite()
    if bool(success.any()):
        best[success] = search.nearest_on_line(model, images[success], best[success], classes[success])
    return best, success, spent
