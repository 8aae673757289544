"""Carlini and Wagner's L2 attack (Section VI-A): Adam in tanh space, and a binary search over the constant."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.cw.descent import Descent, Found, linear_constants
from defensive_distillation.attacks.cw.search import Search
from defensive_distillation.attacks.cw.tanh_space import to_box


def nearest_l2(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    search: Search,
) -> Found:
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
    descent = _WithConstants(model, images, classes, search)
    first = search.initial_constant * linear_constants(descent.at_start[0], descent.at_start[2], "l2")
    constant, lower, upper = first.clone(), torch.zeros_like(first), torch.full_like(first, torch.inf)
    upwards = search.search_steps - search.search_steps // 4
    for attempt in range(1, search.search_steps + 1):
        found = descent.follow(constant)
        upper = torch.where(found, torch.minimum(upper, constant), upper)
        lower = torch.where(found, lower, torch.maximum(lower, constant))
        between = torch.where(lower > 0, (lower * upper).sqrt(), upper / search.constant_factor)
        constant = torch.where(upper.isfinite(), between, constant * search.constant_factor**attempt)
        never = descent.nearest.isinf().nonzero().squeeze(1)
        if attempt < upwards:
            descent.begin_anew(except_for=never)
            descent.adam.lengthen(never)
        else:
            descent.begin_anew(except_for=never[:0])
            descent.adam.shorten(never)
            constant[never], lower[never] = first[never] / search.constant_factor ** (attempt - upwards + 1), 0
    return descent.drawn_near()


class _WithConstants(Descent):
    """Adam on |x' - x|² + c max(margin + κ, 0), with one set of constants after the other."""

    def __init__(self, model: nn.Module, images: Tensor, classes: Tensor, search: Search) -> None:
        super().__init__(model, images, classes, search)
        self.origin = self.w.clone()
        self.at_start = self.look(self.everyone, to_box(self.origin, search.clip)[0])
        self._known: tuple[Tensor, Tensor, Tensor] | None = self.at_start  # which is the first step's look too

    def follow(self, constant: Tensor) -> Tensor:
        """Steps until patience ends; whether each sample was adversarial on the way, (N,) bool."""
        found, active = torch.zeros_like(constant, dtype=torch.bool), self.everyone
        self.adam.restart(active)
        self.patience.restart(active)
        while len(active):
            x, c = self.images[active], constant[active]
            adversarial, slope = to_box(self.w[active], self.search.clip)
            hinge, done, gradient = self._known or self.look(active, adversarial)
            self._known = None
            moved = adversarial - x
            distance = moved.square().flatten(1).sum(1)
            self.keep(active, adversarial, distance, done)
            found[active] |= done
            pull = torch.where(done, 0.0, c)[:, None, None, None]
            self.adam.step(self.w, (2 * moved + pull * gradient) * slope, active)
            active = active[~self.patience.ends(distance + c * hinge, active)]
        return found

    def begin_anew(self, *, except_for: Tensor) -> None:
        """Puts all samples back to their sources but those rows, which go on from where they are."""
        going_on = self.w[except_for]
        self.w = self.origin.clone()
        self.w[except_for] = going_on
